//! Who reports: incarnations, issuers, reconnections.

use super::*;

#[tokio::test]
async fn what_comes_before_the_first_report_is_asked_for() -> Result<()> {
    let mut world = world(17).await?;
    world.apply(PLAN).await?;
    world.push().await?;
    world.traffic();
    world.traffic();
    let [first, second] = &world.sidecars[0].unacknowledged.clone()[..] else {
        anyhow::bail!("two reports");
    };
    let ack = world.send(0, second.clone()).await?;
    assert_eq!(
        (ack.committed_seq, ack.resend, ack.resend_after),
        (0, true, 0)
    );
    for report in [first, second] {
        assert_eq!(
            world.send(0, report.clone()).await?.committed_seq,
            report.seq
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_number_that_was_given_is_never_given_again() -> Result<()> {
    let mut world = World::new(Disk::default(), "digits", 0, 18).await?;
    let report = |name: &str, seq| v1::ReportRequest {
        sidecar: name.into(),
        incarnation: 1,
        seq,
        ..v1::ReportRequest::default()
    };
    // The first thing that is heard of it is refused; what is heard next is not news any more.
    for report in [report("a", 2), report("a", 1)] {
        let handle = world.handle.clone();
        world
            .with(async move { handle.report(report).await })
            .await?;
    }
    assert_eq!(world.store.load()?.meta.last_issuer, 1);
    world.start()?;
    let handle = world.handle.clone();
    let other = report("b", 1);
    world
        .with(async move { handle.report(other).await })
        .await?;
    let sources = world.store.load()?.sources;
    let mut issuers: Vec<u64> = sources.iter().map(|source| source.issuer).collect();
    issuers.sort_unstable();
    assert_eq!(issuers, [1, 2]);
    Ok(())
}

#[tokio::test]
async fn two_sidecars_may_draw_the_same_incarnation() -> Result<()> {
    let mut world = World::new(Disk::default(), "digits", 0, 10).await?;
    let mut issuers = Vec::new();
    for name in ["a", "b"] {
        let hello = v1::Hello {
            sidecar: name.into(),
            incarnation: 5,
            protocol: 1,
            models: vec!["digits".into()],
            ..v1::Hello::default()
        };
        let handle = world.handle.clone();
        let session = world
            .with(async move { handle.attach(hello).await })
            .await?;
        issuers.push(session.context("stopping")?.welcome.issuer);
    }
    assert_ne!(issuers[0], issuers[1]);
    let id = world.apply(PLAN).await?.id;
    for (name, n) in [("a", 3), ("b", 4)] {
        let report = v1::ReportRequest {
            sidecar: name.into(),
            incarnation: 5,
            seq: 1,
            finished_before: world.now_ms / 1000,
            cells: vec![v1::Cell {
                rollout: id.clone(),
                epoch: 1,
                second: world.now_ms / 1000 - 1,
                variants: vec![v1::VariantCell {
                    variant: "v1".into(),
                    ok: n,
                    ..v1::VariantCell::default()
                }],
                model: String::new(),
            }],
            keys: Vec::new(),
        };
        let handle = world.handle.clone();
        world
            .with(async move { handle.report(report).await })
            .await?;
    }
    world.start()?;
    let traffic = world.rollout()?.traffic.unwrap_or_default();
    assert_eq!(traffic.stable_requests, 7);
    Ok(())
}

#[tokio::test]
async fn one_refusal_is_one_event_however_often_the_sidecar_reconnects() -> Result<()> {
    let mut world = world(11).await?;
    world.sidecars[1].refuses = true;
    world.apply(PLAN).await?;
    for _ in 0..20 {
        world.run(1).await?;
        world.detach(1).await?;
        world.attach(1).await?;
    }
    let rejected = |kind: &Kind| matches!(kind, Kind::AssignmentRejected(_));
    assert_eq!(count(&world, rejected).await?, 1);
    assert_eq!(world.rollout()?.cause(), v1::Cause::Nacked);
    world.sidecars[1].refuses = false;
    world.detach(1).await?;
    world.attach(1).await?;
    world.run(2).await?;
    assert_eq!(world.rollout()?.state(), State::Running);
    Ok(())
}

#[tokio::test]
async fn sidecars_that_have_gone_are_forgotten_and_their_predictions_are_not() -> Result<()> {
    let mut world = world(12).await?;
    world
        .apply(&format!(
            "{PLAN}  - {{metric: accuracy, margin: 0.05, label_window: 2h}}\n"
        ))
        .await?;
    world.trouble.labelled = 1.0;
    world.trouble.label_after_ms = 4_000_000;
    world.run(2).await?;
    for number in 1..3 {
        world.detach(number).await?;
    }
    world.now_ms += 3_599_000;
    world.turn().await?;
    assert_eq!(world.handle.views().sidecars.len(), 3);
    world.now_ms += 1_001;
    world.turn().await?;
    assert_eq!(world.handle.views().sidecars.len(), 1);
    let items: Vec<_> = world.labels.iter().map(|of| of.outcome.clone()).collect();
    let n = items.len();
    let statuses = world.send_labels(items).await?;
    assert_eq!(statuses, vec![v1::OutcomeStatus::Joined; n]);
    Ok(())
}
