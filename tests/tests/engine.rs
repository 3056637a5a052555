//! The real engine over a store in memory, in virtual time.

use anyhow::Result;
use serinus_control_plane::engine::{Command, CommandError, Verb};
use serinus_control_plane::store::Store as _;
use serinus_control_plane::store::memory::Disk;
use serinus_proto::stored::v1::StableHistory;
use serinus_proto::v1::{self, State};
use serinus_tests::world::oracle::Oracle;
use serinus_tests::world::{Behaviour, World};

const PLAN: &str = r#"
model: digits
stable: {name: v1, endpoints: ["http://127.0.0.1:1"]}
canary: {name: v2, endpoints: ["http://127.0.0.1:2"]}
steps:
  - {split: {v2: 0.1, v1: 0.9}, min_duration: 3s}
  - {split: {v2: 0.5, v1: 0.5}, min_duration: 3s}
  - {split: {v2: 1.0}, min_duration: 3s}
bake: {duration: 5s}
guardrails:
  - {metric: error_rate, margin: 0.0025}
  - {metric: latency, ratio: 1.5, slack: 20ms}
"#;

async fn world(seed: u64) -> Result<World> {
    World::new(Disk::default(), "digits", 3, seed).await
}

fn ended(rollout: &v1::Rollout) -> bool {
    matches!(rollout.state(), State::Promoted | State::RolledBack)
}

#[tokio::test]
async fn a_canary_like_stable_is_promoted_step_by_step() -> Result<()> {
    let mut world = world(1).await?;
    world.apply(PLAN).await?;
    assert!(
        world.run_until(600, ended).await?,
        "{:#?}",
        world.rollout()?
    );
    assert_eq!(
        world.rollout()?.state(),
        State::Promoted,
        "{:#?}",
        world.rollout()?
    );
    let steps = world
        .handle
        .events(0, 1000)
        .await?
        .into_iter()
        .filter_map(|event| match event.kind {
            Some(v1::event::Kind::StepEntered(entered)) => Some(entered.step),
            _ => None,
        });
    assert_eq!(steps.collect::<Vec<_>>(), [0, 1, 2]);
    let views = world.handle.views();
    assert_eq!(
        views.models["digits"]
            .stable
            .as_ref()
            .map(|v| v.name.as_str()),
        Some("v2")
    );
    Ok(())
}

#[tokio::test]
async fn a_canary_that_fails_more_is_rolled_back_with_its_evidence() -> Result<()> {
    let mut world = world(2).await?;
    world.canary = Behaviour {
        error_rate: 0.05,
        latency_ms: 20.0,
    };
    world.apply(PLAN).await?;
    assert!(world.run_until(300, ended).await?);
    let rollout = world.rollout()?;
    assert_eq!(
        (rollout.state(), rollout.cause()),
        (State::RolledBack, v1::Cause::Guardrail)
    );
    let decision = rollout.decision.clone().unwrap_or_default();
    let errors = &decision.guardrails[0];
    assert_eq!(errors.verdict(), v1::Verdict::Harmful, "{decision:#?}");
    assert!(
        errors.log_e_rollback >= errors.log_threshold_rollback
            || decision.log_e_rollback >= decision.log_threshold
    );
    assert!(errors.canary_value > errors.stable_value);
    Ok(())
}

#[tokio::test]
async fn a_model_without_traffic_is_never_promoted() -> Result<()> {
    let mut world = world(3).await?;
    world.rate = 0;
    world
        .apply(&format!(
            "{PLAN}on_no_evidence: {{after: 60s, then: hold}}\n"
        ))
        .await?;
    world.run(50).await?;
    assert_eq!(world.rollout()?.step, 0);
    assert!(
        world
            .run_until(30, |rollout| rollout.state() == State::Held)
            .await?
    );
    assert_eq!(world.rollout()?.cause(), v1::Cause::NoEvidence);
    world.run(200).await?;
    let rollout = world.rollout()?;
    assert_eq!((rollout.state(), rollout.step), (State::Held, 0));
    let verdicts = rollout.decision.clone().unwrap_or_default().guardrails;
    assert!(
        verdicts
            .iter()
            .all(|guardrail| guardrail.verdict() == v1::Verdict::NoEvidence)
    );
    Ok(())
}

