//! Listening sockets that others hold too: systemd, and a second process with `reuse_port`. Run by `tests/run`.

use anyhow::{Context as _, Result, ensure};
use serinus_tests::callers::{Callers, answer};
use serinus_tests::cluster::{MODEL, model_server};
use serinus_tests::load::get;
use serinus_tests::process::{Process, binaries};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::Command;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

/// Makes its standard input and its standard error the first two sockets of systemd's protocol, and becomes the sidecar.
const PASS_ON: &str =
    r#"exec 3<&0 4<&2 </dev/null 2>/dev/null; LISTEN_FDS=2 LISTEN_PID=${PID:-$$} exec "$0" "$@""#;

/// A sidecar that is started as systemd starts it, with two listening sockets. `pid`: whom they are meant for, if not it.
async fn activated(sockets: [OwnedFd; 2], pid: Option<&str>, args: &[&str]) -> Result<Process> {
    let [first, second] = sockets;
    let mut command = Command::new("sh");
    command
        .args(["-c", PASS_ON])
        .arg(binaries()?.join("serinus-sidecar"))
        .args(args)
        .stdin(Stdio::from(first))
        .stderr(Stdio::from(second));
    match pid {
        Some(pid) => command.env("PID", pid),
        None => command.env_remove("PID"),
    };
    Process::run("serinus-sidecar", command).await
}

/// A socket of the test's own, which outlives every process that it is passed to.
struct Listener(std::net::TcpListener);

impl Listener {
    fn bind() -> Result<Self> {
        Ok(Self(std::net::TcpListener::bind("127.0.0.1:0")?))
    }

    fn address(&self) -> Result<String> {
        Ok(self.0.local_addr()?.to_string())
    }

    fn pass(&self) -> Result<OwnedFd> {
        Ok(self.0.try_clone()?.into())
    }
}

/// A call on its way.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Result<BufReader<S>> {
    let request = format!("GET /v2/models/{MODEL}/ready HTTP/1.1\r\nhost: ml\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    Ok(BufReader::new(stream))
}

