//! What is missing before a rollout may move on.

use super::threat::BAD_CELL_S;
use super::{Approval, Facts, Phase, Rollout, terms};
use serinus_proto::v1;

/// One thing that is missing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Missing {
    /// A freeze of the plan is in force, until then.
    Frozen { until_ms: u64 },
    /// Too few sidecars are on the present epoch.
    Fleet,
    /// Sidecars refused the assignment.
    Rejected,
    /// A bad cell was less than a minute ago; so long to go.
    Cooling { ms: u64 },
    /// Not proven harmful, but too close to it to give the canary more.
    Suspicion,
    /// One sidecar holds most of what the canary does worse: the verdict waits for one more slice.
    Doubt,
    /// The canary does not get the share that was asked, so that the comparison cannot be trusted.
    SampleRatio,
    /// A required guardrail is not SAFE. Its position in the plan.
    Guardrail { index: usize, verdict: v1::Verdict },
    /// Canary requests in this step.
    Requests { have: u64, need: u64 },
    /// The step, warm-up or bake lasts so much longer.
    Time { ms: u64 },
    /// Somebody's word, until then.
    Approval { deadline_ms: u64 },
    /// The word of an outside program, until then.
    Gate { deadline_ms: u64 },
}

/// Everything but the approval. Empty: the rollout may leave its warm-up, its step or its bake.
pub(super) fn missing(rollout: &Rollout, now_ms: u64, facts: &Facts) -> Vec<Missing> {
    let mut missing = Vec::new();
    missing.extend(
        facts
            .frozen_until_ms
            .map(|until_ms| Missing::Frozen { until_ms }),
    );
    if !facts.fleet.is_current() || facts.fleet.current_since_ms.is_none() {
        missing.push(Missing::Fleet);
    }
    if facts.fleet.rejected > 0 {
        missing.push(Missing::Rejected);
    }
    missing.extend(cooling(now_ms, &facts.bad_cells));
    // Evidence that is not a number compares as false, and so counts as suspicious.
    let calm = facts.log_e_rollback < facts.log_threshold / 2.0;
    if !calm {
        missing.push(Missing::Suspicion);
    }
    if !facts.doubted.is_empty() {
        missing.push(Missing::Doubt);
    }
    if facts.is_mismatched() {
        missing.push(Missing::SampleRatio);
    }
    if rollout.phase() != Phase::Warmup {
        missing.extend(guardrails(rollout, facts));
    }
    missing.extend(requests(rollout, facts));
    missing.extend(time(rollout, now_ms, facts));
    missing
}

fn cooling(now_ms: u64, bad_cells: &[u64]) -> Option<Missing> {
    let last = bad_cells.iter().max()?;
    let until_ms = last.saturating_add(BAD_CELL_S).saturating_mul(1000);
    (until_ms > now_ms).then(|| Missing::Cooling {
        ms: until_ms - now_ms,
    })
}

fn guardrails<'a>(rollout: &'a Rollout, facts: &'a Facts) -> impl Iterator<Item = Missing> + 'a {
    rollout
        .plan
        .guardrails
        .iter()
        .enumerate()
        .filter_map(|(index, guardrail)| {
            let verdict = verdict(facts, index);
            let blocks = terms::is_required(guardrail) && verdict != v1::Verdict::Safe;
            blocks.then_some(Missing::Guardrail { index, verdict })
        })
}

/// What a guardrail says, the worst if it says several things; without a word it has no evidence.
pub(super) fn verdict(facts: &Facts, index: usize) -> v1::Verdict {
    row(facts, index).map_or(v1::Verdict::NoEvidence, v1::GuardrailEvidence::verdict)
}

/// The evidence of a guardrail, that of the worst verdict if there are several rows.
pub(super) fn row(facts: &Facts, index: usize) -> Option<&v1::GuardrailEvidence> {
    let rows = facts
        .guardrails
        .iter()
        .filter(|row| row.index as usize == index);
    rows.max_by_key(|row| match row.verdict() {
        v1::Verdict::Safe => 0,
        v1::Verdict::NeedMore => 1,
        v1::Verdict::Unspecified | v1::Verdict::NoEvidence => 2,
        v1::Verdict::Harmful => 3,
    })
}

/// A step in which nobody met the canary has shown nothing, whatever earlier ones did.
fn requests(rollout: &Rollout, facts: &Facts) -> Option<Missing> {
    let asked = match rollout.phase() {
        Phase::Step => terms::min_requests(&rollout.plan, rollout.step),
        Phase::Warmup | Phase::Bake => 0,
    };
    let (have, need) = (facts.canary_requests_in_step, asked.max(1));
    (have < need).then_some(Missing::Requests { have, need })
}

/// The clock of a step starts when the fleet is on its split.
fn time(rollout: &Rollout, now_ms: u64, facts: &Facts) -> Option<Missing> {
    let since = facts
        .fleet
        .current_since_ms
        .unwrap_or(now_ms)
        .max(rollout.step_entered_ms);
    let until = match rollout.phase() {
        Phase::Warmup => since.saturating_add(terms::warmup_ms(&rollout.plan).unwrap_or(0)),
        Phase::Step => since.saturating_add(terms::min_duration_ms(&rollout.plan, rollout.step)),
        Phase::Bake => rollout.bake_until_ms.unwrap_or(now_ms),
    };
    (until > now_ms).then(|| Missing::Time { ms: until - now_ms })
}

/// The word that is still missing in a step that needs one; `None` if it has it, or is let go without.
pub(super) fn approval(rollout: &Rollout, now_ms: u64) -> Option<Word> {
    if rollout.phase() != Phase::Step {
        return None;
    }
    let (timeout_ms, then) = terms::approval(&rollout.plan, rollout.step)?;
    match rollout.approval {
        Approval::Given => None,
        Approval::None => Some(Word::Ask {
            deadline_ms: now_ms.saturating_add(timeout_ms),
        }),
        Approval::Waiting { deadline_ms } if then == v1::Then::Advance && now_ms >= deadline_ms => {
            None
        }
        Approval::Waiting { deadline_ms } => Some(Word::Await { deadline_ms }),
    }
}

/// What to do about an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Ask for it.
    Ask { deadline_ms: u64 },
    /// Somebody was asked.
    Await { deadline_ms: u64 },
}
