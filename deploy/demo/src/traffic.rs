//! Traffic: plays the users of a model at a fixed rate and tells later which answers were right.

mod ask;
mod config;
mod drive;
mod histogram;
mod outcomes;
mod pace;
mod pool;
mod record;
mod requests;
mod state;
mod stats;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{oneshot, watch};

pub use config::{Config, ConfigError, Outcomes, Target, Users};
pub use histogram::LatencySummary;
pub use record::{Observer, Seen};
pub use requests::{Payload, Requests};
pub use stats::{Move, OutcomeStats, Stats, TargetStats, UNKNOWN_VARIANT, VariantStats};

use drive::Phase;
use state::Shared;

/// A running load generator. It has a thread of its own, so that neither side slows the other.
///
/// Dropping it ends the load as [`Traffic::stop`] does, without waiting.
pub struct Traffic {
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    ended: oneshot::Receiver<()>,
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traffic")
            .field("stats", &self.snapshot())
            .finish_non_exhaustive()
    }
}

impl Traffic {
    /// Starts the load; it ends by itself after `config.duration`.
    ///
    /// # Errors
    /// [`TrafficError::Config`] names the field that is wrong; [`TrafficError::Thread`] if the system gives no thread.
    pub fn start(config: Config) -> Result<Self, TrafficError> {
        Self::launch(config, None)
    }

    /// As [`Traffic::start`], and calls `observer` on the generator's thread for each request that ended.
    ///
    /// # Errors
    /// As [`Traffic::start`].
    pub fn start_observed(config: Config, observer: Observer) -> Result<Self, TrafficError> {
        Self::launch(config, Some(observer))
    }

    fn launch(config: Config, observer: Option<Observer>) -> Result<Self, TrafficError> {
        let shared = Arc::new(Shared::new(config, observer)?);
        let (phase, phases) = watch::channel(Phase::Running);
        let (end, ended) = oneshot::channel();
        let driven = shared.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("traffic".into())
            .spawn(move || {
                runtime.block_on(drive::drive(driven, phases));
                // Nobody listens if the generator was dropped instead of stopped.
                let _ = end.send(());
            })?;
        Ok(Self {
            shared,
            phase,
            ended,
        })
    }

    /// The counts up to now.
    pub fn snapshot(&self) -> Stats {
        self.shared.stats()
    }

    /// Changes the rate (requests per second over all targets) from now on.
    ///
    /// # Errors
    /// [`ConfigError::Rate`] if the rate is out of range; the old one stays.
    pub fn set_rate(&self, rate: f64) -> Result<(), ConfigError> {
        config::check_rate(rate)?;
        self.shared.rate.store(rate.to_bits(), Ordering::Relaxed);
        Ok(())
    }

    /// Sends no more, waits for the answers that are under way (at most `config.timeout`), drops the outcomes that
    /// are not due, and gives the final counts.
    pub async fn stop(self) -> Stats {
        self.phase.send_replace(Phase::Stopped);
        self.ended().await
    }

    /// Waits until `config.duration` is over, the last answer has come and the last outcome has been delivered or
    /// given up, and gives the final counts.
    pub async fn finish(self) -> Stats {
        self.ended().await
    }

    async fn ended(mut self) -> Stats {
        // An error means that the thread is gone: it has ended as well.
        let _ = (&mut self.ended).await;
        self.shared.stats()
    }
}

/// Why the load did not start.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// A field of the configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system gave no thread or no event queue.
    #[error("the load generator's thread could not be started: {0}")]
    Thread(#[from] io::Error),
}

#[cfg(test)]
mod tests;