#[tokio::test]
async fn a_crash_changes_nothing() -> Result<()> {
    let mut steady = world(4).await?;
    let mut crashing = world(4).await?;
    for world in [&mut steady, &mut crashing] {
        world.apply(PLAN).await?;
    }
    for second in 0..30 {
        steady.run(1).await?;
        crashing.run(1).await?;
        if second % 3 == 1 {
            crashing.crash().await?;
        }
        let (left, right) = (steady.rollout()?, crashing.rollout()?);
        let evidence = |rollout: &v1::Rollout| {
            rollout
                .decision
                .as_ref()
                .map(|d| (d.slices, d.guardrails.clone()))
        };
        assert_eq!(
            (left.step, left.epoch, left.state),
            (right.step, right.epoch, right.state),
            "second {second}"
        );
        assert_eq!(evidence(&left), evidence(&right), "second {second}");
        assert_eq!(
            left.traffic
                .map(|t| (t.stable_requests, t.canary_requests, t.canary_errors)),
            right
                .traffic
                .map(|t| (t.stable_requests, t.canary_requests, t.canary_errors)),
        );
    }
    Ok(())
}

/// What was stored of stable with each rollout, oldest first.
fn known(world: &World) -> Result<Vec<Option<StableHistory>>> {
    let records = world.store.records(0, usize::MAX)?.into_iter();
    let created = records.filter(|record| {
        let kind = record.event.as_ref().and_then(|event| event.kind.as_ref());
        matches!(kind, Some(v1::event::Kind::Created(_)))
    });
    Ok(created.map(|record| record.stable_history).collect())
}

#[tokio::test]
async fn a_rollout_begins_with_what_stable_did_before_it() -> Result<()> {
    let mut world = world(7).await?;
    world.stable.error_rate = 0.2;
    world.run(90).await?;
    world.apply(PLAN).await?;
    let stored = known(&world)?.remove(0).unwrap_or_default();
    // The newest second may not have been reported by everybody.
    assert_eq!(stored.requests, [500; 89]);
    let errors = stored.errors.iter().sum::<u64>() as f64;
    assert!((errors / (89.0 * 500.0) - 0.2).abs() < 0.02, "{errors}");
    let timed: u64 = stored.latency.unwrap_or_default().counts.iter().sum();
    assert!((60 * 500..=71 * 500).contains(&timed), "{timed}");
    let mut oracle = Oracle::default();
    for _ in 0..4 {
        world.run(3).await?;
        oracle.follow(&world)?;
        oracle.replay(&world)?;
        world.crash().await?;
    }
    let others = world.store.records(0, usize::MAX)?.len() - 1;
    let without = world.store.records(0, usize::MAX)?.into_iter();
    let without = without.filter(|record| record.stable_history.is_none());
    assert_eq!(without.count(), others, "it is stored once");
    Ok(())
}

#[tokio::test]
async fn stable_is_known_on_after_a_rollback_and_anew_after_a_promotion() -> Result<()> {
    let mut world = world(8).await?;
    world.canary.error_rate = 1.0;
    world.apply(PLAN).await?;
    assert!(world.run_until(30, ended).await?);
    world.run(20).await?;
    world.canary = world.stable;
    world.apply(PLAN).await?;
    let begun = known(&world)?.remove(1).unwrap_or_default();
    assert!(begun.requests.len() > 20, "{begun:?}");
    assert_eq!(begun.requests.last(), Some(&500));
    assert!(
        begun.errors.iter().sum::<u64>() < 500,
        "stable's own: {begun:?}"
    );
    assert!(world.run_until(600, ended).await?);
    assert_eq!(world.rollout()?.state(), State::Promoted);
    world.run(12).await?;
    let next = PLAN.replace("v2", "v3").replace("v1", "v2");
    world.apply(&next).await?;
    let anew = known(&world)?.remove(2).unwrap_or_default();
    assert!((11..=13).contains(&anew.requests.len()), "{anew:?}");
    Ok(())
}

const AUTO: &str = r#"
model: digits
stable: {name: v1, endpoints: ["http://127.0.0.1:1"]}
canary: {name: v2, endpoints: ["http://127.0.0.1:2"]}
ramp: auto
failure: {attempt_timeout: 1s}
bake: {duration: 5s}
guardrails:
  - {metric: error_rate, margin: 0.0025}
  - {metric: latency, ratio: 1.5, slack: 20ms}
"#;

