//! Too little room on the disk.

use super::*;
use serinus_tests::world::Fault;

#[tokio::test]
async fn a_full_disk_stops_everything_but_the_way_back() -> Result<()> {
    let mut world = world(31).await?;
    let id = world.apply(PLAN).await?.id;
    world.run(2).await?;
    let before = world.store.last_revision();
    let counted = world.rollout()?.traffic.context("traffic")?.stable_requests;
    world.store.fill(true);
    for _ in 0..8 {
        world.push().await?;
        world.traffic();
        let report = world.sidecars[0].unacknowledged[0].clone();
        ensure!(world.send(0, report).await.is_err(), "a report was taken");
        ensure!(world.is_up(), "the engine has ended");
    }
    assert_eq!(world.store.last_revision(), before);
    assert_eq!(world.rollout()?.step, 0);
    let refused = world.command(verb(Verb::Resume, "resume")).await?;
    ensure!(refused.is_err(), "{refused:?}");
    let mut plan = world.rollout()?.plan.clone().context("plan")?;
    plan.model = "other".into();
    let apply = v1::ApplyRequest {
        request_id: "other".into(),
        plan: Some(plan),
        ..v1::ApplyRequest::default()
    };
    let refused = world.command(Command::Apply(apply)).await?;
    let Err(CommandError::Full(why)) = refused else {
        anyhow::bail!("{refused:?}");
    };
    ensure!(why.to_string().contains("Free some space"), "{why}");
    ensure!(world.handle.shortage().is_some(), "nobody is told");
    world.store.fill(false);
    world.run(1).await?;
    let now = world.rollout()?.traffic.context("traffic")?.stable_requests;
    ensure!(now > counted, "{now} after {counted}: reports are lost");
    ensure!(world.handle.shortage().is_none(), "the shortage goes on");
    world.store.fill(true);
    let back = world.command(verb(Verb::Rollback, "back")).await??;
    assert_eq!(back.state(), State::RolledBack);
    world.start()?;
    assert_eq!(
        world.handle.views().find(&id).context("it")?.state(),
        State::RolledBack
    );
    Ok(())
}

#[tokio::test]
async fn what_was_decided_before_the_disk_was_full_waits_for_room() -> Result<()> {
    let mut world = world(32).await?;
    world.apply(PLAN).await?;
    world.run(2).await?;
    let before = world.store.last_revision();
    let shown = world.rollout()?.revision;
    // Found only by the commit, when everything is decided.
    world.store.fail(Fault::Full);
    let handle = world.handle.clone();
    let Command::Verb(_, request) = verb(Verb::Approve, "x") else {
        anyhow::bail!("a verb");
    };
    let promote = v1::PromoteRequest {
        rollout: request.rollout,
        request_id: "promote".into(),
        expected_revision: shown,
        ..v1::PromoteRequest::default()
    };
    let asked = tokio::spawn(async move { handle.command("a", Command::Promote(promote)).await });
    while !asked.is_finished() {
        world.turn().await?;
        let disk = world.store.last_revision();
        ensure!(
            world.rollout()?.revision <= disk,
            "shown before it was on disk"
        );
        tokio::task::yield_now().await;
    }
    let promoted = asked.await??;
    ensure!(
        promoted.step == 1 && world.store.last_revision() > before,
        "{promoted:?}"
    );
    world.run(2).await?;
    world.start()?;
    assert_eq!(world.rollout()?.step, 1);
    Ok(())
}
