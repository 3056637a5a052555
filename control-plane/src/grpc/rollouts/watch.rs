//! One rollout as it changes.

use crate::engine::Views;
use crate::grpc::error;
use crate::grpc::page::is_over;
use crate::grpc::watches::Watcher;
use serinus_core::plan::std_duration;
use serinus_proto::v1;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;

const SHORTEST: Duration = Duration::from_millis(200);

/// The time between two sends, at least.
pub(super) fn interval(asked: Option<&prost_types::Duration>) -> Duration {
    std_duration(asked).max(SHORTEST)
}

/// Sends the rollout now, then whenever it changed, and ends behind a terminal state.
pub(super) async fn run(
    mut views: watch::Receiver<Arc<Views>>,
    watcher: Watcher<v1::Rollout>,
    id: String,
    interval: Duration,
) -> Result<(), Status> {
    let mut sent: Option<Arc<v1::Rollout>> = None;
    loop {
        let now = views.borrow_and_update().rollouts.get(&id).cloned();
        let rollout = now.ok_or_else(|| error::not_found("rollout", &id))?;
        let next = Instant::now() + interval;
        if sent.as_ref() != Some(&rollout) {
            watcher.send((*rollout).clone()).await?;
            sent = Some(rollout.clone());
        }
        if is_over(&rollout) {
            return Ok(());
        }
        views.changed().await.map_err(|_| error::stopping())?;
        tokio::time::sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_not_too_short() {
        assert_eq!(interval(None), SHORTEST);
        let asked = |nanos| prost_types::Duration { seconds: 0, nanos };
        assert_eq!(interval(Some(&asked(1_000_000))), SHORTEST);
        assert_eq!(
            interval(Some(&asked(500_000_000))),
            Duration::from_millis(500)
        );
    }
}
