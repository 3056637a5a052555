//! Restarts of sidecars in mid-rollout, and stops in mid-request. Run by `tests/run`.

use anyhow::{Context as _, Result, bail, ensure};
use serinus_tests::cluster::{Cluster, MODEL};
use serinus_tests::process::Process;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

const LIMIT: Duration = Duration::from_secs(60);

const PLAN: &str = "
steps:
  - {split: {v2: 0.3, v1: 0.7}, min_duration: 1h}
  - {split: {v2: 1.0}}
guardrails:
  - {metric: error_rate, margin: 0.02}
";

/// Restarts in a row; `SERINUS_RESTARTS` raises it.
fn restarts() -> u32 {
    std::env::var("SERINUS_RESTARTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(5)
}

/// Callers of one sidecar: half of them keep their connection as long as they may, half take a new one for each call.
struct Callers {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    tasks: JoinSet<Result<()>>,
}

impl Callers {
    fn start(address: &str, count: u64) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let address = address.to_owned();
            tasks.spawn(async move {
                let most = if number % 2 == 0 { u64::MAX } else { 1 };
                while !stop.load(Ordering::SeqCst) {
                    let stream = TcpStream::connect(&address).await.context("connect")?;
                    calls(stream, number, most, &stop, &answered).await?;
                }
                Ok(())
            });
        }
        Self {
            stop,
            answered,
            tasks,
        }
    }

    /// Waits until so many more calls were answered; an error as soon as one fails.
    async fn go_on(&mut self, more: u64) -> Result<()> {
        let until = self.answered.load(Ordering::SeqCst) + more;
        let deadline = Instant::now() + LIMIT;
        while self.answered.load(Ordering::SeqCst) < until {
            if let Some(ended) = self.tasks.try_join_next() {
                ended??;
            }
            ensure!(Instant::now() < deadline, "the callers get nowhere");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    async fn end(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(self.answered.load(Ordering::SeqCst))
    }
}

/// Calls over one connection, until an answer says that it ends.
async fn calls(
    stream: TcpStream,
    caller: u64,
    most: u64,
    stop: &AtomicBool,
    answered: &AtomicU64,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let pixels = vec!["7"; 64].join(",");
    let input =
        format!(r#"{{"name":"pixels","shape":[1,64],"datatype":"FP32","data":[{pixels}]}}"#);
    let body = format!(r#"{{"inputs":[{input}]}}"#);
    for number in 0..most {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let request = format!(
            "POST /v2/models/{MODEL}/infer HTTP/1.1\r\nhost: ml\r\nx-user-id: {caller}-{number}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.get_mut().write_all(request.as_bytes()).await?;
        let (status, last) = answer(&mut stream)
            .await
            .with_context(|| format!("call {number} of a connection"))?;
        ensure!(status == 200, "status {status}");
        answered.fetch_add(1, Ordering::SeqCst);
        if last {
            break;
        }
    }
    Ok(())
}

/// Reads one answer: its status, and whether the connection ends with it.
async fn answer(stream: &mut BufReader<TcpStream>) -> Result<(u16, bool)> {
    let (mut status, mut length, mut last) = (0, 0, false);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            bail!("the connection was closed before the end of the head");
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(rest) = line.strip_prefix("http/1.1 ") {
            status = rest.get(..3).context("no status")?.parse()?;
        } else if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse()?;
        } else {
            last |= line == "connection: close";
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((status, last))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_sidecar_is_restarted_under_load_without_a_failed_request() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let client = cluster.client()?;
    let id = client.apply(&cluster.plan(PLAN)?).await?.id;
    let begun = |rollout: &serinus_proto::v1::Rollout| {
        let fleet = rollout.fleet.as_ref();
        rollout.epoch > 0 && fleet.is_some_and(|fleet| fleet.connected == 1 && fleet.current == 1)
    };
    client.until(&id, "it runs", LIMIT, begun).await?;
    let mut callers = Callers::start(&cluster.sidecars[0].inference, 8);
    callers.go_on(200).await?;
    for round in 0..restarts() {
        let old = cluster.sidecars[0].process.take().context("it runs")?;
        cluster.restart_sidecar(0).await?;
        callers.go_on(100).await?;
        let ended = old.ended().await.with_context(|| format!("round {round}"));
        ensure!(ended?.success(), "round {round}: the old process failed");
    }
    callers.go_on(100).await?;
    let answered = callers.end().await?;
    // Every request is in the evidence once, whichever process answered it.
    let counted = |rollout: &serinus_proto::v1::Rollout| {
        let decision = rollout.decision.as_ref();
        let guardrail = decision.and_then(|decision| decision.guardrails.first());
        guardrail.map_or(0, |guardrail| {
            guardrail.stable_count + guardrail.canary_count
        })
    };
    let all = client.until(&id, "all is counted", LIMIT, |rollout| {
        counted(rollout) >= answered
    });
    let rollout = all.await?;
    ensure!(
        counted(&rollout) == answered,
        "{} of {answered}",
        counted(&rollout)
    );
    println!("{} restarts, {answered} requests, none failed", restarts());
    Ok(())
}

/// A model that answers when it is told to; it says how many were asked.
async fn slow_model(go: Arc<Notify>) -> Result<(String, Arc<AtomicU64>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let asked = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (go, asked) = (Arc::clone(&go), Arc::clone(&counter));
            tokio::spawn(async move {
                let mut head = [0; 2048];
                let n = stream.read(&mut head).await.unwrap_or_default();
                if head[..n].starts_with(b"GET /slow") {
                    asked.fetch_add(1, Ordering::SeqCst);
                    go.notified().await;
                }
                let text = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
                let _ = stream.write_all(text).await;
            });
        }
    });
    Ok((address, asked))
}

async fn slow_call(sidecar: &Process) -> Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(sidecar.address("inference")?).await?;
    let request = b"GET /slow HTTP/1.1\r\nhost: ml\r\n\r\n";
    stream.write_all(request).await?;
    Ok(BufReader::new(stream))
}

