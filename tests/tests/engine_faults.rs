//! What sidecars, clocks, plans and disks do wrong, one at a time.

use anyhow::{Context as _, Result, ensure};
use serinus_common::prediction_id::{IdKey, PredictionId};
use serinus_control_plane::engine::{Command, CommandError, Engine, Verb};
use serinus_control_plane::store::Store as _;
use serinus_control_plane::store::memory::Disk;
use serinus_proto::v1::{self, State};
use serinus_runtime::shutdown;
use serinus_tests::world::{Behaviour, Fragile, World};
use std::sync::Arc;
use v1::event::Kind;

#[path = "engine_faults/identity.rs"]
mod identity;

#[path = "engine_faults/checkpoints.rs"]
mod checkpoints;
#[path = "engine_faults/full_disk.rs"]
mod full_disk;

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
  - {metric: error_rate, margin: 0.01}
  - {metric: latency, ratio: 2, slack: 20ms}
"#;

async fn world(seed: u64) -> Result<World> {
    World::new(Disk::default(), "digits", 3, seed).await
}

fn ended(rollout: &v1::Rollout) -> bool {
    matches!(rollout.state(), State::Promoted | State::RolledBack)
}

fn verb(verb: Verb, request_id: &str) -> Command {
    let request = v1::CommandRequest {
        rollout: "digits".into(),
        request_id: request_id.into(),
        ..v1::CommandRequest::default()
    };
    Command::Verb(verb, request)
}

async fn count(world: &World, of: impl Fn(&Kind) -> bool) -> Result<usize> {
    let events = world.handle.events(0, usize::MAX).await?;
    let kinds = events.iter().filter_map(|event| event.kind.as_ref());
    Ok(kinds.filter(|kind| of(kind)).count())
}

#[tokio::test]
async fn a_plan_that_cannot_be_judged_is_refused_and_not_begun() -> Result<()> {
    let mut world = world(1).await?;
    let step = |step: u32| {
        let share = f64::from(10_000 + 5_000 * step) / 1e6;
        let rest = f64::from(990_000 - 5_000 * step) / 1e6;
        let tolerance = 1.0 + 0.05 * f64::from(step);
        format!("  - {{split: {{v2: {share}, v1: {rest}}}, tolerance: {tolerance}}}\n")
    };
    let steps: String = (0..100).map(step).collect();
    let head = PLAN.find("steps:").context("steps")?;
    let text = format!("{}steps:\n{steps}max_duration: 48h\n", &PLAN[..head]);
    let refused = world.apply(&text).await;
    ensure!(format!("{refused:?}").contains("tolerances"), "{refused:?}");
    world.apply(PLAN).await?;
    world.run(3).await?;
    assert_eq!(world.rollout()?.state(), State::Running);
    Ok(())
}

#[tokio::test]
async fn a_stable_variant_that_no_plan_could_name_is_refused() -> Result<()> {
    let mut world = world(16).await?;
    let cases = [
        ("v 1", "http://127.0.0.1:1", "stable.name"),
        ("", "http://127.0.0.1:1", "stable.name"),
        ("v1", "ftp://127.0.0.1:1", "stable.endpoints[0]"),
        ("v1", "127.0.0.1", "stable.endpoints[0]"),
    ];
    let request = |name: &str, endpoints: Vec<String>| v1::SetStableRequest {
        request_id: format!("{name} {endpoints:?}"),
        model: "digits".into(),
        stable: Some(v1::Variant {
            name: name.into(),
            endpoints,
            ..Default::default()
        }),
        ..v1::SetStableRequest::default()
    };
    for (name, endpoint, path) in cases {
        let handle = world.handle.clone();
        let request = request(name, vec![endpoint.into()]);
        let set = world.with(async move { handle.set_stable("operator", request).await });
        let Err(CommandError::Invalid(violations)) = set.await? else {
            anyhow::bail!("{name:?} at {endpoint} was taken");
        };
        assert_eq!(violations[0].path, path, "{violations:?}");
    }
    for (endpoints, taken) in [
        (Vec::new(), false),
        (vec!["http://127.0.0.1:1".into()], true),
    ] {
        let handle = world.handle.clone();
        let request = request("v1", endpoints);
        let set = world.with(async move { handle.set_stable("operator", request).await });
        assert_eq!(set.await?.is_ok(), taken);
    }
    Ok(())
}

