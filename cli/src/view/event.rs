//! Events, one line each.

use super::guardrail::Shown;
use super::{decision_sentence, header, number};
use crate::output::words;
use prost_types::Timestamp;
use serinus_core::selector;
use serinus_proto::v1::{self, event::Kind};

/// `    17  2026-09-21T14:13:20.005Z  recommender  serinus  split v1 75.00%, v2 25.00% (epoch 3)`; what a person gave
/// as the reason follows in brackets.
#[must_use]
pub fn event_line(event: &v1::Event) -> String {
    let time = event.time.as_ref().map(number::rfc3339).unwrap_or_default();
    let text = event_text(event);
    let reason = match event.reason.as_str() {
        "" => String::new(),
        reason => format!(" ({reason})"),
    };
    let line = format!(
        "{:>6}  {time}  {}  {}  {text}{reason}",
        event.revision, event.model, event.actor
    );
    line.replace(char::is_control, " ")
}

/// What happened, without when and who.
pub(crate) fn event_text(event: &v1::Event) -> String {
    event.kind.as_ref().map_or_else(
        || "an event that a newer version wrote".to_owned(),
        |kind| describe(kind, &event.rollout),
    )
}

fn describe(kind: &Kind, rollout: &str) -> String {
    match kind {
        Kind::Created(created) => self::created(created, rollout),
        Kind::StepEntered(entered) if entered.warmup => "warm-up entered".to_owned(),
        Kind::StepEntered(entered) => format!("step {} entered", entered.step + 1),
        Kind::SplitChanged(changed) => {
            let on = changed.selector.as_ref();
            let on = on.map_or_else(String::new, |on| format!(" where {}", selector::text(on)));
            format!("split {}{on} (epoch {})", split(changed), changed.epoch)
        }
        Kind::VerdictChanged(changed) => verdict(changed),
        Kind::DecisionMade(made) => sentence("decision", made.decision.as_ref()),
        Kind::Paused(paused) => words::with_cause("PAUSED", paused.cause()),
        Kind::Resumed(resumed) => format!("resumed at step {}", resumed.step + 1),
        Kind::Held(held) => sentence(
            &words::with_cause("HELD", held.cause()),
            held.decision.as_ref(),
        ),
        Kind::ApprovalRequested(asked) => {
            format!("approval requested{}", until(asked.deadline.as_ref()))
        }
        Kind::Approved(_) => "approved".to_owned(),
        Kind::GateAsked(asked) => {
            format!(
                "gate {} asked{}",
                asked.gate,
                until(asked.deadline.as_ref())
            )
        }
        Kind::GateAnswered(answer) => {
            let said = if answer.approved {
                "approved"
            } else {
                "denied"
            };
            format!("gate {} {said}", answer.gate)
        }
        Kind::BakeStarted(bake) => format!("bake started{}", until(bake.until.as_ref())),
        Kind::Promoted(promoted) => sentence(
            &format!("PROMOTED {}", promoted.variant),
            promoted.decision.as_ref(),
        ),
        Kind::RolledBack(back) => rolled_back(back),
        Kind::Queued(queued) => {
            format!(
                "queued {}, rollout {rollout}",
                header::from_to(queued.plan.as_ref())
            )
        }
        Kind::Cancelled(cancelled) => self::cancelled(cancelled),
        Kind::FreezeBegan(began) => format!("frozen{}", until(began.until.as_ref())),
        Kind::CapLifted(_) => {
            "SAFE at tolerance 1: the cap on exposed users applies no more".to_owned()
        }
        Kind::FreezeEnded(_) => "not frozen any more".to_owned(),
        other => fleet_event(other),
    }
}

