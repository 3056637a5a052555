//! What callers may be.

use clap::ValueEnum;
use std::fmt;

/// What a caller may do. Each role of people includes those before it; sidecars are none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Role {
    /// Reads everything but the store itself and the audit log.
    Viewer,
    /// Starts rollouts and steers them.
    Operator,
    /// Lets a rollout pass where its plan asks for an approval.
    Approver,
    /// Copies the store, reads the audit log, lets sidecars out of quarantine.
    Admin,
    /// Takes assignments, sends reports and outcomes.
    Sidecar,
}

impl Role {
    /// Whether it may do what takes at least `least`, a role of people.
    #[must_use]
    pub fn includes(self, least: Self) -> bool {
        self != Self::Sidecar && least != Self::Sidecar && self >= least
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
            Self::Sidecar => "sidecar",
        })
    }
}
