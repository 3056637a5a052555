//! Whom the control plane believes: reports that cannot be true, sidecars that speak for nobody else, instructions that
//! are later than its own.

use anyhow::{Context as _, Result, ensure};
use serinus_control_plane::engine::{Command, CommandError, Verb};
use serinus_control_plane::store::memory::Disk;
use serinus_proto::v1::{self, Cause, State, report_ack::Refusal};
use serinus_tests::world::{Behaviour, World};
use v1::event::Kind;

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

async fn world(sidecars: u64, seed: u64) -> Result<World> {
    World::new(Disk::default(), "digits", sidecars, seed).await
}

async fn events(world: &World) -> Result<Vec<Kind>> {
    let events = world.handle.events(0, usize::MAX).await?;
    Ok(events.into_iter().filter_map(|event| event.kind).collect())
}

fn state(world: &World) -> Result<(State, Cause)> {
    let rollout = world.rollout()?;
    Ok((rollout.state(), rollout.cause()))
}

fn held(cause: Cause) -> impl Fn(&v1::Rollout) -> bool {
    move |rollout| (rollout.state(), rollout.cause()) == (State::Held, cause)
}

fn ended(rollout: &v1::Rollout) -> bool {
    matches!(rollout.state(), State::Promoted | State::RolledBack)
}

fn fence(generation: u64, term: u64, revision: u64) -> Option<v1::Fence> {
    Some(v1::Fence {
        generation,
        term,
        revision,
    })
}

async fn resume(world: &mut World, request_id: &str) -> Result<Result<v1::Rollout, CommandError>> {
    let request = v1::CommandRequest {
        rollout: "digits".into(),
        request_id: request_id.into(),
        expected_revision: world.rollout()?.revision,
        ..v1::CommandRequest::default()
    };
    world.command(Command::Verb(Verb::Resume, request)).await
}

/// A report of one cell that says this of the canary.
fn lie(
    world: &World,
    number: usize,
    change: fn(&mut v1::VariantCell),
) -> Result<v1::ReportRequest> {
    let of = &world.sidecars[number];
    let rollout = world.rollout()?;
    let second = world.now_ms / 1000;
    let mut canary = v1::VariantCell {
        variant: "v2".into(),
        ok: 1,
        assigned: 1,
        ..v1::VariantCell::default()
    };
    change(&mut canary);
    let last = of.unacknowledged.last().map_or(0, |report| report.seq);
    Ok(v1::ReportRequest {
        sidecar: of.name.clone(),
        incarnation: of.incarnation,
        seq: last,
        finished_before: second,
        cells: vec![v1::Cell {
            rollout: rollout.id.clone(),
            epoch: rollout.epoch,
            second,
            variants: vec![canary],
            model: String::new(),
        }],
        keys: Vec::new(),
    })
}

#[tokio::test]
async fn whoever_reports_what_cannot_be_is_not_believed_until_released() -> Result<()> {
    let mut world = world(3, 1).await?;
    world.apply(PLAN).await?;
    world.run(2).await?;
    world.traffic();
    let bad = lie(&world, 1, |canary| canary.ok = u64::MAX)?;
    let before = world.rollout()?.traffic.unwrap_or_default();
    let ack = world.send(1, bad.clone()).await?;
    assert_eq!(
        (ack.refusal(), ack.committed_seq),
        (Refusal::Impossible, bad.seq)
    );
    assert!(ack.detail.contains("v2"), "{}", ack.detail);
    // Sent again, it is one that was seen.
    assert_eq!(world.send(1, bad).await?.refusal(), Refusal::None);
    world.turn().await?;
    assert_eq!(world.rollout()?.traffic.unwrap_or_default(), before);
    ensure!(
        world.run_until(3, held(Cause::Reports)).await?,
        "{:#?}",
        world.rollout()?
    );
    let rollout = world.rollout()?;
    assert_eq!(rollout.fleet.clone().unwrap_or_default().quarantined, 1);
    let sidecars = world.handle.views().sidecars.clone();
    assert!(!sidecars["sidecar-1"].quarantined.is_empty());
    assert!(sidecars["sidecar-0"].quarantined.is_empty());
    // What it says counts nowhere, also after a restart.
    world.crash().await?;
    let counted = |world: &World| -> Result<u64> {
        let traffic = world.rollout()?.traffic.unwrap_or_default();
        Ok(traffic.stable_requests + traffic.canary_requests)
    };
    let (before, sent) = (counted(&world)?, world.sent);
    world.run(3).await?;
    let sent = world.sent.0 + world.sent.1 - sent.0 - sent.1;
    let part = (counted(&world)? - before) as f64 / sent as f64;
    ensure!((part - 2.0 / 3.0).abs() < 0.01, "{part}");
    assert_eq!(state(&world)?, (State::Held, Cause::Reports));
    let release = |request_id: &str, sidecar: &str| v1::ReleaseSidecarRequest {
        sidecar: sidecar.into(),
        request_id: request_id.into(),
        reason: "its clock was mended".into(),
    };
    for (request_id, sidecar, released) in [
        ("a", "sidecar-1", true),
        ("a", "sidecar-1", true),
        ("b", "nobody", false),
    ] {
        let handle = world.handle.clone();
        let request = release(request_id, sidecar);
        let answer = world.with(async move { handle.release("operator", request).await });
        assert_eq!(answer.await?.is_ok(), released, "{sidecar}");
    }
    ensure!(world.run_until(900, ended).await?);
    assert_eq!(world.rollout()?.state(), State::Promoted);
    let kinds = events(&world).await?;
    let of = |is: fn(&Kind) -> bool| kinds.iter().filter(|kind| is(kind)).count();
    assert_eq!(of(|kind| matches!(kind, Kind::SidecarQuarantined(_))), 1);
    assert_eq!(of(|kind| matches!(kind, Kind::SidecarReleased(_))), 1);
    Ok(())
}