fn fleet_event(kind: &Kind) -> String {
    match kind {
        Kind::SelectionChanged(changed) => {
            let what = if changed.selected {
                "selected"
            } else {
                "not selected"
            };
            format!(
                "sidecar {} has other labels and is {what} now",
                changed.sidecar
            )
        }
        Kind::SidecarLost(lost) => format!("sidecar {} lost", lost.sidecar),
        Kind::AssignmentRejected(rejected) => format!(
            "sidecar {} refused the assignment: {}",
            rejected.sidecar, rejected.detail
        ),
        Kind::ModelChanged(changed) => match &changed.stable {
            Some(stable) => format!(
                "stable is {} ({})",
                stable.name,
                stable.endpoints.join(", ")
            ),
            None => "stable removed".to_owned(),
        },
        Kind::BreakerChanged(changed) => {
            let what = if changed.open { "opened" } else { "closed" };
            format!(
                "breaker {what} on {} for {}",
                changed.sidecar, changed.variant
            )
        }
        Kind::Restored(restored) => format!(
            "generation {} begins after event {}: {}",
            restored.generation, restored.revision, restored.detail
        ),
        Kind::FenceRegressed(shown) => {
            let fence = |fence: Option<v1::Fence>| {
                let fence = fence.unwrap_or_default();
                format!("{}.{}.{}", fence.generation, fence.term, fence.revision)
            };
            format!(
                "FENCE_REGRESSION: sidecar {} holds instruction {}, later than {}: nothing is raised",
                shown.sidecar,
                fence(shown.held),
                fence(shown.newest)
            )
        }
        Kind::SidecarQuarantined(of) => format!(
            "sidecar {} sent a report that cannot be true, its reports are not counted: {}",
            of.sidecar, of.why
        ),
        Kind::SidecarReleased(of) => format!("sidecar {}: its reports count again", of.sidecar),
        Kind::OverrideChanged(of) if of.killed => {
            format!(
                "sidecar {}: the host's operator stopped the canary there",
                of.sidecar
            )
        }
        Kind::OverrideChanged(of) => {
            format!(
                "sidecar {}: the host's operator lets the canary go on",
                of.sidecar
            )
        }
        // `describe` has the others.
        _ => String::new(),
    }
}

fn created(created: &v1::Created, rollout: &str) -> String {
    let steps = created.plan.as_ref().map_or(0, |plan| plan.steps.len());
    let from_to = header::from_to(created.plan.as_ref());
    let chosen = created.plan.as_ref().and_then(chosen).unwrap_or_default();
    let undo = match created.undoes.as_str() {
        "" => String::new(),
        undone => format!(", undo of {undone}"),
    };
    format!("created {from_to}, {steps} steps{chosen}, rollout {rollout}{undo}")
}

/// Why an automatic ramp begins with its first share.
fn chosen(plan: &v1::Plan) -> Option<String> {
    let ramp = plan.ramp.as_ref()?;
    let choice = ramp.choice.as_ref()?;
    let rate = number::whole(choice.requests_per_second);
    let known = if choice.assumed {
        format!("{rate} requests/s are assumed, since none were seen")
    } else {
        format!("{rate} requests/s")
    };
    Some(format!(
        " from {} (at most about {} victims in {} s at {known})",
        number::share(choice.first_share),
        ramp.victims,
        number::whole(choice.reaction_seconds)
    ))
}

fn cancelled(cancelled: &v1::Cancelled) -> String {
    let state = words::with_cause("CANCELLED", cancelled.cause());
    let mistakes = cancelled.violations.iter();
    let mistakes: Vec<String> = mistakes
        .map(|of| format!("{}: {}", of.path, of.message))
        .collect();
    if mistakes.is_empty() {
        return state;
    }
    format!("{state}: {}", mistakes.join("; "))
}

fn split(changed: &v1::SplitChanged) -> String {
    let parts: Vec<String> = changed
        .split
        .iter()
        .map(|(name, fraction)| format!("{name} {}", number::share(*fraction)))
        .collect();
    parts.join(", ")
}

fn verdict(changed: &v1::VerdictChanged) -> String {
    let before = words::verdict(changed.before());
    let Some(evidence) = &changed.evidence else {
        return format!("verdict changed from {before}");
    };
    let after = words::verdict(evidence.verdict());
    let shown = Shown::new(None, evidence);
    format!(
        "{}: {before} -> {after}, {}, n(canary) {}",
        evidence.name,
        shown.difference(),
        number::thousands(evidence.canary_count)
    )
}

fn rolled_back(back: &v1::RolledBack) -> String {
    let state = words::with_cause("ROLLED_BACK", back.cause());
    let mut text = sentence(
        &format!("{state} {}", back.variants.join(", ")),
        back.decision.as_ref(),
    );
    if let Some(breakers) = back
        .decision
        .as_ref()
        .and_then(|decision| decision.breakers.as_ref())
    {
        text.push_str(&format!(
            " [breakers open on {}/{} sidecars, {} openings, {} failed probes]",
            breakers.sidecars_open,
            breakers.sidecars_with_canary,
            breakers.openings,
            breakers.failed_probes
        ));
    }
    text
}

fn sentence(what: &str, decision: Option<&v1::Decision>) -> String {
    match decision.map(decision_sentence) {
        Some(sentence) if !sentence.is_empty() => format!("{what}: {sentence}"),
        _ => what.to_owned(),
    }
}

