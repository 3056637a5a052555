//! What is missing, and how long it will take.

use super::super::gate::{self, Missing};
use super::super::time::duration_ms;
use super::super::words::{about, count, number, rate, span};
use super::super::{Facts, Phase, Rollout};
use super::why;
use crate::{freeze, selector};
use serinus_proto::v1::{self, Verdict, guardrail::Metric};

/// From this variance inflation on noise is worth a word: it doubles what is needed.
const NOISY: f64 = 2.0;

/// All that is missing; of the guardrails, what takes longest comes first.
pub(super) fn list(missing: &[Missing], rollout: &Rollout, now_ms: u64, facts: &Facts) -> String {
    let mut ordered: Vec<&Missing> = missing.iter().collect();
    ordered.sort_by_key(|missing| match missing {
        Missing::Frozen { .. } => (0, 0),
        // As long as it is there, no other number means much.
        Missing::SampleRatio | Missing::Doubt => (0, 0),
        Missing::Guardrail { index, .. } => (0, u64::MAX - wait_ms(facts, *index)),
        _ => (1, 0),
    });
    let all: Vec<String> = ordered
        .into_iter()
        .map(|missing| one(missing, rollout, now_ms, facts))
        .collect();
    all.join("; ")
}

fn wait_ms(facts: &Facts, index: usize) -> u64 {
    let row = gate::row(facts, index);
    row.and_then(|row| row.missing_time.as_ref())
        .map_or(0, duration_ms)
}

fn one(missing: &Missing, rollout: &Rollout, now_ms: u64, facts: &Facts) -> String {
    match missing {
        Missing::Frozen { until_ms } => format!("frozen until {}", freeze::moment(*until_ms)),
        Missing::Fleet => fleet(rollout, facts),
        Missing::Rejected => why::rejected(facts),
        Missing::Cooling { ms } => {
            format!("breakers opened lately, another {} without", span(*ms))
        }
        Missing::Suspicion => suspicion(facts),
        Missing::Doubt => format!(
            "{} holds more than half of what the canary does worse: the verdict waits for one more slice",
            facts.doubted
        ),
        Missing::SampleRatio => sample_ratio(facts),
        Missing::Guardrail { index, verdict } => guardrail(*index, *verdict, rollout, facts),
        Missing::Requests { have, need } => {
            format!(
                "{} of {} canary requests in this step",
                count(*have),
                count(*need)
            )
        }
        Missing::Time { ms } => format!("the {} lasts another {}", phase(rollout), span(*ms)),
        Missing::Gate { deadline_ms } => format!(
            "the word of {}, waited for another {}",
            super::gate(rollout),
            span(deadline_ms.saturating_sub(now_ms))
        ),
        Missing::Approval { deadline_ms } => {
            format!(
                "somebody's approval, waited for another {}",
                span(deadline_ms.saturating_sub(now_ms))
            )
        }
    }
}

fn phase(rollout: &Rollout) -> &'static str {
    match rollout.phase() {
        Phase::Warmup => "warm-up",
        Phase::Step => "step",
        Phase::Bake => "bake",
    }
}

/// That a rollout selects none of the sidecars that there are.
pub(super) fn nobody(rollout: &Rollout, facts: &Facts) -> String {
    let wanted = rollout.selector.as_ref().map(selector::text);
    format!(
        "0 of {} sidecars selected: none that serves {} has {}",
        facts.fleet.serving,
        rollout.model,
        wanted.unwrap_or_default()
    )
}

fn fleet(rollout: &Rollout, facts: &Facts) -> String {
    let fleet = &facts.fleet;
    if fleet.connected == 0 && fleet.serving > 0 {
        return nobody(rollout, facts);
    }
    if fleet.connected == 0 {
        return "no sidecar is connected".to_owned();
    }
    let warming = match fleet.warming {
        0 => String::new(),
        n => format!(", the canary is not ready on {n} of them"),
    };
    format!(
        "{} of {} sidecars are on epoch {}{warming}",
        fleet.current, fleet.connected, rollout.epoch
    )
}

fn suspicion(facts: &Facts) -> String {
    let rows = facts.guardrails.iter();
    let rows = rows.filter(|row| row.on_breach() == v1::guardrail::Action::Rollback);
    let worst = rows.max_by(|a, b| a.log_e_rollback.total_cmp(&b.log_e_rollback));
    let name = worst.map_or("the canary", |row| &row.name);
    format!("{name} looks worse than tolerated, which is not proven yet")
}

fn sample_ratio(facts: &Facts) -> String {
    let ratio = facts.sample_ratio.unwrap_or_default();
    format!(
        "the canary was asked {} of the traffic and got {}: the comparison is not trusted",
        rate(ratio.asked),
        rate(ratio.got)
    )
}

fn guardrail(index: usize, verdict: Verdict, rollout: &Rollout, facts: &Facts) -> String {
    let row = gate::row(facts, index);
    let name = row.map_or_else(|| format!("guardrails[{index}]"), |row| row.name.clone());
    let units = units(rollout, index);
    let noise = row.map_or_else(String::new, |row| noise(row, facts));
    match verdict {
        Verdict::NeedMore => match row.and_then(|row| row.missing) {
            Some(missing) => {
                let time = wait_ms(facts, index);
                let time = if time > 0 {
                    format!(", about {}", span(time))
                } else {
                    String::new()
                };
                format!(
                    "{name} needs about {} more {units}{time}{noise}",
                    about(missing)
                )
            }
            None => format!("{name} needs more {units}{noise}"),
        },
        Verdict::Harmful => format!("{name} is HARMFUL"),
        Verdict::Safe => format!("{name} is SAFE"),
        Verdict::NoEvidence | Verdict::Unspecified => {
            format!("{name} has no {units} of both variants to compare")
        }
    }
}

/// That it is measured noise that keeps a guardrail from SAFE, where it is.
fn noise(row: &v1::GuardrailEvidence, facts: &Facts) -> String {
    // NaN is no noise that could be named.
    if row.phi >= NOISY && facts.phi_users == row.phi {
        format!(
            " (users differ: their errors scatter {} times as much as chance alone)",
            number(row.phi)
        )
    } else if row.phi >= NOISY {
        format!(
            " (noise: its counts scatter {} times as much as chance alone)",
            number(row.phi)
        )
    } else {
        String::new()
    }
}

/// What a guardrail counts.
pub(super) fn units(rollout: &Rollout, index: usize) -> &'static str {
    let metric = rollout
        .plan
        .guardrails
        .get(index)
        .and_then(|guardrail| guardrail.metric.as_ref());
    match metric {
        Some(Metric::Accuracy(_) | Metric::Outcome(_)) => "labels",
        _ => "requests",
    }
}
