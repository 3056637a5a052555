//! What a rollout can live through, with the real programs: waiting in a queue, a freeze, a ring at a time, guardrails that
//! only hold or tell, a cap on users, approvals, and being taken back. Run by `tests/run`.

use anyhow::{Context as _, Result, ensure};
use serinus_proto::v1::{self, Cause, State, event::Kind};
use serinus_tests::client::{Client, Verb, request_id};
use serinus_tests::cluster::{Cluster, Extra, MODEL};
use serinus_tests::eventually::eventually;
use serinus_tests::load::Load;
use std::time::{Duration, SystemTime};

const LIMIT: Duration = Duration::from_secs(60);

const QUICK: &str = "
steps:
  - {split: {v2: 0.2, v1: 0.8}, min_duration: 1s}
  - {split: {v2: 0.5, v1: 0.5}, min_duration: 1s}
  - {split: {v2: 1.0}, min_duration: 1s}
bake: {duration: 1s}
";

const STAYS: &str = "
steps:
  - {split: {v2: 0.3, v1: 0.7}, min_duration: 1h}
  - {split: {v2: 1.0}}
";

const ERRORS: &str = "guardrails:\n  - {metric: error_rate, margin: 0.02}\n";

fn request(plan: &str) -> Result<v1::ApplyRequest> {
    let plan = serinus_core::plan::parse(plan);
    Ok(v1::ApplyRequest {
        request_id: request_id(),
        plan: Some(plan.map_err(|mistakes| anyhow::anyhow!("{mistakes:?}"))?),
        ..v1::ApplyRequest::default()
    })
}

fn is(state: State) -> impl Fn(&v1::Rollout) -> bool {
    move |rollout| rollout.state() == state
}

async fn kinds(client: &Client) -> Result<Vec<Kind>> {
    let events = client.events_after(0).await?.into_iter();
    Ok(events.filter_map(|event| event.kind).collect())
}

/// Which variant serves the model.
async fn stable(client: &Client) -> Result<String> {
    let request = v1::GetModelRequest {
        model: MODEL.into(),
    };
    let mut models = v1::models_client::ModelsClient::new(client.channel());
    let model = models.get_model(request).await?.into_inner();
    Ok(model.stable.unwrap_or_default().name)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn what_is_queued_follows_a_promotion_and_a_promotion_is_taken_back() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    let quick = cluster.plan(&format!("{QUICK}{ERRORS}"))?;
    // What would be changes nothing.
    let dry = v1::ApplyRequest {
        validate_only: true,
        ..request(&quick)?
    };
    let would_be = client.apply_request(dry).await?;
    ensure!(would_be.plan.unwrap_or_default().steps.len() == 3);
    ensure!(client.get(MODEL).await.is_err() && kinds(&client).await?.is_empty());
    let first = client.apply(&quick).await?;
    let next = |canary: &str| {
        let address = cluster.stable.address("listening")?;
        let steps = STAYS.replace("v2", canary).replace("v1", "stable");
        let text = format!(
            "model: {MODEL}\ncanary: {{name: {canary}, endpoints: [\"http://{address}\"]}}\n{steps}{ERRORS}"
        );
        Ok::<_, anyhow::Error>(v1::ApplyRequest {
            on_active: v1::apply_request::OnActive::Queue.into(),
            ..request(&text)?
        })
    };
    let second = client.apply_request(next("v3")?).await?;
    let third = client.apply_request(next("v4")?).await?;
    ensure!((second.state(), second.queue_position) == (State::Queued, 1));
    ensure!((third.state(), third.queue_position) == (State::Queued, 2));
    let cancelled = client.command(Verb::Cancel, &second.id, "not now").await?.1;
    ensure!(cancelled.state() == State::Cancelled);
    let (traffic, moves) = cluster.load(&Load::default())?;
    client
        .until(&first.id, "promoted", LIMIT, is(State::Promoted))
        .await?;
    let begun = client
        .until(&third.id, "what waited", LIMIT, is(State::Running))
        .await?;
    let plan = begun.plan.unwrap_or_default();
    ensure!(plan.stable.unwrap_or_default().name == "v2");
    // A promotion is not taken back under a rollout that is built on it.
    let early = client.ask(&first.id, "complaints").await?;
    ensure!(client.send(Verb::Undo, early).await.is_err());
    client.command(Verb::Rollback, &third.id, "no").await?;
    let mut dry = client.ask(&first.id, "complaints").await?;
    dry.validate_only = true;
    let would_be = client.send(Verb::Undo, dry).await?;
    ensure!(would_be.undoes == first.id && stable(&client).await? == "v2");
    let undone = client.command(Verb::Undo, &first.id, "complaints").await?.1;
    ensure!((undone.state(), &undone.undoes) == (State::Promoted, &first.id));
    ensure!(stable(&client).await? == "v1");
    let before = traffic.snapshot();
    let back = eventually("everybody is on v1", LIMIT, || async {
        let now = traffic.snapshot();
        let gone = now.variant("v1").requests > before.variant("v1").requests + 300;
        Ok(gone.then_some(()))
    });
    back.await?;
    ensure!(!moves.away_from("v2").is_empty(), "nobody was moved back");
    ensure!(traffic.stop().await.errors == 0);
    cluster.finish().await
}

