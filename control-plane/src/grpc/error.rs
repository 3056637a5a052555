//! The one place where errors become statuses. Every status says what to do in its message and carries a reason for
//! programs; mistakes in fields are listed one by one.

use crate::engine::{CommandError, Handle};
use crate::store::StoreError;
use serinus_core::rollout::Refused;
use serinus_proto::v1;
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

const DOMAIN: &str = "serinus";
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Room on a disk is made by people.
const ROOM_AFTER: Duration = Duration::from_secs(10);

/// A status with a reason and what belongs to it.
pub(super) fn status<const N: usize>(
    code: Code,
    reason: &str,
    message: impl Into<String>,
    metadata: [(&str, String); N],
) -> Status {
    let metadata = metadata
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    let metadata: HashMap<String, String> = metadata.collect();
    let details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    Status::with_error_details(code, message, details)
}

/// One field is wrong.
pub(crate) fn bad_field(field: &str, message: impl Into<String>) -> Status {
    let message = message.into();
    let details = ErrorDetails::with_bad_request_violation(field, message.clone());
    Status::with_error_details(
        Code::InvalidArgument,
        format!("{field}: {message}"),
        details,
    )
}

/// Several are.
pub(crate) fn bad_fields(violations: &[v1::Violation], message: impl Into<String>) -> Status {
    let mut details = ErrorDetails::new();
    for violation in violations {
        details.add_bad_request_violation(&violation.path, &violation.message);
    }
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// It may work in a moment.
pub(super) fn unavailable(message: impl Into<String>) -> Status {
    unavailable_after(RETRY_AFTER, message)
}

fn unavailable_after(delay: Duration, message: impl Into<String>) -> Status {
    let details = ErrorDetails::with_retry_info(Some(delay));
    Status::with_error_details(Code::Unavailable, message, details)
}

/// Why the engine did not answer.
pub(super) fn unanswered(handle: &Handle) -> Status {
    match handle.shortage() {
        Some(shortage) => unavailable_after(ROOM_AFTER, shortage.to_string()),
        None => stopping(),
    }
}

/// Too much of it at once.
pub(super) fn too_many(wait: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(wait));
    let message = "too many sidecars connect at once; this one is to come back in a moment";
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// The process is going down; another, or the next one, answers.
pub(super) fn stopping() -> Status {
    unavailable("the control plane is stopping; try again in a moment")
}

/// There is nothing of this name.
pub(super) fn not_found(kind: &'static str, name: &str) -> Status {
    command(CommandError::NotFound {
        kind,
        name: name.to_owned(),
    })
}

/// Why a command was not done.
pub(super) fn command(error: CommandError) -> Status {
    let message = error.to_string();
    match error {
        CommandError::Invalid(violations) => bad_fields(&violations, mistakes(&violations)),
        CommandError::RequestIdMissing => bad_field("request_id", message),
        CommandError::RequestIdReused(id) => status(
            Code::InvalidArgument,
            "REQUEST_ID_REUSED",
            message,
            [("request_id", id)],
        ),
        CommandError::NotFound { kind, name } => status(
            Code::NotFound,
            "NOT_FOUND",
            message,
            [("kind", kind.into()), ("name", name)],
        ),
        CommandError::Active { model, id } => {
            let metadata = [("model", model), ("rollout", id)];
            status(
                Code::FailedPrecondition,
                "ROLLOUT_ACTIVE",
                message,
                metadata,
            )
        }
        CommandError::Frozen { until } => {
            let metadata = [("until", until)];
            status(Code::FailedPrecondition, "FROZEN", message, metadata)
        }
        CommandError::QueueFull { model, .. } => {
            let metadata = [("model", model)];
            status(Code::FailedPrecondition, "QUEUE_FULL", message, metadata)
        }
        CommandError::NotQueued { id, .. } => {
            let metadata = [("rollout", id)];
            status(Code::FailedPrecondition, "NOT_QUEUED", message, metadata)
        }
        CommandError::FenceRegressed { held, newest, .. } => {
            let metadata = [("held", held.to_string()), ("newest", newest.to_string())];
            status(
                Code::FailedPrecondition,
                "FENCE_REGRESSION",
                message,
                metadata,
            )
        }
        CommandError::Refused(refused) => self::refused(refused, message),
        CommandError::ModelRevision {
            expected, actual, ..
        } => mismatch(expected, actual, message),
        CommandError::Full(_) => unavailable_after(ROOM_AFTER, message),
        CommandError::Stopping => unavailable(message),
    }
}

fn refused(error: Refused, message: String) -> Status {
    let precondition = |reason| status(Code::FailedPrecondition, reason, message.clone(), []);
    match error {
        Refused::WrongState { state, verbs, .. } => {
            let metadata = [
                ("state", state.as_str_name().to_owned()),
                ("verbs", verbs.join(" ")),
            ];
            status(Code::FailedPrecondition, "WRONG_STATE", message, metadata)
        }
        Refused::RevisionMismatch { expected, actual } => mismatch(expected, actual, message),
        Refused::RevisionRequired { .. } => bad_field("expected_revision", message),
        Refused::BadSplit(violations) => bad_fields(&violations, mistakes(&violations)),
        Refused::ReasonRequired => bad_field("reason", message),
        Refused::NeedsForce { .. } => precondition("NEEDS_FORCE"),
        Refused::AboveCeiling { .. } => precondition("ABOVE_CEILING"),
        Refused::NothingToApprove(_) => precondition("NOTHING_TO_APPROVE"),
        Refused::Frozen { .. } => precondition("FROZEN"),
        Refused::NothingToUndo(_) => precondition("NOTHING_TO_UNDO"),
        Refused::NoNextStep { .. } => precondition("NO_NEXT_STEP"),
    }
}

fn mismatch(expected: u64, actual: u64, message: String) -> Status {
    let metadata = [
        ("expected", expected.to_string()),
        ("actual", actual.to_string()),
    ];
    status(Code::Aborted, "REVISION_MISMATCH", message, metadata)
}

fn mistakes(violations: &[v1::Violation]) -> String {
    match violations {
        [one] => format!("{}: {}", one.path, one.message),
        several => format!("{} mistakes", several.len()),
    }
}

/// What the store says to a reader.
pub(super) fn store(error: &StoreError) -> Status {
    match error {
        StoreError::Damaged { .. } => Status::data_loss(error.to_string()),
        _ => unavailable(error.to_string()),
    }
}

/// As in metrics and logs.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(path: &str) -> v1::Violation {
        v1::Violation {
            path: path.into(),
            message: "is wrong".into(),
        }
    }

    fn reason(status: &Status) -> String {
        let details = status.get_error_details();
        details
            .error_info()
            .map(|info| info.reason.clone())
            .unwrap_or_default()
    }

    #[test]
    fn every_mistake_of_a_plan_is_listed() {
        let status = command(CommandError::Invalid(vec![
            violation("model"),
            violation("steps[0]"),
        ]));
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, "2 mistakes")
        );
        let details = status.get_error_details();
        let fields = &details.bad_request().unwrap().field_violations;
        let fields: Vec<_> = fields
            .iter()
            .map(|f| (f.field.as_str(), f.description.as_str()))
            .collect();
        assert_eq!(fields, [("model", "is wrong"), ("steps[0]", "is wrong")]);
    }

    #[test]
    fn reasons_and_codes() {
        let id = || "x".to_owned();
        let cases = [
            (CommandError::RequestIdMissing, Code::InvalidArgument, ""),
            (
                CommandError::RequestIdReused(id()),
                Code::InvalidArgument,
                "REQUEST_ID_REUSED",
            ),
            (
                CommandError::NotFound {
                    kind: "rollout",
                    name: id(),
                },
                Code::NotFound,
                "NOT_FOUND",
            ),
            (
                CommandError::Active {
                    model: id(),
                    id: id(),
                },
                Code::FailedPrecondition,
                "ROLLOUT_ACTIVE",
            ),
            (
                CommandError::ModelRevision {
                    model: id(),
                    expected: 1,
                    actual: 2,
                },
                Code::Aborted,
                "REVISION_MISMATCH",
            ),
            (
                CommandError::Refused(Refused::RevisionMismatch {
                    expected: 1,
                    actual: 2,
                }),
                Code::Aborted,
                "REVISION_MISMATCH",
            ),
            (
                CommandError::Refused(Refused::ReasonRequired),
                Code::InvalidArgument,
                "",
            ),
            (CommandError::Stopping, Code::Unavailable, ""),
        ];
        for (error, code, expected) in cases {
            let text = error.to_string();
            let status = command(error);
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (code, expected),
                "{text}"
            );
            assert!(status.message().contains(&text), "{text}");
        }
    }

    #[test]
    fn a_wrong_state_names_the_legal_verbs() {
        let refused = Refused::WrongState {
            verb: "pause",
            state: v1::State::Held,
            verbs: vec!["resume", "rollback"],
        };
        let status = command(CommandError::Refused(refused));
        assert_eq!(status.code(), Code::FailedPrecondition);
        let details = status.get_error_details();
        let metadata = &details.error_info().unwrap().metadata;
        assert_eq!(metadata["verbs"], "resume rollback");
        assert_eq!(metadata["state"], "STATE_HELD");
    }

    #[test]
    fn whoever_may_retry_is_told_when() {
        let details = stopping().get_error_details();
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(RETRY_AFTER));
    }
}