fn until(time: Option<&Timestamp>) -> String {
    time.map(|time| format!(", until {}", number::rfc3339(time)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixture;

    fn line(kind: Kind) -> String {
        let event = v1::Event {
            kind: Some(kind),
            ..fixture::event()
        };
        let line = event_line(&event);
        let head = "    17  2026-09-21T14:13:20.005Z  recommender  serinus  ";
        line.strip_prefix(head).map(str::to_owned).unwrap_or(line)
    }

    #[test]
    fn the_head_has_revision_time_model_and_actor() {
        let mut event = fixture::event();
        event.reason = "too\nslow".into();
        event.kind = Some(Kind::Paused(v1::Paused {
            cause: v1::Cause::Operator.into(),
        }));
        assert_eq!(
            event_line(&event),
            "    17  2026-09-21T14:13:20.005Z  recommender  serinus  PAUSED(OPERATOR) (too slow)"
        );
    }

    #[test]
    fn changes_of_the_ramp() {
        let split = v1::SplitChanged {
            epoch: 3,
            split: fixture::rollout().split,
            ..v1::SplitChanged::default()
        };
        assert_eq!(
            line(Kind::SplitChanged(split)),
            "split v1 75.00%, v2 25.00% (epoch 3)"
        );
        let entered = v1::StepEntered {
            step: 1,
            warmup: false,
        };
        assert_eq!(line(Kind::StepEntered(entered)), "step 2 entered");
        let created = v1::Created {
            plan: fixture::rollout().plan,
            engine_version: 2,
            ..v1::Created::default()
        };
        assert_eq!(
            line(Kind::Created(created)),
            "created v1 -> v2, 4 steps, rollout r-1"
        );
        let mut plan = fixture::rollout().plan.unwrap();
        plan.ramp = Some(v1::Ramp {
            victims: 30,
            choice: Some(v1::RampChoice {
                requests_per_second: 412.0,
                reaction_seconds: 5.0,
                first_share: 0.014,
                assumed: false,
            }),
            ..v1::Ramp::default()
        });
        let created = v1::Created {
            plan: Some(plan),
            ..v1::Created::default()
        };
        assert_eq!(
            line(Kind::Created(created)),
            "created v1 -> v2, 4 steps from 1.40% (at most about 30 victims in 5 s at 412 requests/s), rollout r-1"
        );
        let bake = v1::BakeStarted {
            until: fixture::event().time,
        };
        assert_eq!(
            line(Kind::BakeStarted(bake)),
            "bake started, until 2026-09-21T14:13:20.005Z"
        );
    }

    #[test]
    fn verdicts_and_endings_show_their_evidence() {
        let decision = fixture::rollout().decision.unwrap();
        let changed = v1::VerdictChanged {
            before: v1::Verdict::NeedMore.into(),
            evidence: Some(decision.guardrails[0].clone()),
        };
        assert_eq!(
            line(Kind::VerdictChanged(changed)),
            "error rate: NEED_MORE -> SAFE, +0.04pp [-0.10, +0.19], n(canary) 74,120"
        );
        let back = v1::RolledBack {
            cause: v1::Cause::Breaker.into(),
            variants: vec!["v2".into()],
            decision: Some(v1::Decision {
                kind: v1::DecisionKind::RollBack.into(),
                sentence: "three bad cells within 60 s".into(),
                breakers: Some(v1::BreakerEvidence {
                    sidecars_open: 2,
                    sidecars_with_canary: 3,
                    openings: 5,
                    failed_probes: 7,
                    ..Default::default()
                }),
                ..Default::default()
            }),
        };
        assert_eq!(
            line(Kind::RolledBack(back)),
            "ROLLED_BACK(BREAKER) v2: ROLL BACK: three bad cells within 60 s \
             [breakers open on 2/3 sidecars, 5 openings, 7 failed probes]"
        );
    }

    #[test]
    fn the_fleet_and_models() {
        let changed = v1::BreakerChanged {
            sidecar: "host-a".into(),
            variant: "v2".into(),
            open: true,
        };
        assert_eq!(
            line(Kind::BreakerChanged(changed)),
            "breaker opened on host-a for v2"
        );
        let changed = v1::ModelChanged {
            stable: fixture::rollout().plan.unwrap().stable,
        };
        assert_eq!(
            line(Kind::ModelChanged(changed)),
            "stable is v1 (http://127.0.0.1:9001)"
        );
        let mut event = fixture::event();
        event.kind = None;
        assert!(event_line(&event).ends_with("an event that a newer version wrote"));
    }
}
