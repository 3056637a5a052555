//! The product's words for the contract's enumerations: `RUNNING`, `NO_TRAFFIC`, `SAFE`.

use serinus_proto::v1;

/// `RUNNING`.
pub(crate) fn state(state: v1::State) -> &'static str {
    strip(state.as_str_name(), "STATE_")
}

/// `NO_TRAFFIC`; empty where there is no cause.
pub(crate) fn cause(cause: v1::Cause) -> &'static str {
    match cause {
        v1::Cause::Unspecified => "",
        cause => strip(cause.as_str_name(), "CAUSE_"),
    }
}

/// `SAFE`; `NO_EVIDENCE` for one that was never set, which must never look like more.
pub(crate) fn verdict(verdict: v1::Verdict) -> &'static str {
    match verdict {
        v1::Verdict::Unspecified => "NO_EVIDENCE",
        verdict => strip(verdict.as_str_name(), "VERDICT_"),
    }
}

/// `CONTINUE`, `ROLL_BACK`.
pub(crate) fn decision(kind: v1::DecisionKind) -> &'static str {
    strip(kind.as_str_name(), "DECISION_KIND_")
}

/// `ROLLBACK`.
pub(crate) fn action(action: v1::guardrail::Action) -> &'static str {
    strip(action.as_str_name(), "ACTION_")
}

/// `FRACTION`.
pub(crate) fn unit(unit: v1::guardrail_evidence::Unit) -> &'static str {
    strip(unit.as_str_name(), "UNIT_")
}

/// `HELD(NO_TRAFFIC)`, or the state alone without a cause.
pub(crate) fn with_cause(state: &str, cause: v1::Cause) -> String {
    match self::cause(cause) {
        "" => state.to_owned(),
        cause => format!("{state}({cause})"),
    }
}

/// The state of a rollout with its cause.
pub(crate) fn state_and_cause(rollout: &v1::Rollout) -> String {
    with_cause(state(rollout.state()), rollout.cause())
}

fn strip(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_products() {
        assert_eq!(state(v1::State::RolledBack), "ROLLED_BACK");
        assert_eq!(cause(v1::Cause::NoTraffic), "NO_TRAFFIC");
        assert_eq!(cause(v1::Cause::Unspecified), "");
        assert_eq!(verdict(v1::Verdict::NeedMore), "NEED_MORE");
        assert_eq!(verdict(v1::Verdict::Unspecified), "NO_EVIDENCE");
        assert_eq!(decision(v1::DecisionKind::RollBack), "ROLL_BACK");
        assert_eq!(action(v1::guardrail::Action::Hold), "HOLD");
        assert_eq!(unit(v1::guardrail_evidence::Unit::Fraction), "FRACTION");
        assert_eq!(with_cause("PAUSED", v1::Cause::Unspecified), "PAUSED");
    }
}
