//! All mistakes of a plan, collected.

use super::path::{Path, related};
use serinus_proto::v1::Violation;
use std::cell::RefCell;

/// The mistakes found so far, in the order of finding.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Violation>>);

impl Problems {
    /// Notes a mistake.
    pub(super) fn add(&self, path: &Path, message: impl Into<String>) {
        self.0.borrow_mut().push(Violation {
            path: path.to_string(),
            message: message.into(),
        });
    }

    /// Whether something at this path, within it or around it was already complained about.
    pub(super) fn touches(&self, path: &Path) -> bool {
        let path = path.to_string();
        self.0
            .borrow()
            .iter()
            .any(|violation| related(&violation.path, &path))
    }

    /// The value, if there are no mistakes.
    pub(super) fn into_result<T>(self, value: T) -> Result<T, Vec<Violation>> {
        let violations = self.0.into_inner();
        if violations.is_empty() {
            Ok(value)
        } else {
            Err(violations)
        }
    }

    /// Like [`Self::into_result`], with those mistakes of `later` that do not merely follow from one of these.
    pub(super) fn into_result_with<T>(self, later: Self, value: T) -> Result<T, Vec<Violation>> {
        let mut violations = self.0.into_inner();
        let first = violations.len();
        for violation in later.0.into_inner() {
            let follows = violations[..first]
                .iter()
                .any(|known| related(&known.path, &violation.path));
            if !follows {
                violations.push(violation);
            }
        }
        Self(RefCell::new(violations)).into_result(value)
    }
}
