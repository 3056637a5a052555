//! The plan of `tests/plans/seeds.yaml` through the real binaries: a canary like stable must be promoted, one with
//! four times the errors rolled back, each in every one of `RUNS` runs (default 5) from seed `FIRST` (default 1) on. By
//! hand, not in CI, on a machine that does nothing else:
//! `SERINUS_BIN_DIR=target/release cargo run -p serinus-tests --example seeds`.

use anyhow::{Context as _, Result, ensure};
use serinus_proto::v1::State;
use serinus_tests::cluster::{Cluster, MODEL};
use serinus_tests::load::Load;
use std::time::Duration;

const PLAN: &str = include_str!("../plans/seeds.yaml");
const LIMIT: Duration = Duration::from_secs(600);

async fn ends(canary_errors: f64, seed: u64) -> Result<State> {
    let cluster = Cluster::start(3).await?;
    let client = cluster.client()?;
    cluster
        .fault("v1", &format!(r#"{{"error_rate": 0.005, "seed": {seed}}}"#))
        .await?;
    let canary = format!(
        r#"{{"error_rate": {canary_errors}, "seed": {}}}"#,
        seed + 1000
    );
    cluster.fault("v2", &canary).await?;
    let (_, steps) = PLAN.split_once("\nsteps:").context("the plan has steps")?;
    client
        .apply(&cluster.plan(&format!("steps:{steps}"))?)
        .await?;
    let (traffic, _) = cluster.load(&Load {
        rate: 500.0,
        duration: LIMIT,
        labels: false,
    })?;
    let ended = |rollout: &serinus_proto::v1::Rollout| {
        matches!(rollout.state(), State::Promoted | State::RolledBack)
    };
    let rollout = client.until(MODEL, "the end", LIMIT, ended).await?;
    let stats = traffic.stop().await;
    println!(
        "{MODEL} seed {seed}, canary errors {canary_errors}: {:?} after {} requests",
        rollout.state(),
        stats.ended
    );
    Ok(rollout.state())
}

#[tokio::main]
async fn main() -> Result<()> {
    let (first, runs) = (number("FIRST", 1), number("RUNS", 5));
    for seed in first..first + runs {
        ensure!(
            ends(0.005, seed).await? == State::Promoted,
            "seed {seed}: a healthy canary was not promoted"
        );
        ensure!(
            ends(0.02, seed).await? == State::RolledBack,
            "seed {seed}: a bad canary was not rolled back"
        );
    }
    println!("{runs} of {runs} runs ended as they should, of either kind");
    Ok(())
}

fn number(name: &str, default: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}
