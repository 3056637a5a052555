//! Open watches: how many there may be, and that they end.

use super::error;
use super::feed::{Feed, Filler, Lost, feed};
use crate::metrics::WATCHES;
use serinus_runtime::shutdown::Drain;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tonic::{Code, Status};

/// Watches at a time.
const LIMIT: usize = 1000;
/// Items that wait for a watcher.
const ROOM: usize = 1024;
/// A watcher that takes nothing for this long is ended; it may go on where it was.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts watches. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Watches {
    free: Arc<Semaphore>,
    drain: Drain,
}

impl Watches {
    pub(super) fn new(drain: Drain) -> Self {
        Self {
            free: Arc::new(Semaphore::new(LIMIT)),
            drain,
        }
    }

    /// A stream that `fill` fills until it returns, the watcher leaves, or the drain begins.
    pub(super) fn start<T, F>(
        &self,
        fill: impl FnOnce(Watcher<T>) -> F + Send + 'static,
    ) -> Result<Feed<T>, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let permit = self.free.clone().try_acquire_owned().map_err(|_| full())?;
        let mut drain = self.drain.clone();
        Ok(feed(ROOM, PATIENCE, |filler| async move {
            let filler = Arc::new(filler);
            let _open = Open::new(permit);
            tokio::select! {
                ended = fill(Watcher(filler.clone())) => ended,
                () = filler.gone() => Ok(()),
                () = drain.wait() => Err(error::stopping()),
            }
        }))
    }
}

fn full() -> Status {
    let message = format!("{LIMIT} watches are open; close some, or watch from another replica");
    error::status(Code::ResourceExhausted, "TOO_MANY_WATCHES", message, [])
}

/// Fills one watch.
#[derive(Debug)]
pub(super) struct Watcher<T>(Arc<Filler<T>>);

impl<T: Send> Watcher<T> {
    pub(super) async fn send(&self, item: T) -> Result<(), Status> {
        self.0.send(item).await.map_err(|lost| match lost {
            Lost::Slow => {
                let message =
                    "the watcher does not keep up; watch again from the last revision it has";
                error::status(Code::ResourceExhausted, "SLOW_WATCHER", message, [])
            }
            Lost::Gone => Status::cancelled("the watcher left"),
        })
    }
}

/// Counts a watch as long as it is open.
struct Open {
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl Open {
    fn new(permit: tokio::sync::OwnedSemaphorePermit) -> Self {
        metrics::gauge!(WATCHES).increment(1.0);
        Self { _permit: permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!(WATCHES).decrement(1.0);
    }
}
