//! The fold: one event into the state.

use super::facts::is_mismatch;
use super::time::millis;
use super::{Approval, Frozen, Gate, Phase, Rollout, act, split, terms};
use serinus_proto::v1;
use serinus_proto::v1::event::Kind;
use std::collections::BTreeMap;

impl Rollout {
    /// The state after the first event of a rollout; `None` if this is no such event.
    #[must_use]
    pub fn from_created(event: &v1::Event) -> Option<Self> {
        let Some(Kind::Created(v1::Created {
            plan: Some(plan),
            undoes,
            rules,
            ..
        })) = &event.kind
        else {
            return None;
        };
        let at_ms = at(event);
        let warmup = terms::warmup_ms(plan).is_some();
        Some(Self {
            id: event.rollout.clone(),
            model: event.model.clone(),
            plan: plan.clone(),
            state: if warmup {
                v1::State::WarmingUp
            } else {
                v1::State::Running
            },
            cause: v1::Cause::Unspecified,
            reason: String::new(),
            actor: event.actor.clone(),
            undoes: undoes.clone(),
            rules: *rules,
            step: 0,
            warmup,
            allocation: act::nobody(plan),
            split: BTreeMap::from([(terms::stable(plan).to_owned(), 1.0)]),
            selector: terms::selector(plan, 0),
            epoch: 0,
            step_epoch: 0,
            revision: event.revision,
            created_ms: at_ms,
            updated_ms: at_ms,
            step_entered_ms: at_ms,
            epoch_entered_ms: at_ms,
            finished_ms: None,
            bake_until_ms: None,
            approval: Approval::None,
            gate: Gate::None,
            verdicts: vec![v1::Verdict::NoEvidence; plan.guardrails.len()],
            acknowledged: vec![false; plan.guardrails.len()],
            decided: v1::DecisionKind::Unspecified,
            mismatched: false,
            resumed_ms: at_ms,
            duration_from_ms: at_ms,
            frozen: None,
            approved_by: String::new(),
            cap_lifted: false,
        })
    }
}

fn at(event: &v1::Event) -> u64 {
    event.time.as_ref().map_or(0, millis)
}

/// Folds an event into the state. Total: an event of another rollout, or one that says nothing about the state,
/// changes nothing or only the revision.
pub fn apply(rollout: &mut Rollout, event: &v1::Event) {
    if event.rollout != rollout.id {
        return;
    }
    let at_ms = at(event);
    rollout.revision = event.revision;
    rollout.updated_ms = at_ms;
    match &event.kind {
        Some(Kind::StepEntered(entered)) => step_entered(rollout, entered, at_ms),
        Some(Kind::SplitChanged(change)) => split_changed(rollout, change, at_ms),
        Some(Kind::VerdictChanged(change)) => verdict_changed(rollout, change),
        Some(Kind::DecisionMade(made)) => decided(rollout, made.decision.as_ref()),
        Some(Kind::Paused(paused)) => paused_by(rollout, paused.cause(), event),
        Some(Kind::Resumed(_)) => resumed(rollout, at_ms),
        Some(Kind::Held(held)) => {
            decided(rollout, held.decision.as_ref());
            stopped(
                rollout,
                v1::State::Held,
                held.cause(),
                words(event, held.decision.as_ref()),
            );
        }
        Some(Kind::ApprovalRequested(request)) => {
            let deadline_ms = request.deadline.as_ref().map_or(0, millis);
            rollout.approval = Approval::Waiting { deadline_ms };
        }
        Some(Kind::Approved(_)) => {
            rollout.approval = Approval::Given;
            rollout.approved_by.clone_from(&event.actor);
        }
        Some(Kind::GateAsked(asked)) => {
            rollout.gate = Gate::Waiting {
                asked: event.revision,
                deadline_ms: asked.deadline.as_ref().map_or(0, millis),
            };
        }
        Some(Kind::GateAnswered(answer)) if answer.approved => rollout.gate = Gate::Approved,
        Some(Kind::GateAnswered(_)) => {
            let words = event.reason.clone();
            rollout.gate = Gate::Denied { words };
        }
        Some(Kind::CapLifted(_)) => rollout.cap_lifted = true,
        Some(Kind::BakeStarted(bake)) => {
            rollout.bake_until_ms = Some(bake.until.as_ref().map_or(at_ms, millis));
            // That of the step was another one.
            rollout.gate = Gate::None;
            stopped(
                rollout,
                v1::State::Baking,
                v1::Cause::Unspecified,
                String::new(),
            );
        }
        Some(Kind::Promoted(promoted)) => {
            decided(rollout, promoted.decision.as_ref());
            finished(
                rollout,
                v1::State::Promoted,
                v1::Cause::Unspecified,
                event.reason.clone(),
                at_ms,
            );
        }
        Some(Kind::RolledBack(back)) => {
            decided(rollout, back.decision.as_ref());
            let words = words(event, back.decision.as_ref());
            finished(rollout, v1::State::RolledBack, back.cause(), words, at_ms);
        }
        Some(Kind::FreezeBegan(began)) => {
            let until_ms = began.until.as_ref().map_or(at_ms, millis);
            let since_ms = rollout.frozen.map_or(at_ms, |frozen| frozen.since_ms);
            rollout.frozen = Some(Frozen { since_ms, until_ms });
        }
        Some(Kind::FreezeEnded(_)) => thawed(rollout, at_ms),
        Some(
            Kind::Created(_)
            | Kind::SidecarLost(_)
            | Kind::AssignmentRejected(_)
            | Kind::ModelChanged(_)
            | Kind::Queued(_)
            | Kind::Cancelled(_)
            | Kind::SelectionChanged(_)
            | Kind::BreakerChanged(_)
            | Kind::Restored(_)
            | Kind::FenceRegressed(_)
            | Kind::SidecarQuarantined(_)
            | Kind::SidecarReleased(_)
            | Kind::OverrideChanged(_),
        )
        | None => {}
    }
}