/// A freeze that began two minutes ago and lasts ten, as its plan says it.
fn frozen_now() -> Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let began = now.as_secs() / 60 - 2;
    let (hour, minute) = (began / 60 % 24, began % 60);
    Ok(format!(
        "freeze: [{{cron: \"{minute} {hour} * * *\", duration: 10m, time_zone: UTC}}]\n"
    ))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_freeze_keeps_it_from_moving_on_and_not_from_going_back() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    let plan = cluster.plan(&format!("{QUICK}{}{ERRORS}", frozen_now()?))?;
    let refused = client.apply_request(request(&plan)?).await;
    let refused = refused.err().context("it began in a freeze")?;
    ensure!(refused.message().contains("frozen until"), "{refused}");
    let forced = v1::ApplyRequest {
        force: true,
        reason: "a fix that cannot wait".into(),
        ..request(&plan)?
    };
    let id = client.apply_request(forced).await?.id;
    let (traffic, _) = cluster.load(&Load::default())?;
    // All that is missing for the next step is the end of the freeze.
    let waits = |rollout: &v1::Rollout| {
        let decision = rollout.decision.clone().unwrap_or_default();
        let safe = |of: &v1::GuardrailEvidence| of.verdict() == v1::Verdict::Safe;
        decision.guardrails.iter().all(safe)
            && !decision.guardrails.is_empty()
            && decision.sentence.starts_with("WAIT: frozen until")
    };
    let frozen = client.until(&id, "only the freeze", LIMIT, waits).await?;
    ensure!((frozen.step, frozen.epoch) == (0, 1), "{frozen:#?}");
    ensure!(frozen.frozen_until.is_some());
    let promote = v1::PromoteRequest {
        rollout: id.clone(),
        request_id: request_id(),
        expected_revision: frozen.revision,
        ..v1::PromoteRequest::default()
    };
    let refused = client.rollouts().promote(promote).await;
    let refused = refused.err().context("it was promoted in a freeze")?;
    ensure!(refused.message().contains("frozen until"), "{refused}");
    cluster.fault("v2", r#"{"error_rate": 0.3}"#).await?;
    let back = client
        .until(&id, "rolled back", LIMIT, is(State::RolledBack))
        .await?;
    ensure!(back.step == 0, "{back:#?}");
    let kinds = kinds(&client).await?;
    ensure!(
        kinds
            .iter()
            .any(|kind| matches!(kind, Kind::FreezeBegan(_)))
    );
    ensure!(traffic.stop().await.errors == 0);
    cluster.finish().await
}

