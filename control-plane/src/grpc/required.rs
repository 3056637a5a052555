//! What a command must say whatever it is about. Everything that is missing is told at once, together with the mistakes of
//! a plan: whoever writes a client should not find them one by one.

use super::error;
use crate::engine::{Command, CommandError, Verb, Views};
use serinus_core::plan;
use serinus_proto::v1;
use tonic::Status;

/// What is common to all commands.
struct Said<'a> {
    request_id: &'a str,
    validate_only: bool,
    rollout: Option<&'a str>,
    /// Of those that need one, absent for the others.
    expected_revision: Option<u64>,
}

/// # Errors
/// INVALID_ARGUMENT with everything that is missing.
pub(super) fn check(command: &Command, views: &Views) -> Result<(), Status> {
    let said = said(command);
    let mut wrong = Vec::new();
    if said.request_id.is_empty() && !said.validate_only {
        let message = CommandError::RequestIdMissing.to_string();
        wrong.push(violation("request_id", message));
    }
    if said.rollout == Some("") {
        wrong.push(violation("rollout", ROLLOUT));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    if said.expected_revision == Some(0) {
        let message = "is required by what can raise the canary's share: read the rollout and send the revision you saw";
        wrong.push(violation("expected_revision", message));
    }
    if let Command::Apply(request) = command {
        let plan = request.plan.clone().unwrap_or_default();
        let known = views.models.get(&plan.model);
        let stable = known.and_then(|model| model.stable.as_ref());
        wrong.extend(plan::complete(plan, stable).err().unwrap_or_default());
    }
    Err(match wrong.as_slice() {
        [one] => error::bad_field(&one.path, one.message.clone()),
        several => error::bad_fields(several, format!("{} mistakes", several.len())),
    })
}

const ROLLOUT: &str = "is missing: write the id of a rollout, or a model";

/// The name of what is asked for.
///
/// # Errors
/// INVALID_ARGUMENT if there is none.
pub(super) fn name<'a>(field: &'static str, name: &'a str) -> Result<&'a str, Status> {
    match name {
        "" if field == "rollout" => Err(error::bad_field(field, ROLLOUT)),
        "" => Err(error::bad_field(field, "is missing: write its name")),
        name => Ok(name),
    }
}

fn said(command: &Command) -> Said<'_> {
    match command {
        Command::Apply(request) => Said {
            request_id: &request.request_id,
            validate_only: request.validate_only,
            rollout: None,
            expected_revision: None,
        },
        Command::Verb(Verb::Resume | Verb::Approve, request) => Said {
            expected_revision: Some(request.expected_revision),
            ..of(request)
        },
        Command::Verb(_, request) | Command::Undo(request) | Command::Cancel(request) => {
            of(request)
        }
        Command::Promote(request) => Said {
            request_id: &request.request_id,
            validate_only: request.validate_only,
            rollout: Some(&request.rollout),
            expected_revision: Some(request.expected_revision),
        },
        Command::SetSplit(request) => Said {
            request_id: &request.request_id,
            validate_only: request.validate_only,
            rollout: Some(&request.rollout),
            expected_revision: None,
        },
    }
}

fn of(request: &v1::CommandRequest) -> Said<'_> {
    Said {
        request_id: &request.request_id,
        validate_only: request.validate_only,
        rollout: Some(&request.rollout),
        expected_revision: None,
    }
}

fn violation(path: &str, message: impl Into<String>) -> v1::Violation {
    v1::Violation {
        path: path.to_owned(),
        message: message.into(),
    }
}
