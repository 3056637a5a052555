//! A failing canary at half of 1000 requests a second, through the real binaries: its users see nothing of it. Run by
//! `tests/run`.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serinus_tests::client::Client;
use serinus_tests::eventually::eventually;
use serinus_tests::load::get;
use serinus_tests::process::Process;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const MODEL: &str = "m";
const RATE: u32 = 1000;
const LOAD: Duration = Duration::from_secs(4);
const HTTP_CONNECTIONS: u32 = 200;
const GRPC_CONNECTIONS: u32 = 8;
/// The bound of an attempt, and of a call, as the plan says.
const ATTEMPT: Duration = Duration::from_millis(250);
const CALL: Duration = Duration::from_secs(2);
/// Where the machine is busy with other things.
const SLACK: Duration = Duration::from_millis(500);
/// Calls of the canary before it fails, so that there is a budget of rescues, which requests earn.
const WELL: &str = "500";
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    Grpc,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

/// A model server as a process, killed when dropped.
struct Model {
    child: Child,
    url: String,
}

impl Model {
    async fn start(protocol: Protocol, mode: &str) -> Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fault-model"))
            .args([protocol.name(), mode, WELL])
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().context("a pipe")?;
        let line = BufReader::new(out)
            .lines()
            .next_line()
            .await?
            .context("a line")?;
        let address = line.strip_prefix("listening ").context("an address")?;
        Ok(Self {
            child,
            url: format!("http://{address}"),
        })
    }

    /// An address where nobody listens any more.
    async fn refusing(protocol: Protocol) -> Result<Self> {
        let mut model = Self::start(protocol, "well").await?;
        model.child.kill().await?;
        Ok(model)
    }
}

/// A control plane and one sidecar, with half of the users on the canary.
struct World {
    _folder: TempDir,
    _control_plane: Process,
    _sidecar: Process,
    inference: String,
    admin: String,
}

impl World {
    async fn start(stable: &Model, canary: &Model) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("control-plane");
        let args = [
            "--listen",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--data-dir",
        ]
        .map(Into::into);
        let args = args.into_iter().chain([data.into_os_string()]);
        let control_plane = Process::start("serinus-control-plane", args).await?;
        let grpc = control_plane.address("grpc")?;
        let config = folder.path().join("sidecar.toml");
        let state = folder.path().join("state");
        let text = format!(
            "name = \"s\"\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ncontrol_plane = \"http://{grpc}\"\n\
             state_dir = {state:?}\n[[model]]\nname = {MODEL:?}\nmatch = \"any\"\nstable = [{:?}]\n",
            stable.url
        );
        std::fs::write(&config, text)?;
        let sidecar =
            Process::start("serinus-sidecar", ["--config".as_ref(), config.as_os_str()]).await?;
        let world = Self {
            _folder: folder,
            inference: sidecar.address("inference")?,
            admin: sidecar.address("admin")?,
            _control_plane: control_plane,
            _sidecar: sidecar,
        };
        let plan = format!(
            "model: {MODEL}\nstable: {{name: v1, endpoints: [\"{}\"]}}\ncanary: {{name: v2, endpoints: [\"{}\"]}}\n\
             steps:\n  - {{split: {{v2: 0.5, v1: 0.5}}, min_duration: 1h}}\n\
             failure: {{timeout: {}ms, attempt_timeout: {}ms}}\n\
             guardrails:\n  - {{metric: error_rate, margin: 0.01}}\n",
            stable.url,
            canary.url,
            CALL.as_millis(),
            ATTEMPT.as_millis(),
        );
        Client::new(&grpc)?.apply(&plan).await?;
        eventually("the canary is in force", LIMIT, || async {
            let (_, status) = get(&world.admin, "/status").await?;
            Ok(status.contains("\"v2\"").then_some(()))
        })
        .await?;
        Ok(world)
    }

    /// Sum of a counter over its label sets that contain `label`.
    async fn counter(&self, name: &str, label: &str) -> Result<u64> {
        let (_, text) = get(&self.admin, "/metrics").await?;
        let lines = text
            .lines()
            .filter(|line| line.contains(name) && line.contains(label) && !line.starts_with('#'));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum::<f64>() as u64)
    }

    /// Waits until every request is counted exactly once: for a variant, or as diverted.
    async fn all_counted(&self, sent: u64) -> Result<Counts> {
        let counts = eventually(
            "every request is counted once",
            Duration::from_secs(10),
            || async {
                let counts = Counts {
                    canary: self.counter("_requests_total{", "variant=\"v2\"").await?,
                    canary_ok: self
                        .counter("_requests_total{", "variant=\"v2\",class=\"ok\"")
                        .await?,
                    stable: self.counter("_requests_total{", "variant=\"v1\"").await?,
                    diverted: self.counter("_diverted_total{", "variant=\"v2\"").await?,
                    rescued: self.counter("_rescued_total{", "variant=\"v2\"").await?,
                    user_errors: self.counter("_user_errors_total{", "variant").await?,
                    model: self.counter("_requests_total{", "class=\"model\"").await?,
                    openings: self
                        .counter("_breaker_openings_total{", "variant=\"v2\"")
                        .await?,
                };
                let all = counts.canary + counts.stable + counts.diverted;
                Ok((all >= sent).then_some(counts))
            },
        )
        .await?;
        let all = counts.canary + counts.stable + counts.diverted;
        anyhow::ensure!(all == sent, "{sent} were sent: {counts:?}");
        Ok(counts)
    }
}

