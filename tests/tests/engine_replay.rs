//! Every decision of the real engine can be made again from its store, through crashes, commands and trouble.

use anyhow::{Context as _, Result, ensure};
use serinus_control_plane::engine::{Command, Verb};
use serinus_control_plane::store::Store as _;
use serinus_control_plane::store::memory::Disk;
use serinus_core::replay::{Recording, what_if};
use serinus_proto::v1::{self, State};
use serinus_tests::world::{Behaviour, Trouble, World, recorded};

const PLAN: &str = r#"
model: digits
stable: {name: v1, endpoints: ["http://127.0.0.1:1"]}
canary: {name: v2, endpoints: ["http://127.0.0.1:2"]}
warmup: {duration: 3s, share: 0.1}
steps:
  - {split: {v2: 0.1, v1: 0.9}, min_duration: 3s}
  - {split: {v2: 0.5, v1: 0.5}, min_duration: 3s}
  - {split: {v2: 1.0}, min_duration: 3s}
bake: {duration: 5s, holdback: 0.1}
failure: {timeout: 4s, attempt_timeout: 2s}
guardrails:
  - {metric: error_rate, margin: 0.02}
  - {metric: latency, ratio: 2, slack: 20ms}
  - {metric: accuracy, margin: 0.1, label_window: 3s}
"#;

async fn world(seed: u64) -> Result<World> {
    let mut world = World::new(Disk::default(), "digits", 3, seed).await?;
    world.rate = 300;
    world.trouble = Trouble {
        labelled: 1.0,
        ..Trouble::default()
    };
    world.apply(PLAN).await?;
    Ok(world)
}

fn ended(rollout: &v1::Rollout) -> bool {
    matches!(rollout.state(), State::Promoted | State::RolledBack)
}

fn recording(world: &World) -> Result<Recording> {
    recorded::recording(world, &world.rollout()?.id)
}

/// Makes every decision again; how many there were.
fn check(world: &World) -> Result<usize> {
    recorded::redecide(&recording(world)?)
}

#[tokio::test]
async fn a_promotion_is_made_again_through_crashes() -> Result<()> {
    let mut world = world(1).await?;
    for second in 0..120 {
        world.run(1).await?;
        if ended(&*world.rollout()?) {
            break;
        }
        if second % 4 == 3 {
            world.crash().await?;
        }
    }
    ensure!(
        world.rollout()?.state() == State::Promoted,
        "{:#?}",
        world.rollout()?
    );
    let decisions = check(&world)?;
    ensure!(decisions >= 6, "{decisions} decisions");
    Ok(())
}

#[tokio::test]
async fn a_rollback_is_made_again_and_another_plan_would_have_waited() -> Result<()> {
    let mut world = world(2).await?;
    world.run(6).await?;
    world.trouble.accuracy.1 = 0.5;
    ensure!(world.run_until(120, ended).await?);
    ensure!(world.rollout()?.cause() == v1::Cause::Guardrail);
    check(&world)?;
    let recording = recording(&world)?;
    let mut plan = recording.plan()?.clone();
    let found = what_if(&recording, &plan)?;
    let back = found.rolled_back.context("the same plan rolls back")?;
    let really = found.passages.last().context("it ended")?.at_ms;
    ensure!(back.moment.at_ms == really, "{back:?} against {really}");
    let Some(v1::guardrail::Metric::Accuracy(accuracy)) = &mut plan.guardrails[2].metric else {
        anyhow::bail!("{:?}", plan.guardrails[2]);
    };
    accuracy.margin = 0.6;
    ensure!(what_if(&recording, &plan)?.rolled_back.is_none());
    Ok(())
}

/// A breaker, a pause, a hold without traffic and an end by an operator's hand.
#[tokio::test]
async fn trouble_and_commands_are_made_again() -> Result<()> {
    let mut world = world(3).await?;
    world.run(5).await?;
    let verb = |verb, world: &World, id: &str| -> Result<Command> {
        let request = v1::CommandRequest {
            rollout: "digits".to_owned(),
            request_id: id.to_owned(),
            expected_revision: world.rollout()?.revision,
            ..v1::CommandRequest::default()
        };
        Ok(Command::Verb(verb, request))
    };
    let pause = verb(Verb::Pause, &world, "a")?;
    world.command(pause).await??;
    world.run(3).await?;
    let resume = verb(Verb::Resume, &world, "b")?;
    world.command(resume).await??;
    world.rate = 0;
    world.run(60).await?;
    world.rate = 300;
    world.run(3).await?;
    world.crash().await?;
    world.canary = Behaviour {
        error_rate: 1.0,
        latency_ms: 20.0,
    };
    world.trouble.breaker = true;
    ensure!(world.run_until(30, ended).await?);
    check(&world)?;
    Ok(())
}

