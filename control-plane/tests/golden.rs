//! Logs that earlier versions have written are read as they were meant: each `golden/VERSION.copy` is restored, replayed and
//! held against `golden/VERSION.state`.

#![expect(clippy::unwrap_used, reason = "all of it is a test")]

use serinus_control_plane::engine::{Command, Engine, Handle, Verb};
use serinus_control_plane::store::Store as _;
use serinus_control_plane::store::sled::restore::restore;
use serinus_control_plane::store::sled::{Options, SledStore};
use serinus_evidence::ENGINE_VERSION;
use serinus_proto::v1;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const START_MS: u64 = 1_800_000_000_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn open(directory: &Path) -> Arc<SledStore> {
    Arc::new(SledStore::open(&Options::new(directory)).unwrap())
}

/// What the log and the slices say, in words that later versions have too; evidence to the last bit.
fn state(handle: &Handle) -> String {
    let views = handle.views();
    let mut text = format!("engine {ENGINE_VERSION}\n");
    for (name, model) in &views.models {
        let stable = model.stable.as_ref().map_or("", |stable| &stable.name);
        let (active, latest) = (&model.active_rollout, &model.latest_rollout);
        let revision = model.revision;
        writeln!(
            text,
            "{name}: stable {stable} revision {revision} active {active:?} latest {latest:?}"
        )
        .unwrap();
    }
    for (id, rollout) in &views.rollouts {
        let (state, cause) = (rollout.state().as_str_name(), rollout.cause().as_str_name());
        let (step, epoch, revision) = (rollout.step, rollout.epoch, rollout.revision);
        writeln!(
            text,
            "{id} of {}: {state} {cause} step {step} epoch {epoch} revision {revision}",
            rollout.model
        )
        .unwrap();
        writeln!(
            text,
            "  split {:?} by {:?} reason {:?}",
            rollout.split, rollout.actor, rollout.reason
        )
        .unwrap();
        let traffic = rollout.traffic.unwrap_or_default();
        writeln!(
            text,
            "  stable {} canary {} errors {} {}",
            traffic.stable_requests,
            traffic.canary_requests,
            traffic.stable_errors,
            traffic.canary_errors
        )
        .unwrap();
        for row in rollout
            .decision
            .iter()
            .flat_map(|decision| &decision.guardrails)
        {
            writeln!(
                text,
                "  {} {} n {} {} rollback {:016x} promote {:016x} phi {:016x}",
                row.name,
                row.verdict().as_str_name(),
                row.stable_count,
                row.canary_count,
                row.log_e_rollback.to_bits(),
                row.log_e_promote.to_bits(),
                row.phi.to_bits(),
            )
            .unwrap();
        }
    }
    text
}

/// Other rules make other evidence of the same slices; everything else stays.
fn without_evidence(state: &str) -> String {
    let lines = state.lines().skip(1);
    let lines = lines.filter(|line| !line.contains(" rollback "));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_golden_log_is_replayed() {
    let mut logs = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "copy") {
            continue;
        }
        let home = tempfile::tempdir().unwrap();
        let into = home.path().join("store");
        restore(&path, &into, 0).unwrap();
        let (mut engine, handle) = Engine::start(open(&into), "test").unwrap();
        // It is judged when it is looked at; that it was restored holds it.
        engine.turn_at(START_MS + 100_000).await.unwrap();
        let expected = fs::read_to_string(path.with_extension("state")).unwrap();
        let found = state(&handle);
        let same_rules = found.lines().next() == expected.lines().next();
        let (found, expected) = match same_rules {
            true => (found, expected),
            false => (without_evidence(&found), without_evidence(&expected)),
        };
        assert_eq!(found, expected, "{}", path.display());
        logs += 1;
    }
    assert!(logs > 0, "no golden log");
}

async fn ask(engine: &mut Engine, handle: &Handle, now_ms: u64, command: Command) -> v1::Rollout {
    let (done, turned) = tokio::join!(handle.command("ana", command), engine.turn_at(now_ms));
    turned.unwrap();
    done.unwrap()
}

