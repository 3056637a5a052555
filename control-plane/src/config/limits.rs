//! `[limits]`: what one caller may take from the others.

use serde::{Deserialize, Serialize};

/// `[limits]`: open connections of both ports together; what is beyond is closed at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionLimits {
    /// In all. Default 10,000.
    pub connections: usize,
    /// From one address. Default 4096; a proxy or a gateway in front is one address.
    pub connections_per_address: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 4096,
        }
    }
}
