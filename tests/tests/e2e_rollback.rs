//! Every way in which a bad canary is stopped, through the real binaries. Run by `tests/run`.

use anyhow::Result;
use serinus_proto::v1::{self, Cause, State};
use serinus_tests::client::Client;
use serinus_tests::cluster::{Cluster, MODEL};
use serinus_tests::load::Load;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

fn plan(share: f64, guardrails: &str) -> String {
    format!(
        "steps:\n  - {{split: {{v2: {share}, v1: {}}}, min_duration: 1h}}\nguardrails:\n{guardrails}",
        1.0 - share
    )
}

const ERRORS: &str = "  - {metric: error_rate, margin: 0.01}\n";

async fn rolled_back(client: &Client) -> Result<v1::Rollout> {
    client
        .until(MODEL, "rolled back", LIMIT, |rollout| {
            rollout.state() == State::RolledBack
        })
        .await
}

async fn warm(client: &Client) -> Result<()> {
    let seen = |rollout: &v1::Rollout| {
        rollout
            .traffic
            .is_some_and(|traffic| traffic.canary_requests > 50)
    };
    client
        .until(MODEL, "traffic on the canary", LIMIT, seen)
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_canary_that_fails_more_is_rolled_back_and_users_see_nothing() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    client.apply(&cluster.plan(&plan(0.2, ERRORS))?).await?;
    let (traffic, _) = cluster.load(&Load::default())?;
    warm(&client).await?;
    cluster.fault("v2", r#"{"error_rate": 0.15}"#).await?;
    let rollout = rolled_back(&client).await?;
    assert_eq!(rollout.cause(), Cause::Guardrail, "{rollout:#?}");
    let decision = rollout.decision.unwrap_or_default();
    assert_eq!(
        decision.guardrails[0].verdict(),
        v1::Verdict::Harmful,
        "{decision:#?}"
    );
    assert_eq!(
        traffic.stop().await.errors,
        0,
        "stable rescues what the canary fails"
    );
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_slow_canary_is_rolled_back_by_its_latency() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    let latency = "  - {metric: latency, ratio: 1.5, slack: 20ms}\n";
    client.apply(&cluster.plan(&plan(0.3, latency))?).await?;
    let (traffic, _) = cluster.load(&Load::default())?;
    warm(&client).await?;
    cluster.fault("v2", r#"{"latency_ms": 80}"#).await?;
    let rollout = rolled_back(&client).await?;
    assert_eq!(rollout.cause(), Cause::Guardrail, "{rollout:#?}");
    assert_eq!(traffic.stop().await.errors, 0);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_wrong_canary_is_caught_by_its_labels() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    let accuracy = "  - {metric: accuracy, margin: 0.02, label_window: 5s}\n";
    client.apply(&cluster.plan(&plan(0.3, accuracy))?).await?;
    let (traffic, _) = cluster.load(&Load {
        labels: true,
        ..Load::default()
    })?;
    warm(&client).await?;
    cluster.fault("v2", r#"{"wrong_rate": 0.4}"#).await?;
    let rollout = rolled_back(&client).await?;
    assert_eq!(rollout.cause(), Cause::Guardrail, "{rollout:#?}");
    let decision = rollout.decision.unwrap_or_default();
    assert_eq!(decision.guardrails[0].name, "accuracy");
    assert!(decision.guardrails[0].canary_count > 0);
    assert_eq!(traffic.stop().await.errors, 0);
    cluster.finish().await
}

/// The issue's own case: nothing but errors at 10 % of 500 requests/s.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_dead_canary_is_gone_within_five_seconds() -> Result<()> {
    let cluster = Cluster::start(3).await?;
    let client = cluster.client()?;
    client.apply(&cluster.plan(&plan(0.1, ERRORS))?).await?;
    let (traffic, _) = cluster.load(&Load {
        rate: 500.0,
        ..Load::default()
    })?;
    warm(&client).await?;
    let dead_from = now();
    cluster.fault("v2", r#"{"error_rate": 1.0}"#).await?;
    let rollout = rolled_back(&client).await?;
    let took = seconds(rollout.finished.as_ref()) - dead_from;
    println!(
        "rolled back {took:.2} s after the first failure, cause {:?}",
        rollout.cause()
    );
    assert!(took <= 5.0, "it took {took} s");
    assert!(
        matches!(rollout.cause(), Cause::Breaker | Cause::Guardrail),
        "{rollout:#?}"
    );
    let decision = rollout.decision.clone().unwrap_or_default();
    assert!(
        decision.breakers.is_some() || decision.guardrails[0].verdict() == v1::Verdict::Harmful,
        "{decision:#?}"
    );
    let stats = traffic.stop().await;
    assert_eq!(stats.errors, 0, "users saw errors: {stats:#?}");
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_spent_budget_rolls_back() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    // The margin lets it pass; the budget does not.
    let plan =
        plan(0.4, "  - {metric: error_rate, margin: 0.3}\n") + "budget: {extra_errors: 40}\n";
    client.apply(&cluster.plan(&plan)?).await?;
    let (traffic, _) = cluster.load(&Load::default())?;
    warm(&client).await?;
    cluster.fault("v2", r#"{"error_rate": 0.15}"#).await?;
    let rollout = rolled_back(&client).await?;
    assert_eq!(rollout.cause(), Cause::Budget, "{rollout:#?}");
    let decision = rollout.decision.unwrap_or_default();
    assert!(
        decision.extra_errors_lower >= decision.extra_errors_budget,
        "{decision:#?}"
    );
    assert_eq!(traffic.stop().await.errors, 0);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn an_unreachable_canary_hurts_nobody() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    client.apply(&cluster.plan(&plan(0.3, ERRORS))?).await?;
    let (traffic, _) = cluster.load(&Load::default())?;
    warm(&client).await?;
    let replacement = cluster.spare_model_server().await?;
    std::mem::replace(&mut cluster.canary, replacement)
        .kill()
        .await?;
    let rollout = rolled_back(&client).await?;
    assert!(
        matches!(rollout.cause(), Cause::Breaker | Cause::Guardrail),
        "{rollout:#?}"
    );
    assert_eq!(traffic.stop().await.errors, 0);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn an_outage_of_both_variants_is_not_the_canarys_fault() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    client.apply(&cluster.plan(&plan(0.3, ERRORS))?).await?;
    let (traffic, _) = cluster.load(&Load::default())?;
    warm(&client).await?;
    for version in ["v1", "v2"] {
        cluster.fault(version, r#"{"error_rate": 0.3}"#).await?;
    }
    let more = client
        .get(MODEL)
        .await?
        .traffic
        .unwrap_or_default()
        .stable_requests
        + 2000;
    let seen = |rollout: &v1::Rollout| {
        rollout
            .traffic
            .is_some_and(|traffic| traffic.stable_requests > more)
    };
    let rollout = client
        .until(MODEL, "2000 more requests", LIMIT, seen)
        .await?;
    assert_ne!(rollout.state(), State::RolledBack, "{rollout:#?}");
    drop(traffic);
    cluster.finish().await
}

fn now() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

fn seconds(time: Option<&prost_types::Timestamp>) -> f64 {
    time.map_or(0.0, |time| {
        time.seconds as f64 + f64::from(time.nanos) / 1e9
    })
}
