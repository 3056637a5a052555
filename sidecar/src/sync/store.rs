//! Writing the state file without stopping the control runtime.

use super::cache::{Cache, Found};
use super::saved::State;
use std::io;
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;
use tracing::error;

/// A disk that needs longer than this is as good as none.
const PATIENCE: Duration = Duration::from_secs(2);

/// The state file, or nothing for a sidecar that keeps none.
#[derive(Clone, Debug)]
pub struct Store(Option<Arc<Mutex<Cache>>>);

impl Store {
    /// On disk.
    #[must_use]
    pub fn new(cache: Cache) -> Self {
        Self(Some(Arc::new(Mutex::new(cache))))
    }

    /// Keeps nothing: for a sidecar without a control plane, which has nothing to keep.
    #[must_use]
    pub fn nowhere() -> Self {
        Self(None)
    }

    pub(super) fn load(&self) -> Option<State> {
        let cache = self.0.as_ref()?;
        let cache = cache
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match cache.load() {
            Found::Nothing => None,
            Found::State(state) => Some(state),
            Found::Bad { why, aside } => {
                error!(%why, ?aside, path = %cache.path().display(), "the state file is not believed; starting from the own file");
                None
            }
        }
    }

    /// Writes it; on disk when this returns.
    pub(super) async fn save(&self, state: State) -> io::Result<()> {
        let Some(cache) = self.0.clone() else {
            return Ok(());
        };
        let write = tokio::task::spawn_blocking(move || match cache.try_lock() {
            Ok(cache) => cache.store(&state),
            Err(TryLockError::Poisoned(cache)) => cache.into_inner().store(&state),
            Err(TryLockError::WouldBlock) => Err(io::Error::other("an earlier write hangs")),
        });
        match tokio::time::timeout(PATIENCE, write).await {
            Ok(Ok(result)) => result,
            Ok(Err(panicked)) => Err(io::Error::other(panicked)),
            Err(_) => Err(io::Error::other("the disk took more than 2 s")),
        }
    }
}
