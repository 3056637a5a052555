//! Draining: whoever serves is told once to finish, and ends by itself.

use tokio::sync::watch;

/// Says when to drain. Dropping it drains too.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Waits for the drain. Cheap to clone; every open stream selects on one.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<bool>);

/// A trigger and the first of its drains.
#[must_use]
pub fn channel() -> (Trigger, Drain) {
    let (send, receive) = watch::channel(false);
    (Trigger(send), Drain(receive))
}

impl Trigger {
    /// Starts the drain.
    pub fn drain(&self) {
        self.0.send_replace(true);
    }
}

impl Drain {
    /// Ends when the drain starts.
    pub async fn wait(&mut self) {
        // An error means that the trigger is gone, which is a drain too.
        let _ = self.0.wait_for(|&draining| draining).await;
    }

    /// Whether it has started.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.0.borrow()
    }
}

/// Ends at SIGTERM or SIGINT. From the call on, before the first poll, neither kills the process: call it before anybody is
/// told that the process is ready.
///
/// # Errors
/// If the handlers cannot be installed.
///
/// # Panics
/// Outside of a runtime.
pub fn signal() -> impl Future<Output = std::io::Result<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    async move {
        let (mut terminate, mut interrupt) = (terminate?, interrupt?);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn draining_reaches_every_clone() {
        let (trigger, mut drain) = channel();
        let mut other = drain.clone();
        assert!(!drain.is_draining());
        trigger.drain();
        drain.wait().await;
        other.wait().await;
        assert!(other.is_draining());
    }

    #[tokio::test]
    async fn a_lost_trigger_drains() {
        let (trigger, mut drain) = channel();
        drop(trigger);
        drain.wait().await;
    }
}
