//! Requests that two parsers may cut apart in two ways. Behind each stands a second one, which must never come to the
//! model server as a request of its own.

mod framing;
mod heads;

use crate::raw::{Reader, Seen};
use crate::sidecar::{Setup, Sidecar};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(4);

const POISON: &[u8] = b"GET /poison HTTP/1.1\r\nHost: evil\r\n\r\n";

/// What has to become of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Refused with 400 and closed; nothing at all comes to the model server.
    Refused,
    /// The same with one of these.
    Among(&'static [u16]),
    /// Understood, and refused with one of these; what comes after it is a request like others.
    Declined(&'static [u16]),
    /// The head was fine. The body is not: what came of it before may be passed on, never as a whole request.
    BadBody,
    /// Legal, if odd: passed on as one request with this body, or refused.
    OneOrRefused(&'static [u8]),
    /// Legal: passed on as one request with this body, and the second one as the second.
    Two(&'static [u8]),
}

pub struct Row {
    pub name: String,
    pub bytes: Vec<u8>,
    pub fate: Fate,
}

/// A model server that answers anything, and keeps what it got.
struct Recorder {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(record(stream, Arc::clone(&all)));
            }
        });
        Self { url, seen }
    }

    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

async fn record(stream: TcpStream, all: Arc<Mutex<Vec<Seen>>>) {
    let (read, mut write) = stream.into_split();
    let mut reader = Reader::new(read);
    while let Some(head) = reader.head().await {
        let framing = head.request_framing();
        let seen = reader.message(head, framing).await;
        let whole = seen.whole;
        all.lock().unwrap().push(seen);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        if !whole || write.write_all(answer).await.is_err() {
            return;
        }
    }
}

struct Bench {
    recorder: Recorder,
    sidecar: Sidecar,
}

impl Bench {
    async fn start() -> Self {
        let recorder = Recorder::start().await;
        let sidecar = Setup::new(&recorder.url, &recorder.url, 0.0).start();
        Self { recorder, sidecar }
    }

    /// Sends bytes and reads to the end, or until both requests are answered. Then the application is gone.
    async fn answers(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let stream = TcpStream::connect(self.sidecar.addr).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let mut answers = Vec::new();
        let writing = async {
            let _ = write.write_all(bytes).await;
        };
        let reading = async {
            let mut buffer = vec![0; 16 << 10];
            // A reset ends it too.
            while let Ok(n @ 1..) = read.read(&mut buffer).await {
                answers.extend_from_slice(&buffer[..n]);
                // Kept open, both answers came.
                if count(&answers, b"HTTP/1.1 ") >= 2 && answers.ends_with(b"ok") {
                    break;
                }
            }
        };
        let both = async { tokio::join!(writing, reading) };
        let done = tokio::time::timeout(PATIENCE, both).await;
        done.map_err(|_| "no end of the answers".to_owned())?;
        drop((read, write));
        while self.sidecar.shared.local().connections > 0 {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        Ok(answers)
    }

    async fn check(&self, row: &Row) -> Result<(), String> {
        let mut bytes = row.bytes.clone();
        bytes.extend_from_slice(POISON);
        let before = self.sidecar.shared.local().refused;
        let answers = self.answers(&bytes).await?;
        let seen = self.recorder.take();
        let status = status(&answers);
        let counted = self.sidecar.shared.local().refused > before;
        let poisoned = seen
            .iter()
            .any(|seen| contains(&seen.head.start, b"/poison"));
        let show = || {
            format!(
                "{status:?} {:?}, came {seen:?}",
                String::from_utf8_lossy(&answers)
            )
        };
        let refused = |wanted: &[u16]| match () {
            () if poisoned => Err(format!("the poison came: {}", show())),
            () if !seen.is_empty() => Err(format!("it was passed on: {}", show())),
            () if status.is_none_or(|status| !wanted.contains(&status)) => {
                Err(format!("not {wanted:?}: {}", show()))
            }
            () if count(&answers, b"HTTP/1.1 ") != 1 => Err(format!("more answers: {}", show())),
            () if !counted => Err("not counted as refused".to_owned()),
            () => Ok(()),
        };
        match row.fate {
            Fate::Refused => refused(&[400]),
            Fate::Among(wanted) => refused(wanted),
            Fate::Declined(wanted) => {
                let passed = seen
                    .iter()
                    .any(|seen| !contains(&seen.head.start, b"/poison"));
                match !passed && counted && status.is_some_and(|status| wanted.contains(&status)) {
                    true => Ok(()),
                    false => Err(format!("not {wanted:?} and counted: {}", show())),
                }
            }
            Fate::BadBody if poisoned => Err(format!("the poison came: {}", show())),
            Fate::BadBody if seen.iter().any(|seen| seen.whole) => {
                Err(format!("whole: {}", show()))
            }
            Fate::BadBody if !matches!(status, Some(400 | 413)) => {
                Err(format!("not 400: {}", show()))
            }
            Fate::BadBody if !counted => Err("not counted as refused".to_owned()),
            Fate::BadBody => Ok(()),
            Fate::OneOrRefused(_) if status == Some(400) => refused(&[400]),
            Fate::OneOrRefused(body) | Fate::Two(body) => match seen.as_slice() {
                [one, ..] if one.body != body || !one.whole => {
                    Err(format!("another body: {}", show()))
                }
                [_, two] if contains(&two.head.start, b"/poison") => Ok(()),
                _ => Err(format!("not two requests: {}", show())),
            },
        }
    }
}

fn status(answers: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(answers.get(9..12)?).ok()?;
    text.parse().ok()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

fn count(haystack: &[u8], needle: &[u8]) -> usize {
    haystack
        .windows(needle.len())
        .filter(|window| *window == needle)
        .count()
}

async fn check_all(rows: Vec<Row>) {
    let bench = Bench::start().await;
    let mut failed = Vec::new();
    let total = rows.len();
    for row in rows {
        if let Err(why) = bench.check(&row).await {
            failed.push(format!(
                "{}\n    {:?}\n    {why}",
                row.name,
                head_of(&row.bytes)
            ));
        }
    }
    let list = failed.join("\n");
    assert!(
        failed.is_empty(),
        "{} of {total} rows:\n{list}",
        failed.len()
    );
}

fn head_of(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(300)].escape_ascii().to_string()
}

#[tokio::test]
async fn bodies_have_one_end() {
    check_all(framing::rows()).await;
}

#[tokio::test]
async fn heads_have_one_meaning() {
    check_all(heads::rows()).await;
}
