//! Restarts of sidecars in mid-rollout, and stops in mid-request. Run by `tests/run`.

use anyhow::{Context as _, Result, ensure};
use serinus_tests::callers::{Callers, answer};
use serinus_tests::cluster::Cluster;
use serinus_tests::process::Process;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

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
    cluster.traffic_elsewhere();
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
    cluster.finish().await
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
    cluster.traffic_elsewhere();
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
    cluster.finish().await
}