#[tokio::test]
async fn a_new_incarnation_is_believed_again() -> Result<()> {
    let mut world = world(3, 2).await?;
    world.apply(PLAN).await?;
    world.run(2).await?;
    world.traffic();
    let bad = lie(&world, 1, |canary| canary.assigned = u64::MAX)?;
    world.send(1, bad).await?;
    ensure!(world.run_until(3, held(Cause::Reports)).await?);
    world.detach(1).await?;
    world.sidecars[1].restart(4711);
    world.attach(1).await?;
    ensure!(world.run_until(900, ended).await?);
    assert_eq!(world.rollout()?.state(), State::Promoted);
    Ok(())
}

#[tokio::test]
async fn one_bad_host_of_many_makes_the_verdict_wait_and_is_named() -> Result<()> {
    let mut world = world(4, 3).await?;
    world.apply(PLAN).await?;
    world.sidecars[2].canary = Some(Behaviour {
        error_rate: 0.4,
        latency_ms: 20.0,
    });
    ensure!(world.run_until(300, ended).await?);
    assert_eq!(state(&world)?, (State::RolledBack, Cause::Guardrail));
    let id = world.rollout()?.id.clone();
    let slices = world
        .handle
        .read(move |store| store.slices(&id, 0, usize::MAX))
        .await?;
    let doubted: Vec<&str> = slices
        .iter()
        .map(|(_, slice)| slice.doubted.as_str())
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(doubted, ["sidecar-2"]);
    let last = slices.last().context("slices")?;
    ensure!(last.1.doubted.is_empty(), "it waited for one more slice");
    Ok(())
}

#[tokio::test]
async fn a_canary_that_is_bad_everywhere_does_not_wait() -> Result<()> {
    let mut world = world(4, 4).await?;
    world.apply(PLAN).await?;
    world.canary.error_rate = 0.3;
    ensure!(world.run_until(300, ended).await?);
    let id = world.rollout()?.id.clone();
    let slices = world
        .handle
        .read(move |store| store.slices(&id, 0, usize::MAX))
        .await?;
    ensure!(slices.iter().all(|(_, slice)| slice.doubted.is_empty()));
    Ok(())
}

#[tokio::test]
async fn a_later_instruction_stops_every_raise_until_the_generation_is_new() -> Result<()> {
    let mut world = world(3, 5).await?;
    world.apply(PLAN).await?;
    world.run(1).await?;
    let share = |world: &World| Ok::<_, anyhow::Error>(world.rollout()?.split["v2"]);
    let before = share(&world)?;
    world.detach(0).await?;
    let own = world.handle.info().fence.context("a fence")?;
    world.sidecars[0].claims = fence(own.generation, own.term + 7, 9_999);
    world.attach(0).await?;
    world.sidecars[0].claims = None;
    ensure!(
        world.run_until(3, held(Cause::FenceRegression)).await?,
        "{:#?}",
        world.rollout()?
    );
    world.run(30).await?;
    assert_eq!(share(&world)?, before);
    let info = world.handle.info();
    assert_eq!(info.fence_regressed.context("shown")?.sidecar, "sidecar-0");
    assert!(world.handle.views().sidecars["sidecar-0"].ahead);
    let other = PLAN.replace("digits", "letters");
    let refused = world.apply(&other).await.err().context("a raise")?;
    ensure!(
        format!("{refused:#}").contains("--generation"),
        "{refused:#}"
    );
    let promote = v1::PromoteRequest {
        rollout: "digits".into(),
        request_id: "promote".into(),
        expected_revision: world.rollout()?.revision,
        ..v1::PromoteRequest::default()
    };
    let refused = world.command(Command::Promote(promote)).await?;
    ensure!(
        matches!(refused, Err(CommandError::FenceRegressed { .. })),
        "{refused:?}"
    );
    // A restart with the same generation forgets nothing.
    world.crash().await?;
    world.run(3).await?;
    assert_eq!(state(&world)?, (State::Held, Cause::FenceRegression));
    let shown = |kind: &Kind| matches!(kind, Kind::FenceRegressed(_));
    assert_eq!(
        events(&world)
            .await?
            .iter()
            .filter(|kind| shown(kind))
            .count(),
        1
    );
    // Lowering is never stopped.
    let request = v1::CommandRequest {
        rollout: "digits".into(),
        request_id: "rollback".into(),
        ..v1::CommandRequest::default()
    };
    world
        .command(Command::Verb(Verb::Rollback, request))
        .await??;
    assert_eq!(world.rollout()?.state(), State::RolledBack);
    Ok(())
}

