//! The control plane's own decisions.

use super::assess::{Action, assess};
use super::facts::is_mismatch;
use super::time::timestamp;
use super::{Facts, Rollout, act, decision, external, gate, terms};
use serinus_proto::v1;
use serinus_proto::v1::event::Kind;

/// What follows from the facts now: changed verdicts, then at most one transition, or a decision of another kind than
/// the last recorded one, or of another mind about the traffic split. Empty if nothing changed or the rollout has ended.
#[must_use]
pub fn look(rollout: &Rollout, now_ms: u64, facts: &Facts) -> Vec<Kind> {
    let action = assess(rollout, now_ms, facts);
    if action == Action::Ended {
        return Vec::new();
    }
    let mut events: Vec<Kind> = freeze_change(rollout, facts).into_iter().collect();
    events.extend(verdict_changes(rollout, facts));
    events.extend(cap_lifted(rollout, facts));
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
        Action::AskGate { deadline_ms } => {
            events.extend(changed(rollout, decision));
            let gate = external::needed(rollout);
            events.push(Kind::GateAsked(v1::GateAsked {
                gate: gate.map_or_else(String::new, |gate| gate.name.clone()),
                deadline: Some(timestamp(deadline_ms)),
            }));
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

/// Whether a look would find nothing new. It costs no more than the judgement: no sentence is written.
#[must_use]
pub fn is_settled(rollout: &Rollout, now_ms: u64, facts: &Facts) -> bool {
    let action = assess(rollout, now_ms, facts);
    let stays = matches!(action, Action::Stay | Action::Wait(_))
        && decision::kind(&action, rollout) == rollout.decided
        && facts.is_mismatched() == rollout.mismatched
        && freeze_change(rollout, facts).is_none()
        && cap_lifted(rollout, facts).is_none();
    action == Action::Ended || (stays && changed_verdicts(rollout, facts).next().is_none())
}

/// A freeze that begins, is longer than was known, or ends.
fn freeze_change(rollout: &Rollout, facts: &Facts) -> Option<Kind> {
    let known = rollout.frozen.map(|frozen| frozen.until_ms);
    match facts.frozen_until_ms {
        same if same == known => None,
        Some(until_ms) => Some(Kind::FreezeBegan(v1::FreezeBegan {
            until: Some(timestamp(until_ms)),
        })),
        None => Some(Kind::FreezeEnded(v1::FreezeEnded {})),
    }
}

/// Once it was SAFE at tolerance 1, the canary may meet everybody, and evidence that wavers later takes that not back.
fn cap_lifted(rollout: &Rollout, facts: &Facts) -> Option<Kind> {
    let capped = terms::exposed_keys(&rollout.plan).is_some() && !rollout.cap_lifted;
    let lifted = capped && facts.safe_at_full && rollout.rules >= 1;
    lifted.then_some(Kind::CapLifted(v1::CapLifted {}))
}

fn made(decision: v1::Decision) -> Kind {
    Kind::DecisionMade(v1::DecisionMade {
        decision: Some(decision),
    })
}

/// A decision of another kind, or one that begins or ceases to trust the comparison.
fn changed(rollout: &Rollout, decision: v1::Decision) -> Option<Kind> {
    let mismatched = is_mismatch(decision.sample_ratio.as_ref());
    let news = decision.kind() != rollout.decided || mismatched != rollout.mismatched;
    news.then(|| made(decision))
}

fn verdict_changes(rollout: &Rollout, facts: &Facts) -> Vec<Kind> {
    let change = |(before, evidence): (v1::Verdict, &v1::GuardrailEvidence)| {
        Kind::VerdictChanged(v1::VerdictChanged {
            before: before.into(),
            evidence: Some(evidence.clone()),
        })
    };
    changed_verdicts(rollout, facts).map(change).collect()
}

/// Guardrails whose verdict is another than the recorded one, with that.
fn changed_verdicts<'a>(
    rollout: &'a Rollout,
    facts: &'a Facts,
) -> impl Iterator<Item = (v1::Verdict, &'a v1::GuardrailEvidence)> {
    let recorded = rollout.verdicts.iter().enumerate();
    recorded.filter_map(|(index, &before)| {
        let evidence = gate::row(facts, index)?;
        (evidence.verdict() != before).then_some((before, evidence))
    })
}
