//! The binary itself: its flags, the line that says it is ready, and its end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

fn binary(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serinus-sidecar"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Ends the process if the test does not.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_says_where_it_listens_and_ends_when_told() {
    let args = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--model",
        "m=http://127.0.0.1:9",
    ];
    let mut running = Running(binary(&args).spawn().unwrap());
    let mut line = String::new();
    let stdout = running.0.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let ports = line
        .trim()
        .strip_prefix("serinus-sidecar ready inference=")
        .unwrap();
    let (_, admin) = ports.split_once(" admin=").unwrap();
    let mut connection = TcpStream::connect(admin).unwrap();
    write!(
        connection,
        "GET /healthz HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"),
        "{answer}"
    );
    let pid = running.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(running.0.wait().unwrap().success());
}

#[test]
fn mistakes_are_told_and_good_files_are_printed() {
    let bad = binary(&["--check-config", "--model", "m=nowhere", "--workers", "0"])
        .output()
        .unwrap();
    assert!(!bad.status.success());
    let text = String::from_utf8(bad.stderr).unwrap();
    assert!(
        text.contains("workers: 0") && text.contains("model[0].stable"),
        "{text}"
    );
    let args = [
        "--print-config",
        "--name",
        "host-a",
        "--model",
        "m=http://127.0.0.1:9",
    ];
    let good = binary(&args).output().unwrap();
    let text = String::from_utf8(good.stdout).unwrap();
    assert!(
        good.status.success() && text.contains("name = \"host-a\"") && text.contains("[limits]"),
        "{text}"
    );
}
