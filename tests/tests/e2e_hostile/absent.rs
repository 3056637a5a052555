//! Away for longer than the lease.

use super::*;
use serinus_tests::client::Verb;
use serinus_tests::eventually::eventually;
use serinus_tests::load::Load;

/// A lease is 60 s.
const PAST_THE_LEASE: Duration = Duration::from_secs(100);

/// Waits until a sidecar's lease stands so.
async fn lease(cluster: &Cluster, number: usize, standing: &str) -> Result<()> {
    let of = &cluster.sidecars[number];
    let found = eventually(standing, PAST_THE_LEASE, || async {
        let held = cluster.trace.look(&of.name, &of.admin).await;
        Ok(held.ok().filter(|held| held.lease == standing))
    });
    let held = found.await?;
    ensure!(
        held.shares.values().sum::<u32>() <= 200_000,
        "more than it had: {held:?}"
    );
    Ok(())
}

/// Everybody is stopped but one sidecar; then the other sidecar goes on alone, and the control plane last.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn whoever_was_away_for_longer_than_the_lease_raises_nothing() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    // It would move on as soon as it is looked at with what came in meanwhile, were it not for the approval.
    let plan = STAYS.replace(
        "min_duration: 1h",
        "min_duration: 1s, approval: {timeout: 2h, then: hold}",
    );
    let id = client.apply(&cluster.plan(&plan)?).await?.id;
    // Slow, for it lasts long.
    let (traffic, moves) = cluster.load(&Load {
        rate: 60.0,
        ..Load::default()
    })?;
    warm(&client, 2).await?;
    let asks = |rollout: &v1::Rollout| rollout.approval_deadline.is_some();
    client.until(&id, "it asks", LIMIT, asks).await?;
    cluster.stop_sidecar(1, true).await?;
    cluster.stop_control_plane(true).await?;
    lease(&cluster, 0, "frozen").await?;
    cluster.stop_sidecar(1, false).await?;
    // The time for which it stood still counts.
    lease(&cluster, 1, "frozen").await?;
    ensure!(in_force(&cluster).await? == [200_000, 200_000]);
    cluster.stop_control_plane(false).await?;
    for number in 0..2 {
        lease(&cluster, number, "fresh").await?;
    }
    let rollout = warm(&client, 2).await?;
    ensure!((rollout.epoch, rollout.step) == (1, 0), "{rollout:#?}");
    ensure!(in_force(&cluster).await? == [200_000, 200_000]);
    never_above(&client, 0.2).await?;
    // What it was stopped in the middle of goes on: the approval is taken, and then it moves.
    client.command(Verb::Approve, &id, "it is back").await?;
    client
        .until(&id, "the next step", LIMIT, |rollout| rollout.step == 1)
        .await?;
    // The log says what raised it: a person, after the control plane was back.
    let kinds = kinds(&client).await?;
    let place = |wanted: fn(&Kind) -> bool| kinds.iter().position(wanted);
    let approved = place(|kind| matches!(kind, Kind::Approved(_)));
    let raised = place(|kind| matches!(kind, Kind::SplitChanged(of) if of.epoch == 2));
    ensure!(approved.is_some() && approved < raised, "{kinds:#?}");
    ensure!(moves.away_from("v2").is_empty(), "{moves:?}");
    traffic.stop().await;
    cluster.finish().await
}
