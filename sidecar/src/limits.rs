//! Bounds of the data path: what one caller, connection or request may cost.

use std::time::Duration;

/// Bounds of the data path. Per-process bounds are split evenly between the workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's head; more is answered 431.
    pub head_bytes: usize,
    /// Bytes of a request's body; more is answered 413.
    pub body_bytes: u64,
    /// Bytes of a request's body that are kept so that the call can be made again.
    pub replay_bytes: usize,
    /// Bytes at the beginning of a request's body that are looked into for a key or the model's name.
    pub inspect_bytes: usize,
    /// Open client connections; more are answered 503 and closed.
    pub connections: usize,
    /// Requests in flight per variant; more are answered 503 at once.
    pub in_flight_per_variant: usize,
    /// For a head to arrive completely, and for as much of its body as the choice of the variant needs.
    pub header_timeout: Duration,
    /// For a connection on which nothing happens, and for bodies that stall.
    pub idle_timeout: Duration,
    /// For a connection to an endpoint to be made.
    pub connect_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 << 10,
            body_bytes: 64 << 20,
            replay_bytes: 64 << 10,
            inspect_bytes: 256 << 10,
            connections: 10_000,
            in_flight_per_variant: 1024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(1),
        }
    }
}

impl Limits {
    /// The part of one of `workers` workers: per-process counts divided, at least 1 each.
    #[must_use]
    pub(crate) fn per_worker(&self, workers: usize) -> Self {
        let workers = workers.max(1);
        Self {
            connections: self.connections.div_ceil(workers).max(1),
            in_flight_per_variant: self.in_flight_per_variant.div_ceil(workers).max(1),
            ..self.clone()
        }
    }
}
