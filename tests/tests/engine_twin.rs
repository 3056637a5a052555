//! Two worlds with the same sidecars, the same traffic and the same commands, of which one crashes all the time: nobody
//! who looks at a rollout can tell them apart.

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serinus_control_plane::engine::{Command, Verb};
use serinus_control_plane::store::memory::Disk;
use serinus_proto::v1;
use serinus_tests::world::{Behaviour, Trouble, World};

const PLAN: &str = r#"
model: digits
bucketing: {salt: twin}
stable: {name: v1, endpoints: ["http://127.0.0.1:1"]}
canary: {name: v2, endpoints: ["http://127.0.0.1:2"]}
warmup: {duration: 3s, share: 0.1}
steps:
  - {split: {v2: 0.1, v1: 0.9}, min_duration: 6s, min_requests: 100}
  - {split: {v2: 0.5, v1: 0.5}, min_duration: 6s}
  - {split: {v2: 1.0}, min_duration: 6s}
bake: {duration: 6s, holdback: 0.1}
on_no_evidence: {after: 20s, then: hold}
failure: {timeout: 4s, attempt_timeout: 2s}
guardrails:
  - {metric: error_rate, margin: 0.02}
  - {metric: latency, ratio: 2, slack: 20ms}
  - {metric: accuracy, margin: 0.1, label_window: 5s}
"#;

/// What both worlds do in one second.
#[derive(Clone, Debug)]
struct Script {
    canary: Behaviour,
    trouble: Trouble,
    rate: u64,
    verb: Option<Verb>,
}

fn script(random: &mut StdRng, before: &Script) -> Script {
    let mut next = before.clone();
    next.verb = match random.random_range(0..60) {
        0 => Some(Verb::Pause),
        1..5 => Some(Verb::Resume),
        _ => None,
    };
    if random.random_range(0..12) == 0 {
        next.canary.error_rate = [0.005, 0.005, 0.01, 0.02, 1.0][random.random_range(0..5)];
        next.trouble.breaker = next.canary.error_rate > 0.5;
        next.trouble.hangs = random.random_range(0..10) == 0;
        next.trouble.accuracy.1 = [0.9, 0.9, 0.7][random.random_range(0..3)];
        // Never silent: silence is counted anew after a restart, since nobody listened.
        next.rate = [60, 100, 200, 200, 200, 200][random.random_range(0..6)];
    }
    next
}

async fn second(world: &mut World, script: &Script, number: u64) -> Result<()> {
    world.canary = script.canary;
    world.trouble = script.trouble;
    world.rate = script.rate;
    world.push().await?;
    world.now_ms += 50;
    world.turn().await?;
    if let Some(verb) = script.verb {
        let request = v1::CommandRequest {
            rollout: "digits".to_owned(),
            request_id: format!("command-{number}"),
            expected_revision: world.rollout()?.revision,
            ..v1::CommandRequest::default()
        };
        // Refused or not, it is the same in both.
        let _ = world.command(Command::Verb(verb, request)).await?;
    }
    world.run(1).await
}

/// Everything that is decided or counted; rates are measured anew after a crash.
fn shown(world: &World) -> Result<impl std::fmt::Debug + PartialEq + use<>> {
    let rollout = world.rollout()?;
    let decision = rollout.decision.clone().unwrap_or_default();
    // A crash forgets which sidecars had canary traffic lately, not what was found.
    let sentence = decision.sentence.split(", at last on ").next();
    let sentence = sentence.unwrap_or_default().to_owned();
    let traffic = v1::Traffic {
        requests_per_second: 0.0,
        canary_per_second: 0.0,
        ..rollout.traffic.unwrap_or_default()
    };
    Ok((
        (rollout.state(), rollout.cause(), rollout.revision),
        (rollout.step, rollout.epoch, rollout.split.clone()),
        (rollout.step_entered, rollout.updated),
        traffic,
        (decision.kind(), sentence, decision.slices),
        (
            decision.guardrails,
            decision.sample_ratio,
            decision.phi_users,
        ),
        decision.breakers.map(|breakers| breakers.bad_cells),
        world.statuses.clone(),
    ))
}

/// The lines that differ, steady against crashing.
fn differences(left: &impl std::fmt::Debug, right: &impl std::fmt::Debug) -> String {
    let (left, right) = (format!("{left:#?}"), format!("{right:#?}"));
    let pairs = left.lines().zip(right.lines());
    let differ = pairs.filter(|(a, b)| a != b);
    differ.map(|(a, b)| format!("{a} | {b}\n")).collect()
}

/// When the last things happened, and what they were.
async fn last_events(world: &World) -> Result<Vec<String>> {
    let last = *world.handle.watch_revision().borrow();
    let events = world.handle.events(last.saturating_sub(8), 8).await?;
    let said = events.into_iter().map(|event| {
        let kind = format!("{:?}", event.kind)
            .chars()
            .take(60)
            .collect::<String>();
        let time = event.time.unwrap_or_default();
        format!(
            "{} {}.{:03} {kind}",
            event.revision,
            time.seconds % 10_000,
            time.nanos / 1_000_000
        )
    });
    Ok(said.collect())
}

async fn twins(seed: u64) -> Result<v1::State> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut steady = World::new(Disk::default(), "digits", 3, seed).await?;
    let mut crashing = World::new(Disk::default(), "digits", 3, seed).await?;
    for world in [&mut steady, &mut crashing] {
        world.apply(PLAN).await?;
    }
    let mut next = Script {
        canary: steady.canary,
        trouble: Trouble {
            users: 3_000,
            labelled: 1.0,
            ..Trouble::default()
        },
        rate: 200,
        verb: None,
    };
    for number in 0..120 {
        next = script(&mut random, &next);
        for world in [&mut steady, &mut crashing] {
            second(world, &next, number).await?;
        }
        let (left, right) = (shown(&steady)?, shown(&crashing)?);
        ensure!(
            left == right,
            "second {number}, {next:?}\n{}\nsteady   {:?}\ncrashing {:?}",
            differences(&left, &right),
            last_events(&steady).await?,
            last_events(&crashing).await?
        );
        if random.random_range(0..3) == 0 {
            crashing.crash().await?;
        }
    }
    Ok(steady.rollout()?.state())
}

#[tokio::test]
async fn a_twin_that_crashes_ends_the_same() -> Result<()> {
    let mut states = std::collections::BTreeMap::new();
    for seed in 1..=16 {
        let state = Box::pin(twins(seed))
            .await
            .with_context(|| format!("seed {seed}"))?;
        *states.entry(state.as_str_name()).or_insert(0) += 1;
    }
    println!("{states:?}");
    ensure!(states.len() > 1, "{states:?}");
    Ok(())
}
