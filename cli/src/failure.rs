//! Why a command did not do what it was asked, in the words a person needs to go on.

use crate::exit::Exit;
use serinus_proto::v1;
use std::fmt;

mod grpc;

pub(crate) use grpc::is_unreachable;

/// A message, its details (one line each, with the path in the input where there is one) and what to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    details: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    /// Something outside of the input failed: exit code 1.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Error,
            message: message.into(),
            details: Vec::new(),
            hint: None,
        }
    }

    /// The input is wrong and nothing was changed: exit code 2.
    pub(crate) fn bad_input(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::BadInput,
            ..Self::error(message)
        }
    }

    /// A store or a copy of one is not whole: exit code 8.
    #[cfg(feature = "demo")]
    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Damaged,
            ..Self::error(message)
        }
    }

    /// The mistakes of a plan or a split, one line each.
    pub(crate) fn violations(what: impl Into<String>, violations: &[v1::Violation]) -> Self {
        let details = violations.iter().map(violation_line).collect();
        Self {
            details,
            ..Self::bad_input(what)
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The exit code that tells it to scripts.
    #[must_use]
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether whoever read our output has gone, which is an end and no failure.
    #[must_use]
    pub(crate) fn is_silent(&self) -> bool {
        self.message.is_empty()
    }
}

/// `path: message`, or the message alone where there is no path.
#[must_use]
pub(crate) fn violation_line(violation: &v1::Violation) -> String {
    if violation.path.is_empty() {
        violation.message.clone()
    } else {
        format!("{}: {}", violation.path, violation.message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for detail in &self.details {
            write!(f, "\n  {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Of writing the output.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self {
                exit: Exit::Ok,
                ..Self::error("")
            };
        }
        Self::error(format!("write the output: {error}"))
    }
}

/// Of the daemons' and the demo's own code; the context is on one line.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::error(format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_message_details_and_hint() {
        let violations = [
            v1::Violation {
                path: "steps[0].split.v2".into(),
                message: "10 is above 1".into(),
            },
            v1::Violation {
                path: String::new(),
                message: "empty".into(),
            },
        ];
        let failure = Failure::violations("plan.yaml has 2 mistakes", &violations).hint("mend it");
        assert_eq!(
            failure.to_string(),
            "error: plan.yaml has 2 mistakes\n  steps[0].split.v2: 10 is above 1\n  empty\nhint: mend it"
        );
        assert_eq!(failure.exit(), Exit::BadInput);
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let closed = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(closed.is_silent());
        assert_eq!(closed.exit(), Exit::Ok);
        let full = Failure::from(std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert!(!full.is_silent());
        assert_eq!(full.exit(), Exit::Error);
    }
}
