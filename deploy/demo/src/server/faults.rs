//! Failing on purpose.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The longest extra latency, so that a slip of the pen does not hang a test for hours.
const MAX_LATENCY_MS: u64 = 600_000;

/// How inference calls fail. The default is not at all. As JSON, fields may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Fraction (0..=1) of inference calls answered with `status`.
    pub error_rate: f64,
    /// The status of those answers, 400..=599; 500 by default.
    pub status: u16,
    /// Fraction (0..=1) of inference calls whose digits are all wrong (the next digit, 0 after 9).
    pub wrong_rate: f64,
    /// Milliseconds that every inference call waits before it is answered, at most ten minutes.
    pub latency_ms: u64,
    /// Inference calls get no answer until this is false again; health calls do.
    pub hang: bool,
    /// Every call but `/fault` has its connection closed without an answer, as if the process had died.
    pub refuse: bool,
    /// Starts the random sequence anew from this seed; otherwise it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl Default for Fault {
    fn default() -> Self {
        Self {
            error_rate: 0.0,
            status: 500,
            wrong_rate: 0.0,
            latency_ms: 0,
            hang: false,
            refuse: false,
            seed: None,
        }
    }
}

/// A field of a [`Fault`] that is out of range.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum FaultError {
    /// A rate that is no fraction.
    #[error("{field}: is {value}, must be a fraction from 0 to 1")]
    Rate {
        /// Which one.
        field: &'static str,
        /// What it was.
        value: f64,
    },
    /// A status that is no error.
    #[error("status: is {0}, must be from 400 to 599")]
    Status(u16),
    /// More than ten minutes.
    #[error("latency_ms: is {0}, must be at most {MAX_LATENCY_MS}")]
    Latency(u64),
}

impl Fault {
    fn check(&self) -> Result<(), FaultError> {
        for (field, value) in [
            ("error_rate", self.error_rate),
            ("wrong_rate", self.wrong_rate),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(FaultError::Rate { field, value });
            }
        }
        if !(400..=599).contains(&self.status) {
            return Err(FaultError::Status(self.status));
        }
        if self.latency_ms > MAX_LATENCY_MS {
            return Err(FaultError::Latency(self.latency_ms));
        }
        Ok(())
    }

    /// What happens to one inference call.
    fn draw(&self, dice: &mut StdRng) -> Injection {
        Injection {
            delay: Duration::from_millis(self.latency_ms),
            hang: self.hang,
            status: dice.random_bool(self.error_rate).then_some(self.status),
            wrong: dice.random_bool(self.wrong_rate),
        }
    }
}

/// What one inference call suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Injection {
    pub(super) delay: Duration,
    pub(super) hang: bool,
    pub(super) status: Option<u16>,
    pub(super) wrong: bool,
}

/// The present fault and what it has done since the server started: the answer of `/fault`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultReport {
    /// The present fault.
    #[serde(flatten)]
    pub fault: Fault,
    /// Inference calls that arrived, whatever became of them; those cut by `refuse` are not among them.
    pub infer_requests: u64,
    /// Inference calls answered with an injected status.
    pub injected_errors: u64,
}

/// The switch for faults of one server, which may be turned at any time.
#[derive(Debug)]
pub struct Faults {
    fault: watch::Sender<Fault>,
    dice: Mutex<StdRng>,
    infer_requests: AtomicU64,
    injected_errors: AtomicU64,
}

impl Faults {
    /// No fault yet; `seed` drives which calls will fail.
    pub fn new(seed: u64) -> Self {
        Self {
            fault: watch::Sender::new(Fault::default()),
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
            infer_requests: AtomicU64::new(0),
            injected_errors: AtomicU64::new(0),
        }
    }

    /// Replaces the present fault, for the calls that begin from now on; calls that hang are released if `fault`
    /// does not hang.
    ///
    /// # Errors
    /// [`FaultError`] names the field that is out of range; nothing is changed then.
    pub fn set(&self, fault: Fault) -> Result<(), FaultError> {
        fault.check()?;
        if let Some(seed) = fault.seed {
            *self.dice.lock().unwrap_or_else(PoisonError::into_inner) = StdRng::seed_from_u64(seed);
        }
        self.fault.send_replace(fault);
        Ok(())
    }

    /// The present fault and the counts.
    pub fn report(&self) -> FaultReport {
        FaultReport {
            fault: *self.fault.borrow(),
            infer_requests: self.infer_requests.load(Ordering::Relaxed),
            injected_errors: self.injected_errors.load(Ordering::Relaxed),
        }
    }

    /// Whether connections are to be cut.
    pub(super) fn refuses(&self) -> bool {
        self.fault.borrow().refuse
    }

    /// Counts one inference call and says what it suffers.
    pub(super) fn next(&self) -> Injection {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let injection = self.fault.borrow().draw(&mut dice);
        self.infer_requests.fetch_add(1, Ordering::Relaxed);
        injection
    }

    /// Counts one injected error.
    pub(super) fn injected(&self) {
        self.injected_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until the present fault does not hang.
    pub(super) async fn released(&self) {
        // The sender lives in `self`: waiting cannot fail.
        let _ = self.fault.subscribe().wait_for(|fault| !fault.hang).await;
    }
}

#[cfg(test)]
mod tests;
