//! What a rollout can live through, with the real engine over a store in memory, in virtual time.

use anyhow::Result;
use serinus_control_plane::engine::{Command, CommandError, Verb};
use serinus_control_plane::store::Store as _;
use serinus_control_plane::store::memory::Disk;
use serinus_proto::v1::{self, State};
use serinus_tests::world::{Behaviour, START_MS, World, recorded};

const HEAD: &str = r#"
model: digits
stable: {name: v1, endpoints: ["http://127.0.0.1:1"]}
canary: {name: v2, endpoints: ["http://127.0.0.1:2"]}
"#;

const STEPS: &str = r#"
steps:
  - {split: {v2: 0.1, v1: 0.9}, min_duration: 3s}
  - {split: {v2: 0.5, v1: 0.5}, min_duration: 3s}
  - {split: {v2: 1.0}, min_duration: 3s}
bake: {duration: 5s}
"#;

const ERRORS: &str = "  - {metric: error_rate, margin: 0.0025}\n";

fn plan(latency: &str) -> String {
    format!(
        "{HEAD}{STEPS}guardrails:\n{ERRORS}  - {{metric: latency, ratio: 1.5, slack: 20ms{latency}}}\n"
    )
}

async fn world(seed: u64) -> Result<World> {
    World::new(Disk::default(), "digits", 3, seed).await
}

fn ended(rollout: &v1::Rollout) -> bool {
    matches!(rollout.state(), State::Promoted | State::RolledBack)
}

fn request(id: &str, revision: u64) -> v1::CommandRequest {
    v1::CommandRequest {
        rollout: "digits".into(),
        request_id: id.into(),
        expected_revision: revision,
        ..v1::CommandRequest::default()
    }
}

/// How often each guardrail became HARMFUL.
async fn turned_harmful(world: &World) -> Result<Vec<String>> {
    let events = world.handle.events(0, 1000).await?.into_iter();
    let harmful = events.filter_map(|event| match event.kind {
        Some(v1::event::Kind::VerdictChanged(changed)) => changed.evidence,
        _ => None,
    });
    let harmful = harmful.filter(|row| row.verdict() == v1::Verdict::Harmful);
    Ok(harmful.map(|row| row.name).collect())
}

const SLOW: Behaviour = Behaviour {
    error_rate: 0.005,
    latency_ms: 80.0,
};