/// A store that was put back goes on writing: by the time a sidecar comes, its log may be longer than the lost one.
#[tokio::test]
async fn a_later_instruction_is_told_where_the_log_has_grown_past_it() -> Result<()> {
    let mut world = world(3, 10).await?;
    world.apply(PLAN).await?;
    world.run(2).await?;
    let kinds = events(&world).await?;
    let last = world.handle.events(0, usize::MAX).await?;
    let last = last.last().context("a log")?.revision;
    let split = kinds
        .iter()
        .rposition(|kind| matches!(kind, Kind::SplitChanged(_)));
    ensure!(split.context("a split")? as u64 + 1 < last, "{kinds:?}");
    let own = world.handle.info().fence.context("a fence")?;
    world.detach(0).await?;
    world.sidecars[0].claims = fence(own.generation, own.term, last);
    world.attach(0).await?;
    world.sidecars[0].claims = None;
    ensure!(
        world.run_until(3, held(Cause::FenceRegression)).await?,
        "{:#?}",
        world.rollout()?
    );
    assert!(world.handle.views().sidecars["sidecar-0"].ahead);
    Ok(())
}

#[tokio::test]
async fn a_refusal_by_a_later_fence_is_no_refusal_of_the_content() -> Result<()> {
    let mut world = world(3, 6).await?;
    world.apply(PLAN).await?;
    world.run(1).await?;
    let handle = world.handle.clone();
    let hello = v1::Hello {
        sidecar: "other".into(),
        incarnation: 9,
        protocol: 1,
        models: vec!["digits".into()],
        ..v1::Hello::default()
    };
    let session = world
        .with(async move { handle.attach(hello).await })
        .await?;
    let session = session.context("stopping")?;
    let ack = v1::Ack {
        nonce: 1,
        results: vec![v1::AckResult {
            model: "digits".into(),
            fence: fence(3, 1, 1),
            outcome: v1::ack_result::Outcome::Rejected.into(),
            stale_fence: true,
            ..v1::AckResult::default()
        }],
    };
    let handle = world.handle.clone();
    world
        .with(async move { handle.acknowledge(session.id, ack).await })
        .await?;
    world.run(1).await?;
    assert_eq!(state(&world)?, (State::Held, Cause::FenceRegression));
    assert_eq!(
        world.rollout()?.fleet.clone().unwrap_or_default().rejected,
        0
    );
    Ok(())
}

#[tokio::test]
async fn sidecars_that_went_back_are_given_the_canary_again_by_a_person_only() -> Result<()> {
    let mut world = world(3, 7).await?;
    world.apply(PLAN).await?;
    world.run(1).await?;
    world.detach(1).await?;
    world.sidecars[1].reverted = true;
    world.attach(1).await?;
    ensure!(
        world.run_until(3, held(Cause::Reverted)).await?,
        "{:#?}",
        world.rollout()?
    );
    assert_eq!(
        world.rollout()?.fleet.clone().unwrap_or_default().reverted,
        1
    );
    // Another control plane's term is no newer decision.
    world.crash().await?;
    world.run(5).await?;
    assert_eq!(state(&world)?, (State::Held, Cause::Reverted));
    ensure!(world.sidecars[1].reverted);
    resume(&mut world, "resume").await??;
    world.run(2).await?;
    ensure!(
        !world.sidecars[1].reverted,
        "the resumption is a newer decision"
    );
    assert_eq!(world.rollout()?.state(), State::Running);
    ensure!(world.run_until(900, ended).await?);
    assert_eq!(world.rollout()?.state(), State::Promoted);
    Ok(())
}

