//! A model server that fails in one way: `fault-model http|grpc MODE [WELL]`, where the first WELL calls are answered as
//! they should be. It prints where it listens, and counts its calls in what it answers; checks of its health are none.

use anyhow::{Context as _, Result, bail};
use futures_util::stream::{Stream, StreamExt as _, once};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// For an answer to be on its way before its end is not.
const PAUSE: Duration = Duration::from_millis(20);

/// Bytes of an answer that no sidecar holds back.
const LONG: u32 = 40_000;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Well,
    /// It takes the request and says nothing.
    Hang,
    /// 500, or INTERNAL.
    Error,
    /// The connection, or the stream, is reset in the middle of the head.
    Reset,
    /// The head comes, and part of a short body.
    Cut,
    /// The same of a body that is too long to be held back.
    CutLong,
}

/// The way, and from when on.
#[derive(Clone, Copy, Debug)]
struct Fails {
    mode: Mode,
    well: u64,
}

impl Fails {
    fn at(self, call: u64) -> Mode {
        match call <= self.well {
            true => Mode::Well,
            false => self.mode,
        }
    }
}

fn mode(text: &str) -> Result<Mode> {
    Ok(match text {
        "well" => Mode::Well,
        "hang" => Mode::Hang,
        "error" => Mode::Error,
        "reset" => Mode::Reset,
        "cut" => Mode::Cut,
        "cut-long" => Mode::CutLong,
        _ => bail!("{text:?} is no way to fail"),
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let protocol = args.next().context("http or grpc")?;
    let mode = mode(&args.next().context("a mode")?)?;
    let well = args.next().map_or(Ok(0), |n| n.parse::<u64>())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    #[allow(clippy::print_stdout, reason = "whoever started it reads this line")]
    {
        println!("listening {}", listener.local_addr()?);
    }
    let calls = Arc::new(AtomicU64::new(0));
    let fails = Fails { mode, well };
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let calls = Arc::clone(&calls);
        // What a caller does with his connection is his own affair.
        match protocol.as_str() {
            "http" => drop(tokio::spawn(http(stream, fails, calls))),
            _ => drop(tokio::spawn(grpc(stream, fails, calls))),
        }
    }
}

/// Requests here have a head and no body.
async fn http(mut stream: TcpStream, fails: Fails, calls: Arc<AtomicU64>) -> Result<()> {
    let mut buffer = Vec::new();
    loop {
        while !buffer.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let is_call = buffer.windows(6).any(|window| window == b"/infer");
        buffer.clear();
        let call = calls.fetch_add(u64::from(is_call), Ordering::Relaxed) + 1;
        let mode = fails.at(call);
        let text = match mode {
            Mode::Hang => continue,
            Mode::Well => {
                format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Calls: {call}\r\n\r\nok")
            }
            Mode::Error => {
                format!("HTTP/1.1 500 Oh\r\nContent-Length: 2\r\nX-Calls: {call}\r\n\r\nno")
            }
            Mode::Reset => "HTTP/1.1 200 OK\r\nConte".to_owned(),
            Mode::Cut => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart".to_owned(),
            Mode::CutLong => {
                format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\npart")
            }
        };
        stream.write_all(text.as_bytes()).await?;
        if mode == Mode::Reset {
            stream.set_zero_linger()?;
        }
        if matches!(mode, Mode::Reset | Mode::Cut | Mode::CutLong) {
            return Ok(());
        }
    }
}

async fn grpc(stream: TcpStream, fails: Fails, calls: Arc<AtomicU64>) -> Result<()> {
    let service = service_fn(move |request| call(request, fails, Arc::clone(&calls)));
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    server
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

async fn call(
    request: Request<Incoming>,
    fails: Fails,
    calls: Arc<AtomicU64>,
) -> std::io::Result<Response<Body>> {
    let _ = request.into_body().collect().await;
    let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
    let mode = fails.at(call);
    let body = match mode {
        Mode::Hang => match std::future::pending::<Infallible>().await {},
        Mode::Reset => return Err(broken()),
        Mode::Well => message(2).chain(once(trailers())).boxed(),
        Mode::Error => futures_util::stream::empty().boxed(),
        Mode::Cut => message(2).chain(once(cut())).boxed(),
        Mode::CutLong => message(LONG).chain(once(cut())).boxed(),
    };
    let mut response = Response::new(StreamBody::new(body).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("x-calls", HeaderValue::from(call));
    if mode == Mode::Error {
        headers.insert("grpc-status", HeaderValue::from_static("13"));
    }
    Ok(response)
}

fn broken() -> std::io::Error {
    std::io::Error::other("as told")
}

fn message(length: u32) -> impl Stream<Item = std::io::Result<Frame<Bytes>>> + Send {
    let mut message = vec![0];
    message.extend(length.to_be_bytes());
    message.extend(b"\x08\x01".repeat(length as usize / 2));
    once(async { Ok(Frame::data(message.into())) })
}

async fn trailers() -> std::io::Result<Frame<Bytes>> {
    let status = (
        HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    );
    Ok(Frame::trailers(HeaderMap::from_iter([status])))
}

async fn cut() -> std::io::Result<Frame<Bytes>> {
    tokio::time::sleep(PAUSE).await;
    Err(broken())
}
