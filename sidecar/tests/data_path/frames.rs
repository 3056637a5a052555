//! HTTP/2 frame by frame, for peers that do what no library would do.

use crate::client::SentBody;
use crate::sidecar::{Setup, Sidecar};
use crate::upstream::Upstream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The last number of the payload: the code of a reset or of a goodbye.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as literals, in no table.
pub fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            bytes.push(u8::try_from(text.len()).unwrap());
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

pub const CALL: [(&str, &str); 6] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/inference.GRPCInferenceService/ModelInfer"),
    (":authority", "ml.local"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
];

/// One side of a connection.
pub struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// A client that has sent its preface and empty settings.
    pub async fn connect(sidecar: &Sidecar) -> Self {
        let mut peer = Self {
            stream: TcpStream::connect(sidecar.addr).await.unwrap(),
        };
        peer.write(PREFACE).await;
        peer.write(&frame(SETTINGS, 0, 0, b"")).await;
        peer
    }

    /// A server that has read the preface and sent empty settings.
    pub async fn accept(mut stream: TcpStream) -> Self {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        assert_eq!(preface, PREFACE);
        let mut peer = Self { stream };
        peer.write(&frame(SETTINGS, 0, 0, b"")).await;
        peer
    }

    /// Writes; whoever has been told goodbye may find the connection closed.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    pub async fn call(&mut self, stream: u32, end: bool) {
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        self.write(&frame(HEADERS, flags, stream, &fields(&CALL)))
            .await;
    }

    /// The next frame; `None` at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(head[5..].try_into().unwrap()),
            payload,
        })
    }

    /// The next frame of a kind.
    pub async fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.expect("the frame comes before the end");
            if frame.kind == kind && !(kind == SETTINGS && frame.flags == 1) {
                return frame;
            }
        }
    }

    /// The code with which the connection is ended.
    pub async fn goodbye(mut self) -> u32 {
        let code = self.until(GOAWAY).await.code();
        while self.next().await.is_some() {}
        code
    }
}

/// A sidecar before an endpoint that never answers.
async fn before_silence() -> (Sidecar, Upstream) {
    let upstream = Upstream::bare(|stream| async move {
        let mut peer = Peer::accept(stream).await;
        while peer.next().await.is_some() {}
    })
    .await;
    (
        Setup::new(&upstream.url, &upstream.url, 0.0).start(),
        upstream,
    )
}

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const REFUSED: u32 = 7;
const CALM: u32 = 11;

#[tokio::test]
async fn whoever_opens_and_resets_streams_without_end_is_sent_away() {
    let (sidecar, _upstream) = before_silence().await;
    let mut peer = Peer::connect(&sidecar).await;
    for n in 0..2000 {
        peer.call(2 * n + 1, true).await;
        peer.write(&frame(RESET, 0, 2 * n + 1, &8u32.to_be_bytes()))
            .await;
    }
    assert_eq!(peer.goodbye().await, CALM);
    let counted = sidecar.finish().await;
    assert!(
        counted.of("v1").assigned <= 1000,
        "most were never looked at"
    );
}

#[tokio::test]
async fn floods_end_their_connection() {
    let (sidecar, _upstream) = before_silence().await;
    let ping = frame(PING, 0, 0, b"01234567");
    let settings = frame(SETTINGS, 0, 0, b"");
    let priority = frame(PRIORITY, 0, 1, b"\0\0\0\0\x10");
    let mut head = frame(HEADERS, 0, 1, b"");
    head.extend(frame(CONTINUATION, 0, 1, b"").repeat(100));
    for flood in [
        ping.repeat(40_000),
        settings.repeat(500),
        priority.repeat(5000),
        head,
    ] {
        let mut peer = Peer::connect(&sidecar).await;
        peer.write(&flood).await;
        assert_eq!(peer.goodbye().await, CALM);
    }
    let mut peer = Peer::connect(&sidecar).await;
    peer.call(1, false).await;
    peer.write(&frame(DATA, 0, 1, b"").repeat(5000)).await;
    assert_eq!(peer.goodbye().await, CALM);
}

#[tokio::test]
async fn what_no_client_may_send_ends_the_connection() {
    let (sidecar, _upstream) = before_silence().await;
    let call = fields(&CALL);
    let too_long = frame(DATA, 0, 1, &vec![0; (16 << 10) + 1]);
    for (bytes, code) in [
        (frame(DATA, 0, 1, b"x"), PROTOCOL),
        (frame(RESET, 0, 1, &[0; 4]), PROTOCOL),
        (frame(WINDOW, 0, 1, &[1; 4]), PROTOCOL),
        (frame(HEADERS, END_HEADERS, 2, &call), PROTOCOL),
        (frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff"), 9),
        (too_long, FRAME_SIZE),
        (frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff"), FLOW_CONTROL),
    ] {
        let mut peer = Peer::connect(&sidecar).await;
        peer.write(&bytes).await;
        assert_eq!(peer.goodbye().await, code, "{:?}", &bytes[..9]);
    }
}

#[tokio::test]
async fn what_breaks_one_stream_leaves_the_others() {
    let (sidecar, _upstream) = before_silence().await;
    let mut peer = Peer::connect(&sidecar).await;
    peer.until(SETTINGS).await;
    let mut bad = [CALL.to_vec(), vec![("connection", "close")]].concat();
    peer.write(&frame(HEADERS, 5, 1, &fields(&bad))).await;
    assert_eq!(peer.until(RESET).await.code(), PROTOCOL);
    bad[6] = ("Upper", "case");
    peer.write(&frame(HEADERS, 5, 3, &fields(&bad))).await;
    assert_eq!(peer.until(RESET).await.code(), PROTOCOL);
    peer.call(5, true).await;
    peer.write(&frame(DATA, 0, 5, b"after the end")).await;
    let reset = peer.until(RESET).await;
    assert_eq!((reset.stream, reset.code()), (5, STREAM_CLOSED));
    peer.call(7, false).await;
    peer.write(&frame(WINDOW, 0, 7, b"\x7f\xff\xff\xff")).await;
    assert_eq!(peer.until(RESET).await.code(), FLOW_CONTROL);
    peer.write(&frame(PING, 0, 0, b"01234567")).await;
    assert_eq!(peer.until(PING).await.payload, b"01234567");
}

#[tokio::test]
async fn a_stream_too_many_is_refused() {
    let (sidecar, _upstream) = before_silence().await;
    let mut peer = Peer::connect(&sidecar).await;
    for n in 0..101 {
        peer.call(2 * n + 1, false).await;
    }
    let reset = peer.until(RESET).await;
    assert_eq!((reset.stream, reset.code()), (201, REFUSED));
    peer.write(&frame(RESET, 0, 1, &8u32.to_be_bytes())).await;
    peer.call(203, false).await;
    peer.write(&frame(PING, 0, 0, b"01234567")).await;
    assert_eq!(peer.until(PING).await.flags, 1);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_and_not_passed_on() {
    let (sidecar, upstream) = before_silence().await;
    let mut send = crate::client::h2(sidecar.addr).await;
    let body: SentBody = crate::client::body("");
    let request = http::Request::post("http://ml.local/pkg.S/Call")
        .header("content-type", "application/grpc")
        .header("x-large", "a".repeat(15_000));
    let request = (0..5).fold(request, |request, n| {
        request.header(format!("x-{n}"), "a".repeat(15_000))
    });
    let response = send
        .send_request(request.body(body).unwrap())
        .await
        .unwrap();
    assert_eq!(response.headers()["grpc-status"], "8");
    assert_eq!(upstream.connected(), 0);
}
