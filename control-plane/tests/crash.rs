//! The real engine on the real store, under load in a process of its own, that is aborted at every step of a commit and
//! killed at any time. Whatever was acknowledged is there afterwards, once.
//!
//! `SERINUS_CRASHES` sets the number of crashes (default 40), `SERINUS_CRASH_SEED` the seed.

#![expect(clippy::unwrap_used, reason = "all of it is a test")]

#[path = "crash/child.rs"]
mod child;
#[path = "crash/loopback.rs"]
mod loopback;

use child::{COUNTED, Command, REQUESTS, STEERED};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serinus_control_plane::engine::Engine;
use serinus_control_plane::failpoint;
use serinus_control_plane::store::Store;
use serinus_control_plane::store::sled::{Options, SledStore};
use serinus_proto::{stored::v1 as stored, v1};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Where a test may leave a store of its own: on a disk, not in memory.
fn place() -> tempfile::TempDir {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tempfile::tempdir_in(target).unwrap()
}

/// What is known from what the processes said before they died.
#[derive(Default)]
struct Known {
    /// Acknowledged commands by request id, with the revision that was answered.
    acknowledged: BTreeMap<String, u64>,
    /// The highest report that was acknowledged, by incarnation.
    reported: BTreeMap<u64, u64>,
    /// The last command that was sent and not answered: it is sent again, with the same id.
    open: Option<Command>,
    revision: u64,
    epoch: u64,
    ends: BTreeMap<String, u64>,
}

#[test]
fn what_was_acknowledged_survives_every_crash_once() {
    let crashes = number("SERINUS_CRASHES", 40);
    let mut random = StdRng::seed_from_u64(number("SERINUS_CRASH_SEED", 1));
    let home = place();
    let mut known = Known::default();
    let started = Instant::now();
    for round in 0..crashes {
        let points = failpoint::ALL.len() as u64 + 2;
        let point = failpoint::ALL.get((round % points) as usize).copied();
        run(round, point, home.path(), &mut random, &mut known);
        check(home.path(), &mut known, round);
    }
    println!(
        "{crashes} crashes in {:?}: {:?}; {} commands and {} reports were acknowledged",
        started.elapsed(),
        known.ends,
        known.acknowledged.len(),
        known.reported.values().sum::<u64>(),
    );
    assert!(
        known.acknowledged.len() as u64 > crashes / 2,
        "too little was done"
    );
}

/// One life of the process: until its failpoint, or until it is killed.
fn run(round: u64, point: Option<&str>, home: &Path, random: &mut StdRng, known: &mut Known) {
    let armed = point.map(|point| format!("{point}:{}", random.random_range(2..60)));
    let (mut child, lines) = spawn(round, armed, home, known);
    // Without a failpoint it dies after so many lines, in the middle of whatever it is doing then.
    let patience = random.random_range(1..120);
    for (n, line) in lines.lines().map_while(Result::ok).enumerate() {
        heard(&line, known);
        if point.is_none() && n == patience {
            child.kill().unwrap();
        }
    }
    let end = ended(&mut child);
    let name = point.unwrap_or("killed").to_owned();
    *known.ends.entry(name).or_default() += 1;
    assert!(!end.success(), "it ended by itself in round {round}");
}

/// This program again, as the process that dies.
fn spawn(
    round: u64,
    failpoint: Option<String>,
    home: &Path,
    known: &Known,
) -> (Child, BufReader<ChildStdout>) {
    let retry = known.open.as_ref().map_or(String::new(), Command::to_text);
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child::live", "--ignored", "--nocapture"])
        .env(child::PLACE, home)
        .env(child::ROUND, round.to_string())
        .env(child::RETRY, retry)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(failpoint) = failpoint {
        command.env(failpoint::VARIABLE, failpoint);
    }
    let mut child = command.spawn().unwrap();
    let out = child.stdout.take().unwrap();
    (child, BufReader::new(out))
}

fn ended(child: &mut Child) -> std::process::ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None if Instant::now() > deadline => {
                child.kill().unwrap();
                panic!("it hangs");
            }
            None => std::thread::yield_now(),
        }
    }
}

fn heard(line: &str, known: &mut Known) {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["sent", text] => known.open = Command::parse(text),
        ["done", id, revision] => {
            known
                .acknowledged
                .insert(id.to_owned(), revision.parse().unwrap());
            known.open = None;
        }
        ["refused", ..] => known.open = None,
        ["stored", incarnation, seq] => {
            let incarnation = incarnation.parse().unwrap();
            known.reported.insert(incarnation, seq.parse().unwrap());
        }
        // Of the test harness.
        _ => {}
    }
}