/// Counts and times that cannot be, from one sidecar of three.
fn nonsense(rollout: &str) -> Vec<v1::Cell> {
    let variant = |set: fn(&mut v1::VariantCell)| {
        let mut variant = v1::VariantCell {
            variant: "v2".into(),
            ..v1::VariantCell::default()
        };
        set(&mut variant);
        variant
    };
    let all: [fn(&mut v1::VariantCell); 7] = [
        |v| v.ok = u64::MAX,
        |v| v.diverted = u64::MAX,
        |v| v.overrides = u64::MAX,
        |v| v.unkeyed = u64::MAX,
        |v| v.assigned = (1 << 53) - 1,
        |v| v.rescued = u64::MAX,
        |v| {
            v.latency = Some(v1::Sketch {
                index_deltas: vec![u32::MAX, 1],
                counts: vec![u64::MAX, u64::MAX],
            });
        },
    ];
    let cell = |second, epoch, variants| v1::Cell {
        rollout: rollout.into(),
        epoch,
        second,
        variants,
        model: String::new(),
    };
    let mut cells: Vec<v1::Cell> = all
        .iter()
        .map(|set| cell(1_800_000_001, 1, vec![variant(*set)]))
        .collect();
    let one = || vec![variant(|v| (v.ok, v.assigned) = (1, 1))];
    for second in [0, 1 << 40, u64::MAX / 1000, u64::MAX] {
        cells.push(cell(second, 1, one()));
    }
    for epoch in [0, 2, u64::MAX] {
        cells.push(cell(1_800_000_001, epoch, one()));
    }
    cells.push(v1::Cell {
        rollout: "no such rollout".into(),
        ..cell(1_800_000_001, 1, one())
    });
    for model in ["digits", "no such model"] {
        let of_model = |second, variants| v1::Cell {
            rollout: String::new(),
            model: model.into(),
            ..cell(second, 0, variants)
        };
        cells.extend(
            all.iter()
                .map(|set| of_model(1_800_000_001, vec![variant(*set)])),
        );
        cells.extend([0, u64::MAX].map(|second| of_model(second, one())));
    }
    cells
}

#[tokio::test]
async fn nonsense_in_a_report_harms_nobody() -> Result<()> {
    let mut world = world(2).await?;
    world.trouble.labelled = 0.5;
    world
        .apply(&format!(
            "{PLAN}  - {{metric: accuracy, margin: 0.05, label_window: 5s}}\n"
        ))
        .await?;
    world.run(2).await?;
    let id = world.rollout()?.id.clone();
    for seq in 1..=3 {
        let report = v1::ReportRequest {
            sidecar: "mad".into(),
            incarnation: 77,
            seq,
            finished_before: u64::MAX,
            cells: nonsense(&id),
            keys: vec![v1::KeyStatistics {
                rollout: id.clone(),
                variant: "v2".into(),
                registers: vec![255; 4096],
                ..v1::KeyStatistics::default()
            }],
        };
        world.send(0, report).await?;
        world.run(1).await?;
    }
    world.crash().await?;
    // A report that cannot be true is refused as a whole, and so is what follows from there.
    let traffic = world.rollout()?.traffic.unwrap_or_default();
    assert_eq!(
        (traffic.stable_requests, traffic.canary_requests),
        world.sent
    );
    let quarantined = |kind: &Kind| matches!(kind, Kind::SidecarQuarantined(_));
    assert_eq!(count(&world, quarantined).await?, 1);
    assert_eq!(traffic.exposed_users, 0);
    ensure!(
        world.run_until(900, ended).await?,
        "{:#?}",
        world.rollout()?
    );
    assert_eq!(
        world.rollout()?.state(),
        State::Promoted,
        "{:#?}",
        world.rollout()?
    );
    Ok(())
}