/// With a salt, without which the split would follow from the rollout's random id.
fn keyed(plan: &str) -> String {
    format!("bucketing: {{salt: fixed}}{plan}")
}

/// In which steps last long enough for two reports of keys.
fn slow() -> String {
    PLAN.replace("min_duration: 3s", "min_duration: 30s")
}

fn gets_another_share(rollout: &v1::Rollout) -> bool {
    let ratio = rollout.decision.as_ref().and_then(|of| of.sample_ratio);
    ratio.is_some_and(|ratio| ratio.mismatch)
}

/// Decisions in the log that say that the comparison is not trusted.
fn alarms(world: &World) -> Result<Vec<String>> {
    let events = recording(world)?.events;
    let made = events
        .into_iter()
        .filter_map(|entry| match entry.event?.kind {
            Some(v1::event::Kind::DecisionMade(made)) => made.decision,
            _ => None,
        });
    let alarms = made.filter(|of| of.sample_ratio.is_some_and(|ratio| ratio.mismatch));
    Ok(alarms.map(|of| of.sentence).collect())
}

/// A canary that is as good as stable and gets too many users is not promoted. That it
/// fails is told all the same.
async fn a_wrong_split(plan: &str, users: u64) -> Result<()> {
    let mut world = World::new(Disk::default(), "digits", 3, 5).await?;
    world.rate = 300;
    world.trouble = Trouble {
        labelled: 1.0,
        users,
        skew: 1.6,
        ..Trouble::default()
    };
    world.apply(plan).await?;
    ensure!(
        world.run_until(60, gets_another_share).await?,
        "{:#?}",
        world.rollout()?
    );
    world.crash().await?;
    world.run(90).await?;
    let rollout = world.rollout()?;
    ensure!(gets_another_share(&rollout), "{rollout:#?}");
    ensure!(!ended(&rollout) && rollout.step == 0, "{rollout:#?}");
    let sentence = &rollout.decision.as_ref().context("no decision")?.sentence;
    ensure!(
        sentence.starts_with("WAIT: the canary was asked "),
        "{sentence}"
    );
    ensure!(
        sentence.contains(": the comparison is not trusted"),
        "{sentence}"
    );
    // Not at every look; while the evidence is at its threshold it may come and go.
    let alarms = alarms(&world)?;
    ensure!((1..=3).contains(&alarms.len()), "{alarms:#?}");
    world.canary.error_rate = 1.0;
    ensure!(world.run_until(60, ended).await?, "rollback stays allowed");
    ensure!(world.rollout()?.cause() == v1::Cause::Guardrail);
    check(&world)?;
    Ok(())
}

#[tokio::test]
async fn users_that_are_split_otherwise_than_asked_stop_the_ramp() -> Result<()> {
    a_wrong_split(&keyed(&slow()), 3_000).await
}

#[tokio::test]
async fn requests_that_are_split_otherwise_than_asked_stop_the_ramp() -> Result<()> {
    let plan = format!("bucketing: {{key: none}}{}", slow());
    a_wrong_split(&plan, 0).await
}

/// Users who are all alike and are split as asked: nothing is suspected, at any time, with a few users as with many.
#[tokio::test]
async fn a_healthy_split_of_users_is_never_suspected() -> Result<()> {
    let (mut sum, mut looks) = (0.0, 0.0);
    for (seed, users) in [(6, 40), (7, 3_000), (8, 100_000)] {
        let mut world = World::new(Disk::default(), "digits", 3, seed).await?;
        world.rate = 300;
        world.trouble = Trouble {
            labelled: 1.0,
            users,
            ..Trouble::default()
        };
        world.apply(&keyed(PLAN)).await?;
        for second in 0..200 {
            world.run(1).await?;
            let rollout = world.rollout()?;
            ensure!(!gets_another_share(&rollout), "{users} users: {rollout:#?}");
            let decision = rollout.decision.clone().unwrap_or_default();
            sum += decision.phi_users.unwrap_or(1.0);
            looks += 1.0;
            if second % 7 == 6 {
                world.crash().await?;
            }
            if ended(&rollout) {
                break;
            }
        }
        ensure!(world.rollout()?.state() == State::Promoted);
        let pending = world.store.load()?.pending;
        ensure!(
            pending.len() == 1,
            "records of sources are left: {pending:?}"
        );
        let recording = recording(&world)?;
        let clusters = recording.slices.iter().filter(|of| !of.clusters.is_empty());
        ensure!(clusters.count() >= 2, "clusters were fed");
        check(&world)?;
    }
    // By chance alone it is above 1 at about one look in ten.
    ensure!(sum / looks < 1.2, "phi of users {}", sum / looks);
    Ok(())
}