async fn sidecar(model: &str, drain: &str) -> Result<Process> {
    let args = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--drain",
        drain,
        "--model",
    ];
    let model = format!("m=http://{model}");
    Process::start("serinus-sidecar", args.into_iter().chain([model.as_str()])).await
}

async fn until_asked(asked: &AtomicU64) -> Result<()> {
    let wait = async {
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(LIMIT, wait).await.context("the model is not asked")
}

async fn readiness(admin: &str) -> Result<u16> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {admin}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    Ok(answer(&mut BufReader::new(stream)).await?.0)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_stop_waits_for_a_slow_request() -> Result<()> {
    let go = Arc::new(Notify::new());
    let (model, asked) = slow_model(Arc::clone(&go)).await?;
    let process = sidecar(&model, "20s").await?;
    let admin = process.address("admin")?;
    let mut call = slow_call(&process).await?;
    until_asked(&asked).await?;
    process.signal("TERM").await?;
    let stopping = async {
        while readiness(&admin).await? != 503 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        anyhow::Ok(())
    };
    timeout(LIMIT, stopping).await.context("it stays ready")??;
    go.notify_one();
    let (status, last) = answer(&mut call).await?;
    ensure!(status == 200 && last, "{status}, last: {last}");
    ensure!(process.ended().await?.success(), "it did not end well");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_stop_ends_with_its_grace_period() -> Result<()> {
    let (model, asked) = slow_model(Arc::default()).await?;
    let process = sidecar(&model, "2s").await?;
    let mut call = slow_call(&process).await?;
    until_asked(&asked).await?;
    process.signal("TERM").await?;
    // Ended by the program's own bound: `ended` waits far longer.
    ensure!(process.ended().await?.success(), "it did not end well");
    ensure!(answer(&mut call).await.is_err(), "it was answered");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_new_process_that_cannot_start_leaves_the_old_one() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let mut callers = Callers::start(&cluster.sidecars[0].inference, 4);
    callers.go_on(50).await?;
    let config = cluster.folder.path().join("sidecar-0.toml");
    let text = std::fs::read_to_string(&config)?;
    let broken: PathBuf = cluster.folder.path().join("broken.toml");
    // Found only after the handover has begun: nobody may listen there.
    std::fs::write(
        &broken,
        text.replace("\nadmin", "\nreuse_port = true\nadmin")
            .replace("listen = ", "listen = [\"192.0.2.1:1\", ")
            .replace("\nreuse_port", "]\nreuse_port"),
    )?;
    let args = ["--config".as_ref(), broken.as_os_str()];
    let failed = Process::start("serinus-sidecar", args).await;
    ensure!(failed.is_err(), "it listens where it cannot");
    callers.go_on(100).await?;
    // And the old one hands over to one that can.
    let old = cluster.sidecars[0].process.take().context("it runs")?;
    cluster.restart_sidecar(0).await?;
    ensure!(old.ended().await?.success(), "the old process failed");
    callers.go_on(50).await?;
    callers.end().await?;
    Ok(())
}