fn check(home: &Path, known: &mut Known, round: u64) {
    let store = SledStore::open(&Options::new(home)).unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let records = store.records(0, usize::MAX).unwrap();
    commands(&records, known, round);
    let revision = store.last_revision();
    assert!(revision >= known.revision, "round {round}: {revision}");
    known.revision = revision;
    reports(store.as_ref(), known, round);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .unwrap()
        .block_on(live_is_replayed(&store, known, round));
}

/// Every acknowledged command is in the log once, and no other command twice.
fn commands(records: &[stored::LogRecord], known: &Known, round: u64) {
    let mut parts: BTreeMap<(&str, u32), u64> = BTreeMap::new();
    for (record, expected) in records.iter().zip(1..) {
        let revision = record.event.as_ref().unwrap().revision;
        assert_eq!(revision, expected, "round {round}");
        if !record.request_id.is_empty() {
            let before = parts.insert((&record.request_id, record.part), revision);
            assert_eq!(
                before, None,
                "{} was done twice, round {round}",
                record.request_id
            );
        }
    }
    for (id, revision) in &known.acknowledged {
        let first = parts.get(&(id.as_str(), 0));
        let first = first.unwrap_or_else(|| panic!("{id} is lost, round {round}"));
        assert!(
            first <= revision,
            "{id} at {first}, answered {revision}, round {round}"
        );
    }
}

/// What was acknowledged is stored, and what is stored was counted once.
fn reports(store: &dyn Store, known: &Known, round: u64) {
    let loaded = store.load().unwrap();
    let of: BTreeMap<u64, u64> = loaded
        .sources
        .iter()
        .map(|source| (source.incarnation, source.committed_seq))
        .collect();
    for (incarnation, seq) in &known.reported {
        let stored = of.get(incarnation).copied().unwrap_or(0);
        assert!(
            stored >= *seq,
            "round {round}: {stored} of {seq} of {incarnation}"
        );
    }
    let Some(rollout) = counted(store) else {
        return;
    };
    let slices = store.slices(&rollout, 0, usize::MAX).unwrap();
    let arms = slices
        .iter()
        .flat_map(|(_, slice)| [&slice.canary, &slice.stable]);
    let in_slices: u64 = arms.flatten().map(|arm| arm.requests).sum();
    let pending = loaded.pending.iter().filter(|(name, _)| *name == rollout);
    let variants = pending
        .flat_map(|(_, pending)| &pending.cells)
        .flat_map(|cell| &cell.variants);
    let waiting: u64 = variants.map(|variant| variant.ok).sum();
    let expected = of.values().sum::<u64>() * REQUESTS;
    assert_eq!(in_slices + waiting, expected, "round {round}");
}

/// The rollout that the reports are about.
fn counted(store: &dyn Store) -> Option<String> {
    let events = store.events(0, usize::MAX).unwrap();
    let of = events
        .into_iter()
        .find(|event| event.model == COUNTED && !event.rollout.is_empty());
    of.map(|event| event.rollout)
}

/// An engine that has lived on shows what one shows that begins now.
async fn live_is_replayed(store: &Arc<dyn Store>, known: &mut Known, round: u64) {
    let now_ms = child::now_ms();
    let (mut live, handle) = Engine::start(store.clone(), "test").unwrap();
    for turn in 0..3 {
        live.turn_at(now_ms + turn * 1000).await.unwrap();
    }
    let views = handle.views();
    let (_, again) = Engine::start(store.clone(), "test").unwrap();
    let replayed = again.views();
    assert_eq!(views.models, replayed.models, "round {round}");
    assert_eq!(views.rollouts.len(), replayed.rollouts.len());
    for (id, rollout) in &views.rollouts {
        let other = &replayed.rollouts[id];
        assert_eq!(lasting(rollout), lasting(other), "round {round}");
    }
    let epoch = views.find(COUNTED).map_or(0, |rollout| rollout.epoch);
    assert!(epoch >= known.epoch, "round {round}: epoch {epoch}");
    known.epoch = epoch;
    assert!(views.models.len() <= 2 && views.find(STEERED).is_none_or(|of| of.epoch > 0));
}

/// Without what depends on the moment of asking.
fn lasting(rollout: &v1::Rollout) -> v1::Rollout {
    let traffic = rollout.traffic.map(|traffic| v1::Traffic {
        requests_per_second: 0.0,
        canary_per_second: 0.0,
        ..traffic
    });
    v1::Rollout {
        traffic,
        decision: None,
        fleet: None,
        ..rollout.clone()
    }
}

#[test]
fn commands_are_read_back() {
    for text in ["apply:a1:0", "pause:b:7", "resume:c:9", "rollback:d:0"] {
        assert_eq!(Command::parse(text).unwrap().to_text(), text);
    }
    assert!(Command::parse("").is_none());
}
