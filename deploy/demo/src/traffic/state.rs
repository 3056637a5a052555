//! What the sending loop shares with whoever watches.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::Uri;

use super::config::{Config, ConfigError, Target};
use super::outcomes::Courier;
use super::pool::Pool;
use super::record::{Ended, Observer, Recorder, whole_ms};
use super::stats::Stats;

/// The state of a load.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) uri: Uri,
    pub(super) started: Instant,
    /// Requests per second, as the bits of an f64.
    pub(super) rate: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) skipped: AtomicU64,
    recorder: Mutex<Recorder>,
    pub(super) lanes: Vec<Lane>,
}

/// The way to one target.
pub(super) struct Lane {
    pub(super) pool: Pool,
    /// Requests under way.
    pub(super) in_flight: AtomicUsize,
    pub(super) courier: Option<Arc<Courier>>,
}

impl Lane {
    fn new(target: &Target, outcomes: bool) -> Self {
        let courier = target
            .admin
            .filter(|_| outcomes)
            .map(|admin| Arc::new(Courier::new(admin)));
        Self {
            pool: Pool::new(target.infer),
            in_flight: AtomicUsize::new(0),
            courier,
        }
    }
}

impl Shared {
    /// Checks `config` and gets ready.
    pub(super) fn new(config: Config, observer: Option<Observer>) -> Result<Self, ConfigError> {
        config.check()?;
        let lane = |target| Lane::new(target, config.outcomes.is_some());
        Ok(Self {
            uri: config.uri()?,
            started: Instant::now(),
            rate: AtomicU64::new(config.rate.to_bits()),
            sent: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            recorder: Mutex::new(Recorder::new(config.targets.len(), observer)),
            lanes: config.targets.iter().map(lane).collect(),
            config,
        })
    }

    pub(super) fn stats(&self) -> Stats {
        let recorded = self
            .recorder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stats();
        let mut stats = Stats {
            elapsed_ms: whole_ms(self.started.elapsed()),
            sent: self.sent.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            ..recorded
        };
        for courier in self.lanes.iter().filter_map(|lane| lane.courier.as_ref()) {
            courier.add_to(&mut stats.outcomes);
        }
        stats
    }

    pub(super) fn record(&self, ended: &Ended<'_>) {
        self.recorder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .record(ended);
    }
}
