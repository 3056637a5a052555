//! The process that dies: commands and reports as fast as they are answered, each said on stdout once it was.

use serinus_control_plane::engine::{self, Engine, Handle, Verb};
use serinus_control_plane::store::sled::{Options, SledStore};
use serinus_proto::v1;
use serinus_runtime::shutdown;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Directory of the store.
pub(crate) const PLACE: &str = "SERINUS_CRASH_PLACE";
/// Which life this is.
pub(crate) const ROUND: &str = "SERINUS_CRASH_ROUND";
/// A command that was sent in a life before and never answered.
pub(crate) const RETRY: &str = "SERINUS_CRASH_RETRY";

/// The model that reports are about; nothing ever changes its split.
pub(crate) const COUNTED: &str = "counted";
/// The model that commands are about.
pub(crate) const STEERED: &str = "steered";
/// Requests in each report.
pub(crate) const REQUESTS: u64 = 10;

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_millis() as u64
}

/// A command that can be sent again word for word.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    verb: String,
    id: String,
    revision: u64,
}

impl Command {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        Some(Self {
            verb: parts.next().filter(|verb| !verb.is_empty())?.to_owned(),
            id: parts.next()?.to_owned(),
            revision: parts.next()?.parse().ok()?,
        })
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        write!(text, "{}:{}:{}", self.verb, self.id, self.revision).unwrap();
        text
    }

    fn engine(&self) -> engine::Command {
        if self.verb == "apply" {
            return apply(STEERED, &self.id);
        }
        let verb = match self.verb.as_str() {
            "pause" => Verb::Pause,
            "resume" => Verb::Resume,
            _ => Verb::Rollback,
        };
        let request = v1::CommandRequest {
            rollout: STEERED.into(),
            request_id: self.id.clone(),
            expected_revision: self.revision,
            ..v1::CommandRequest::default()
        };
        engine::Command::Verb(verb, request)
    }
}

fn apply(model: &str, id: &str) -> engine::Command {
    let text = format!(
        "model: {model}\nstable: {{name: v1, endpoints: [\"http://127.0.0.1:1\"]}}\n\
         canary: {{name: v2, endpoints: [\"http://127.0.0.1:2\"]}}\nsteps:\n  \
         - {{split: {{v2: 0.3, v1: 0.7}}, min_duration: 1000h}}\n  - {{split: {{v2: 1.0}}}}\n\
         max_duration: 2000h\nguardrails:\n  - {{metric: error_rate, margin: 0.1}}\n"
    );
    engine::Command::Apply(v1::ApplyRequest {
        request_id: id.to_owned(),
        plan: Some(serinus_core::plan::parse(&text).unwrap()),
        ..v1::ApplyRequest::default()
    })
}

fn say(text: &str) {
    let mut out = std::io::stdout();
    out.write_all(format!("{text}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Runs until it is killed; only with a place to run in.
#[test]
#[ignore = "the other half of the crash test, started by it"]
fn live() {
    let Ok(place) = std::env::var(PLACE) else {
        return;
    };
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let retry = Command::parse(&std::env::var(RETRY).unwrap());
    let store = Arc::new(SledStore::open(&Options::new(place)).unwrap());
    let (engine, handle) = Engine::start(store, "test").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (_stop, drain) = shutdown::channel();
        tokio::spawn(engine.run(drain));
        let model = handle.command("crash", apply(COUNTED, "counted")).await;
        let rollout = model.unwrap().id;
        let reports = tokio::spawn(report(handle.clone(), rollout, round + 1));
        let steered = tokio::spawn(steer(handle, round, retry));
        // Nobody waits for a life that does not end.
        let both = async { tokio::join!(reports, steered) };
        let _ = tokio::time::timeout(Duration::from_secs(600), both).await;
    });
    std::process::exit(0);
}

async fn steer(handle: Handle, round: u64, retry: Option<Command>) {
    if let Some(command) = retry {
        ask(&handle, &command).await;
    }
    for n in 0_u64.. {
        let verb = ["apply", "pause", "resume", "rollback"][(n % 4) as usize];
        let views = handle.views();
        let revision = match verb {
            "resume" => views.find(STEERED).map_or(0, |rollout| rollout.revision),
            _ => 0,
        };
        let command = Command {
            verb: verb.to_owned(),
            id: format!("r{round}-{n}"),
            revision,
        };
        ask(&handle, &command).await;
    }
}

async fn ask(handle: &Handle, command: &Command) {
    say(&format!("sent {}", command.to_text()));
    match handle.command("crash", command.engine()).await {
        // What changed nothing leaves no entry.
        Ok(rollout) if handle.views().find(STEERED).is_some() => {
            let changed = is_logged(handle, &command.id).await;
            let word = if changed { "done" } else { "refused" };
            say(&format!("{word} {} {}", command.id, rollout.revision));
        }
        Ok(_) | Err(_) => say(&format!("refused {}", command.id)),
    }
}

async fn is_logged(handle: &Handle, id: &str) -> bool {
    let id = id.to_owned();
    let last = *handle.watch_revision().borrow();
    let from = last.saturating_sub(50);
    let read = handle
        .read(move |store| store.records(from, usize::MAX))
        .await;
    read.unwrap().iter().any(|record| record.request_id == id)
}

async fn report(handle: Handle, rollout: String, incarnation: u64) {
    let hello = v1::Hello {
        sidecar: "s".into(),
        incarnation,
        protocol: 1,
        models: vec![COUNTED.into(), STEERED.into()],
        ..v1::Hello::default()
    };
    handle.attach(hello).await.unwrap();
    for seq in 1_u64.. {
        let second = now_ms() / 1000;
        let variant = |name: &str, ok| v1::VariantCell {
            variant: name.into(),
            ok,
            assigned: ok,
            ..v1::VariantCell::default()
        };
        let request = v1::ReportRequest {
            sidecar: "s".into(),
            incarnation,
            seq,
            finished_before: second,
            cells: vec![v1::Cell {
                rollout: rollout.clone(),
                epoch: 1,
                second: second - 1,
                variants: vec![variant("v1", 7), variant("v2", REQUESTS - 7)],
                ..v1::Cell::default()
            }],
            keys: Vec::new(),
        };
        let ack = handle.report(request).await.unwrap();
        assert_eq!(ack.committed_seq, seq);
        say(&format!("stored {incarnation} {seq}"));
    }
}