#[derive(Debug)]
struct Counts {
    canary: u64,
    canary_ok: u64,
    stable: u64,
    diverted: u64,
    rescued: u64,
    user_errors: u64,
    model: u64,
    openings: u64,
}

/// What the users saw.
#[derive(Debug, Default)]
struct Seen {
    sent: u64,
    errors: BTreeMap<String, u64>,
    slowest: Duration,
    /// The most calls that stable has said it had.
    stable_calls: u64,
}

type Shared = Arc<Mutex<Seen>>;

fn note(seen: &Shared, began: Instant, answer: Result<u64, String>) {
    let mut seen = seen.lock().expect("nobody panics with it");
    seen.sent += 1;
    seen.slowest = seen.slowest.max(began.elapsed());
    match answer {
        Ok(calls) => seen.stable_calls = seen.stable_calls.max(calls),
        Err(why) => *seen.errors.entry(why).or_default() += 1,
    }
}

/// Users on many connections, each request at its time or, if that is past, at once.
async fn load(protocol: Protocol, address: &str) -> Seen {
    let seen = Shared::default();
    let connections = match protocol {
        Protocol::Http => HTTP_CONNECTIONS,
        Protocol::Grpc => GRPC_CONNECTIONS,
    };
    let start = Instant::now();
    let users = (0..connections).map(|number| {
        let (seen, address) = (Arc::clone(&seen), address.to_owned());
        tokio::spawn(async move {
            match protocol {
                Protocol::Http => http_user(number, connections, start, &address, &seen).await,
                Protocol::Grpc => grpc_user(number, connections, start, &address, &seen).await,
            }
        })
    });
    for user in users.collect::<Vec<_>>() {
        user.await.expect("no user panics");
    }
    std::mem::take(&mut *seen.lock().expect("nobody panics with it"))
}

/// The numbers and times of the requests of one connection.
fn schedule(number: u32, connections: u32, start: Instant) -> impl Iterator<Item = (u32, Instant)> {
    let all = RATE * LOAD.as_secs() as u32;
    (0..all)
        .filter(move |n| n % connections == number)
        .map(move |n| (n, start + Duration::from_secs(1) / RATE * n))
}

