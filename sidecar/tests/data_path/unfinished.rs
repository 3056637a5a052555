//! A canary whose answer has begun and is not whole: short ones are held back, so that stable can still answer.

use crate::client::{Client, Got, SentBody, h2, infer};
use crate::sidecar::{Counted, Setup, Sidecar};
use crate::upstream::{Model, Upstream};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serinus_common::class::Class;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// The paths through the sidecar: HTTP/1.1 as it passes, and everything else.
const WAYS: [Way; 2] = [Way::Fast, Way::General];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Fast,
    General,
}

impl Way {
    /// An answer, or what the caller got to know of its end.
    async fn ask(self, sidecar: &Sidecar, request: Request<SentBody>) -> Result<Got, String> {
        let (head, body) = match self {
            Self::Fast => Client::connect(sidecar.addr).await.send(request).await,
            Self::General => {
                let mut send = h2(sidecar.addr).await;
                send.send_request(request)
                    .await
                    .map_err(|e| e.to_string())?
            }
        }
        .into_parts();
        let bytes = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
        Ok(Got {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        })
    }
}

/// What a model server does after it has read a request.
#[derive(Clone, Debug)]
enum Act {
    Write(Vec<u8>),
    /// Until the test says so.
    Wait(Arc<Notify>),
    /// The test hears of it.
    Say(Arc<Notify>),
    Hang,
}

fn write(text: &str) -> Act {
    Act::Write(text.as_bytes().to_vec())
}

/// One request per connection, which ends after the last act.
async fn server(acts: Vec<Act>) -> Upstream {
    Upstream::bare(move |stream| play(stream, acts.clone())).await
}