fn apply(model: &str) -> Command {
    let text = format!(
        "model: {model}\nstable: {{name: v1, endpoints: [\"http://127.0.0.1:1\"]}}\n\
         canary: {{name: v2, endpoints: [\"http://127.0.0.1:2\"]}}\nsteps:\n  \
         - {{split: {{v2: 0.3, v1: 0.7}}, min_duration: 1000h}}\n  - {{split: {{v2: 1.0}}}}\n\
         max_duration: 2000h\nguardrails:\n  - {{metric: error_rate, margin: 0.05}}\n  \
         - {{metric: latency, ratio: 2, slack: 20ms}}\n"
    );
    Command::Apply(v1::ApplyRequest {
        request_id: format!("apply {model}"),
        plan: Some(serinus_core::plan::parse(&text).unwrap()),
        reason: "golden".into(),
        ..v1::ApplyRequest::default()
    })
}

fn verb(verb: Verb, rollout: &v1::Rollout) -> Command {
    let request = v1::CommandRequest {
        rollout: rollout.id.clone(),
        request_id: format!("{verb:?} {}", rollout.model),
        reason: "golden".into(),
        ..v1::CommandRequest::default()
    };
    Command::Verb(verb, request)
}

fn report(rollout: &str, seq: u64) -> v1::ReportRequest {
    let second = START_MS / 1000 + seq;
    let variant = |name: &str, ok, failed| v1::VariantCell {
        variant: name.into(),
        ok,
        model: failed,
        assigned: ok + failed,
        ..v1::VariantCell::default()
    };
    v1::ReportRequest {
        sidecar: "a".into(),
        incarnation: 1,
        seq,
        finished_before: second + 1,
        cells: vec![v1::Cell {
            rollout: rollout.into(),
            epoch: 1,
            second,
            variants: vec![
                variant("v1", 70 + seq % 7, seq % 3),
                variant("v2", 30 + seq % 5, seq % 2),
            ],
            ..v1::Cell::default()
        }],
        keys: Vec::new(),
    }
}

/// `cargo test -p serinus-control-plane --test golden -- --ignored write`, once for each release.
#[tokio::test]
#[ignore = "writes the golden log of this version"]
async fn write() {
    let version = env!("CARGO_PKG_VERSION");
    let file = folder().join(format!("{version}.copy"));
    assert!(
        !file.exists(),
        "{} is there: golden logs never change",
        file.display()
    );
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let (mut engine, handle) = Engine::start(store.clone(), version).unwrap();
    let hello = v1::Hello {
        sidecar: "a".into(),
        incarnation: 1,
        protocol: 1,
        models: vec!["running".into()],
        ..v1::Hello::default()
    };
    let (session, turned) = tokio::join!(handle.attach(hello), engine.turn_at(START_MS));
    turned.unwrap();
    session.unwrap();
    let running = ask(&mut engine, &handle, START_MS, apply("running")).await;
    for seq in 1..=60 {
        let now_ms = START_MS + seq * 1000 + 1100;
        let sent = handle.report(report(&running.id, seq));
        let (ack, turned) = tokio::join!(sent, engine.turn_at(now_ms));
        turned.unwrap();
        assert_eq!(ack.unwrap().committed_seq, seq);
    }
    let now_ms = START_MS + 70_000;
    let back = ask(&mut engine, &handle, now_ms, apply("back")).await;
    ask(&mut engine, &handle, now_ms, verb(Verb::Rollback, &back)).await;
    let promoted = ask(&mut engine, &handle, now_ms, apply("promoted")).await;
    let promote = v1::PromoteRequest {
        rollout: promoted.id.clone(),
        request_id: "promote".into(),
        expected_revision: handle.views().find("promoted").unwrap().revision,
        reason: "golden".into(),
        all: true,
        ..v1::PromoteRequest::default()
    };
    ask(&mut engine, &handle, now_ms, Command::Promote(promote)).await;
    let paused = ask(&mut engine, &handle, now_ms, apply("paused")).await;
    ask(&mut engine, &handle, now_ms, verb(Verb::Pause, &paused)).await;
    store
        .copy_to(&mut fs::File::create(&file).unwrap())
        .unwrap();
    let into = home.path().join("again");
    restore(&file, &into, 0).unwrap();
    let (mut engine, handle) = Engine::start(open(&into), version).unwrap();
    engine.turn_at(START_MS + 100_000).await.unwrap();
    fs::write(file.with_extension("state"), state(&handle)).unwrap();
}
