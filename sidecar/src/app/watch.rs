//! What looks after the data path: breakers, endpoints, the split that traffic got.

use super::Shared;
use crate::admin::achieved::Achieved;
use crate::admin::probe::Prober;
use crate::sync::Probed;
use crate::tls::Tls;
use crate::worker::{LocalEvent, Sealed};
use rand::RngExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tracing::{info, warn};

/// How often endpoints are looked at, ms; at random between the two, so that sidecars do not ask in step.
const PROBE_EVERY_MS: std::ops::RangeInclusive<u64> = 900..=1100;

/// What is seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) probed: watch::Receiver<Probed>,
    pub(super) achieved: watch::Receiver<Achieved>,
    /// Notified when a breaker or a variant's readiness changed.
    pub(super) news: Arc<Notify>,
}

/// Starts to look.
pub(super) fn start(
    shared: Shared,
    tls: Arc<Tls>,
    events: mpsc::UnboundedReceiver<LocalEvent>,
) -> Seen {
    let news = Arc::new(Notify::new());
    let (probed, probes) = watch::channel(Probed::new());
    let (achieved, achievements) = watch::channel(Achieved::default());
    tokio::spawn(pass_on(events, Arc::clone(&news)));
    tokio::spawn(look_after(
        shared,
        Prober::new(tls),
        probed,
        achieved,
        Arc::clone(&news),
    ));
    Seen {
        probed: probes,
        achieved: achievements,
        news,
    }
}

/// Without a control plane nobody wants the reports.
pub(super) async fn forget(mut sealed: mpsc::UnboundedReceiver<Sealed>) {
    while sealed.recv().await.is_some() {}
}

/// What a breaker does is told at once.
async fn pass_on(mut events: mpsc::UnboundedReceiver<LocalEvent>, news: Arc<Notify>) {
    while let Some(event) = events.recv().await {
        match event {
            LocalEvent::BreakerOpened {
                model,
                rollout,
                variant,
            } => {
                warn!(
                    model,
                    rollout, variant, "breaker opened: stable answers instead"
                );
            }
            LocalEvent::BreakerClosed {
                model,
                rollout,
                variant,
            } => {
                info!(model, rollout, variant, "breaker closed");
            }
        }
        news.notify_one();
    }
}

/// Looks at endpoints and at the achieved split: every second, and when there are new endpoints.
async fn look_after(
    shared: Shared,
    mut prober: Prober,
    probed: watch::Sender<Probed>,
    achieved: watch::Sender<Achieved>,
    news: Arc<Notify>,
) {
    loop {
        let pause = Duration::from_millis(rand::rng().random_range(PROBE_EVERY_MS));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.strangers() => {}
        }
        let table = shared.table();
        let seen = prober.round(table.routes()).await;
        let changed = probed.send_if_modified(|known| {
            let changed = *known != seen;
            *known = seen;
            changed
        });
        if changed {
            news.notify_one();
        }
        let totals = shared.totals();
        achieved.send_modify(|achieved| achieved.update(table.routes(), &totals));
    }
}
