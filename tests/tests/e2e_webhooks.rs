//! Webhooks with real processes: a receiver that fails, hangs and is away, and a control plane that is killed in between.
//! Run by `tests/run`.

use anyhow::{Context as _, Result, ensure};
use serinus_proto::v1;
use serinus_tests::client::{Client, Verb};
use serinus_tests::cluster::{Cluster, MODEL};
use serinus_tests::eventually::eventually;
use serinus_tests::receiver::{Manner, Posted, Receiver};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);

/// Of the example of Standard Webhooks.
const SECRET: &str = "whsec_plJ3nmyCDGBKInavdOK15jsl";

const PLAN: &str = "
steps:
  - {split: {v2: 0.3, v1: 0.7}, min_duration: 1h}
  - {split: {v2: 1.0}}
guardrails:
  - {metric: error_rate, margin: 0.02}
";

fn config(cluster: &Cluster, url: &str) -> Result<String> {
    let secret = cluster.folder.path().join("webhook.secret");
    std::fs::write(&secret, format!("{SECRET}\n"))?;
    Ok(format!(
        "[[webhook]]\nname = \"chat\"\nurl = \"{url}\"\nsecret_file = {secret:?}\ntimeout = \"1s\"\n"
    ))
}

/// One command is one event at least.
async fn toggle(client: &Client, round: u32) -> Result<()> {
    let verb = match round % 2 {
        0 => Verb::Pause,
        _ => Verb::Resume,
    };
    let reason = format!("round {round}");
    client.command(verb, MODEL, &reason).await.map(drop)
}

async fn delivered(client: &Client, receiver: &Receiver) -> Result<Vec<v1::Event>> {
    let events = client.events_after(0).await?;
    let wanted: BTreeSet<u64> = events.iter().map(|event| event.revision).collect();
    let all = eventually("every event is delivered", LIMIT, || async {
        let took = receiver.took();
        let have: BTreeSet<u64> = took.iter().map(|posted| posted.revision).collect();
        Ok(wanted.is_subset(&have).then_some(()))
    });
    let all = all.await;
    all.with_context(|| format!("{} events; took {:?}", events.len(), receiver.took()))?;
    Ok(events)
}

/// Every event was taken, in its order, and what came twice had the same id.
fn check(events: &[v1::Event], took: &[Posted]) -> Result<()> {
    let mut first: BTreeMap<u64, &Posted> = BTreeMap::new();
    for posted in took {
        let known = first.entry(posted.revision).or_insert(posted);
        ensure!(
            known.id == posted.id,
            "another id: {known:?} and {posted:?}"
        );
        ensure!(known.body["data"] == posted.body["data"], "other content");
    }
    let ids: BTreeSet<&String> = first.values().map(|posted| &posted.id).collect();
    ensure!(ids.len() == first.len(), "two events with one id");
    let order: Vec<u64> = {
        let mut seen = BTreeSet::new();
        let firsts = took.iter().filter(|posted| seen.insert(posted.revision));
        let of = firsts.filter(|posted| posted.body["data"]["model"] == MODEL);
        of.map(|posted| posted.revision).collect()
    };
    ensure!(order.is_sorted(), "out of order: {order:?}");
    for event in events {
        let posted = first.get(&event.revision).context("an event is missing")?;
        let data = &posted.body["data"];
        ensure!(data["actor"].as_str().unwrap_or_default() == event.actor);
        ensure!(data["reason"].as_str().unwrap_or_default() == event.reason);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn every_event_arrives_whatever_fails() -> Result<()> {
    let receiver = Receiver::start(SECRET).await?;
    let mut cluster = Cluster::start(1).await?;
    cluster.configure(&config(&cluster, &receiver.url())?)?;
    cluster.kill_control_plane().await?;
    cluster.start_control_plane().await?;
    let client = cluster.client()?;
    client.apply(&cluster.plan(PLAN)?).await?;
    for (round, manner) in [
        Manner::Fail,
        Manner::Hang,
        Manner::Cut,
        Manner::Redirect,
        Manner::Take,
        Manner::Fail,
    ]
    .into_iter()
    .enumerate()
    {
        receiver.behave(manner.clone());
        let asked = receiver.asked();
        toggle(&client, u32::try_from(round)?).await?;
        let tried = eventually("it is tried", LIMIT, || async {
            Ok((receiver.asked() > asked).then_some(()))
        });
        tried.await.with_context(|| format!("{manner:?}"))?;
        cluster.kill_control_plane().await?;
        if round % 2 == 0 {
            // It works again while nobody is there, or fails on.
            receiver.behave(Manner::Take);
        }
        cluster.start_control_plane().await?;
    }
    receiver.behave(Manner::Take);
    let events = delivered(&client, &receiver).await?;
    let took = receiver.took();
    check(&events, &took)?;
    ensure!(
        receiver.unsigned() == 0,
        "{} badly signed",
        receiver.unsigned()
    );
    // It is kept how far this is: a start in peace repeats nothing.
    let settled = eventually("nothing is outstanding", LIMIT, || async {
        let text = serinus_tests::page::get(cluster.http(), "/metrics").await?;
        let lag = "serinus_webhook_lag_events{webhook=\"chat\"} 0\n";
        Ok(text.contains(lag).then_some(()))
    });
    settled.await?;
    let process = cluster.control_plane.take().context("it runs")?;
    process.terminate().await?;
    let before = receiver.took().len();
    cluster.start_control_plane().await?;
    toggle(&client, 6).await?;
    let events = delivered(&client, &receiver).await?;
    let after = receiver.took();
    check(&events, &after)?;
    let again = after[before..]
        .iter()
        .filter(|of| of.revision <= took.last().map_or(0, |last| last.revision));
    ensure!(again.count() == 0, "delivered again after a stop in peace");
    println!(
        "{} events, posted {} times, {} requests",
        events.len(),
        after.len(),
        receiver.asked()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_receiver_that_hangs_holds_nobody_up() -> Result<()> {
    let receiver = Receiver::start(SECRET).await?;
    receiver.behave(Manner::Hang);
    let mut cluster = Cluster::start(1).await?;
    let text = config(&cluster, &receiver.url())?.replace("\"1s\"", "\"60s\"");
    cluster.configure(&text)?;
    cluster.kill_control_plane().await?;
    cluster.start_control_plane().await?;
    let client = cluster.client()?;
    let id = client.apply(&cluster.plan(PLAN)?).await?.id;
    for round in 0..20 {
        let begun = std::time::Instant::now();
        toggle(&client, round).await?;
        ensure!(begun.elapsed() < Duration::from_secs(5), "a command waited");
    }
    let asked = eventually("it is asked", LIMIT, || async {
        Ok((receiver.asked() > 0).then_some(()))
    });
    asked.await?;
    let (_, ended) = client.command(Verb::Rollback, &id, "enough").await?;
    ensure!(
        ended.state() == v1::State::RolledBack,
        "{:?}",
        ended.state()
    );
    // And a stop does not wait for it.
    let process = cluster.control_plane.take().context("it runs")?;
    process.terminate().await?;
    ensure!(receiver.took().is_empty());
    Ok(())
}
