//! Bytes pass as they came, and what two readers could read in two ways does not pass.

use crate::client::{Client, infer};
use crate::sidecar::{Setup, Sidecar, eventually};
use crate::upstream::{Model, Upstream};
use http::StatusCode;
use serinus_common::class::Class;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a server has received, of all connections.
type Received = Arc<Mutex<Vec<u8>>>;

const LABELS: &str = "x-serinus-variant: v1\r\nx-serinus-prediction-id: ";

fn text(received: &Received) -> String {
    String::from_utf8_lossy(&received.lock().unwrap()).into_owned()
}

/// A server that answers everything that ends like `end` with the same bytes.
async fn server(end: &'static str, answer: &'static str) -> (Upstream, Received) {
    let received = Received::default();
    let kept = Arc::clone(&received);
    let upstream = Upstream::bare(move |mut stream| {
        let received = Arc::clone(&kept);
        async move {
            let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                seen.extend_from_slice(&buffer[..n]);
                received.lock().unwrap().extend_from_slice(&buffer[..n]);
                if seen.ends_with(end.as_bytes()) {
                    seen.clear();
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        }
    })
    .await;
    (upstream, received)
}

fn sidecar(upstream: &Upstream) -> Sidecar {
    Setup::new(&upstream.url, &upstream.url, 0.0).start()
}

/// Sends bytes, says that no more come, and gives what came back until the end.
async fn exchange(sidecar: &Sidecar, request: &str) -> String {
    let mut stream = TcpStream::connect(sidecar.addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// The answer without the id, whose text is always another one.
fn without_id(answer: &str) -> String {
    let mut rest = answer;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once("prediction-id: ") {
        out += before;
        out += "prediction-id: ";
        rest = &after[62..];
    }
    out + rest
}

#[tokio::test]
async fn both_messages_pass_byte_for_byte() {
    let answer = "HTTP/1.1 200 All Right\r\nSeRvEr: x\r\nX-B:  2\r\nx-a: 1\r\nX-B: 3\r\nContent-Length: 4\r\n\r\n\0\r\n\n";
    let (upstream, received) = server("{body}", answer).await;
    let sidecar = sidecar(&upstream);
    let request = "POST /v2/models/m/infer?a=%20b HTTP/1.1\r\nhOST: ml.local\r\nX-b: 1 \r\nACCEPT:*/*\r\nX-B: 2\r\nContent-Length: 6\r\n\r\n{body}";
    let got = exchange(&sidecar, request).await;
    assert_eq!(text(&received), request);
    let labelled = answer.replace(
        "\r\n\r\n",
        &format!("\r\n{LABELS}\r\nconnection: close\r\n\r\n"),
    );
    let kept = answer.replace("\r\n\r\n", &format!("\r\n{LABELS}\r\n\r\n"));
    let got = without_id(&got);
    // Whether the client's end was seen before the answer is a matter of time.
    assert!(got == labelled || got == kept, "{got}");
}

#[tokio::test]
async fn chunks_extensions_and_trailers_pass_as_they_came() {
    let chunks = "5;name=\"a b\"\r\nhello\r\n0003\r\nabc\r\n000\r\nX-Sum: 7\r\nx-e:\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\ntrailer: x-t\r\n\r\n3;x\r\nabc\r\n0\r\nx-T: 1\r\n\r\n";
    let (upstream, received) = server("x-e:\r\n\r\n", answer).await;
    let sidecar = sidecar(&upstream);
    let request = format!(
        "POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n{chunks}"
    );
    let mut stream = TcpStream::connect(sidecar.addr).await.unwrap();
    for byte in request.as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
    }
    let mut got = vec![0; answer.len() + LABELS.len() + 64];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(text(&received), request);
    let labelled = answer.replacen("\r\n\r\n", &format!("\r\n{LABELS}\r\n\r\n"), 1);
    assert_eq!(without_id(&String::from_utf8(got).unwrap()), labelled);
}

#[tokio::test]
async fn requests_that_come_together_are_answered_in_turn() {
    let (v1, number) = (Model::new("v1"), 20);
    let stable = v1.serve().await;
    let sidecar = sidecar(&stable);
    let requests: String = (0..number)
        .map(|n| {
            format!(
                "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: {n}\r\n\r\n{}",
                "x".repeat(n)
            )
        })
        .collect();
    let got = exchange(
        &sidecar,
        &format!("{requests}GET /p HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
    )
    .await;
    let bodies: Vec<_> = got
        .split("HTTP/1.1 200 OK")
        .skip(1)
        .map(|answer| answer.rsplit("\r\n").next().unwrap().to_owned())
        .collect();
    let mut wanted: Vec<_> = (0..number).map(|n| format!("v1:{n}")).collect();
    wanted.push("v1:0".into());
    assert_eq!(bodies, wanted);
    assert_eq!(stable.connected(), 1);
}

/// So long that it does not come with its head, and short enough to be kept.
fn long_body(marked: &str) -> String {
    let numbers: String = (0..8000).map(|n| format!("{n:05} ")).collect();
    numbers + marked
}

#[tokio::test]
async fn long_bodies_pass_whole_and_what_follows_them_is_the_next_request() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let (upstream, received) = server("{end}", answer).await;
    let sidecar = sidecar(&upstream);
    let body = long_body("{end}");
    let request = format!(
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let three = request.repeat(3);
    let got = exchange(&sidecar, &three).await;
    assert_eq!(got.matches("HTTP/1.1 200 OK").count(), 3);
    assert!(text(&received) == three, "not as it came");
    received.lock().unwrap().clear();
    let mut stream = TcpStream::connect(sidecar.addr).await.unwrap();
    for piece in request.as_bytes().chunks(7001) {
        let before = text(&received).len();
        stream.write_all(piece).await.unwrap();
        let all = &received;
        eventually("the piece has passed", || text(all).len() > before).await;
    }
    let mut start = [0; 15];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    assert!(text(&received) == request, "not as it came");
}

#[tokio::test]
async fn hints_pass_before_the_answer() {
    let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    let (upstream, _) = server("\r\n\r\n", answer).await;
    let sidecar = sidecar(&upstream);
    let mut stream = TcpStream::connect(sidecar.addr).await.unwrap();
    stream
        .write_all(b"GET /p HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let wanted = format!(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n{LABELS}\r\n\r\n"
    );
    let mut got = vec![0; wanted.len() + 62];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(without_id(&String::from_utf8(got).unwrap()), wanted);
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_has_ended() {
    let (upstream, _) = server(
        "\r\n\r\n",
        "HTTP/1.1 413 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    )
    .await;
    let sidecar = sidecar(&upstream);
    let mut stream = TcpStream::connect(sidecar.addr).await.unwrap();
    stream
        .write_all(b"POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 17];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413 No\r\n");
    drop(stream);
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Client), 1);
}

#[tokio::test]
async fn an_answer_without_a_length_ends_with_its_connection() {
    let upstream = Upstream::bare(|mut stream| async move {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).await.unwrap();
        stream
            .write_all(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nall of it")
            .await
            .unwrap();
        if buffer[..n].starts_with(b"GET /cut") {
            stream.set_zero_linger().unwrap();
        }
    })
    .await;
    let sidecar = sidecar(&upstream);
    let got = exchange(&sidecar, "GET /p HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(got.starts_with("HTTP/1.1 200 OK\r\nx-serinus"), "{got}");
    assert!(got.ends_with("connection: close\r\n\r\nall of it"), "{got}");
    let mut cut = TcpStream::connect(sidecar.addr).await.unwrap();
    cut.write_all(b"GET /cut HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    let ended = cut.read_to_string(&mut answer).await;
    // Either the cut came with the head, or the part before it passed and then the connection was reset.
    assert!(
        ended.is_err() || answer.starts_with("HTTP/1.1 502"),
        "{answer}"
    );
    let counted = sidecar.finish().await;
    assert_eq!(
        (
            counted.of("v1").class(Class::Ok),
            counted.of("v1").class(Class::Model)
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn unsound_requests_are_refused_and_counted() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let sidecar = sidecar(&stable);
    let heads = [
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /p HTTP/1.1\nhost: a\n\n",
        "GET /p HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET /p HTTP/1.1\r\n\r\n",
        "POST /p HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /p HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n",
    ];
    for request in heads {
        let got = exchange(&sidecar, request).await;
        assert!(
            got.starts_with("HTTP/1.1 400 ") && got.contains("connection: close\r\n"),
            "{request:?}: {got}"
        );
    }
    assert_eq!(sidecar.shared.local().malformed, heads.len() as u64);
    let chunk = "POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloX";
    let got = exchange(&sidecar, chunk).await;
    assert!(got.starts_with("HTTP/1.1 400 "), "{got}");
    assert_eq!(v1.called(), 0);
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Cancelled), 1);
    assert_eq!(counted.of("v1").user_errors, 0);
}

#[tokio::test]
async fn what_hyper_serves_is_as_strict() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let sidecar = sidecar(&stable);
    let expecting =
        "POST /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi";
    for next in [
        "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /p HTTP/1.1\nhost: a\n\n",
    ] {
        let got = exchange(&sidecar, &format!("{expecting}{next}")).await;
        assert!(got.contains("v1:2HTTP/1.1 400 "), "{got}");
    }
    assert_eq!((v1.called(), sidecar.shared.local().malformed), (2, 2));
}

#[tokio::test]
async fn unsound_answers_do_not_pass() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let (upstream, _) = server("\r\n\r\n", answer).await;
        let sidecar = sidecar(&upstream);
        let got = exchange(&sidecar, "GET /p HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(got.starts_with("HTTP/1.1 502 "), "{answer:?}: {got}");
        let counted = sidecar.finish().await;
        assert_eq!(counted.of("v1").class(Class::Model), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn what_follows_an_answer_unasked_ends_the_endpoints_connection() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let (upstream, _) = server("{}", answer).await;
    let sidecar = sidecar(&upstream);
    let mut client = Client::connect(sidecar.addr).await;
    for _ in 0..3 {
        let got = client.infer("ana").await;
        assert_eq!((got.status, got.text.as_str()), (StatusCode::OK, "ok"));
    }
    assert_eq!(upstream.connected(), 3);
}

#[tokio::test]
async fn a_refused_body_does_not_hide_the_answer() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let sidecar = Setup::new(&stable.url, &stable.url, 0.0)
        .limits(|limits| limits.body_bytes = 1000)
        .start();
    let mut client = Client::connect(sidecar.addr).await;
    let got = client.get(infer("ana", vec![0; 3 << 20])).await;
    assert_eq!(got.status, StatusCode::PAYLOAD_TOO_LARGE);
    eventually("the end of the connection", || {
        sidecar.shared.local().connections == 0
    })
    .await;
    assert_eq!(v1.called(), 0);
}