async fn is_answered<S: AsyncRead + AsyncWrite + Unpin>(call: &mut BufReader<S>) -> Result<()> {
    let (status, _) = timeout(LIMIT, answer(call)).await.context("no answer")??;
    ensure!(status == 200, "status {status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn connections_wait_in_sockets_of_systemd_while_no_process_runs() -> Result<()> {
    let model = model_server("v1").await?;
    let model = format!("{MODEL}=http://{}", model.address("listening")?);
    let (inference, admin) = (Listener::bind()?, Listener::bind()?);
    let (listen, at) = (inference.address()?, admin.address()?);
    for workers in ["1", "3"] {
        let mut early = ask(TcpStream::connect(&listen).await?).await?;
        let args = [
            "--listen",
            &listen,
            "--admin",
            &at,
            "--workers",
            workers,
            "--model",
            &model,
        ];
        let sockets = [inference.pass()?, admin.pass()?];
        let process = activated(sockets, None, &args).await?;
        ensure!(
            process.address("inference")? == listen,
            "it listens elsewhere"
        );
        ensure!(process.address("admin")? == at, "its admin port is another");
        is_answered(&mut early).await?;
        is_answered(&mut ask(TcpStream::connect(&listen).await?).await?).await?;
        ensure!(get(&at, "/healthz").await?.0 == 200, "the admin port");
        process.terminate().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn unix_sockets_are_passed_too_and_admin_is_found_among_them() -> Result<()> {
    let model = model_server("v1").await?;
    let model = format!("{MODEL}=http://{}", model.address("listening")?);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sidecar.sock");
    let (socket, admin) = (UnixListener::bind(&path)?, Listener::bind()?);
    let at = admin.address()?;
    let mut early = ask(UnixStream::connect(&path).await?).await?;
    let listen = format!("unix:{}", path.display());
    let args = ["--listen", &listen, "--admin", &at, "--model", &model];
    let process = activated([admin.pass()?, socket.into()], None, &args).await?;
    is_answered(&mut early).await?;
    ensure!(get(&at, "/healthz").await?.0 == 200, "the admin port");
    process.terminate().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn sockets_that_are_meant_for_another_process_are_left_alone() -> Result<()> {
    let (inference, admin) = (Listener::bind()?, Listener::bind()?);
    let args = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--model",
        "m=http://127.0.0.1:9",
    ];
    let sockets = [inference.pass()?, admin.pass()?];
    let process = activated(sockets, Some("1"), &args).await?;
    ensure!(
        process.address("inference")? != inference.address()?,
        "taken"
    );
    process.terminate().await
}

/// The process that takes over is not passed systemd's sockets again: it has them from the one before.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn a_reload_keeps_the_sockets_of_systemd() -> Result<()> {
    let model = model_server("v1").await?;
    let model = format!("{MODEL}=http://{}", model.address("listening")?);
    let folder = tempfile::tempdir()?;
    let door = folder.path().join("handover.sock").display().to_string();
    let (inference, admin) = (Listener::bind()?, Listener::bind()?);
    let (listen, at) = (inference.address()?, admin.address()?);
    let config = folder.path().join("sidecar.toml");
    let text = format!(
        "name = \"s\"\nlisten = {listen:?}\nadmin = {at:?}\nhandover = {door:?}\n[[model]]\nname = {MODEL:?}\n\
         stable = [{:?}]\n",
        model.split_once('=').context("a model")?.1
    );
    std::fs::write(&config, text)?;
    let config = config.display().to_string();
    let args = ["--config", config.as_str()];
    let sockets = [inference.pass()?, admin.pass()?];
    let first = activated(sockets, None, &args).await?;
    let mut callers = Callers::start(&listen, 4);
    callers.go_on(50).await?;
    first.signal("HUP").await?;
    ensure!(first.ended().await?.success(), "the first process failed");
    callers.go_on(100).await?;
    // It ends the one that the reload has started, which is nobody's child here.
    let last = Process::start("serinus-sidecar", args).await?;
    ensure!(last.address("inference")? == listen, "it listens elsewhere");
    callers.go_on(100).await?;
    callers.end().await?;
    last.terminate().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the real binaries: run ./tests/run"]
async fn two_processes_share_a_port_and_one_ends_under_load() -> Result<()> {
    let model = model_server("v1").await?;
    let folder = tempfile::tempdir()?;
    let start = async |name: &str, listen: &str| {
        let text = format!(
            "name = {name:?}\nlisten = {listen:?}\nadmin = \"127.0.0.1:0\"\nreuse_port = true\nworkers = 2\n\
             [[model]]\nname = {MODEL:?}\nstable = [\"http://{}\"]\n",
            model.address("listening")?
        );
        let config = folder.path().join(name);
        std::fs::write(&config, text)?;
        Process::start("serinus-sidecar", ["--config".as_ref(), config.as_os_str()]).await
    };
    let first = start("first", "127.0.0.1:0").await?;
    let listen = first.address("inference")?;
    let mut callers = Callers::start(&listen, 8);
    callers.go_on(100).await?;
    let mut old = first;
    for name in ["second", "third", "fourth"] {
        let new = start(name, &listen).await?;
        // The system spreads new connections over both.
        is_used(&new).await?;
        callers.go_on(100).await?;
        old.terminate().await?;
        callers.go_on(100).await?;
        old = new;
    }
    callers.end().await?;
    old.terminate().await
}

/// Waits until a process has answered a call.
async fn is_used(process: &Process) -> Result<()> {
    let admin = process.address("admin")?;
    serinus_tests::eventually::eventually("calls come", LIMIT, || async {
        let (_, metrics) = get(&admin, "/metrics").await?;
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with("serinus_sidecar_response_bytes_total{"));
        let bytes: f64 = lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        Ok((bytes > 0.0).then_some(()))
    })
    .await
}