#[tokio::test]
async fn a_step_begins_when_the_canary_is_there() -> Result<()> {
    let mut world = world(3, 8).await?;
    for of in &mut world.sidecars {
        of.warming = true;
    }
    world.apply(PLAN).await?;
    world.run(2).await?;
    let fleet = world.rollout()?.fleet.clone().unwrap_or_default();
    assert_eq!((fleet.current, fleet.warming), (0, 3));
    let sentence = |world: &World| {
        Ok::<_, anyhow::Error>(
            world
                .rollout()?
                .decision
                .clone()
                .unwrap_or_default()
                .sentence,
        )
    };
    let expected = "the canary is not ready on 3 of them";
    ensure!(
        sentence(&world)?.contains(expected),
        "{}",
        sentence(&world)?
    );
    world.run(20).await?;
    assert_eq!(world.rollout()?.step, 0, "its time does not run");
    let rollout = world.rollout()?;
    for number in 0..3 {
        world.sidecars[number].warming = false;
        let applied = v1::AckResult {
            model: "digits".into(),
            fence: world.sidecars[number].held().and_then(|held| held.fence),
            outcome: v1::ack_result::Outcome::Applied.into(),
            ..v1::AckResult::default()
        };
        let status = v1::Status {
            applied: vec![applied],
            ..v1::Status::default()
        };
        world.tell(number, status).await?;
    }
    world.run(1).await?;
    let fleet = world.rollout()?.fleet.clone().unwrap_or_default();
    assert_eq!((fleet.current, fleet.warming), (3, 0), "{rollout:#?}");
    ensure!(world.run_until(900, ended).await?);
    assert_eq!(world.rollout()?.state(), State::Promoted);
    Ok(())
}

#[tokio::test]
async fn what_stands_above_the_assignment_somewhere_is_shown() -> Result<()> {
    let mut world = world(3, 9).await?;
    let id = world.apply(PLAN).await?.id;
    world.run(1).await?;
    let status = |killed| v1::Status {
        variants: vec![v1::VariantStatus {
            model: "digits".into(),
            rollout: id.clone(),
            variant: "v2".into(),
            ready: true,
            killed,
            stale: killed,
            ..v1::VariantStatus::default()
        }],
        ..v1::Status::default()
    };
    world.tell(1, status(true)).await?;
    world.run(1).await?;
    let fleet = world.rollout()?.fleet.clone().unwrap_or_default();
    assert_eq!((fleet.killed, fleet.stale), (1, 1));
    let views = world.handle.views();
    assert!(views.sidecars["sidecar-1"].models[0].killed);
    world.tell(1, status(false)).await?;
    world.run(1).await?;
    let changes: Vec<bool> = events(&world)
        .await?
        .iter()
        .filter_map(|kind| match kind {
            Kind::OverrideChanged(of) => Some(of.killed),
            _ => None,
        })
        .collect();
    assert_eq!(changes, [true, false]);
    Ok(())
}

/// What a path does to reports that may send each of them late, twice and in any order.
#[tokio::test]
async fn reports_that_come_late_twice_and_shuffled_count_once_and_both_arms_together() -> Result<()>
{
    use rand::rngs::StdRng;
    use rand::seq::SliceRandom as _;
    use rand::{RngExt as _, SeedableRng as _};
    for seed in 0..5 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = world(3, 20 + seed).await?;
        world.apply(PLAN).await?;
        world.push().await?;
        let mut on_its_way: Vec<(usize, v1::ReportRequest)> = Vec::new();
        for _ in 0..10 {
            world.traffic();
            for number in 0..3 {
                let reports = world.sidecars[number].unacknowledged.clone();
                for report in reports {
                    for _ in 0..random.random_range(0..3) {
                        on_its_way.push((number, report.clone()));
                    }
                }
            }
            on_its_way.shuffle(&mut random);
            let arrives = random.random_range(0..=on_its_way.len());
            for (number, report) in on_its_way.drain(..arrives) {
                let ack = world.send(number, report.clone()).await?;
                assert_eq!(ack.refusal(), Refusal::None);
                ensure!(!ack.resend || ack.resend_after < report.seq);
            }
            let traffic = world.rollout()?.traffic.unwrap_or_default();
            ensure!(
                traffic.stable_requests <= world.sent.0 && traffic.canary_requests <= world.sent.1
            );
            let whole = traffic.stable_requests == 0 || traffic.canary_requests > 0;
            ensure!(whole, "both arms of a report come together");
        }
        for number in 0..3 {
            world.resend(number).await?;
        }
        // What was still on its way comes in after all, when everything is counted.
        for (number, report) in on_its_way {
            world.send(number, report).await?;
        }
        world.turn().await?;
        let traffic = world.rollout()?.traffic.unwrap_or_default();
        assert_eq!(
            (traffic.stable_requests, traffic.canary_requests),
            world.sent,
            "seed {seed}"
        );
    }
    Ok(())
}
