//! Decisions and what is behind them.

use super::{seconds, time};
use crate::output::words;
use serde_json::{Value, json};
use serinus_proto::v1;

/// A decision with its evidence. Logs are natural ones; rates are fractions and latencies milliseconds.
#[must_use]
pub fn decision(decision: &v1::Decision) -> Value {
    json!({
        "kind": words::decision(decision.kind()),
        "sentence": decision.sentence,
        "guardrails": decision.guardrails.iter().map(guardrail).collect::<Vec<_>>(),
        "log_e_rollback": decision.log_e_rollback,
        "log_threshold": decision.log_threshold,
        "extra_errors": decision.extra_errors,
        "extra_errors_lower": decision.extra_errors_lower,
        "extra_errors_budget": decision.extra_errors_budget,
        "step": decision.step,
        "tolerance": decision.tolerance,
        "epoch": decision.epoch,
        "time": time(decision.time.as_ref()),
        "slices": decision.slices,
        "engine_version": decision.engine_version,
        "breakers": decision.breakers.as_ref().map(breakers),
        "sample_ratio": decision.sample_ratio.as_ref().map(sample_ratio),
        "phi_users": decision.phi_users,
    })
}

/// One guardrail's evidence.
#[must_use]
pub fn guardrail(evidence: &v1::GuardrailEvidence) -> Value {
    json!({
        "name": evidence.name,
        "index": evidence.index,
        "verdict": words::verdict(evidence.verdict()),
        "stable_value": evidence.stable_value,
        "canary_value": evidence.canary_value,
        "difference": evidence.difference,
        "lower": evidence.lower,
        "upper": evidence.upper,
        "limit": evidence.limit,
        "stable_count": evidence.stable_count,
        "canary_count": evidence.canary_count,
        "stable_events": evidence.stable_events,
        "canary_events": evidence.canary_events,
        "log_e_rollback": evidence.log_e_rollback,
        "log_threshold_rollback": evidence.log_threshold_rollback,
        "log_e_promote": evidence.log_e_promote,
        "log_threshold_promote": evidence.log_threshold_promote,
        "phi": evidence.phi,
        "missing": evidence.missing,
        "missing_time_s": seconds(evidence.missing_time.as_ref()),
        "on_breach": words::action(evidence.on_breach()),
        "required": evidence.required,
        "unit": words::unit(evidence.unit()),
    })
}

fn breakers(breakers: &v1::BreakerEvidence) -> Value {
    json!({
        "bad_cells": breakers.bad_cells,
        "sidecars_open": breakers.sidecars_open,
        "sidecars_with_canary": breakers.sidecars_with_canary,
        "stable_error_rate": breakers.stable_error_rate,
        "openings": breakers.openings,
        "failed_probes": breakers.failed_probes,
    })
}

fn sample_ratio(of: &v1::SampleRatio) -> Value {
    json!({
        "mismatch": of.mismatch,
        "asked": of.asked,
        "got": of.got,
        "evidence": of.evidence,
        "threshold": of.threshold,
        "by_keys": of.by_keys,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixture;

    #[test]
    fn evidence_keeps_its_numbers() {
        let value = decision(&fixture::rollout().decision.unwrap());
        assert_eq!(value["kind"], "CONTINUE");
        assert_eq!(value["time"], "2026-09-21T14:15:34.000Z");
        let accuracy = &value["guardrails"][2];
        assert_eq!(accuracy["verdict"], "NEED_MORE");
        assert_eq!(accuracy["difference"], -0.003);
        assert_eq!(accuracy["missing_time_s"], 360.0);
        assert_eq!(accuracy["on_breach"], "ROLLBACK");
        assert_eq!(accuracy["unit"], "FRACTION");
    }

    #[test]
    fn what_no_number_can_say_is_null() {
        let evidence = v1::GuardrailEvidence {
            upper: Some(f64::INFINITY),
            ..Default::default()
        };
        let value = guardrail(&evidence);
        assert_eq!(value["upper"], Value::Null);
        assert_eq!(value["missing_time_s"], Value::Null);
        assert_eq!(value["verdict"], "NO_EVIDENCE");
    }
}