const RINGS: &str = "
steps:
  - {split: {v2: 0.5, v1: 0.5}, min_duration: 1s, selector: {ring: \"0\"}, approval: {timeout: 1h, then: hold}}
  - {split: {v2: 0.5, v1: 0.5}, min_duration: 1h}
  - {split: {v2: 1.0}}
";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_canary_begins_in_one_ring() -> Result<()> {
    let mut cluster = Cluster::start(0).await?;
    for ring in ["0", "1"] {
        let labels = [("ring".to_owned(), ring.to_owned())].into();
        let extra = Extra {
            labels,
            ..Extra::default()
        };
        cluster.add_sidecar(extra).await?;
    }
    let client = cluster.client()?;
    let id = client
        .apply(&cluster.plan(&format!("{RINGS}{ERRORS}"))?)
        .await?
        .id;
    let (traffic, moves) = cluster.load(&Load::default())?;
    let asks = |rollout: &v1::Rollout| rollout.approval_deadline.is_some();
    let rollout = client.until(&id, "it asks", LIMIT, asks).await?;
    let fleet = rollout.fleet.clone().unwrap_or_default();
    ensure!((fleet.serving, fleet.connected, fleet.current) == (2, 1, 1));
    let shares = |held: serinus_tests::oracle::trace::Held| held.shares.values().sum::<u32>();
    let given = || async {
        let mut given = Vec::new();
        for of in &cluster.sidecars {
            given.push(shares(cluster.trace.look(&of.name, &of.admin).await?));
        }
        anyhow::Ok(given)
    };
    ensure!(given().await? == [500_000, 0], "{:?}", given().await?);
    client.command(Verb::Approve, &id, "ring 0 is fine").await?;
    let everywhere = eventually("both rings", LIMIT, || async {
        Ok((given().await? == [500_000, 500_000]).then_some(()))
    });
    everywhere.await?;
    ensure!(moves.away_from("v2").is_empty(), "{moves:?}");
    ensure!(traffic.stop().await.errors == 0);
    cluster.finish().await
}

const HOLDS_AND_TELLS: &str = "guardrails:
  - {metric: error_rate, margin: 0.02}
  - {metric: latency, quantiles: [0.5], ratio: 2, slack: 20ms, on_breach: hold, required: false}
  - {metric: latency, quantile: 0.9, limit: 40ms, on_breach: notify}
";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn guardrails_hold_or_tell_and_go_on_guarding() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    let plan = cluster.plan(&format!("{STAYS}{HOLDS_AND_TELLS}"))?;
    cluster.fault("v2", r#"{"latency_ms": 80}"#).await?;
    let id = client.apply(&plan).await?.id;
    let (traffic, _) = cluster.load(&Load::default())?;
    let held = client.until(&id, "held", LIMIT, is(State::Held)).await?;
    ensure!(held.cause() == Cause::Guardrail, "{held:#?}");
    ensure!(held.reason.starts_with("HOLD: latency"), "{}", held.reason);
    let told = eventually("the other one tells", LIMIT, || async {
        let harmful = |kind: &Kind| {
            matches!(kind, Kind::VerdictChanged(of) if of.evidence.as_ref()
            .is_some_and(|of| of.index == 2 && of.verdict() == v1::Verdict::Harmful))
        };
        Ok(kinds(&client).await?.iter().any(harmful).then_some(()))
    });
    told.await?;
    let resumed = client.command(Verb::Resume, &id, "it may be slow").await?.1;
    ensure!(resumed.state() == State::Running);
    let paused = client.command(Verb::Pause, &id, "a closer look").await?.1;
    ensure!(paused.state() == State::Paused);
    cluster
        .fault("v2", r#"{"latency_ms": 80, "error_rate": 0.3}"#)
        .await?;
    let back = client
        .until(&id, "rolled back", LIMIT, is(State::RolledBack))
        .await?;
    ensure!(back.cause() != Cause::Operator, "{back:#?}");
    ensure!(traffic.stop().await.errors == 0);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn no_more_users_than_the_plan_allows_meet_a_canary_that_is_not_proven() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let client = cluster.client()?;
    // Its evidence is far from enough when the cap is reached.
    let capped = "steps:
  - {split: {v2: 0.2, v1: 0.8}, min_duration: 2s}
  - {split: {v2: 1.0}}
budget: {exposed_keys: 40}
guardrails:
  - {metric: error_rate, margin: 0.0001}
";
    let id = client.apply(&cluster.plan(capped)?).await?.id;
    let (traffic, moves) = cluster.load(&Load::default())?;
    let held = client.until(&id, "held", LIMIT, is(State::Held)).await?;
    ensure!(held.cause() == Cause::Budget, "{held:#?}");
    ensure!((held.step, held.epoch) == (0, 1), "at its present split");
    ensure!(held.traffic.unwrap_or_default().exposed_users >= 40);
    ensure!(moves.away_from("v2").is_empty(), "{moves:?}");
    ensure!(traffic.stop().await.errors == 0);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn an_approval_that_is_refused_or_does_not_come_takes_the_canary_back() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let client = cluster.client()?;
    let (traffic, _) = cluster.load(&Load::default())?;
    let asking = |timeout: &str| {
        let gate = format!("min_duration: 1s, approval: {{timeout: {timeout}, then: rollback}}");
        let steps = QUICK.replacen("min_duration: 1s", &gate, 1);
        cluster.plan(&format!("{steps}{ERRORS}"))
    };
    let id = client.apply(&asking("1h")?).await?.id;
    let asks = |rollout: &v1::Rollout| rollout.approval_deadline.is_some();
    client.until(&id, "it asks", LIMIT, asks).await?;
    // What would be is told, and is not.
    let mut dry = client.ask(&id, "would that do?").await?;
    dry.validate_only = true;
    ensure!(client.send(Verb::Reject, dry).await?.state() == State::RolledBack);
    ensure!(client.get(&id).await?.state() == State::Running);
    let refused = client.command(Verb::Reject, &id, "the colours").await?.1;
    ensure!((refused.state(), refused.reason.as_str()) == (State::RolledBack, "the colours"));
    let id = client.apply(&asking("2s")?).await?.id;
    let back = client
        .until(&id, "nobody came", LIMIT, is(State::RolledBack))
        .await?;
    ensure!(
        (back.cause(), back.step) == (Cause::Approval, 0),
        "{back:#?}"
    );
    ensure!(traffic.stop().await.errors == 0);
    cluster.finish().await
}
