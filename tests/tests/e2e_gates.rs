//! Gates with real processes: one that fails, hangs, talks nonsense, denies and approves, and a control plane that is killed
//! while it waits. Run by `tests/run`.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use serinus_proto::v1::{self, Cause, State, event::Kind};
use serinus_tests::client::Verb;
use serinus_tests::cluster::{Cluster, MODEL};
use serinus_tests::eventually::eventually;
use serinus_tests::load::Load;
use serinus_tests::receiver::{Manner, Receiver};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);
const SECRET: &str = "whsec_plJ3nmyCDGBKInavdOK15jsl";

const PLAN: &str = "
steps:
  - {split: {v2: 0.2, v1: 0.8}, min_duration: 1s, gate: {name: board}}
  - {split: {v2: 0.5, v1: 0.5}, min_duration: 1s}
  - {split: {v2: 1.0}, min_duration: 1s}
bake: {duration: 1s, gate: {name: lab, on_deny: rollback}}
guardrails:
  - {metric: error_rate, margin: 0.02}
";

fn gate(name: &str, receiver: &Receiver, secret: &std::path::Path) -> String {
    let url = receiver.url();
    format!(
        "[[gate]]\nname = {name:?}\nurl = {url:?}\nsecret_file = {secret:?}\ntimeout = \"1s\"\n"
    )
}

async fn asked_again(receiver: &Receiver) -> Result<()> {
    let before = receiver.asked();
    let again = eventually("it is asked again", LIMIT, || async {
        Ok((receiver.asked() > before + 1).then_some(()))
    });
    again.await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn nothing_moves_on_without_the_word_of_its_gate() -> Result<()> {
    let (board, lab) = (
        Receiver::start(SECRET).await?,
        Receiver::start(SECRET).await?,
    );
    board.behave(Manner::Fail);
    lab.behave(Manner::Answer(
        json!({"decision": "deny", "reason": "the numbers are odd"}),
    ));
    let mut cluster = Cluster::start(2).await?;
    let secret = cluster.folder.path().join("gate.secret");
    std::fs::write(&secret, SECRET)?;
    let config = gate("board", &board, &secret) + &gate("lab", &lab, &secret);
    cluster.configure(&config)?;
    cluster.kill_control_plane().await?;
    cluster.start_control_plane().await?;
    let client = cluster.client()?;

    let unknown = cluster.plan(&PLAN.replace("name: lab", "name: labs"))?;
    let refused = client
        .apply(&unknown)
        .await
        .err()
        .context("it is applied")?;
    let refused = format!("{refused:#}");
    ensure!(
        refused.contains("bake.gate.name") && refused.contains("did you mean lab?"),
        "{refused}"
    );

    let id = client.apply(&cluster.plan(PLAN)?).await?.id;
    let (traffic, _) = cluster.load(&Load::default())?;
    let waits = client.until(&id, "it waits for the board", LIMIT, |rollout| {
        rollout.gate == "board"
    });
    let question = waits.await?.gate_asked;
    asked_again(&board).await?;

    // Killed while it waits: the same question is asked again, and nobody was moved.
    board.behave(Manner::Hang);
    cluster.kill_control_plane().await?;
    cluster.start_control_plane().await?;
    asked_again(&board).await?;
    for nonsense in [
        json!({"decision": "maybe"}),
        json!("approve"),
        json!({"decision": "wait"}),
    ] {
        board.behave(Manner::Answer(nonsense));
        asked_again(&board).await?;
    }
    let still = client.get(&id).await?;
    ensure!(
        still.gate_asked == question && still.step == 0,
        "{still:#?}"
    );

    board.behave(Manner::Answer(
        json!({"decision": "deny", "reason": "not on a Friday"}),
    ));
    let held = client.until(&id, "held", LIMIT, |rollout| rollout.state() == State::Held);
    let held = held.await?;
    ensure!(
        held.cause() == Cause::Gate && held.reason.contains("not on a Friday"),
        "{held:#?}"
    );
    ensure!(held.split["v2"] == 0.2);

    board.behave(Manner::Answer(
        json!({"decision": "approve", "reason": "ticket 7"}),
    ));
    client.command(Verb::Resume, MODEL, "it is Monday").await?;
    let ended = client.until(&id, "it has ended", LIMIT, |rollout| {
        matches!(rollout.state(), State::Promoted | State::RolledBack)
    });
    let ended = ended.await?;
    ensure!(
        ended.state() == State::RolledBack && ended.cause() == Cause::Gate,
        "{ended:#?}"
    );
    ensure!(
        ended.reason.contains("the numbers are odd"),
        "{}",
        ended.reason
    );
    ensure!(traffic.stop().await.errors == 0);

    check_log(&client.events_after(0).await?)?;
    let first = board.took();
    let first = first.first().context("nothing was asked")?;
    ensure!(first.id == format!("{question}-{id}"), "{}", first.id);
    ensure!(
        first.body["next"]["split"]["v2"] == 0.5,
        "{}",
        first.body["next"]
    );
    ensure!(first.body["data"]["fence"]["generation"] == "1");
    let last = lab.took();
    let last = last.first().context("the lab was not asked")?;
    ensure!(last.body["next"]["kind"] == "promotion");
    ensure!(board.unsigned() + lab.unsigned() == 0);
    Ok(())
}

/// Every raise behind a gate has its word before it, and each word is in the log with its speaker.
fn check_log(events: &[v1::Event]) -> Result<()> {
    let said = events.iter().filter_map(|event| match &event.kind {
        Some(Kind::GateAnswered(answer)) => {
            Some((event.actor.as_str(), answer.approved, event.reason.as_str()))
        }
        _ => None,
    });
    let said: Vec<_> = said.collect();
    let expected = [
        ("gate board", false, "not on a Friday"),
        ("gate board", true, "ticket 7"),
        ("gate lab", false, "the numbers are odd"),
    ];
    ensure!(said == expected, "{said:?}");
    let at = |wanted: &dyn Fn(&Kind) -> bool| {
        let of = events
            .iter()
            .find(|event| event.kind.as_ref().is_some_and(wanted));
        of.map(|event| event.revision)
            .context("an event is missing")
    };
    let approved = at(&|kind| matches!(kind, Kind::GateAnswered(answer) if answer.approved))?;
    let raised = at(&|kind| matches!(kind, Kind::StepEntered(entered) if entered.step == 1))?;
    ensure!(
        approved < raised,
        "raised at {raised}, approved at {approved}"
    );
    Ok(())
}
