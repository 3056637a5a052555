//! The control plane's own decisions.

use super::assess::{Action, assess};
use super::time::timestamp;
use super::{Facts, Rollout, act, decision, gate};
use serinus_proto::v1;
use serinus_proto::v1::event::Kind;

/// What follows from the facts now: changed verdicts, then at most one transition, or a decision of another kind than
/// the last recorded one. Empty if nothing changed or the rollout has ended.
#[must_use]
pub fn look(rollout: &Rollout, now_ms: u64, facts: &Facts) -> Vec<Kind> {
    let action = assess(rollout, now_ms, facts);
    if action == Action::Ended {
        return Vec::new();
    }
    let mut events = verdict_changes(rollout, facts);
    let decision = decision::of(&action, rollout, now_ms, facts);
    match action {
        Action::Ended => {}
        Action::RollBack(cause) => events.extend(act::roll_back(rollout, cause, Some(decision))),
        Action::Hold(cause) => {
            events.push(Kind::Held(v1::Held {
                cause: cause.into(),
                decision: Some(decision),
            }));
        }
        Action::Resume => events.extend(act::resume(rollout, now_ms)),
        Action::Stay | Action::Wait(_) => events.extend(changed(rollout, decision)),
        Action::Ask { deadline_ms } => {
            events.extend(changed(rollout, decision));
            let deadline = Some(timestamp(deadline_ms));
            events.push(Kind::ApprovalRequested(v1::ApprovalRequested { deadline }));
        }
        Action::Advance(step) => {
            events.push(made(decision));
            events.extend(act::enter(rollout, step));
        }
        Action::Bake => {
            events.push(made(decision));
            events.push(act::start_bake(rollout, now_ms));
        }
        Action::Promote => events.extend(act::finish(rollout, Some(decision))),
    }
    events
}

fn made(decision: v1::Decision) -> Kind {
    Kind::DecisionMade(v1::DecisionMade {
        decision: Some(decision),
    })
}

fn changed(rollout: &Rollout, decision: v1::Decision) -> Option<Kind> {
    (decision.kind() != rollout.decided).then(|| made(decision))
}

fn verdict_changes(rollout: &Rollout, facts: &Facts) -> Vec<Kind> {
    let change = |(index, &before): (usize, &v1::Verdict)| {
        let evidence = gate::row(facts, index)?;
        (evidence.verdict() != before).then(|| {
            let evidence = Some(evidence.clone());
            Kind::VerdictChanged(v1::VerdictChanged {
                before: before.into(),
                evidence,
            })
        })
    };
    rollout
        .verdicts
        .iter()
        .enumerate()
        .filter_map(change)
        .collect()
}
