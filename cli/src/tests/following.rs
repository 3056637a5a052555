//! Watching, waiting and the event log, across lost connections.

use super::*;
use crate::view::fixture;
use serinus_proto::v1::{self, State, event::Kind};

fn at(state: State, epoch: u64) -> v1::Rollout {
    let mut rollout = fixture::rollout();
    rollout.set_state(state);
    rollout.epoch = epoch;
    rollout
}

async fn status(streams: &[Vec<v1::Rollout>], args: &[&str]) -> Ran {
    let fake = Fake::start().await;
    fake.world().streams = streams.to_vec().into();
    serinus(
        &fake,
        &[&["status", "recommender", "--wait", "-o", "json"], args].concat(),
    )
    .await
}

#[tokio::test]
async fn waiting_ends_with_the_published_codes() {
    for (state, exit, word) in [
        (State::Promoted, Exit::Ok, "promoted"),
        (State::RolledBack, Exit::RolledBack, "rolled_back"),
        (State::Held, Exit::Held, "held"),
    ] {
        let ran = status(&[vec![at(State::Running, 17), at(state, 18)]], &[]).await;
        assert_eq!(ran.exit, exit, "{ran:?}");
        let json = ran.json();
        assert_eq!(
            (&json["result"], &json["exit_code"]),
            (&word.into(), &exit.code().into())
        );
        assert_eq!(json["rollout"]["epoch"], 18);
    }
}

#[tokio::test]
async fn waiting_survives_lost_streams() {
    let streams = [
        vec![at(State::Running, 18)],
        vec![],
        vec![at(State::Promoted, 19)],
    ];
    let ran = status(&streams, &[]).await;
    assert_eq!(ran.exit, Exit::Ok, "{ran:?}");
    let notes: Vec<&str> = ran.notes.lines().collect();
    assert_eq!(notes.len(), 3, "{ran:?}");
    assert!(
        notes[2].contains("connection lost: restarting; trying again"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn patience_ends() {
    let ran = status(&[vec![at(State::Running, 17)]], &["--timeout", "50ms"]).await;
    assert_eq!(ran.exit, Exit::TimedOut, "{ran:?}");
    assert_eq!(ran.json()["result"], "timed_out");
    assert!(ran.notes.contains("--timeout 1h"), "{ran:?}");
}

#[tokio::test]
async fn full_comes_before_the_bake_ends() {
    let mut full = at(State::Baking, 20);
    full.step = 3;
    let ran = status(&[vec![full]], &["--until", "full"]).await;
    assert_eq!(
        (ran.exit, &ran.json()["result"]),
        (Exit::Ok, &"full".into())
    );
}

#[tokio::test]
async fn status_alone_does_not_wait() {
    let fake = Fake::start().await;
    let ran = serinus(&fake, &["status", "recommender"]).await;
    assert_eq!(ran.exit, Exit::Ok);
    assert!(
        ran.out
            .starts_with("recommender  v1 -> v2   CANARY step 2/4"),
        "{ran:?}"
    );
    fake.world().rollout = Some(at(State::Held, 17));
    let ran = serinus(&fake, &["status", "recommender"]).await;
    assert_eq!(ran.exit, Exit::Held);
    assert!(
        ran.notes.contains("serinus rollout why recommender"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn watch_without_a_terminal_prints_one_line_per_change() {
    let fake = Fake::start().await;
    let mut recounted = at(State::Running, 17);
    recounted.traffic.as_mut().unwrap().requests_per_second = 5.0;
    fake.world().streams = [vec![
        recounted,
        at(State::Running, 18),
        at(State::Promoted, 18),
    ]]
    .into();
    let ran = serinus(&fake, &["rollout", "watch", "recommender"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 3, "{ran:?}");
    assert!(lines[2].contains("  PROMOTED  "), "{ran:?}");
    assert!(!ran.out.contains('\x1b'));
}

#[tokio::test]
async fn watch_as_json_is_a_document_per_line() {
    let fake = Fake::start().await;
    fake.world().streams = [vec![at(State::RolledBack, 18)]].into();
    let ran = serinus(&fake, &["rollout", "watch", "recommender", "-o", "json"]).await;
    let lines: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["state"], "ROLLED_BACK");
}

#[tokio::test]
async fn watch_on_a_terminal_redraws_in_place() {
    let fake = Fake::start().await;
    fake.world().streams = [vec![at(State::Promoted, 18)]].into();
    let cli = Cli::try_parse_from([
        "serinus",
        "rollout",
        "watch",
        "recommender",
        "--server",
        fake.address(),
    ])
    .unwrap();
    let mut out = Vec::new();
    let mut console = Console {
        out: &mut out,
        notes: &mut std::io::sink(),
        input: &mut std::io::empty(),
        screen: Some(console::Screen {
            size: || (120, 40),
            color: false,
        }),
    };
    let exit = cmd::dispatch(cli, &mut console).await.unwrap();
    assert_eq!(exit, Exit::Ok);
    let out = String::from_utf8(out).unwrap();
    let (first, last) = out.split_once("\x1b[8A\r").unwrap();
    assert!(first.contains("CANARY step 2/4"), "{out}");
    assert!(last.contains("PROMOTED"), "{out}");
}

fn log() -> Vec<v1::Event> {
    let event = |revision| v1::Event {
        revision,
        kind: Some(Kind::Approved(v1::Approved {})),
        ..fixture::event()
    };
    [3, 5, 8, 9].map(event).to_vec()
}

#[tokio::test]
async fn followed_events_come_once_each_although_the_stream_breaks() {
    let fake = Fake::start().await;
    fake.world().events = log();
    let follow = serinus(
        &fake,
        &[
            "events",
            "--from",
            "3",
            "--follow",
            "--rollout",
            "r-1",
            "-o",
            "json",
        ],
    );
    // The fake ends its later streams at once; whoever follows opens them again for ever.
    let ended = tokio::time::timeout(std::time::Duration::from_secs(2), async {
        tokio::select! {
            ran = follow => panic!("{ran:?}"),
            () = requests(&fake, 3) => {}
        }
    });
    Box::pin(ended).await.unwrap();
    let asked: Vec<_> = fake
        .world()
        .event_requests
        .iter()
        .map(|r| r.after_revision)
        .take(3)
        .collect();
    assert_eq!(asked, [2, 5, 9]);
    assert!(
        fake.world()
            .event_requests
            .iter()
            .all(|request| request.rollout == "r-1")
    );
}

/// Ends when the fake has been asked for events this often.
async fn requests(fake: &Fake, count: usize) {
    while fake.world().event_requests.len() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn events_without_following_end() {
    let fake = Fake::start().await;
    fake.world().events = log();
    let ran = serinus(&fake, &["events", "-o", "yaml"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{ran:?}");
    assert_eq!(ran.out.matches("---\n").count(), 4, "{ran:?}");
    assert!(ran.out.contains("revision: 8"), "{ran:?}");
    let ran = serinus(&fake, &["events", "--from", "6"]).await;
    let revisions: Vec<&str> = ran
        .out
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(revisions, ["8", "9"]);
}

#[tokio::test]
async fn a_compacted_log_says_where_to_go_on() {
    let fake = Fake::start().await;
    let ran = serinus(&fake, &["events"]).await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.error.contains("no longer kept"), "{ran:?}");
    assert!(
        ran.error.contains("hint: start from the oldest event"),
        "{ran:?}"
    );
}
