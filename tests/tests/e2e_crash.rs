//! Kills in mid-rollout: nothing acknowledged is lost, nobody is moved, nobody sees an error. Run by `tests/run`.

use anyhow::{Result, ensure};
use serinus_proto::v1::{self, Cause, State};
use serinus_tests::client::{Client, Verb};
use serinus_tests::cluster::{Cluster, MODEL};
use serinus_tests::eventually::eventually;
use serinus_tests::load::Load;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

const PLAN: &str = "
steps:
  - {split: {v2: 0.3, v1: 0.7}, min_duration: 1h}
  - {split: {v2: 1.0}}
guardrails:
  - {metric: error_rate, margin: 0.02}
";

/// Kills in a row; `SERINUS_KILLS` raises it.
fn kills() -> u32 {
    std::env::var("SERINUS_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(8)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn the_control_plane_can_be_killed_at_any_time() -> Result<()> {
    let mut cluster = Cluster::start(3).await?;
    let client = cluster.client()?;
    let id = client.apply(&cluster.plan(PLAN)?).await?.id;
    let duration = Duration::from_secs(60 + u64::from(kills()) * 40);
    let (traffic, moves) = cluster.load(&Load {
        duration,
        ..Load::default()
    })?;
    let mut acknowledged: Vec<(String, u64)> = Vec::new();
    let (mut epoch, mut revision, mut requests) = (0, 0, 0);
    for round in 0..kills() {
        // A command whose answer came is on disk: it is killed right behind it.
        let verb = if pauses(round) {
            Verb::Pause
        } else {
            Verb::Resume
        };
        let (request, answer) = client
            .command(verb, MODEL, &format!("round {round}"))
            .await?;
        acknowledged.push((request.request_id.clone(), answer.revision));
        cluster.kill_control_plane().await?;
        cluster.start_control_plane().await?;
        let back = client.until(&id, "it is back with its sidecars", LIMIT, |rollout| {
            rollout
                .fleet
                .as_ref()
                .is_some_and(|fleet| fleet.connected == 3 && fleet.current == 3)
        });
        let rollout = back.await?;
        ensure!(
            rollout.epoch >= epoch,
            "epoch went from {epoch} to {}",
            rollout.epoch
        );
        ensure!(
            rollout.revision >= revision,
            "revision went from {revision} to {}",
            rollout.revision
        );
        let wanted = if pauses(round) {
            State::Paused
        } else {
            State::Running
        };
        ensure!(
            rollout.state() == wanted,
            "round {round}: {:?}",
            rollout.state()
        );
        (epoch, revision) = (rollout.epoch, rollout.revision);
        // The same command again is the same answer: it was not lost, and is not done twice.
        let done = commands_done(&client).await?;
        let again = client.send(verb, request).await?;
        ensure!(again.state() == wanted);
        ensure!(
            commands_done(&client).await? == done,
            "a command was done twice"
        );
        let counted = client
            .until(&id, "reports flow again", LIMIT, |rollout| {
                total(rollout) > requests
            })
            .await?;
        requests = total(&counted);
    }
    let revisions: Vec<u64> = client
        .events_after(0)
        .await?
        .iter()
        .map(|event| event.revision)
        .collect();
    for (request_id, revision) in &acknowledged {
        ensure!(
            revisions.contains(revision),
            "{request_id} at {revision} is lost"
        );
    }
    let whole: Vec<u64> = (1..=revisions.len() as u64).collect();
    ensure!(revisions == whole, "the log has a hole");
    let stats = traffic.snapshot();
    let counted = client.until(&id, "every request is counted", LIMIT, |rollout| {
        total(rollout) + 50 >= stats.ended
    });
    let counted = total(&counted.await?);
    let stats = traffic.stop().await;
    ensure!(
        counted <= stats.ended,
        "{counted} counted of {}",
        stats.ended
    );
    ensure!(stats.errors == 0, "users saw errors: {stats:#?}");
    ensure!(
        moves.away_from("v2").is_empty(),
        "users were moved: {:?}",
        moves.away_from("v2")
    );
    println!(
        "{} kills, {} commands, {} requests, {counted} counted",
        kills(),
        acknowledged.len(),
        stats.ended
    );
    cluster.finish().await
}

/// Events that the operator's commands made; the control plane writes others meanwhile.
async fn commands_done(client: &Client) -> Result<usize> {
    let mut events = client.events_after(0).await?;
    events.retain(|event| event.actor == "operator");
    Ok(events.len())
}

/// Pause and resume take turns.
fn pauses(round: u32) -> bool {
    round.is_multiple_of(2)
}

fn total(rollout: &v1::Rollout) -> u64 {
    rollout.traffic.map_or(0, |traffic| {
        traffic.stable_requests + traffic.canary_requests
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_sidecar_that_restarts_keeps_everybody_where_they_were() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    client.apply(&cluster.plan(PLAN)?).await?;
    let (traffic, moves) = cluster.load(&Load::default())?;
    let current = |rollout: &v1::Rollout| {
        let fleet = rollout.fleet.clone().unwrap_or_default();
        fleet.connected == 2 && fleet.current == 2 && rollout.achieved_share.unwrap_or(0.0) > 0.2
    };
    client
        .until(MODEL, "traffic on the canary", LIMIT, current)
        .await?;
    // Without its control plane, so that all it knows is on its disk.
    cluster.kill_control_plane().await?;
    for number in 0..2 {
        cluster.kill_sidecar(number).await?;
        cluster.restart_sidecar(number).await?;
    }
    let before = traffic.snapshot().variant("v2").requests;
    let served = eventually("the canary serves after the restart", LIMIT, || async {
        Ok((traffic.snapshot().variant("v2").requests > before + 100).then_some(()))
    });
    served.await?;
    cluster.start_control_plane().await?;
    client
        .until(MODEL, "everybody is back", LIMIT, current)
        .await?;
    assert!(
        moves.away_from("v2").is_empty(),
        "users were moved: {:?}",
        moves.away_from("v2")
    );
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_rolled_back_canary_stays_dead_over_every_restart() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let client = cluster.client()?;
    let id = client.apply(&cluster.plan(PLAN)?).await?.id;
    let (traffic, _) = cluster.load(&Load::default())?;
    let seen = |rollout: &v1::Rollout| rollout.achieved_share.unwrap_or(0.0) > 0.2;
    client
        .until(&id, "traffic on the canary", LIMIT, seen)
        .await?;
    client.command(Verb::Rollback, &id, "abort").await?;
    let gone = eventually("the sidecar has heard of it", LIMIT, || async {
        let before = traffic.snapshot();
        let after = eventually("100 requests", LIMIT, || async {
            Ok(Some(traffic.snapshot()).filter(|stats| stats.ended > before.ended + 100))
        });
        Ok((after.await?.variant("v2").requests == before.variant("v2").requests).then_some(()))
    });
    gone.await?;
    cluster.kill_control_plane().await?;
    cluster.kill_sidecar(0).await?;
    cluster.restart_sidecar(0).await?;
    let before = traffic.snapshot();
    let after = eventually("200 answers", LIMIT, || async {
        Ok(Some(traffic.snapshot())
            .filter(|stats| stats.variant("v1").requests > before.variant("v1").requests + 200))
    });
    assert_eq!(
        after.await?.variant("v2").requests,
        before.variant("v2").requests
    );
    cluster.start_control_plane().await?;
    let rollout = client
        .until(&id, "the control plane is back", LIMIT, |_| true)
        .await?;
    assert_eq!(
        (rollout.state(), rollout.cause()),
        (State::RolledBack, Cause::Operator)
    );
    cluster.finish().await
}
