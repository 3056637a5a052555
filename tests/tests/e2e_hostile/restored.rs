//! An older store over a fleet that has seen a newer one.

use super::*;
use anyhow::Context as _;
use serinus_proto::v1::{Cause, State};
use serinus_tests::client::Verb;
use serinus_tests::eventually::eventually;
use serinus_tests::load::Load;
use serinus_tests::oracle::trace::Fault;
use serinus_tests::process::ran;
use std::path::Path;

/// The rollback came after the backup: restored, the rollout is back, and its canary is not.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_backup_over_a_live_fleet_brings_no_canary_back() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    let id = client.apply(&cluster.plan(STAYS)?).await?.id;
    let (traffic, _) = cluster.load(&Load::default())?;
    warm(&client, 2).await?;
    let file = cluster.folder.path().join("copy.backup");
    let server = format!("http://{}", cluster.grpc());
    let file = file.to_str().context("a path of text")?;
    ran("serinus", ["--server", &server, "backup", file]).await?;
    client.command(Verb::Pause, &id, "for a look").await?;
    client.command(Verb::Rollback, &id, "no good").await?;
    let gone = eventually("nobody has the canary", LIMIT, || async {
        Ok((in_force(&cluster).await? == [0, 0]).then_some(()))
    });
    gone.await?;
    cluster.kill_control_plane().await?;
    cluster.read_log().await?;
    let data = cluster.data_dir();
    std::fs::rename(&data, cluster.folder.path().join("lost"))?;
    let into = data.to_str().context("a path of text")?;
    ran("serinus", ["restore", file, "--data-dir", into]).await?;
    cluster.start_control_plane().await?;
    // The sidecars know better than the store: they tell that it was rolled back.
    let back = client.until(&id, "it is rolled back again", LIMIT, |rollout| {
        rollout.state() == State::RolledBack
    });
    let rollout = back.await?;
    ensure!(rollout.reason.contains("latched at"), "{rollout:#?}");
    ensure!(rollout.fence.unwrap_or_default().generation == 2);
    let before = traffic.snapshot();
    let after = eventually("300 more answers", LIMIT, || async {
        Ok(Some(traffic.snapshot()).filter(|now| now.ended > before.ended + 300))
    });
    ensure!(after.await?.variant("v2").requests == before.variant("v2").requests);
    ensure!(in_force(&cluster).await? == [0, 0]);
    let kinds = never_above(&client, 0.2).await?;
    ensure!(kinds.iter().any(|kind| matches!(kind, Kind::Restored(_))));
    ensure!(kinds.iter().any(|kind| held(kind, Cause::Restored)));
    ensure!(traffic.stop().await.errors == 0);
    cluster.finish().await
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let into = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &into)?;
        } else {
            std::fs::copy(entry.path(), into)?;
        }
    }
    Ok(())
}

/// A copy of the directory, put back by hand: no new generation, so the fleet holds later instructions than it has.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn an_older_store_without_a_new_generation_raises_nothing() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    let id = client.apply(&cluster.plan(STAYS)?).await?.id;
    let (traffic, _) = cluster.load(&Load::default())?;
    warm(&client, 2).await?;
    cluster.kill_control_plane().await?;
    let (data, old) = (cluster.data_dir(), cluster.folder.path().join("old"));
    copy(&data, &old)?;
    cluster.start_control_plane().await?;
    warm(&client, 2).await?;
    // Lower than the old store knows of.
    let split = [("v2".to_owned(), 0.05), ("v1".to_owned(), 0.95)];
    let lower = v1::SetSplitRequest {
        rollout: id.clone(),
        request_id: serinus_tests::client::request_id(),
        split: split.into(),
        reason: "careful".into(),
        ..v1::SetSplitRequest::default()
    };
    client.rollouts().set_split(lower).await?;
    let lowered = eventually("everybody has the lower split", LIMIT, || async {
        Ok((in_force(&cluster).await? == [50_000, 50_000]).then_some(()))
    });
    lowered.await?;
    cluster.kill_control_plane().await?;
    std::fs::rename(&data, cluster.folder.path().join("newer"))?;
    std::fs::rename(&old, &data)?;
    cluster.trace.fault(Fault::Rewound, "control-plane");
    cluster.start_control_plane().await?;
    let stopped = client.until(&id, "it holds", LIMIT, |rollout| {
        (rollout.state(), rollout.cause()) == (State::Held, Cause::FenceRegression)
    });
    stopped.await?;
    let request = v1::PromoteRequest {
        rollout: id.clone(),
        request_id: serinus_tests::client::request_id(),
        expected_revision: client.get(&id).await?.revision,
        reason: "hurry".into(),
        force: true,
        ..v1::PromoteRequest::default()
    };
    let refused = client.rollouts().promote(request).await;
    let refused = refused.err().context("a promotion")?;
    ensure!(refused.message().contains("generation"), "{refused}");
    ensure!(in_force(&cluster).await? == [50_000, 50_000]);
    let kinds = never_above(&client, 0.2).await?;
    ensure!(
        kinds
            .iter()
            .any(|kind| matches!(kind, Kind::FenceRegressed(_)))
    );
    ensure!(traffic.stop().await.errors == 0);
    cluster.finish().await
}