async fn play(mut stream: TcpStream, acts: Vec<Act>) {
    let mut request = Vec::new();
    while !request.ends_with(b"{}") && !request.ends_with(b"0\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    for act in acts {
        match act {
            Act::Write(bytes) => {
                let _ = stream.write_all(&bytes).await;
            }
            Act::Wait(gate) => gate.notified().await,
            Act::Say(gate) => gate.notify_one(),
            Act::Hang => std::future::pending().await,
        }
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n";

fn quick(setup: Setup) -> Setup {
    setup.failure(|failure| {
        failure.attempt_timeout =
            Some(prost_types::Duration::try_from(Duration::from_millis(150)).unwrap());
    })
}

fn is_rescued(counted: &Counted, class: Class) {
    let canary = counted.of("v2");
    assert_eq!(
        (canary.class(class), canary.rescued, canary.user_errors),
        (1, 1, 0)
    );
    assert_eq!(canary.response_bytes, 0, "nothing of it was passed on");
}

#[tokio::test]
async fn stable_answers_where_a_canary_dies_within_its_answer() {
    let dies: [&[Act]; 3] = [
        &[write(HEAD)],
        &[write(HEAD), write("hal")],
        &[write(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 16384\r\n\r\nhal",
        )],
    ];
    for way in WAYS {
        for acts in dies {
            let v1 = Model::new("v1");
            let (stable, canary) = (v1.serve().await, server(acts.to_vec()).await);
            let sidecar = Setup::new(&stable.url, &canary.url, 1.0).start();
            let got = way.ask(&sidecar, infer("ana", "{}")).await.unwrap();
            let seen = (got.status, got.variant(), got.text.as_str());
            assert_eq!(seen, (StatusCode::OK, "v1", "v1:2"), "{way:?} {acts:?}");
            is_rescued(&sidecar.finish().await, Class::Model);
        }
    }
}

#[tokio::test]
async fn stable_answers_where_a_canary_hangs_within_its_answer() {
    for way in WAYS {
        let v1 = Model::new("v1");
        let canary = server(vec![write(HEAD), write("hal"), Act::Hang]).await;
        let stable = v1.serve().await;
        let sidecar = quick(Setup::new(&stable.url, &canary.url, 1.0)).start();
        let got = way.ask(&sidecar, infer("ana", "{}")).await.unwrap();
        assert_eq!(
            (got.variant(), got.text.as_str()),
            ("v1", "v1:2"),
            "{way:?}"
        );
        is_rescued(&sidecar.finish().await, Class::Timeout);
    }
}

#[tokio::test]
async fn a_slow_answer_is_passed_on_whole() {
    for way in WAYS {
        let (begun, more) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let canary = server(vec![
            write(&HEAD.replace("200 OK", "422 No")),
            Act::Say(Arc::clone(&begun)),
            Act::Wait(Arc::clone(&more)),
            write("who"),
            Act::Say(Arc::clone(&begun)),
            Act::Wait(Arc::clone(&more)),
            write("le."),
            Act::Hang,
        ])
        .await;
        let sidecar = Setup::new(&canary.url, &canary.url, 1.0).start();
        let feed = async {
            for _ in 0..2 {
                begun.notified().await;
                more.notify_one();
            }
        };
        let (got, ()) = tokio::join!(way.ask(&sidecar, infer("ana", "{}")), feed);
        let got = got.unwrap();
        assert_eq!((got.status.as_u16(), got.variant()), (422, "v2"), "{way:?}");
        assert_eq!(
            (got.text.as_str(), &got.headers["content-length"]),
            ("whole.", &"6".parse().unwrap())
        );
        let counted = sidecar.finish().await;
        let canary = counted.of("v2");
        assert_eq!((canary.class(Class::Client), canary.rescued), (1, 0));
        assert_eq!(canary.response_bytes, 6);
    }
}

/// Whatever is no short answer of a canary's reaches the caller as it comes.
#[tokio::test]
async fn long_answers_streams_and_those_of_stable_are_not_held_back() {
    let long = "HTTP/1.1 200 OK\r\ncontent-length: 16385\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let unknown = "HTTP/1.1 200 OK\r\n\r\nabc";
    let events = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9\r\n\r\n";
    for way in WAYS {
        for (share, begin, rest) in [
            (1.0, long, "x".repeat(16385)),
            (1.0, chunked, "0\r\n\r\n".to_owned()),
            (1.0, unknown, "def".to_owned()),
            (1.0, events, "data: 1\n\n".to_owned()),
            (0.0, HEAD, "stable".to_owned()),
        ] {
            let more = Arc::new(Notify::new());
            let upstream = server(vec![
                write(begin),
                Act::Wait(Arc::clone(&more)),
                write(&rest),
            ])
            .await;
            let sidecar = Setup::new(&upstream.url, &upstream.url, share).start();
            let request = infer("ana", "{}");
            let (mut client, mut send);
            let response = match way {
                Way::Fast => {
                    client = Client::connect(sidecar.addr).await;
                    client.send(request).await
                }
                Way::General => {
                    send = h2(sidecar.addr).await;
                    send.send_request(request).await.unwrap()
                }
            };
            // The head is here, and the end of the answer not yet written.
            more.notify_one();
            response.into_body().collect().await.unwrap();
            let counted = sidecar.finish().await;
            let variant = if share == 1.0 { "v2" } else { "v1" };
            assert_eq!(counted.of(variant).class(Class::Ok), 1, "{way:?} {begin:?}");
            assert_eq!(counted.of("v2").rescued, 0);
        }
    }
}

#[tokio::test]
async fn answers_without_a_body_do_not_wait_for_one() {
    for (method, head) in [
        ("HEAD", HEAD),
        ("POST", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "POST",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 6\r\n\r\n",
        ),
        ("POST", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ] {
        for way in WAYS {
            let canary = server(vec![write(head), Act::Hang]).await;
            let sidecar = Setup::new(&canary.url, &canary.url, 1.0).start();
            let mut request = infer("ana", "{}");
            *request.method_mut() = method.parse().unwrap();
            let got = way.ask(&sidecar, request).await.unwrap();
            assert_eq!(
                (got.variant(), got.text.as_str()),
                ("v2", ""),
                "{way:?} {head:?}"
            );
            assert_eq!(sidecar.finish().await.of("v2").class(Class::Ok), 1);
        }
    }
}

#[tokio::test]
async fn what_stable_could_not_answer_is_not_held_back() {
    for way in WAYS {
        let canary = server(vec![write(HEAD), write("hal")]).await;
        let v1 = Model::new("v1");
        let stable = v1.serve().await;
        let sidecar = Setup::new(&stable.url, &canary.url, 1.0).start();
        let mut request = infer("ana", "{}");
        let headers = request.headers_mut();
        headers.insert("x-serinus-idempotent", "false".parse().unwrap());
        let got = way.ask(&sidecar, request).await;
        assert!(got.is_err(), "{way:?}: its user sees the cut: {got:?}");
        let counted = sidecar.finish().await;
        let canary = counted.of("v2");
        assert_eq!(
            (
                canary.class(Class::Model),
                canary.rescued,
                canary.user_errors
            ),
            (1, 0, 1)
        );
        assert_eq!(v1.called(), 0);
    }
}

/// A canary's answer that is not whole within the bound of the attempt is a timeout: so is stable's.
#[tokio::test]
async fn stable_is_judged_by_the_same_bound() {
    for way in WAYS {
        let more = Arc::new(Notify::new());
        let stable = server(vec![
            write(HEAD),
            Act::Wait(Arc::clone(&more)),
            write("stable"),
        ])
        .await;
        let sidecar = quick(Setup::new(&stable.url, &stable.url, 0.0)).start();
        let feed = async {
            // Past the bound of an attempt, which ends nothing.
            tokio::time::sleep(Duration::from_millis(300)).await;
            more.notify_one();
        };
        let (got, ()) = tokio::join!(way.ask(&sidecar, infer("ana", "{}")), feed);
        assert_eq!(got.unwrap().text, "stable", "{way:?}");
        let counted = sidecar.finish().await;
        let stable = counted.of("v1");
        assert_eq!(
            (stable.class(Class::Timeout), stable.user_errors),
            (1, 0),
            "{way:?}"
        );
    }
}

/// A caller who leaves while its answer is held back has left.
#[tokio::test]
async fn who_hangs_up_meanwhile_is_counted_so() {
    let begun = Arc::new(Notify::new());
    let canary = server(vec![write(HEAD), Act::Say(Arc::clone(&begun)), Act::Hang]).await;
    let sidecar = Setup::new(&canary.url, &canary.url, 1.0).start();
    let mut stream = TcpStream::connect(sidecar.addr).await.unwrap();
    let request = "POST /v2/models/m/infer HTTP/1.1\r\nhost: ml\r\nx-user-id: ana\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(request.as_bytes()).await.unwrap();
    begun.notified().await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    let counted = sidecar.finish().await;
    let canary = counted.of("v2");
    assert_eq!((canary.class(Class::Cancelled), canary.rescued), (1, 0));
}
