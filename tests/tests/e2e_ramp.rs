//! Rollouts that go well, and those that people stop, through the real binaries. Run by `tests/run`.

use anyhow::{Context as _, Result};
use serinus_proto::v1::{self, Cause, State};
use serinus_tests::client::{Verb, request_id};
use serinus_tests::cluster::{Cluster, MODEL};
use serinus_tests::load::Load;
use std::time::Duration;

const SECONDS_60: Duration = Duration::from_secs(60);
const QUICK: &str = "
steps:
  - {split: {v2: 0.1, v1: 0.9}, min_duration: 2s}
  - {split: {v2: 0.5, v1: 0.5}, min_duration: 2s}
  - {split: {v2: 1.0}, min_duration: 2s}
bake: {duration: 2s}
guardrails:
  - {metric: error_rate, margin: 0.02}
  - {metric: latency, quantiles: [0.5], ratio: 3, slack: 50ms}
";
/// Stays on its first step.
const SLOW: &str = "
steps:
  - {split: {v2: 0.2, v1: 0.8}, min_duration: 1h}
  - {split: {v2: 0.5, v1: 0.5}, min_duration: 1h}
  - {split: {v2: 1.0}}
guardrails:
  - {metric: error_rate, margin: 0.02}
";

fn ended(rollout: &v1::Rollout) -> bool {
    matches!(rollout.state(), State::Promoted | State::RolledBack)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_good_canary_reaches_everyone() -> Result<()> {
    let cluster = Cluster::start(3).await?;
    let client = cluster.client()?;
    client.apply(&cluster.plan(QUICK)?).await?;
    let (traffic, moves) = cluster.load(&Load::default())?;
    let rollout = client.until(MODEL, "promoted", SECONDS_60, ended).await?;
    assert_eq!(rollout.state(), State::Promoted, "{rollout:#?}");
    let model =
        serinus_tests::eventually::eventually("the canary serves alone", SECONDS_60, || async {
            let stats = traffic.snapshot();
            Ok((stats.variant("v2").requests > 500).then_some(stats))
        });
    model.await?;
    let stats = traffic.stop().await;
    assert_eq!(stats.errors, 0, "{stats:#?}");
    assert!(
        moves.away_from("v2").is_empty(),
        "a ramp never moves a user back: {:?}",
        moves.away_from("v2")
    );
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn an_automatic_ramp_knows_the_traffic_before_its_model_has_a_rollout() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    let (traffic, _) = cluster.load(&Load::default())?;
    let plan = cluster.plan(
        "
ramp: {victims: 150}
failure: {attempt_timeout: 1s}
bake: {duration: 2s}
guardrails:
  - {metric: error_rate, margin: 0.02}
  - {metric: latency, quantiles: [0.5], ratio: 3, slack: 50ms}
",
    )?;
    let parsed = serinus_core::plan::parse(&plan).map_err(|m| anyhow::anyhow!("{m:?}"))?;
    let would_be = || async {
        let request = v1::ApplyRequest {
            plan: Some(parsed.clone()),
            validate_only: true,
            ..v1::ApplyRequest::default()
        };
        let would_be = client.rollouts().apply(request).await?.into_inner();
        let ramp = would_be.plan.and_then(|plan| plan.ramp);
        let choice = ramp
            .and_then(|ramp| ramp.choice)
            .context("nothing chosen")?;
        // The first seconds are those in which the load began.
        Ok((!choice.assumed && choice.requests_per_second > 250.0).then_some(choice))
    };
    let choice = serinus_tests::eventually::eventually("a known rate", SECONDS_60, would_be);
    let choice = choice.await?;
    // 300 requests/s, 150 victims in 4 s.
    assert!(choice.requests_per_second < 330.0, "{choice:?}");
    assert!((0.09..=0.1).contains(&choice.first_share), "{choice:?}");
    client.apply(&plan).await?;
    let rollout = client
        .until(MODEL, "promoted", 3 * SECONDS_60, ended)
        .await?;
    assert_eq!(rollout.state(), State::Promoted, "{rollout:#?}");
    assert_eq!(traffic.stop().await.errors, 0);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_split_set_by_hand_is_in_force_and_pauses() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    client.apply(&cluster.plan(SLOW)?).await?;
    let (traffic, _) = cluster.load(&Load::default())?;
    client
        .until(MODEL, "traffic on the canary", SECONDS_60, |r| {
            r.achieved_share.unwrap_or(0.0) > 0.1
        })
        .await?;
    let split = |canary: f64| [("v2".to_owned(), canary), ("v1".to_owned(), 1.0 - canary)];
    let mut request = v1::SetSplitRequest {
        rollout: MODEL.into(),
        request_id: request_id(),
        split: split(0.05).into(),
        reason: "lower".into(),
        ..v1::SetSplitRequest::default()
    };
    let lowered = client
        .rollouts()
        .set_split(request.clone())
        .await?
        .into_inner();
    assert_eq!(
        (lowered.state(), lowered.cause()),
        (State::Paused, Cause::Manual)
    );
    let near = |share: f64| {
        move |r: &v1::Rollout| {
            r.achieved_share
                .is_some_and(|got| (got - share).abs() < 0.03)
        }
    };
    client
        .until(MODEL, "five percent", SECONDS_60, near(0.05))
        .await?;
    // Above the step takes force, a reason and the revision; above the plan's highest step is never.
    request.split = split(0.4).into();
    request.request_id = request_id();
    let refused = client.rollouts().set_split(request.clone()).await;
    assert!(refused.is_err());
    request.force = true;
    loop {
        request.request_id = request_id();
        request.expected_revision = client.get(MODEL).await?.revision;
        match client.rollouts().set_split(request.clone()).await {
            Err(status) if status.code() == tonic::Code::Aborted => {}
            done => break drop(done?),
        }
    }
    client
        .until(MODEL, "forty percent", SECONDS_60, near(0.4))
        .await?;
    let resumed = client.command(Verb::Resume, MODEL, "go on").await?.1;
    assert_eq!((resumed.state(), resumed.step), (State::Running, 1));
    client
        .until(MODEL, "the second step", SECONDS_60, near(0.5))
        .await?;
    assert_eq!(traffic.stop().await.errors, 0);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn people_can_pause_resume_approve_and_abort() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    let gated = QUICK.replace(
        "{split: {v2: 0.1, v1: 0.9}, min_duration: 2s}",
        "{split: {v2: 0.1, v1: 0.9}, min_duration: 2s, approval: {timeout: 1h, then: hold}}",
    );
    client.apply(&cluster.plan(&gated)?).await?;
    let (traffic, _) = cluster.load(&Load::default())?;
    let paused = client.command(Verb::Pause, MODEL, "lunch").await?.1;
    assert_eq!(paused.state(), State::Paused);
    let resumed = client.command(Verb::Resume, MODEL, "back").await?.1;
    assert_eq!(resumed.state(), State::Running);
    client
        .until(MODEL, "it asks for approval", SECONDS_60, |r| {
            r.approval_deadline.is_some()
        })
        .await?;
    client.command(Verb::Approve, MODEL, "looks good").await?;
    client
        .until(MODEL, "the second step", SECONDS_60, |r| r.step == 1)
        .await?;
    let aborted = client
        .command(Verb::Rollback, MODEL, "changed my mind")
        .await?
        .1;
    assert_eq!(
        (aborted.state(), aborted.cause()),
        (State::RolledBack, Cause::Operator)
    );
    let again = client.command(Verb::Rollback, MODEL, "again").await?.1;
    assert_eq!(
        (again.state(), again.revision),
        (State::RolledBack, aborted.revision)
    );
    // Nobody meets the canary any more, however long we look.
    let quiet = serinus_tests::eventually::eventually("no canary traffic", SECONDS_60, || async {
        let before = traffic.snapshot();
        let enough = |stats: &serinus_demo::traffic::Stats| stats.ended > before.ended + 300;
        let after = serinus_tests::eventually::eventually("300 requests", SECONDS_60, || async {
            Ok(Some(traffic.snapshot()).filter(enough))
        });
        let after = after.await?;
        Ok((after.variant("v2").requests == before.variant("v2").requests).then_some(()))
    });
    quiet.await?;
    assert_eq!(traffic.stop().await.errors, 0);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn every_state_can_be_aborted() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let client = cluster.client()?;
    let (traffic, _) = cluster.load(&Load::default())?;
    let warm = format!("warmup: {{duration: 1h, share: 0.02}}{SLOW}");
    let held = SLOW.replace(
        "guardrails:",
        "on_no_evidence: {after: 1s, then: hold}\nguardrails:",
    ) + "  - {metric: accuracy, margin: 0.01, label_window: 1m}\n";
    let baking = QUICK.replace("bake: {duration: 2s}", "bake: {duration: 1h}");
    let cases = [
        (warm.as_str(), State::WarmingUp),
        (SLOW, State::Running),
        (&held, State::Held),
        (&baking, State::Baking),
    ];
    for (plan, state) in cases {
        let id = client.apply(&cluster.plan(plan)?).await?.id;
        let what = format!("{state:?}");
        client
            .until(&id, &what, SECONDS_60, |r| r.state() == state)
            .await
            .with_context(|| what.clone())?;
        let aborted = client.command(Verb::Rollback, &id, "abort").await?.1;
        assert_eq!(
            (aborted.state(), aborted.cause()),
            (State::RolledBack, Cause::Operator),
            "{what}"
        );
    }
    let id = client.apply(&cluster.plan(SLOW)?).await?.id;
    client.command(Verb::Pause, &id, "").await?;
    let aborted = client.command(Verb::Rollback, &id, "abort").await?.1;
    assert_eq!(aborted.state(), State::RolledBack);
    assert_eq!(traffic.stop().await.errors, 0);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_model_without_traffic_is_held_never_promoted() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let client = cluster.client()?;
    let plan = QUICK.replace(
        "guardrails:",
        "on_no_evidence: {after: 3s, then: hold}\nguardrails:",
    );
    client.apply(&cluster.plan(&plan)?).await?;
    let rollout = client
        .until(MODEL, "held", SECONDS_60, |r| r.state() == State::Held)
        .await?;
    assert_eq!((rollout.cause(), rollout.step), (Cause::NoEvidence, 0));
    let verdicts = rollout.decision.unwrap_or_default().guardrails;
    assert!(!verdicts.is_empty());
    assert!(
        verdicts
            .iter()
            .all(|guardrail| guardrail.verdict() == v1::Verdict::NoEvidence)
    );
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_second_plan_is_rejected_or_supersedes() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let client = cluster.client()?;
    let first = client.apply(&cluster.plan(SLOW)?).await?;
    assert_eq!(
        client.apply(&cluster.plan(SLOW)?).await?.id,
        first.id,
        "the same plan is the same rollout"
    );
    let other =
        serinus_core::plan::parse(&cluster.plan(QUICK)?).map_err(|m| anyhow::anyhow!("{m:?}"))?;
    let mut request = v1::ApplyRequest {
        request_id: request_id(),
        plan: Some(other),
        ..v1::ApplyRequest::default()
    };
    let refused = client.rollouts().apply(request.clone()).await;
    assert_eq!(
        refused.err().map(|status| status.code()),
        Some(tonic::Code::FailedPrecondition)
    );
    request.request_id = request_id();
    request.set_on_active(v1::apply_request::OnActive::Supersede);
    let second = client.rollouts().apply(request).await?.into_inner();
    assert_ne!(second.id, first.id);
    let old = client.get(&first.id).await?;
    assert_eq!(
        (old.state(), old.cause()),
        (State::RolledBack, Cause::Superseded)
    );
    cluster.finish().await
}