#[tokio::test]
async fn an_automatic_ramp_begins_by_the_traffic_and_follows_the_evidence() -> Result<()> {
    let mut world = world(9).await?;
    world.run(30).await?;
    // So long at each step, and with so wide a margin, that the evidence is ahead.
    let auto = AUTO
        .replace("auto", "{min_duration: 15s}")
        .replace("0.0025", "0.02");
    let rollout = world.apply(&auto).await?;
    let plan = rollout.plan.clone().unwrap_or_default();
    let choice = plan.ramp.as_ref().and_then(|ramp| ramp.choice);
    let choice = choice.unwrap_or_default();
    assert!(
        (choice.requests_per_second - 500.0).abs() < 1e-9,
        "{choice:?}"
    );
    assert!(!choice.assumed && choice.first_share == 0.015, "{choice:?}");
    assert_eq!(rollout.split["v2"], 0.015);
    world.run(3).await?;
    // The same plan again, at another rate, is the rollout that is active.
    world.rate = 900;
    world.run(20).await?;
    assert_eq!(world.apply(&auto).await?.id, rollout.id);
    world.crash().await?;
    assert!(world.run_until(600, ended).await?);
    assert_eq!(
        world.rollout()?.state(),
        State::Promoted,
        "{:#?}",
        world.rollout()?
    );
    let events = world.handle.events(0, 1000).await?;
    let passed = events.iter().any(|event| match &event.kind {
        Some(v1::event::Kind::DecisionMade(made)) => {
            let decision = made.decision.as_ref();
            decision.is_some_and(|of| of.sentence.contains("passed over"))
        }
        _ => false,
    });
    assert!(passed, "{events:#?}");
    Ok(())
}

#[tokio::test]
async fn an_automatic_ramp_of_unknown_traffic_is_cautious_and_a_dead_canary_has_few_victims()
-> Result<()> {
    let mut world = world(10).await?;
    let rollout = world.apply(AUTO).await?;
    assert_eq!(rollout.split["v2"], 0.01);
    world.rate = 5_000;
    world.run(20).await?;
    let request = v1::CommandRequest {
        rollout: "digits".into(),
        request_id: "back".into(),
        ..v1::CommandRequest::default()
    };
    world
        .command(Command::Verb(Verb::Rollback, request))
        .await??;
    world.run(60).await?;
    world.canary.error_rate = 1.0;
    let rollout = world.apply(AUTO).await?;
    assert_eq!(rollout.split["v2"], 0.0015);
    assert!(world.run_until(30, ended).await?);
    let back = world.rollout()?;
    assert_eq!(back.state(), State::RolledBack);
    let victims = back.traffic.unwrap_or_default().canary_errors;
    assert!((5..=45).contains(&victims), "{victims}");
    Ok(())
}

#[tokio::test]
async fn reports_count_once_whatever_the_network_does() -> Result<()> {
    let mut world = world(5).await?;
    world.apply(PLAN).await?;
    world.run(5).await?;
    let before = world.rollout()?.traffic.unwrap_or_default();
    assert_eq!((before.stable_requests, before.canary_requests), world.sent);
    // Everything again, and one with a gap before it.
    let incarnation = world.sidecars[0].incarnation;
    let report = |seq| v1::ReportRequest {
        sidecar: "sidecar-0".into(),
        incarnation,
        seq,
        finished_before: 0,
        ..v1::ReportRequest::default()
    };
    for seq in 1..=5 {
        let handle = world.handle.clone();
        let ack = world
            .with(async move { handle.report(report(seq)).await })
            .await?
            .unwrap_or_default();
        assert_eq!((ack.committed_seq, ack.resend), (5, false));
    }
    let handle = world.handle.clone();
    let ack = world
        .with(async move { handle.report(report(9)).await })
        .await?
        .unwrap_or_default();
    assert_eq!((ack.resend, ack.resend_after), (true, 5));
    let after = world.rollout()?.traffic.unwrap_or_default();
    assert_eq!((after.stable_requests, after.canary_requests), world.sent);
    Ok(())
}

#[tokio::test]
async fn a_request_id_is_done_once_even_over_a_crash() -> Result<()> {
    let mut world = world(6).await?;
    world.apply(PLAN).await?;
    world.run(2).await?;
    let pause = |reason: &str| {
        let request = v1::CommandRequest {
            rollout: "digits".into(),
            request_id: "pause-1".into(),
            reason: reason.into(),
            ..v1::CommandRequest::default()
        };
        Command::Verb(Verb::Pause, request)
    };
    let first = world.command(pause("lunch")).await??;
    assert_eq!(first.state(), State::Paused);
    let revision = *world.handle.watch_revision().borrow();
    world.crash().await?;
    let second = world.command(pause("lunch")).await??;
    assert_eq!(
        (second.state(), *world.handle.watch_revision().borrow()),
        (State::Paused, revision)
    );
    let other = world.command(pause("tea")).await?;
    assert!(
        matches!(other, Err(CommandError::RequestIdReused(_))),
        "{other:?}"
    );
    Ok(())
}