/// What the person said, else what the rule says.
fn words(event: &v1::Event, decision: Option<&v1::Decision>) -> String {
    let said = Some(&event.reason).filter(|reason| !reason.is_empty());
    said.or_else(|| decision.map(|decision| &decision.sentence))
        .cloned()
        .unwrap_or_default()
}

fn stopped(rollout: &mut Rollout, state: v1::State, cause: v1::Cause, reason: String) {
    rollout.state = state;
    rollout.cause = cause;
    rollout.reason = reason;
}

fn finished(rollout: &mut Rollout, state: v1::State, cause: v1::Cause, reason: String, at_ms: u64) {
    stopped(rollout, state, cause, reason);
    rollout.warmup = false;
    rollout.bake_until_ms = None;
    unapproved(rollout);
    rollout.finished_ms = Some(at_ms);
}

fn unapproved(rollout: &mut Rollout) {
    rollout.approval = Approval::None;
    rollout.gate = Gate::None;
    rollout.approved_by.clear();
}

fn decided(rollout: &mut Rollout, decision: Option<&v1::Decision>) {
    if let Some(decision) = decision {
        rollout.decided = decision.kind();
        rollout.mismatched = is_mismatch(decision.sample_ratio.as_ref());
    }
}

fn step_entered(rollout: &mut Rollout, entered: &v1::StepEntered, at_ms: u64) {
    rollout.step = entered.step as usize;
    rollout.warmup = entered.warmup;
    rollout.step_entered_ms = at_ms;
    rollout.step_epoch = rollout.epoch;
    rollout.bake_until_ms = None;
    unapproved(rollout);
    let state = if entered.warmup {
        v1::State::WarmingUp
    } else {
        v1::State::Running
    };
    stopped(rollout, state, v1::Cause::Unspecified, String::new());
}

fn split_changed(rollout: &mut Rollout, change: &v1::SplitChanged, at_ms: u64) {
    rollout.allocation = split::allocation(&change.shares);
    rollout.split = change.split.clone();
    rollout.selector.clone_from(&change.selector);
    rollout.epoch = change.epoch;
    rollout.epoch_entered_ms = at_ms;
    if rollout.step_entered_ms == at_ms {
        // The split of the step that was just entered: requests of the epoch before are not of this step.
        rollout.step_epoch = change.epoch;
    }
}

fn verdict_changed(rollout: &mut Rollout, change: &v1::VerdictChanged) {
    let Some(evidence) = &change.evidence else {
        return;
    };
    let index = evidence.index as usize;
    if let Some(verdict) = rollout.verdicts.get_mut(index) {
        *verdict = evidence.verdict();
    }
    if let Some(acknowledged) = rollout.acknowledged.get_mut(index) {
        *acknowledged = false;
    }
}

fn paused_by(rollout: &mut Rollout, cause: v1::Cause, event: &v1::Event) {
    if cause == v1::Cause::Manual {
        rollout.bake_until_ms = None;
        unapproved(rollout);
    }
    stopped(rollout, v1::State::Paused, cause, event.reason.clone());
}

/// The time for which it was frozen does not count against the longest duration.
fn thawed(rollout: &mut Rollout, at_ms: u64) {
    if let Some(frozen) = rollout.frozen.take() {
        let since_ms = frozen.since_ms.max(rollout.duration_from_ms);
        rollout.duration_from_ms += at_ms.saturating_sub(since_ms);
    }
}

fn resumed(rollout: &mut Rollout, at_ms: u64) {
    match rollout.cause {
        v1::Cause::MaxDuration => rollout.duration_from_ms = at_ms,
        v1::Cause::Budget => rollout.cap_lifted = true,
        _ => {}
    }
    if matches!(rollout.approval, Approval::Waiting { .. }) {
        rollout.approval = Approval::None;
    }
    if rollout.gate != Gate::Approved {
        rollout.gate = Gate::None;
    }
    rollout.resumed_ms = at_ms;
    for (acknowledged, verdict) in rollout.acknowledged.iter_mut().zip(&rollout.verdicts) {
        *acknowledged = *verdict == v1::Verdict::Harmful;
    }
    let state = match rollout.phase() {
        Phase::Warmup => v1::State::WarmingUp,
        Phase::Step => v1::State::Running,
        Phase::Bake => v1::State::Baking,
    };
    stopped(rollout, state, v1::Cause::Unspecified, String::new());
}