#[tokio::test]
async fn a_first_step_like_the_warm_up_is_judged() -> Result<()> {
    let mut world = world(3).await?;
    world
        .apply(&format!("{PLAN}warmup: {{duration: 5s, share: 0.1}}\n"))
        .await?;
    world.canary.latency_ms = 500.0;
    world.run(5).await?;
    world.canary.latency_ms = 20.0;
    world.crash().await?;
    ensure!(
        world.run_until(900, ended).await?,
        "{:#?}",
        world.rollout()?
    );
    assert_eq!(world.rollout()?.state(), State::Promoted);
    Ok(())
}

#[tokio::test]
async fn wrong_clocks_change_no_decision() -> Result<()> {
    for skew_s in [-86_400, -90, -10, 10, 90, 86_400] {
        for alone in [false, true] {
            let clock = |world: &mut World| {
                let wrong = if alone { 1 } else { 3 };
                for of in &mut world.sidecars[..wrong] {
                    of.clock_ms = skew_s * 1000;
                }
            };
            let mut good = world(4).await?;
            clock(&mut good);
            good.apply(PLAN).await?;
            ensure!(good.run_until(900, ended).await?, "{skew_s} {alone}");
            let rollout = good.rollout()?;
            assert_eq!(rollout.state(), State::Promoted, "{skew_s} {alone}");
            let held = count(&good, |kind| matches!(kind, Kind::Held(_))).await?;
            assert_eq!(held, 0, "{skew_s} {alone}");

            let mut dead = world(4).await?;
            clock(&mut dead);
            dead.apply(PLAN).await?;
            dead.run(3).await?;
            dead.trouble.breaker = true;
            // Only the breakers see it.
            ensure!(dead.run_until(8, ended).await?, "{skew_s} {alone}");
            assert_eq!(dead.rollout()?.cause(), v1::Cause::Breaker);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_slow_model_is_not_rolled_back_by_a_wrong_clock() -> Result<()> {
    let mut world = world(5).await?;
    for of in &mut world.sidecars {
        of.clock_ms = -20_000;
    }
    world.apply(PLAN).await?;
    world.trouble.hangs = true;
    world.run(4).await?;
    world.trouble.hangs = false;
    ensure!(
        world.run_until(900, ended).await?,
        "{:#?}",
        world.rollout()?
    );
    assert_eq!(world.rollout()?.state(), State::Promoted);
    Ok(())
}

#[tokio::test]
async fn a_canary_that_never_answers_is_rolled_back_unless_stable_does_not_either() -> Result<()> {
    for stable_hangs in [false, true] {
        let mut world = world(6).await?;
        world.apply(PLAN).await?;
        world.trouble.hangs = true;
        world.trouble.stable_hangs = stable_hangs;
        world.run(5).await?;
        // A restart does not begin the wait anew.
        world.crash().await?;
        let ended = world.run_until(4, ended).await?;
        assert_eq!(ended, !stable_hangs);
        let cause = world.rollout()?.cause();
        assert_eq!(cause == v1::Cause::NoneFinished, !stable_hangs, "{cause:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_restart_is_no_traffic() -> Result<()> {
    let mut world = world(7).await?;
    world.apply(PLAN).await?;
    world.run(5).await?;
    world.rate = 0;
    let held = |rollout: &v1::Rollout| rollout.cause() == v1::Cause::NoTraffic;
    ensure!(world.run_until(10, held).await?);
    let revision = world.rollout()?.revision;
    world.now_ms += 60_000;
    world.crash().await?;
    world.run(30).await?;
    assert_eq!(world.rollout()?.revision, revision);
    world.rate = 500;
    world.run(2).await?;
    assert_eq!(world.rollout()?.state(), State::Running);
    Ok(())
}

#[tokio::test]
async fn nobody_is_blamed_for_the_time_in_which_nobody_listened() -> Result<()> {
    let mut world = world(8).await?;
    world.apply(PLAN).await?;
    world.run(5).await?;
    world.stop();
    world.now_ms += 3_600_000;
    world.start()?;
    world.turn().await?;
    assert_eq!(world.rollout()?.state(), State::Running);
    world.attach_all().await?;
    world.run(2).await?;
    let held = count(&world, |kind| matches!(kind, Kind::Held(_))).await?;
    assert_eq!(held, 0);
    Ok(())
}

#[tokio::test]
async fn what_comes_for_an_epoch_that_ended_long_ago_is_late_after_a_restart_too() -> Result<()> {
    let mut world = world(9).await?;
    world.trouble.labelled = 1.0;
    world.trouble.label_after_ms = 600_000;
    world
        .apply(&format!(
            "{PLAN}  - {{metric: accuracy, margin: 0.05, label_window: 5s, required: false}}\n"
        ))
        .await?;
    world.run(3).await?;
    let second_step = |rollout: &v1::Rollout| rollout.step == 1;
    ensure!(world.run_until(60, second_step).await?);
    let late = world.sidecars[0].incarnation;
    world.stop();
    world.now_ms += 60_000;
    world.start()?;
    let before = world.rollout()?.traffic.unwrap_or_default();
    let rollout = world.rollout()?.id.clone();
    let report = v1::ReportRequest {
        sidecar: "late".into(),
        incarnation: late,
        seq: 1,
        finished_before: 0,
        cells: vec![v1::Cell {
            rollout,
            epoch: 1,
            second: world.now_ms / 1000 - 62,
            variants: vec![v1::VariantCell {
                variant: "v1".into(),
                ok: 7,
                ..v1::VariantCell::default()
            }],
            model: String::new(),
        }],
        keys: Vec::new(),
    };
    let label = world.labels[world.labels.len() - 1].outcome.clone();
    let handle = world.handle.clone();
    let (report, label) = world
        .with(
            async move { tokio::join!(handle.report(report), handle.record_outcomes(vec![label])) },
        )
        .await?;
    ensure!(report.is_some());
    assert_eq!(label, Some(vec![v1::OutcomeStatus::Expired]));
    let after = world.rollout()?.traffic.unwrap_or_default();
    assert_eq!(before.stable_requests, after.stable_requests);
    Ok(())
}

#[tokio::test]
async fn a_repeated_rollback_does_not_reach_the_next_rollout() -> Result<()> {
    let mut world = world(13).await?;
    world.apply(PLAN).await?;
    world.run(3).await?;
    world.command(verb(Verb::Rollback, "first")).await??;
    // Nothing to do.
    let again = world.command(verb(Verb::Rollback, "second")).await??;
    assert_eq!(again.state(), State::RolledBack);
    let finished = world.rollout()?;
    let next = world.apply(PLAN).await?;
    assert_ne!(next.id, finished.id);
    let again = world.command(verb(Verb::Rollback, "second")).await??;
    assert_eq!(again.id, finished.id);
    assert_eq!(world.rollout()?.state(), State::Running);
    world.start()?;
    let shown = world.handle.views().rollouts[&finished.id].clone();
    let without_fence = |rollout: &v1::Rollout| v1::Rollout {
        fence: None,
        ..rollout.clone()
    };
    assert_eq!(without_fence(&shown), without_fence(&finished));
    Ok(())
}

#[tokio::test]
async fn answers_that_are_not_judged_count_for_nothing() -> Result<()> {
    let mut world = world(14).await?;
    let hello = v1::Hello {
        sidecar: "extra".into(),
        incarnation: 9,
        protocol: 1,
        models: vec!["digits".into()],
        ..v1::Hello::default()
    };
    let handle = world.handle.clone();
    let session = world
        .with(async move { handle.attach(hello).await })
        .await?;
    let welcome = session.context("stopping")?.welcome;
    let plan = format!("{PLAN}  - {{metric: accuracy, margin: 0.05, label_window: 5s}}\n");
    let rollout = world.apply(&plan).await?;
    let key = IdKey {
        id: u8::try_from(welcome.id_key_id)?,
        secret: welcome.id_key.as_slice().try_into()?,
    };
    let outcome = |variant: u8, sequence, row| -> Result<v1::Outcome> {
        let id = PredictionId {
            key_id: key.id,
            rollout: uuid::Uuid::parse_str(&rollout.id)?.into_bytes(),
            epoch: 1,
            variant,
            cluster: 255,
            issuer: u32::try_from(welcome.issuer)?,
            sequence,
            second: u32::try_from(world.now_ms / 1000)?,
        };
        Ok(v1::Outcome {
            prediction_id: id.encode(&key),
            metric: "accuracy".into(),
            value: 1.0,
            row,
        })
    };
    let items = vec![
        outcome(0x80, 1, 0)?,
        outcome(0x81, 2, 0)?,
        outcome(0x81, 2, 0)?,
        outcome(1, 3, 0)?,
        outcome(1, 3, 1)?,
        outcome(0, 3, 1)?,
    ];
    let statuses = world.send_labels(items).await?;
    use v1::OutcomeStatus::{Duplicate, Joined};
    assert_eq!(
        statuses,
        [Joined, Joined, Duplicate, Joined, Joined, Duplicate]
    );
    world.now_ms += 7_000;
    world.turn().await?;
    let pending = world.store.load()?.pending;
    let labels: Vec<_> = pending.into_iter().flat_map(|(_, of)| of.labels).collect();
    let n = |of: fn(&serinus_proto::stored::v1::PendingLabels) -> u64| {
        labels.iter().map(of).sum::<u64>()
    };
    assert_eq!((n(|of| of.canary_labels), n(|of| of.stable_labels)), (2, 0));
    Ok(())
}

#[tokio::test]
async fn a_rollback_behind_a_disk_that_hangs_is_latched() -> Result<()> {
    let store = Arc::new(Fragile::open(Disk::default()));
    let (engine, handle) = Engine::start(store.clone(), "test")?;
    let (trigger, drain) = shutdown::channel();
    let engine = tokio::spawn(engine.run(drain));
    let hello = v1::Hello {
        sidecar: "a".into(),
        incarnation: 1,
        protocol: 1,
        models: vec!["digits".into()],
        ..v1::Hello::default()
    };
    let mut session = handle.attach(hello).await.context("stopping")?;
    let plan = serinus_core::plan::parse(PLAN).map_err(|m| anyhow::anyhow!("{m:?}"))?;
    let request = v1::ApplyRequest {
        request_id: "apply".into(),
        plan: Some(plan),
        ..v1::ApplyRequest::default()
    };
    let rollout = handle.command("operator", Command::Apply(request)).await?;
    store.hang(true);
    // The commit of something else is what hangs.
    let report = v1::ReportRequest {
        sidecar: "a".into(),
        incarnation: 1,
        seq: 1,
        ..v1::ReportRequest::default()
    };
    let reporting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.report(report).await }
    });
    let waiting = store.clone();
    tokio::task::spawn_blocking(move || waiting.wait_for_hanging()).await?;
    let stopping = tokio::spawn({
        let handle = handle.clone();
        async move {
            handle
                .command("operator", verb(Verb::Rollback, "stop"))
                .await
        }
    });
    let latch = session.latches.recv().await?;
    assert_eq!(latch.rollout, rollout.id);
    ensure!(!stopping.is_finished());
    store.hang(false);
    let stopped: Result<v1::Rollout, CommandError> = stopping.await?;
    assert_eq!(stopped?.state(), State::RolledBack);
    ensure!(reporting.await?.is_some());
    trigger.drain();
    engine.await??;
    Ok(())
}

#[tokio::test]
async fn a_latched_sidecar_rolls_the_rollout_back() -> Result<()> {
    let mut world = world(15).await?;
    let id = world.apply(PLAN).await?.id;
    world.run(2).await?;
    world.canary = Behaviour {
        error_rate: 0.0,
        ..world.canary
    };
    let hello = v1::Hello {
        sidecar: "sidecar-0".into(),
        incarnation: world.sidecars[0].incarnation,
        protocol: 1,
        models: vec!["digits".into()],
        held: vec![v1::HeldAssignment {
            model: "digits".into(),
            rollout: id,
            latched: true,
            ..v1::HeldAssignment::default()
        }],
        ..v1::Hello::default()
    };
    let handle = world.handle.clone();
    world
        .with(async move { handle.attach(hello).await })
        .await?;
    assert_eq!(world.rollout()?.state(), State::RolledBack);
    Ok(())
}
