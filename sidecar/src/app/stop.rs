//! Stopping: open requests first, then what they left to tell, then the contact.

use super::start::{ControlPlane, Running};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

/// The data path ends its requests within `drain`; a thread that hangs for longer is left behind.
const SLACK: Duration = Duration::from_secs(1);

impl Running {
    /// Drains. Takes at most twice `drain` and a little.
    pub(super) async fn stop(self) {
        info!(drain = ?self.drain, "stopping");
        self.serving.drain();
        let workers = self.workers;
        let joined = tokio::task::spawn_blocking(move || workers.join());
        finish("open requests", joined, Instant::now() + self.drain + SLACK).await;
        if let Some(contact) = self.contact {
            contact.end(self.drain).await;
        }
        info!("stopped");
    }
}

impl ControlPlane {
    async fn end(self, patience: Duration) {
        let in_contact = self.heard.borrow().session.is_some();
        // Without contact there is nobody to tell; outcomes are on disk for the next start.
        let patience = if in_contact {
            patience
        } else {
            patience.min(SLACK)
        };
        let deadline = Instant::now() + patience;
        self.outcomes_end.send_replace(true);
        finish("the last report", self.reporting, deadline).await;
        finish("outcomes", self.forwarding, deadline).await;
        self.leave.drain();
        finish(
            "the contact with the control plane",
            self.syncing,
            Instant::now() + SLACK,
        )
        .await;
    }
}

async fn finish(what: &str, task: JoinHandle<()>, deadline: Instant) {
    let stop = task.abort_handle();
    match timeout_at(deadline, task).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, "{what}: the task failed"),
        Err(_) => {
            stop.abort();
            warn!("{what}: not finished in time; left behind");
        }
    }
}
