//! Processes that were away for too long, stores that came back, reports that come in any order or are lies: traffic never
//! moves up because of any of it, and the log says why. The real binaries; run by `tests/run`.

#[path = "e2e_hostile/absent.rs"]
mod absent;
#[path = "e2e_hostile/reports.rs"]
mod reports;
#[path = "e2e_hostile/restored.rs"]
mod restored;

use anyhow::{Result, ensure};
use serinus_proto::v1::{self, event::Kind};
use serinus_tests::client::Client;
use serinus_tests::cluster::{Cluster, MODEL};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Stays on its first step.
const STAYS: &str = "
steps:
  - {split: {v2: 0.2, v1: 0.8}, min_duration: 1h}
  - {split: {v2: 1.0}}
guardrails:
  - {metric: error_rate, margin: 0.02}
";

/// Moves on as soon as it may.
const QUICK: &str = "
steps:
  - {split: {v2: 0.2, v1: 0.8}, min_duration: 1s}
  - {split: {v2: 0.4, v1: 0.6}, min_duration: 1h}
  - {split: {v2: 1.0}}
guardrails:
  - {metric: error_rate, margin: 0.02}
";

fn canary_requests(rollout: &v1::Rollout) -> u64 {
    rollout.traffic.map_or(0, |traffic| traffic.canary_requests)
}

/// Waits until the canary has traffic and everybody is on the present epoch.
async fn warm(client: &Client, sidecars: u32) -> Result<v1::Rollout> {
    let seen = |rollout: &v1::Rollout| {
        let fleet = rollout.fleet.clone().unwrap_or_default();
        canary_requests(rollout) > 50 && (fleet.connected, fleet.current) == (sidecars, sidecars)
    };
    client
        .until(MODEL, "traffic on the canary", LIMIT, seen)
        .await
}

/// What the log says, oldest first.
async fn kinds(client: &Client) -> Result<Vec<Kind>> {
    let events = client.events_after(0).await?.into_iter();
    Ok(events.filter_map(|event| event.kind).collect())
}

fn held(kind: &Kind, cause: v1::Cause) -> bool {
    matches!(kind, Kind::Held(held) if held.cause() == cause)
}

/// The canary's shares, in the order in which they were decided.
fn shares(kinds: &[Kind]) -> Vec<f64> {
    let splits = kinds.iter().filter_map(|kind| match kind {
        Kind::SplitChanged(changed) => Some(changed.split.get("v2").copied().unwrap_or(0.0)),
        _ => None,
    });
    splits.collect()
}

/// Shares in force, one for each sidecar, ppm.
async fn in_force(cluster: &Cluster) -> Result<Vec<u32>> {
    let mut all = Vec::new();
    for of in &cluster.sidecars {
        let held = cluster.trace.look(&of.name, &of.admin).await?;
        all.push(held.shares.values().sum());
    }
    Ok(all)
}

/// The log never gave the canary more than this.
async fn never_above(client: &Client, share: f64) -> Result<Vec<Kind>> {
    let kinds = kinds(client).await?;
    let shares = shares(&kinds);
    ensure!(
        shares.iter().all(|&of| of <= share + 1e-9),
        "{shares:?} were given"
    );
    Ok(kinds)
}
