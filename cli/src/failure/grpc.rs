//! From a gRPC status to a failure: every detail that the server sent, and what to do about each code.

use super::Failure;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

impl Failure {
    /// What a call to `server` ended with.
    pub(crate) fn rpc(status: &Status, server: &str) -> Self {
        if is_unreachable(status) {
            return Self::unreachable(server, &innermost(status));
        }
        let details = status.get_error_details();
        let reason = details.error_info().map_or("", |info| &info.reason);
        let failure = match status.code() {
            Code::InvalidArgument => Self::bad_input(status.message()),
            Code::DeadlineExceeded => Self::error(format!("{server}: {}", status.message())),
            Code::Unimplemented => Self::error(format!("{server} does not know this call")),
            Code::Unavailable => {
                Self::error(format!("{server} is not available: {}", status.message()))
            }
            code if status.message().is_empty() => Self::error(code.description()),
            _ => Self::error(status.message()),
        };
        let mut lines = detail_lines(&details);
        // A single violation is the whole message.
        lines.retain(|line| *line != failure.message);
        let failure = Self {
            details: lines,
            ..failure
        };
        // Some messages name the command already.
        match advice(status.code(), reason) {
            Some(hint) if !failure.message.contains("`serinus ") => failure.hint(hint),
            _ => failure,
        }
    }

    fn unreachable(server: &str, why: &str) -> Self {
        Self::error(format!("cannot reach the control plane at {server}: {why}")).hint(
            "is the control plane running? start it with `serinus-control-plane`, \
             or name another with --server URL or SERINUS_SERVER",
        )
    }
}

/// Whether the call broke on the way, rather than being answered with an error.
pub(crate) fn is_unreachable(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// The last of the chain of causes says it best: "Connection refused".
fn innermost(status: &Status) -> String {
    let mut error: &dyn std::error::Error = status;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn detail_lines(details: &ErrorDetails) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(bad) = details.bad_request() {
        for violation in &bad.field_violations {
            lines.push(format!("{}: {}", violation.field, violation.description));
        }
    }
    if let Some(failed) = details.precondition_failure() {
        for violation in &failed.violations {
            lines.push(format!("{}: {}", violation.subject, violation.description));
        }
    }
    if let Some(info) = details.error_info() {
        let mut line = format!("reason: {}", info.reason);
        let mut metadata: Vec<_> = info.metadata.iter().collect();
        metadata.sort();
        for (key, value) in metadata {
            line.push_str(&format!(", {key} {value}"));
        }
        lines.push(line);
    }
    lines
}

/// What to do next: by the reason, which says more, or by the code.
fn advice(code: Code, reason: &str) -> Option<&'static str> {
    match reason {
        "NEEDS_FORCE" => return Some("add --force --reason 'why'"),
        "ROLLOUT_ACTIVE" => {
            return Some(
                "`--on-active supersede` rolls the active one back first, `--on-active queue` waits",
            );
        }
        "HISTORY_CHANGED" => return Some("leave --from out"),
        _ => {}
    }
    match code {
        Code::Unauthenticated => Some(
            "name your token or certificate: --token-file FILE, or --tls-cert FILE and --tls-key FILE",
        ),
        Code::PermissionDenied => Some("ask whoever keeps the token file of the control plane"),
        Code::NotFound => {
            Some("`serinus rollout list` and `serinus model list` show what there is")
        }
        Code::Aborted => {
            Some("it changed meanwhile: look at it again with `get`, then run the command again")
        }
        Code::Unimplemented => {
            Some("is that address a control plane of this version? see --server")
        }
        Code::OutOfRange => Some(
            "start from the oldest event that is kept: leave --from out, or use `rollout history`",
        ),
        Code::DeadlineExceeded => Some(
            "it may be overloaded, or something else listens there; allow more with --timeout 30s",
        ),
        Code::Unavailable | Code::ResourceExhausted => {
            Some("run the same command again in a moment")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn violations_and_reasons_are_printed_one_per_line() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("steps[1].split.v2", "10 is above 1; write 0.1 for 10 %");
        details.add_bad_request_violation("canary.name", "is missing");
        details.set_error_info(
            "BAD_PLAN",
            "serinus",
            [("model".to_owned(), "m".to_owned())],
        );
        let status = Status::with_error_details(Code::InvalidArgument, "2 mistakes", details);
        let failure = Failure::rpc(&status, "http://h:1");
        assert_eq!(failure.exit(), Exit::BadInput);
        assert_eq!(
            failure.to_string(),
            "error: 2 mistakes\n  steps[1].split.v2: 10 is above 1; write 0.1 for 10 %\n  \
             canary.name: is missing\n  reason: BAD_PLAN, model m"
        );
    }

    #[test]
    fn codes_carry_what_to_do_next() {
        let text = |code| Failure::rpc(&Status::new(code, "x"), "http://h:1").to_string();
        assert!(text(Code::Unauthenticated).contains("--token-file"));
        assert!(text(Code::Aborted).contains("look at it again"));
        assert!(text(Code::NotFound).contains("rollout list"));
        assert_eq!(text(Code::FailedPrecondition), "error: x");
    }

    #[test]
    fn what_was_said_is_not_said_again() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("reason", "is missing");
        let status =
            Status::with_error_details(Code::InvalidArgument, "reason: is missing", details);
        assert_eq!(
            Failure::rpc(&status, "s").to_string(),
            "error: reason: is missing"
        );
        let status = Status::not_found("no such rollout; see `serinus rollout list`");
        assert!(!Failure::rpc(&status, "s").to_string().contains("hint"));
    }

    #[test]
    fn reasons_say_more_than_codes() {
        let info = std::collections::HashMap::new();
        let details = ErrorDetails::with_error_info("NEEDS_FORCE", "serinus", info);
        let status = Status::with_error_details(Code::FailedPrecondition, "40% is above", details);
        let text = Failure::rpc(&status, "s").to_string();
        assert_eq!(
            text,
            "error: 40% is above\n  reason: NEEDS_FORCE\nhint: add --force --reason 'why'"
        );
    }

    #[test]
    fn an_answered_unavailable_is_not_called_unreachable() {
        let failure = Failure::rpc(&Status::unavailable("store is full"), "http://h:1");
        assert!(failure.to_string().contains("store is full"));
        assert!(!failure.to_string().contains("cannot reach"));
        assert_eq!(failure.exit(), Exit::Error);
    }
}