#[tokio::test]
async fn a_guardrail_that_notifies_tells_once_and_the_rollout_goes_on() -> Result<()> {
    let mut world = world(21).await?;
    world.canary = SLOW;
    world.apply(&plan(", on_breach: notify")).await?;
    assert!(world.run_until(600, ended).await?);
    assert_eq!(world.rollout()?.state(), State::Promoted);
    let told = turned_harmful(&world).await?;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("latency"), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn a_guardrail_that_holds_waits_for_a_person_and_the_others_go_on_guarding() -> Result<()> {
    let mut world = world(22).await?;
    world.canary = SLOW;
    world
        .apply(&plan(", on_breach: hold, required: false"))
        .await?;
    let held = |rollout: &v1::Rollout| rollout.state() == State::Held;
    assert!(world.run_until(60, held).await?);
    let rollout = world.rollout()?;
    assert_eq!(rollout.cause(), v1::Cause::Guardrail);
    assert!(
        rollout.reason.starts_with("HOLD: latency"),
        "{}",
        rollout.reason
    );
    world.run(60).await?;
    assert_eq!(
        world.rollout()?.state(),
        State::Held,
        "it does not clear by itself"
    );
    let resume = Command::Verb(Verb::Resume, request("on", world.rollout()?.revision));
    world.command(resume).await??;
    world.run(5).await?;
    assert_ne!(
        world.rollout()?.state(),
        State::Held,
        "somebody has seen it"
    );
    // Held again by hand, and now it fails too.
    world
        .command(Command::Verb(Verb::Pause, request("stop", 0)))
        .await??;
    world.canary.error_rate = 0.2;
    assert!(world.run_until(120, ended).await?);
    assert_eq!(world.rollout()?.state(), State::RolledBack);
    Ok(())
}

fn stable_of(world: &World) -> Option<String> {
    let views = world.handle.views();
    let stable = views.models.get("digits")?.stable.as_ref()?;
    Some(stable.name.clone())
}

#[tokio::test]
async fn a_promotion_is_taken_back_by_one_call() -> Result<()> {
    let mut world = world(31).await?;
    world.apply(&plan("")).await?;
    assert!(world.run_until(600, ended).await?);
    let promoted = world.rollout()?;
    assert_eq!(
        (promoted.state(), stable_of(&world).as_deref()),
        (State::Promoted, Some("v2"))
    );
    assert_eq!(promoted.verbs, ["undo"]);
    let asked = v1::CommandRequest {
        reason: "complaints".into(),
        ..request("undo-1", 0)
    };
    let dry = v1::CommandRequest {
        validate_only: true,
        ..asked.clone()
    };
    let would_be = world.command(Command::Undo(dry)).await??;
    assert_eq!(
        (would_be.split["v1"], stable_of(&world).as_deref()),
        (1.0, Some("v2"))
    );
    let back = world.command(Command::Undo(asked.clone())).await??;
    assert_eq!(
        (back.state(), back.undoes.as_str(), back.actor.as_str()),
        (State::Promoted, promoted.id.as_str(), "operator")
    );
    assert_eq!(stable_of(&world).as_deref(), Some("v1"));
    world.run(3).await?;
    for sidecar in &world.sidecars {
        let held = sidecar.held().cloned().unwrap_or_default();
        assert_eq!(
            (held.variants.len(), held.variants[0].name.as_str()),
            (1, "v1")
        );
    }
    world.crash().await?;
    assert_eq!(stable_of(&world).as_deref(), Some("v1"));
    assert_eq!(world.command(Command::Undo(asked)).await??.id, back.id);
    // A second one in a hurry must not go forward again.
    let again = world.command(Command::Undo(request("undo-2", 0))).await?;
    let refused = again.unwrap_err().to_string();
    assert!(refused.contains("already"), "{refused}");
    assert_eq!(stable_of(&world).as_deref(), Some("v1"));
    Ok(())
}

#[tokio::test]
async fn after_a_rollback_there_is_nothing_to_undo() -> Result<()> {
    let mut world = world(32).await?;
    world.apply(&plan("")).await?;
    let early = world.command(Command::Undo(request("early", 0))).await?;
    let refused = early.unwrap_err().to_string();
    assert!(refused.contains("rollback takes it back"), "{refused}");
    world
        .command(Command::Verb(Verb::Rollback, request("back", 0)))
        .await??;
    let late = world.command(Command::Undo(request("late", 0))).await?;
    let refused = late.unwrap_err().to_string();
    assert!(
        refused.contains("was rolled back, everybody is on v1"),
        "{refused}"
    );
    Ok(())
}

/// Applies a plan that may wait.
async fn queue(world: &mut World, id: &str, plan: &str) -> Result<v1::Rollout, CommandError> {
    let plan = serinus_core::plan::parse(plan).expect("a plan");
    let request = v1::ApplyRequest {
        request_id: id.into(),
        plan: Some(plan),
        on_active: v1::apply_request::OnActive::Queue.into(),
        ..v1::ApplyRequest::default()
    };
    let answer = world.command(Command::Apply(request)).await;
    answer.expect("the engine runs")
}

/// The plan of another canary, whose stable is whatever it is by then.
fn next_plan(canary: &str) -> String {
    let steps = STEPS.replace("v2", canary).replace("v1", "stable");
    format!(
        "model: digits\ncanary: {{name: {canary}, endpoints: [\"http://127.0.0.1:3\"]}}\n{steps}guardrails:\n{ERRORS}"
    )
}

fn state_of(world: &World, id: &str) -> (State, u32) {
    let views = world.handle.views();
    let rollout = &views.rollouts[id];
    (rollout.state(), rollout.queue_position)
}

#[tokio::test]
async fn what_is_queued_starts_when_the_active_one_is_promoted_and_follows_its_stable() -> Result<()>
{
    let mut world = world(41).await?;
    let first = world.apply(&plan("")).await?;
    let second = queue(&mut world, "q1", &next_plan("v3")).await?;
    let third = queue(&mut world, "q2", &next_plan("v4")).await?;
    assert_eq!((second.state(), second.queue_position), (State::Queued, 1));
    assert_eq!((third.state(), third.queue_position), (State::Queued, 2));
    // The same again is the same, and so is the active one.
    assert_eq!(
        queue(&mut world, "q3", &next_plan("v3")).await?.id,
        second.id
    );
    assert_eq!(queue(&mut world, "q4", &plan("")).await?.id, first.id);
    world.crash().await?;
    assert_eq!(
        queue(&mut world, "q1", &next_plan("v3")).await?.id,
        second.id
    );
    world.run(2).await?;
    assert_eq!(state_of(&world, &third.id), (State::Queued, 2));
    let views = world.handle.views();
    assert_eq!(
        views.models["digits"].queued_rollouts,
        [second.id.clone(), third.id.clone()]
    );
    let cancel = v1::CommandRequest {
        rollout: third.id.clone(),
        ..request("c", 0)
    };
    let cancelled = world.command(Command::Cancel(cancel)).await??;
    assert_eq!(
        (cancelled.state(), cancelled.cause()),
        (State::Cancelled, v1::Cause::Operator)
    );
    assert!(
        world
            .run_until(600, |rollout| rollout.id == second.id)
            .await?
    );
    assert_eq!(state_of(&world, &first.id).0, State::Promoted);
    let begun = world.rollout()?;
    assert_eq!(
        (begun.state(), begun.actor.as_str()),
        (State::Running, "operator")
    );
    let stable = begun.plan.as_ref().and_then(|plan| plan.stable.clone());
    assert_eq!(stable.unwrap_or_default().name, "v2");
    assert_eq!(begun.split["v2"], 0.9);
    world.run(3).await?;
    assert_eq!(state_of(&world, &third.id).0, State::Cancelled);
    world.crash().await?;
    assert_eq!(state_of(&world, &second.id).0, State::Running);
    Ok(())
}

#[tokio::test]
async fn what_is_queued_starts_after_a_rollback_too_and_what_does_not_fit_is_dropped() -> Result<()>
{
    let mut world = world(42).await?;
    world.apply(&plan("")).await?;
    // It counts on the promotion of v2, which does not come.
    let hopeful = format!("{}stable: {{name: v2}}\n", next_plan("v3"));
    let hopeful = queue(&mut world, "q1", &hopeful).await?;
    let other = queue(&mut world, "q2", &next_plan("v4")).await?;
    world.run(3).await?;
    world
        .command(Command::Verb(Verb::Rollback, request("back", 0)))
        .await??;
    world.turn().await?;
    let views = world.handle.views();
    let dropped = &views.rollouts[&hopeful.id];
    assert_eq!(
        (dropped.state(), dropped.cause()),
        (State::Cancelled, v1::Cause::Unfit)
    );
    assert!(
        dropped.reason.starts_with("stable.name: v2, but"),
        "{}",
        dropped.reason
    );
    let begun = &views.rollouts[&other.id];
    assert_eq!(begun.state(), State::Running);
    assert_eq!(begun.split["v1"], 0.9);
    Ok(())
}

#[tokio::test]
async fn a_queue_is_bounded_and_refuses_what_could_never_start() -> Result<()> {
    let mut world = world(43).await?;
    world.apply(&plan("")).await?;
    let never = format!("{}stable: {{name: v9}}\n", next_plan("v3"));
    let refused = queue(&mut world, "never", &never).await;
    assert!(
        matches!(refused, Err(CommandError::Invalid(_))),
        "{refused:?}"
    );
    for number in 0..8 {
        let id = format!("q{number}");
        queue(&mut world, &id, &next_plan(&format!("w{number}"))).await?;
    }
    let refused = queue(&mut world, "full", &next_plan("w8")).await;
    assert!(
        matches!(refused, Err(CommandError::QueueFull { .. })),
        "{refused:?}"
    );
    let started = world.command(Command::Cancel(request("c", 0))).await?;
    assert!(
        matches!(started, Err(CommandError::NotQueued { .. })),
        "{started:?}"
    );
    Ok(())
}

/// Virtual time begins on Friday 2027-01-15 at 08:00 UTC, 09:00 in Berlin.
const FROZEN: &str = "freeze: [{cron: \"1 9 * * FRI\", duration: 5m, time_zone: Europe/Berlin}]\n";

#[tokio::test]
async fn a_freeze_keeps_it_where_it_is_and_never_from_a_rollback() -> Result<()> {
    let slow = plan("").replace("3s}", "40s}") + FROZEN;
    let mut world = world(51).await?;
    world.apply(&slow).await?;
    world.run(58).await?;
    assert_eq!(
        (world.rollout()?.step, world.rollout()?.frozen_until),
        (1, None)
    );
    world.run(60).await?;
    world.crash().await?;
    world.run(200).await?;
    let frozen = world.rollout()?;
    assert_eq!((frozen.state(), frozen.step), (State::Running, 1));
    let until = frozen.frozen_until.map(|until| until.seconds);
    assert_eq!(until, Some(i64::try_from(START_MS / 1000)? + 6 * 60));
    let decision = frozen.decision.clone().unwrap_or_default();
    assert!(
        decision
            .sentence
            .starts_with("WAIT: frozen until 2027-01-15 08:06 UTC"),
        "{}",
        decision.sentence
    );
    let promote = |force: bool| {
        let revision = frozen.revision;
        Command::Promote(v1::PromoteRequest {
            rollout: "digits".into(),
            request_id: format!("promote-{force}"),
            expected_revision: revision,
            force,
            ..v1::PromoteRequest::default()
        })
    };
    let refused = world
        .command(promote(false))
        .await?
        .unwrap_err()
        .to_string();
    assert!(refused.contains("frozen until"), "{refused}");
    let refused = world.command(promote(true)).await?.unwrap_err().to_string();
    assert!(refused.contains("reason"), "{refused}");
    assert!(world.run_until(600, ended).await?);
    assert_eq!(world.rollout()?.state(), State::Promoted);
    let events = world.handle.events(0, 1000).await?;
    let kind = |wanted: fn(&v1::event::Kind) -> bool| {
        let kinds = events.iter().filter_map(|event| event.kind.as_ref());
        kinds.filter(|kind| wanted(kind)).count()
    };
    assert_eq!(
        kind(|kind| matches!(kind, v1::event::Kind::FreezeBegan(_))),
        1
    );
    assert_eq!(
        kind(|kind| matches!(kind, v1::event::Kind::FreezeEnded(_))),
        1
    );
    // Made again from what was recorded: the rules of the time zone are not asked.
    let mut recording = recorded::recording(&world, &world.rollout()?.id)?;
    recorded::redecide(&recording)?;
    if let Some(v1::event::Kind::Created(created)) = recording.events[0]
        .event
        .as_mut()
        .and_then(|event| event.kind.as_mut())
    {
        let plan = created.plan.as_mut().expect("a plan");
        plan.freeze[0].time_zone = "Atlantis/Capital".into();
    }
    recorded::redecide(&recording)?;
    Ok(())
}

#[tokio::test]
async fn a_canary_that_hurts_is_rolled_back_in_a_freeze() -> Result<()> {
    let slow = plan("").replace("3s}", "40s}") + FROZEN;
    let mut world = world(52).await?;
    world.apply(&slow).await?;
    world.run(90).await?;
    assert!(world.rollout()?.frozen_until.is_some());
    world.canary.error_rate = 0.3;
    assert!(world.run_until(60, ended).await?);
    assert_eq!(world.rollout()?.state(), State::RolledBack);
    Ok(())
}

#[tokio::test]
async fn nothing_begins_in_a_freeze_but_by_force_and_a_queue_waits_for_its_end() -> Result<()> {
    let plan = plan("") + FROZEN;
    let mut world = world(53).await?;
    world.run(70).await?;
    let refused = world.apply(&plan).await.unwrap_err().to_string();
    assert!(
        refused.contains("frozen until 2027-01-15 08:06 UTC"),
        "{refused}"
    );
    let queued = queue(&mut world, "q", &plan).await?;
    world.run(10).await?;
    let views = world.handle.views();
    let shown = &views.rollouts[&queued.id];
    assert_eq!((shown.state(), shown.queue_position), (State::Queued, 1));
    assert!(shown.frozen_until.is_some());
    world.crash().await?;
    world.run(270).await?;
    assert_eq!(state_of(&world, &queued.id).0, State::Queued);
    world.run(12).await?;
    assert_eq!(state_of(&world, &queued.id).0, State::Running);
    Ok(())
}

/// Ring 0, rings 0 and 1, then everybody.
const RINGS: &str = r#"
steps:
  - {split: {v2: 0.5, v1: 0.5}, min_duration: 8s, selector: {ring: "0"}}
  - {split: {v2: 0.5, v1: 0.5}, min_duration: 8s, selector: {ring: ["0", "1"]}}
  - {split: {v2: 0.5, v1: 0.5}, min_duration: 8s}
  - {split: {v2: 1.0}, min_duration: 8s}
bake: {duration: 5s}
"#;

fn rings() -> String {
    let errors = ERRORS.replace("0.0025", "0.03");
    format!("{HEAD}{RINGS}guardrails:\n{errors}")
}

/// Which sidecars give the canary traffic.
fn given(world: &World) -> Vec<bool> {
    let held = world.sidecars.iter().map(|sidecar| sidecar.held());
    held.map(|held| held.is_some_and(|held| !held.shares.is_empty()))
        .collect()
}

async fn ringed(seed: u64) -> Result<World> {
    let mut world = world(seed).await?;
    for (number, ring) in ["0", "1", "2"].into_iter().enumerate() {
        world.detach(number).await?;
        world.sidecars[number].labels = [("ring".to_owned(), ring.to_owned())].into();
        world.attach(number).await?;
    }
    Ok(world)
}

#[tokio::test]
async fn a_canary_begins_in_one_ring_and_only_that_is_compared() -> Result<()> {
    let mut world = ringed(61).await?;
    world.apply(&rings()).await?;
    // What the others do is no comparison: if it counted, stable's errors would drown the canary's.
    world.run(4).await?;
    assert_eq!(given(&world), [true, false, false]);
    let rollout = world.rollout()?;
    let fleet = rollout.fleet.clone().unwrap_or_default();
    assert_eq!((fleet.serving, fleet.connected, fleet.current), (3, 1, 1));
    let traffic = rollout.traffic.unwrap_or_default();
    let rate = traffic.requests_per_second;
    assert!((rate - 167.0).abs() < 2.0, "one of three: {rate}");
    let id = rollout.id.clone();
    let of_ring = world.store.slices(&id, 0, usize::MAX)?;
    let most = of_ring.iter().map(|(_, slice)| {
        let arm = |arm: &Option<serinus_proto::stored::v1::Arm>| {
            arm.as_ref().map_or(0, |arm| arm.requests)
        };
        (arm(&slice.stable) + arm(&slice.canary)) as f64 / slice.seconds
    });
    assert!(most.fold(0.0, f64::max) < 170.0);
    assert!(world.run_until(60, |rollout| rollout.step == 1).await?);
    world.run(2).await?;
    assert_eq!(given(&world), [true, true, false]);
    world.crash().await?;
    world.run(1).await?;
    assert_eq!(given(&world), [true, true, false]);
    assert!(world.run_until(60, |rollout| rollout.step == 2).await?);
    world.run(2).await?;
    assert_eq!(given(&world), [true, true, true]);
    assert!(world.run_until(600, ended).await?);
    assert_eq!(world.rollout()?.state(), State::Promoted);
    recorded::redecide(&recorded::recording(&world, &id)?)?;
    Ok(())
}

#[tokio::test]
async fn a_ring_that_nobody_is_in_holds_until_somebody_is() -> Result<()> {
    let mut world = world(62).await?;
    world.apply(&rings()).await?;
    world.run(3).await?;
    let told = world
        .rollout()?
        .decision
        .clone()
        .unwrap_or_default()
        .sentence;
    assert!(told.contains("0 of 3 sidecars selected"), "{told}");
    let held = |rollout: &v1::Rollout| rollout.state() == State::Held;
    assert!(world.run_until(30, held).await?);
    assert_eq!(world.rollout()?.cause(), v1::Cause::NoSidecars);
    // Its labels are changed and it connects again, holding what it was given without them.
    world.detach(1).await?;
    world.sidecars[1].labels = [("ring".to_owned(), "0".to_owned())].into();
    world.attach(1).await?;
    world.run(3).await?;
    assert_eq!(given(&world), [false, true, false]);
    assert_eq!(world.rollout()?.state(), State::Running);
    // And out of it again: its users are on stable at once.
    world.detach(1).await?;
    world.sidecars[1].labels.clear();
    world.attach(1).await?;
    world.run(2).await?;
    assert_eq!(given(&world), [false, false, false]);
    Ok(())
}

#[tokio::test]
async fn a_bake_keeps_some_on_stable_and_guards_while_it_is_paused() -> Result<()> {
    let long = plan("").replace(
        "bake: {duration: 5s}",
        "bake: {duration: 60s, holdback: 0.1}",
    );
    let mut world = world(71).await?;
    world.apply(&long).await?;
    let baking = |rollout: &v1::Rollout| rollout.state() == State::Baking;
    assert!(world.run_until(300, baking).await?);
    assert_eq!(world.rollout()?.split["v1"], 0.1);
    world
        .command(Command::Verb(Verb::Pause, request("pause", 0)))
        .await??;
    world.run(100).await?;
    let paused = world.rollout()?;
    assert_eq!((paused.state(), paused.split["v1"]), (State::Paused, 0.1));
    world.canary.error_rate = 0.2;
    assert!(world.run_until(60, ended).await?);
    let back = world.rollout()?;
    assert_eq!((back.state(), back.split["v1"]), (State::RolledBack, 1.0));
    let spent = [v1::Cause::Guardrail, v1::Cause::Budget];
    assert!(spent.contains(&back.cause()), "{:?}", back.cause());
    recorded::redecide(&recorded::recording(&world, &back.id)?)?;
    Ok(())
}

#[tokio::test]
async fn users_are_capped_until_the_canary_is_safe_at_tolerance_one() -> Result<()> {
    let mut world = world(72).await?;
    world.trouble.users = 1000;
    let capped = plan("") + "budget: {exposed_keys: 40}\n";
    world.apply(&capped).await?;
    let held = |rollout: &v1::Rollout| rollout.state() == State::Held;
    assert!(world.run_until(60, held).await?, "{:#?}", world.rollout()?);
    let rollout = world.rollout()?;
    assert_eq!(rollout.cause(), v1::Cause::Budget);
    // Sidecars tell whom they met every ten seconds, and the first step may be over by then.
    assert!(rollout.step < 2, "{}", rollout.step);
    assert!(rollout.traffic.unwrap_or_default().exposed_users >= 40);
    assert!(world.run_until(3000, ended).await?);
    let rollout = world.rollout()?;
    assert_eq!(rollout.state(), State::Promoted);
    let events = world.handle.events(0, 1000).await?;
    let lifted = events
        .iter()
        .filter(|event| matches!(event.kind, Some(v1::event::Kind::CapLifted(_))));
    assert_eq!(lifted.count(), 1);
    recorded::redecide(&recorded::recording(&world, &rollout.id)?)?;
    Ok(())
}

#[tokio::test]
async fn who_approved_is_in_the_event_and_what_would_be_stable_can_be_asked() -> Result<()> {
    let mut world = world(73).await?;
    let asks = plan("").replace(
        "v1: 0.9}, min_duration: 3s}",
        "v1: 0.9}, min_duration: 3s, approval: {timeout: 1h, then: hold}}",
    );
    world.apply(&asks).await?;
    let asked = |rollout: &v1::Rollout| rollout.approval_deadline.is_some();
    assert!(world.run_until(120, asked).await?);
    let revision = world.rollout()?.revision;
    let given = world
        .command(Command::Verb(Verb::Approve, request("yes", revision)))
        .await??;
    assert_eq!(
        (given.approved, given.approved_by.as_str()),
        (true, "operator")
    );
    assert!(world.run_until(600, ended).await?);
    let events = world.handle.events(0, 1000).await?;
    let approved = events
        .iter()
        .find(|event| matches!(event.kind, Some(v1::event::Kind::Approved(_))));
    assert_eq!(approved.map(|event| event.actor.as_str()), Some("operator"));
    let ask = |validate_only| v1::SetStableRequest {
        request_id: "stable".into(),
        model: "digits".into(),
        stable: Some(v1::Variant {
            name: "v7".into(),
            endpoints: vec!["http://127.0.0.1:7".into()],
            ..v1::Variant::default()
        }),
        validate_only,
        ..v1::SetStableRequest::default()
    };
    let handle = world.handle.clone();
    let would_be = world
        .with(async move { handle.set_stable("operator", ask(true)).await })
        .await??;
    assert_eq!(would_be.stable.unwrap_or_default().name, "v7");
    assert_eq!(stable_of(&world).as_deref(), Some("v2"));
    let handle = world.handle.clone();
    world
        .with(async move { handle.set_stable("operator", ask(false)).await })
        .await??;
    assert_eq!(stable_of(&world).as_deref(), Some("v7"));
    Ok(())
}