async fn http_user(number: u32, connections: u32, start: Instant, address: &str, seen: &Shared) {
    let mut send = None;
    for (n, due) in schedule(number, connections, start) {
        tokio::time::sleep_until(due.into()).await;
        let began = Instant::now();
        let request = Request::get("/v2/models/m/infer")
            .header("host", address)
            .header("x-user-id", format!("u{n}"));
        let request = request.body(Full::<Bytes>::default()).expect("a request");
        let answered = async {
            if send.is_none() {
                let stream = TcpStream::connect(address).await?;
                let (sender, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                send = Some(sender);
            }
            let sender = send.as_mut().context("a connection")?;
            sender.ready().await?;
            let (head, body) = sender.send_request(request).await?.into_parts();
            body.collect().await.context("the body")?;
            anyhow::ensure!(head.status == 200, "status {}", head.status);
            Ok(calls(&head.headers))
        };
        let answer = answered
            .await
            .map_err(|error: anyhow::Error| format!("{error:#}"));
        if answer.is_err() {
            send = None;
        }
        note(seen, began, answer);
    }
}

fn calls(headers: &http::HeaderMap) -> u64 {
    let stable = headers
        .get("x-serinus-variant")
        .is_some_and(|variant| variant == "v1");
    let calls = headers
        .get("x-calls")
        .and_then(|calls| calls.to_str().ok()?.parse().ok());
    calls.filter(|_| stable).unwrap_or(0)
}

async fn grpc_user(number: u32, connections: u32, start: Instant, address: &str, seen: &Shared) {
    let stream = TcpStream::connect(address).await.expect("the sidecar");
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.expect("a connection");
    tokio::spawn(connection);
    let mut running = Vec::new();
    for (n, due) in schedule(number, connections, start) {
        tokio::time::sleep_until(due.into()).await;
        let (mut sender, seen, uri) = (
            sender.clone(),
            Arc::clone(seen),
            format!("http://{address}/inference.GRPCInferenceService/ModelInfer"),
        );
        running.push(tokio::spawn(async move {
            let began = Instant::now();
            let request = Request::post(uri)
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .header("x-user-id", format!("u{n}"));
            let request = request
                .body(Full::new(Bytes::from_static(b"\0\0\0\0\x02\x0a\0")))
                .expect("a request");
            let answered = async {
                let (head, body) = sender.send_request(request).await?.into_parts();
                let body = body.collect().await.context("the body")?;
                let status = body
                    .trailers()
                    .unwrap_or(&head.headers)
                    .get("grpc-status")
                    .cloned();
                anyhow::ensure!(
                    status.as_ref().is_some_and(|status| status == "0"),
                    "status {status:?}"
                );
                Ok(calls(&head.headers))
            };
            note(
                &seen,
                began,
                answered
                    .await
                    .map_err(|error: anyhow::Error| format!("{error:#}")),
            );
        }));
    }
    for call in running {
        call.await.expect("no call panics");
    }
}

/// Users see no error, nobody waits longer than the plan says, and stable has no more calls than there were requests.
async fn unnoticed(protocol: Protocol, canary: Model, most_on_canary: u64) -> Result<()> {
    let stable = Model::start(protocol, "well").await?;
    let world = World::start(&stable, &canary).await?;
    let seen = load(protocol, &world.inference).await;
    let counts = world.all_counted(seen.sent).await?;
    check(&seen, &counts, most_on_canary)
}

/// No error, and no call above its deadline.
fn unharmed(seen: &Seen, counts: &Counts) -> Result<()> {
    let show = || format!("{seen:?}, {counts:?}");
    anyhow::ensure!(
        seen.errors.is_empty() && counts.user_errors == 0,
        "errors: {}",
        show()
    );
    anyhow::ensure!(
        seen.slowest <= ATTEMPT + CALL / 2 + SLACK,
        "too slow: {}",
        show()
    );
    Ok(())
}

fn check(seen: &Seen, counts: &Counts, most_on_canary: u64) -> Result<()> {
    let show = || format!("{seen:?}, {counts:?}");
    unharmed(seen, counts)?;
    anyhow::ensure!(
        counts.openings >= 1 && counts.diverted > 0,
        "no breaker: {}",
        show()
    );
    let failed = counts.canary - counts.canary_ok;
    anyhow::ensure!(failed <= most_on_canary, "it opened late: {}", show());
    anyhow::ensure!(
        counts.rescued == failed,
        "some were not rescued: {}",
        show()
    );
    // Whatever the canary did not answer, once and no more.
    anyhow::ensure!(seen.stable_calls <= seen.sent, "stable's load: {}", show());
    Ok(())
}

/// With those under way when it opens, and one probe a second.
const AT_ONCE: u64 = 60;
/// Half of what comes until the first ones are too slow.
const UNTIL_LATE: u64 = 400;

macro_rules! fault {
    ($name:ident, $protocol:expr, $mode:expr, $most:expr) => {
        #[tokio::test(flavor = "multi_thread")]
        #[ignore = "needs the real binaries: run ./tests/run"]
        async fn $name() -> Result<()> {
            unnoticed($protocol, Model::start($protocol, $mode).await?, $most).await
        }
    };
}

fault!(a_canary_that_hangs, Protocol::Http, "hang", UNTIL_LATE);
fault!(a_canary_that_answers_500, Protocol::Http, "error", AT_ONCE);
fault!(
    a_canary_that_resets_in_the_head,
    Protocol::Http,
    "reset",
    AT_ONCE
);
fault!(a_grpc_canary_that_hangs, Protocol::Grpc, "hang", UNTIL_LATE);
fault!(
    a_grpc_canary_that_answers_internal,
    Protocol::Grpc,
    "error",
    AT_ONCE
);
fault!(
    a_grpc_canary_that_resets_streams,
    Protocol::Grpc,
    "reset",
    AT_ONCE
);

fault!(
    a_canary_that_dies_within_short_answers,
    Protocol::Http,
    "cut",
    AT_ONCE
);
fault!(
    a_grpc_canary_that_dies_within_short_answers,
    Protocol::Grpc,
    "cut",
    AT_ONCE
);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_canary_that_refuses() -> Result<()> {
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let stable = Model::start(protocol, "well").await?;
        let canary = Model::refusing(protocol).await?;
        let world = World::start(&stable, &canary).await?;
        let seen = load(protocol, &world.inference).await;
        let counts = world.all_counted(seen.sent).await?;
        let show = || format!("{seen:?}, {counts:?}");
        unharmed(&seen, &counts)?;
        // It was never ready.
        anyhow::ensure!(
            counts.canary == 0 && counts.diverted > 0,
            "it was used: {}",
            show()
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_canary_that_dies_under_load() -> Result<()> {
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let stable = Model::start(protocol, "well").await?;
        let mut canary = Model::start(protocol, "well").await?;
        let world = World::start(&stable, &canary).await?;
        let inference = world.inference.clone();
        let users = tokio::spawn(async move { load(protocol, &inference).await });
        eventually("the canary answers", LIMIT, || async {
            let answered = world.counter("_requests_total{", "variant=\"v2\"").await?;
            Ok((answered > 100).then_some(()))
        })
        .await?;
        canary.child.kill().await?;
        let seen = users.await?;
        let counts = world.all_counted(seen.sent).await?;
        let show = || format!("{seen:?}, {counts:?}");
        unharmed(&seen, &counts)?;
        anyhow::ensure!(
            counts.openings >= 1 && counts.diverted > 0,
            "no breaker: {}",
            show()
        );
        anyhow::ensure!(
            counts.rescued >= 1 && counts.rescued <= AT_ONCE,
            "rescued: {}",
            show()
        );
        anyhow::ensure!(seen.stable_calls <= seen.sent, "stable's load: {}", show());
    }
    Ok(())
}

/// Nobody can take back a head that was passed on: the cut is seen as one, and is the model's failure.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_canary_that_cuts_long_answers() -> Result<()> {
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let stable = Model::start(protocol, "well").await?;
        let canary = Model::start(protocol, "cut-long").await?;
        let world = World::start(&stable, &canary).await?;
        let seen = load(protocol, &world.inference).await;
        let counts = world.all_counted(seen.sent).await?;
        let show = || format!("{protocol:?}: {seen:?}, {counts:?}");
        let errors: u64 = seen.errors.values().sum();
        anyhow::ensure!(
            seen.errors.keys().all(|why| why.starts_with("the body")),
            "{}",
            show()
        );
        anyhow::ensure!((5..=AT_ONCE).contains(&errors), "the breaker: {}", show());
        anyhow::ensure!(counts.model == errors, "classes: {}", show());
        anyhow::ensure!(
            counts.user_errors == errors && counts.rescued == 0,
            "user errors: {}",
            show()
        );
    }
    Ok(())
}
