//! Why a rollout is ended or held, and what clears that.

use super::super::words::{about, count, number, percent, rate, span};
use super::super::{Facts, Gate, Rollout, terms};
use super::{canary, missing, proof};
use crate::selector;
use serinus_proto::v1::{Cause, Verdict};

fn refused(rollout: &Rollout) -> String {
    let gate = super::gate(rollout);
    match &rollout.gate {
        Gate::Denied { words } if !words.is_empty() => format!("{gate} denied: {words}"),
        Gate::Denied { .. } => format!("{gate} denied"),
        _ => format!("{gate} has said nothing in time"),
    }
}

pub(super) fn of(cause: Cause, rollout: &Rollout, facts: &Facts) -> String {
    match cause {
        Cause::Guardrail => proof::of(rollout, facts),
        Cause::Breaker => breakers(facts),
        Cause::Budget if facts.budget_spent => format!(
            "at least {} extra errors, the budget is {}",
            number(facts.extra_errors_lower),
            number(facts.extra_errors_budget)
        ),
        Cause::Budget => exposed(rollout, facts),
        Cause::NoneFinished => {
            format!(
                "requests went to {} and none finished within the attempt timeout",
                canary(rollout)
            )
        }
        Cause::NoTraffic => format!(
            "no request has come to {} where about {} should have{}",
            canary(rollout),
            about(facts.expected_canary_since_last),
            not_ready(facts)
        ),
        Cause::NoEvidence => no_evidence(rollout, facts),
        Cause::Nacked => rejected(facts),
        Cause::PlanEnd => {
            let last = rollout.plan.steps.len().saturating_sub(1);
            let share = percent(terms::asked(&rollout.plan, last));
            match &rollout.selector {
                Some(of) => format!("the plan ends here, at {share} of {}", selector::text(of)),
                None => format!("the plan ends here, at {share}"),
            }
        }
        Cause::Gate => refused(rollout),
        Cause::Approval => format!(
            "nobody has approved leaving step {} of {} in time",
            rollout.step + 1,
            rollout.plan.steps.len()
        ),
        Cause::MaxDuration => {
            let longest = terms::max_duration_ms(&rollout.plan).unwrap_or(0);
            format!("it has not ended within {}", span(longest))
        }
        Cause::NoSidecars => missing::nobody(rollout, facts),
        Cause::Unfit => "its plan does not fit the model any more".to_owned(),
        Cause::Restored => {
            "the store came back from a copy, so what has happened since is not known".to_owned()
        }
        Cause::Superseded => "another rollout takes its place".to_owned(),
        Cause::Reports => format!(
            "{} of {} sidecars sent reports that cannot be true, about {} of the requests, and are not counted",
            facts.fleet.quarantined,
            facts.fleet.connected,
            rate(facts.fleet.quarantined_share)
        ),
        Cause::FenceRegression => {
            "a sidecar holds a later instruction than any of this control plane, which is a \
             stale copy or was restored without a new generation"
                .to_owned()
        }
        Cause::Reverted => format!(
            "{} of {} sidecars were out of contact for so long that they went back to stable",
            facts.fleet.reverted, facts.fleet.connected
        ),
        Cause::Operator | Cause::Manual | Cause::Unspecified => {
            "an operator asked for it".to_owned()
        }
    }
}

/// What ends a hold.
pub(super) fn clears(cause: Cause) -> &'static str {
    match cause {
        Cause::NoTraffic => "it goes on when requests come",
        Cause::NoEvidence => "it goes on when there is something to compare",
        Cause::Nacked => "it goes on when they take it",
        Cause::NoSidecars => "it goes on when one connects",
        Cause::Reports => "it goes on when they are restarted or released",
        Cause::FenceRegression => "stop the stale one, or start this one with a new generation",
        Cause::Reverted => "resume gives them the canary again, or roll back",
        Cause::Budget => "it goes on when it is SAFE at tolerance 1, or by resume",
        Cause::PlanEnd => "promote or roll back",
        Cause::Gate => "resume asks it again, promote goes on without it",
        Cause::Approval => "approve, or resume to ask again",
        Cause::MaxDuration => "resume gives it as long again",
        _ => "resume or roll back",
    }
}

/// That a hold has ended.
pub(super) fn over(cause: Cause) -> &'static str {
    match cause {
        Cause::NoTraffic => "requests come again",
        Cause::NoEvidence => "there is something to compare again",
        Cause::Nacked => "no sidecar refuses the assignment any more",
        Cause::NoSidecars => "a sidecar that it selects is connected",
        Cause::Reports => "the reports are to be believed again",
        Cause::FenceRegression => "the generation is a new one",
        Cause::Budget => "the canary is SAFE at tolerance 1",
        _ => "the cause is gone",
    }
}

/// That the canary is not there, where that is why.
pub(super) fn not_ready(facts: &Facts) -> String {
    let fleet = &facts.fleet;
    match fleet.not_ready {
        0 => String::new(),
        n => format!(": not ready on {n} of {} sidecars", fleet.connected),
    }
}

pub(super) fn rejected(facts: &Facts) -> String {
    let fleet = &facts.fleet;
    let detail = if fleet.rejection.is_empty() {
        "no reason given"
    } else {
        &fleet.rejection
    };
    format!(
        "{} of {} sidecars refused the assignment: {detail}",
        fleet.rejected, fleet.connected
    )
}

fn breakers(facts: &Facts) -> String {
    let Some(evidence) = &facts.breakers else {
        return "the sidecars' breakers found the canary dead".to_owned();
    };
    format!(
        "breakers opened or probes failed in {} seconds of the last minute, at last on {} of {} \
         sidecars, while stable's error rate was {}",
        evidence.bad_cells.len(),
        evidence.sidecars_open,
        evidence.sidecars_with_canary,
        rate(evidence.stable_error_rate)
    )
}

fn exposed(rollout: &Rollout, facts: &Facts) -> String {
    let cap = terms::exposed_keys(&rollout.plan).unwrap_or(0);
    format!(
        "{} users have met {}, the cap is {} until it is SAFE at tolerance 1",
        count(facts.exposed_keys),
        canary(rollout),
        count(cap)
    )
}

fn no_evidence(rollout: &Rollout, facts: &Facts) -> String {
    let rows = facts.guardrails.iter().filter(|row| row.required);
    let silent = rows.filter(|row| row.verdict() == Verdict::NoEvidence);
    let names: Vec<&str> = silent.map(|row| row.name.as_str()).collect();
    let names = if names.is_empty() {
        "guardrails".to_owned()
    } else {
        names.join(", ")
    };
    let after = terms::on_no_evidence(&rollout.plan).map_or(0, |(after, _)| after);
    format!("nothing to compare ({names}) for {}", span(after))
}
