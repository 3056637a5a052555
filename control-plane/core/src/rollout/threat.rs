//! What ends a rollout, and what holds it.

use super::{Approval, Facts, Rollout, external, terms};
use serinus_proto::v1::{self, Cause, Then};
use v1::guardrail::Action;

/// So many bad cells ...
const BAD_CELLS: usize = 3;
/// ... within so many seconds are a dead canary, and so long after one nobody is moved to it.
pub(super) const BAD_CELL_S: u64 = 60;
/// A selector that selects none of the sidecars that serve the model holds after so long.
const NOBODY_MS: u64 = 15_000;
/// Silence is told from chance once so many canary requests are overdue.
const OVERDUE_REQUESTS: f64 = 20.0;

/// Why the rollout must be rolled back now. Judged in every state that is not terminal, except for what did not
/// arrive in time: that clock stands still while a person has stopped the rollout.
pub(super) fn rollback(rollout: &Rollout, now_ms: u64, facts: &Facts) -> Option<Cause> {
    let waits =
        is_active(rollout) || (rollout.state == v1::State::Held && clears_itself(rollout.cause));
    let too_late = |overdue: Option<Then>| waits && overdue == Some(Then::Rollback);
    let causes = [
        (is_harmful(facts), Cause::Guardrail),
        (is_dead(&facts.bad_cells), Cause::Breaker),
        (facts.none_finished, Cause::NoneFinished),
        (facts.budget_spent, Cause::Budget),
        (
            too_late(no_evidence_overdue(rollout, now_ms, facts)),
            Cause::NoEvidence,
        ),
        (too_late(approval_overdue(rollout, now_ms)), Cause::Approval),
        (too_late(external::refusal(rollout, now_ms)), Cause::Gate),
    ];
    first(&causes)
}

/// Why the rollout must not go on now, the most lasting cause first.
pub(super) fn holds(rollout: &Rollout, now_ms: u64, facts: &Facts) -> Vec<Cause> {
    let late = |overdue: Option<Then>| overdue == Some(Then::Hold);
    let causes = [
        (facts.fleet.fence_regressed, Cause::FenceRegression),
        (is_broken(rollout, facts), Cause::Guardrail),
        (facts.fleet.has_reverted(), Cause::Reverted),
        (is_over_time(rollout, now_ms), Cause::MaxDuration),
        (late(approval_overdue(rollout, now_ms)), Cause::Approval),
        (late(external::refusal(rollout, now_ms)), Cause::Gate),
        (exposes_too_many(rollout, facts), Cause::Budget),
        (facts.fleet.refuses(), Cause::Nacked),
        (selects_nobody(now_ms, facts), Cause::NoSidecars),
        (facts.fleet.is_distrusted(), Cause::Reports),
        (
            facts.expected_canary_since_last >= OVERDUE_REQUESTS,
            Cause::NoTraffic,
        ),
        (
            late(no_evidence_overdue(rollout, now_ms, facts)),
            Cause::NoEvidence,
        ),
    ];
    causes
        .iter()
        .filter(|(applies, _)| *applies)
        .map(|&(_, cause)| cause)
        .collect()
}

fn first(causes: &[(bool, Cause)]) -> Option<Cause> {
    causes
        .iter()
        .find(|(applies, _)| *applies)
        .map(|&(_, cause)| cause)
}

/// Held for one of these, a rollout goes on by itself when the cause is gone.
#[must_use]
pub fn clears_itself(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::NoTraffic
            | Cause::NoEvidence
            | Cause::Nacked
            | Cause::Budget
            | Cause::NoSidecars
            | Cause::Reports
            | Cause::FenceRegression
    )
}

/// Nothing stops it.
pub(super) fn is_active(rollout: &Rollout) -> bool {
    matches!(
        rollout.state,
        v1::State::WarmingUp | v1::State::Running | v1::State::Baking
    )
}

/// For longer than a sidecar takes to connect again.
fn selects_nobody(now_ms: u64, facts: &Facts) -> bool {
    let since = facts.fleet.none_selected_since_ms;
    since.is_some_and(|since_ms| now_ms.saturating_sub(since_ms) >= NOBODY_MS)
}

fn is_harmful(facts: &Facts) -> bool {
    let broken = |row: &v1::GuardrailEvidence| {
        row.verdict() == v1::Verdict::Harmful && row.on_breach() == Action::Rollback
    };
    facts.harmful.is_some() || facts.guardrails.iter().any(broken)
}

/// A guardrail that holds became HARMFUL and nobody has resumed since.
fn is_broken(rollout: &Rollout, facts: &Facts) -> bool {
    let known = |index: usize| rollout.acknowledged.get(index) == Some(&true);
    facts.guardrails.iter().any(|row| {
        row.verdict() == v1::Verdict::Harmful
            && row.on_breach() == Action::Hold
            && !known(row.index as usize)
    })
}

/// Whether any guardrail that holds is HARMFUL now.
pub(super) fn breaks_a_hold(facts: &Facts) -> bool {
    facts
        .guardrails
        .iter()
        .any(|row| row.verdict() == v1::Verdict::Harmful && row.on_breach() == Action::Hold)
}

fn is_dead(bad_cells: &[u64]) -> bool {
    let mut cells = bad_cells.to_vec();
    cells.sort_unstable();
    cells.dedup();
    cells
        .windows(BAD_CELLS)
        .any(|window| window[BAD_CELLS - 1] - window[0] <= BAD_CELL_S)
}

/// While it is frozen, the clock stands.
fn is_over_time(rollout: &Rollout, now_ms: u64) -> bool {
    let now_ms = rollout.frozen.map_or(now_ms, |frozen| frozen.since_ms);
    terms::max_duration_ms(&rollout.plan)
        .is_some_and(|max| now_ms.saturating_sub(rollout.duration_from_ms) >= max)
}

fn exposes_too_many(rollout: &Rollout, facts: &Facts) -> bool {
    let over = terms::exposed_keys(&rollout.plan).is_some_and(|cap| facts.exposed_keys >= cap);
    over && !facts.safe_at_full && !rollout.cap_lifted
}

fn approval_overdue(rollout: &Rollout, now_ms: u64) -> Option<Then> {
    let Approval::Waiting { deadline_ms } = rollout.approval else {
        return None;
    };
    let (_, then) = terms::approval(&rollout.plan, rollout.step)?;
    (now_ms >= deadline_ms).then_some(then)
}

fn no_evidence_overdue(rollout: &Rollout, now_ms: u64, facts: &Facts) -> Option<Then> {
    let since = facts.no_evidence_since_ms?.max(rollout.resumed_ms);
    let (after, then) = terms::on_no_evidence(&rollout.plan)?;
    (now_ms.saturating_sub(since) >= after).then_some(then)
}
