//! Stopping: open requests first, then what they left to tell, then the contact.

use super::start::Running;
use crate::listen::Listen;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

/// For what has little left to do, and for a thread that hangs for longer than the grace period.
const SLACK: Duration = Duration::from_secs(1);

impl Running {
    /// Drains. Takes at most `drain` and a little.
    pub(super) async fn stop(self) {
        let drain = self.core.config.drain;
        info!(?drain, "stopping");
        let until = Instant::now() + drain;
        drop(self.door);
        // A port is closed with the last of its sockets, and what then waits in its queue is reset. So the last ones are
        // those of the workers, which take what waits before they close them.
        drop(self.sockets);
        self.serving.drain();
        if !self.handed_over {
            remove_files(&self.core.inference);
        }
        let workers = self.workers;
        let joined = tokio::task::spawn_blocking(move || workers.join());
        finish("open requests", joined, until + SLACK).await;
        let until = self.core.patience(until);
        finish("the last report", self.reporting, until).await;
        if let Some(following) = self.following {
            following.end(until).await;
        }
        info!("stopped");
    }
}

impl super::start::Core {
    /// Without contact there is nobody to tell; outcomes are on disk for the next start.
    fn patience(&self, until: Instant) -> Instant {
        let soon = Instant::now() + SLACK;
        match self.said.borrow().session {
            Some(_) => until.max(soon),
            None => until.min(soon),
        }
    }
}

fn remove_files(addresses: &[Listen]) {
    for address in addresses {
        if let Listen::Unix(path) = address {
            // One that stays is found dead by the next process.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Waits for a task, and leaves it behind at the deadline.
pub(super) async fn finish(what: &str, task: JoinHandle<()>, deadline: Instant) {
    let stop = task.abort_handle();
    match timeout_at(deadline, task).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.is_cancelled() => {}
        Ok(Err(error)) => warn!(%error, "{what}: the task failed"),
        Err(_) => {
            stop.abort();
            warn!("{what}: not finished in time; left behind");
        }
    }
}
