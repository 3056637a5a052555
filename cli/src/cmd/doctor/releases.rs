//! Rollouts that wait for somebody, and why.

use super::facts::ControlPlane;
use super::finding::Finding;
use super::finding::Severity::{Note, Problem, Warning};
use crate::output::words;
use crate::view::number;
use serinus_proto::v1::{self, Cause, State};

pub(super) fn examine(known: &ControlPlane, findings: &mut Vec<Finding>) {
    for rollout in &known.rollouts {
        let about = format!("rollout {} of {}", rollout.id, rollout.model);
        match rollout.state() {
            State::Held => findings.push(held(rollout, &about)),
            State::Paused => findings.push(Finding::new(
                Note,
                "PAUSED",
                about.clone(),
                format!("is {}{}", words::state_and_cause(rollout), because(rollout)),
                format!(
                    "guardrails go on; `serinus rollout resume {}`, promote or rollback",
                    rollout.model
                ),
            )),
            State::Running | State::WarmingUp | State::Baking => goes_on(rollout, &about, findings),
            _ => {}
        }
        if let Some(until) = &rollout.approval_deadline
            && !rollout.approved
            && !crate::view::is_terminal(rollout.state())
        {
            findings.push(Finding::new(
                Note,
                "APPROVAL",
                about.clone(),
                format!("waits for an approval, until {}", number::rfc3339(until)),
                format!("`serinus rollout approve {}`, or reject", rollout.model),
            ));
        }
    }
}

fn because(rollout: &v1::Rollout) -> String {
    match rollout.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    }
}

fn held(rollout: &v1::Rollout, about: &str) -> Finding {
    let model = &rollout.model;
    let resume = format!("`serinus rollout resume {model}`");
    let way_out = match rollout.cause() {
        Cause::NoTraffic => {
            format!("see that the application calls the model through its sidecar; then {resume}")
        }
        Cause::NoEvidence => format!(
            "see that what the guardrails need arrives (outcomes, both variants): `serinus rollout why {model}`; then {resume}"
        ),
        Cause::PlanEnd => {
            format!("the plan ends here: `serinus rollout promote {model} --all`, or rollback")
        }
        Cause::Approval => format!("nobody approved in time: {resume} asks again, or roll it back"),
        Cause::MaxDuration => {
            format!("it took longer than the plan allows: promote, roll back, or {resume}")
        }
        Cause::Nacked => format!(
            "sidecars refused the instruction: `serinus sidecars --model {model}` says why; correct it, then {resume}"
        ),
        Cause::NoSidecars => {
            format!("no sidecar is selected: see labels with `serinus sidecars`, then {resume}")
        }
        Cause::Restored => format!(
            "the store came back from a backup: see that all is as it should be, then {resume}"
        ),
        Cause::Reports => {
            format!("too many sidecars are in quarantine: `serinus sidecars`, then {resume}")
        }
        Cause::FenceRegression => {
            "see FENCE_REGRESSION: stop the other control plane, or take a new generation"
                .to_owned()
        }
        Cause::Reverted => format!(
            "sidecars were out of contact and went back to stable; {resume} gives them the canary again"
        ),
        Cause::Budget => format!(
            "the cap on users is reached: wait for the evidence, promote, or roll back ({resume})"
        ),
        Cause::Guardrail => format!(
            "a guardrail that holds is broken: `serinus rollout why {model}`; roll back, or {resume}"
        ),
        _ => format!("`serinus rollout why {model}`, then {resume}, promote or rollback"),
    };
    Finding::new(
        Problem,
        "HELD",
        about,
        format!("is {}{}", words::state_and_cause(rollout), because(rollout)),
        way_out,
    )
}

/// One that should be making progress.
fn goes_on(rollout: &v1::Rollout, about: &str, findings: &mut Vec<Finding>) {
    let traffic = rollout.traffic.unwrap_or_default();
    let share = rollout.plan.as_ref().map_or(0.0, |plan| {
        let canaries = plan.canaries.iter();
        canaries.filter_map(|of| rollout.split.get(&of.name)).sum()
    });
    if share > 0.0 && traffic.requests_per_second <= 0.0 {
        findings.push(Finding::new(
            Warning,
            "NO_TRAFFIC",
            about,
            "no request has come through any sidecar in the last ten seconds",
            "see that the application calls the address of its sidecar, not the model server's own",
        ));
    }
    let fleet = rollout.fleet.clone().unwrap_or_default();
    if fleet.connected > 0 && fleet.current < fleet.connected {
        findings.push(Finding::new(
            Warning,
            "FLEET_BEHIND",
            about,
            format!(
                "{} of {} sidecars are on the present step",
                fleet.current, fleet.connected
            ),
            format!(
                "the step's clock waits for them: `serinus sidecars --model {}`",
                rollout.model
            ),
        ));
    }
    if let Some(until) = &rollout.frozen_until {
        findings.push(Finding::new(
            Note,
            "FROZEN",
            about,
            format!(
                "a freeze of its plan keeps it where it is until {}",
                number::rfc3339(until)
            ),
            "it goes on by itself; rollback is possible at any time",
        ));
    }
    let decision = rollout.decision.clone().unwrap_or_default();
    for guardrail in decision.guardrails {
        if guardrail.verdict() == v1::Verdict::Harmful {
            findings.push(Finding::new(
                Warning,
                "GUARDRAIL_BROKEN",
                about,
                format!(
                    "{} is worse than its margin, and does not roll back by itself",
                    guardrail.name
                ),
                format!(
                    "`serinus rollout why {}`; roll back if it matters",
                    rollout.model
                ),
            ));
        }
    }
}
