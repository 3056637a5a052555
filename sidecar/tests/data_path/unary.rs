//! gRPC calls with one answer: a canary's is held back until its status is known, so that stable can still answer.

use crate::client::{body, h2};
use crate::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Peer, RESET, WINDOW, fields, frame,
};
use crate::sidecar::{Counted, Setup};
use crate::upstream::{AnswerBody, Upstream, full};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serinus_common::class::Class;
use serinus_proto::v1;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

const UNARY: &str = "/inference.GRPCInferenceService/ModelInfer";
const UNKNOWN: &str = "/mine.Service/Predict";

fn message(text: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    framed.extend(text);
    framed
}

/// What a canary writes after it has read a call; `Wait` is for the test.
#[derive(Clone, Debug)]
enum Act {
    Head,
    Data(usize),
    Trailers(&'static str),
    /// Data that is the last, without a status.
    End,
    Reset(u32),
    Goodbye,
    Wait(Arc<Notify>),
    Close,
}

async fn canary(acts: Vec<Act>) -> Upstream {
    Upstream::bare(move |stream| {
        let acts = acts.clone();
        async move {
            let mut peer = Peer::accept(stream).await;
            let asked = loop {
                match peer.next().await {
                    None => return,
                    Some(got) if got.flags & END_STREAM > 0 && got.stream > 0 => break got.stream,
                    Some(_) => {}
                }
            };
            for act in acts {
                let bytes = match act {
                    Act::Head => {
                        let head = [(":status", "200"), ("content-type", "application/grpc")];
                        frame(HEADERS, END_HEADERS, asked, &fields(&head))
                    }
                    Act::Data(length) => frame(DATA, 0, asked, &message(&vec![7; length - 5])),
                    Act::Trailers(status) => {
                        let trailers = fields(&[("grpc-status", status)]);
                        frame(HEADERS, END_HEADERS | END_STREAM, asked, &trailers)
                    }
                    Act::End => frame(DATA, END_STREAM, asked, &message(b"")),
                    Act::Reset(code) => frame(RESET, 0, asked, &code.to_be_bytes()),
                    Act::Goodbye => frame(GOAWAY, 0, 0, &[0; 8]),
                    Act::Wait(gate) => {
                        gate.notified().await;
                        continue;
                    }
                    Act::Close => return,
                };
                peer.write(&bytes).await;
            }
            while peer.next().await.is_some() {}
        }
    })
    .await
}

async fn stable() -> Upstream {
    Upstream::h2(|request: Request<Incoming>| async {
        request.into_body().collect().await.unwrap();
        answer("stable")
    })
    .await
}

fn answer(text: &'static str) -> Response<AnswerBody> {
    let status = (
        http::HeaderName::from_static("grpc-status"),
        http::HeaderValue::from_static("0"),
    );
    let trailers = std::future::ready(Some(Ok(HeaderMap::from_iter([status]))));
    let body = full(text).with_trailers(trailers).boxed_unsync();
    let response = Response::builder().header("content-type", "application/grpc");
    response.body(body).unwrap()
}

fn call(path: &str) -> Request<crate::client::SentBody> {
    let request = Request::post(format!("http://ml.local{path}"));
    let request = request.header("content-type", "application/grpc");
    let request = request.header("te", "trailers").header("x-user-id", "ana");
    request.body(body(message(b"abc"))).unwrap()
}

/// The relay, and the general path, on which calls are that are changed on their way.
fn setups(stable: &Upstream, canary: &Upstream) -> [Setup; 2] {
    let setup = || Setup::new(&stable.url, &canary.url, 1.0);
    let rewrite = v1::Rewrite {
        version: "7".into(),
        ..Default::default()
    };
    [setup(), setup().rewrite("v2", rewrite)]
}

fn quick(setup: Setup) -> Setup {
    setup.failure(|failure| {
        failure.attempt_timeout =
            Some(prost_types::Duration::try_from(Duration::from_millis(150)).unwrap());
    })
}

async fn is_answered_by_stable(setup: Setup, what: &str) -> Counted {
    let sidecar = setup.start();
    let mut send = h2(sidecar.addr).await;
    let response = send.send_request(call(UNARY)).await.unwrap();
    assert_eq!(
        response.headers()["x-serinus-variant"],
        "v1",
        "{what} {response:?}"
    );
    let whole = response.into_body().collect().await.unwrap();
    assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(whole.to_bytes(), "stable");
    sidecar.finish().await
}

#[tokio::test]
async fn stable_answers_where_a_canary_fails_within_its_answer() {
    let stable = stable().await;
    let half = [Act::Head, Act::Data(100)];
    for (end, class) in [
        (vec![Act::Trailers("13")], Class::Model),
        (vec![Act::Trailers("14")], Class::Overload),
        (vec![Act::End], Class::Model),
        (vec![Act::Reset(2)], Class::Model),
        // Too late for one that has not looked at it.
        (vec![Act::Reset(7)], Class::Model),
        (vec![Act::Goodbye, Act::Close], Class::Model),
        (vec![Act::Close], Class::Model),
    ] {
        let canary = canary([&half[..], &end].concat()).await;
        for setup in setups(&stable, &canary) {
            let counted = is_answered_by_stable(setup, &format!("{end:?}")).await;
            let counted = counted.of("v2");
            let seen = (counted.class(class), counted.rescued, counted.user_errors);
            assert_eq!(seen, (1, 1, 0), "{end:?}");
            assert_eq!(counted.response_bytes, 0, "nothing of it was passed on");
        }
    }
}

#[tokio::test]
async fn stable_answers_where_a_canary_hangs_within_its_answer() {
    let stable = stable().await;
    let canary = canary(vec![Act::Head, Act::Data(100)]).await;
    for setup in setups(&stable, &canary) {
        let counted = is_answered_by_stable(quick(setup), "hangs").await;
        let counted = counted.of("v2");
        assert_eq!((counted.class(Class::Timeout), counted.rescued), (1, 1));
    }
}

#[tokio::test]
async fn a_whole_answer_is_passed_on_with_its_status() {
    let stable = stable().await;
    for status in ["0", "3"] {
        let more = Arc::new(Notify::new());
        let canary = canary(vec![
            Act::Head,
            Act::Data(100),
            Act::Wait(Arc::clone(&more)),
            Act::Data(200),
            Act::Trailers(status),
        ])
        .await;
        for setup in setups(&stable, &canary) {
            let sidecar = setup.start();
            let mut send = h2(sidecar.addr).await;
            more.notify_one();
            let response = send.send_request(call(UNARY)).await.unwrap();
            assert_eq!(response.headers()["x-serinus-variant"], "v2");
            let whole = response.into_body().collect().await.unwrap();
            assert_eq!(whole.trailers().unwrap()["grpc-status"], status);
            assert_eq!(whole.to_bytes().len(), 300);
            let counted = sidecar.finish().await;
            let counted = counted.of("v2");
            assert_eq!((counted.response_bytes, counted.rescued), (300, 0));
            let class = if status == "0" {
                Class::Ok
            } else {
                Class::Client
            };
            assert_eq!(counted.class(class), 1);
        }
    }
}

/// Whatever may be a stream, and what is too long, reaches the caller as it comes.
#[tokio::test]
async fn streams_and_long_answers_are_not_held_back() {
    let stable = stable().await;
    for (path, parts) in [
        (UNKNOWN, vec![Act::Head]),
        (UNKNOWN, vec![Act::Head, Act::Data(100)]),
        (UNARY, vec![Act::Head, Act::Data(9000), Act::Data(9000)]),
    ] {
        let more = Arc::new(Notify::new());
        let rest = [Act::Wait(Arc::clone(&more)), Act::Trailers("0")];
        let canary = canary([&parts[..], &rest].concat()).await;
        for setup in setups(&stable, &canary) {
            let sidecar = setup.start();
            let mut send = h2(sidecar.addr).await;
            let response = send.send_request(call(path)).await.unwrap();
            assert_eq!(response.headers()["x-serinus-variant"], "v2");
            // The head is here, and the end of the answer not yet written.
            more.notify_one();
            let whole = response.into_body().collect().await.unwrap();
            assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
            assert_eq!(sidecar.finish().await.of("v2").class(Class::Ok), 1);
        }
    }
}

/// A caller that takes little at a time gets all of what was held back.
#[tokio::test]
async fn what_was_held_back_keeps_to_the_callers_windows() {
    let stable = stable().await;
    let canary = canary(vec![Act::Head, Act::Data(3000), Act::Trailers("0")]).await;
    let sidecar = Setup::new(&stable.url, &canary.url, 1.0).start();
    let mut peer = Peer::connect(&sidecar).await;
    // SETTINGS_INITIAL_WINDOW_SIZE is 1000.
    peer.write(&frame(4, 0, 0, b"\0\x04\0\0\x03\xe8")).await;
    peer.call(1, true).await;
    let mut got = 0;
    while got < 3000 {
        let data = peer.until(DATA).await.payload.len();
        got += data;
        let by = u32::try_from(data).unwrap().to_be_bytes();
        peer.write(&frame(WINDOW, 0, 1, &by)).await;
    }
    assert_eq!(got, 3000);
    assert!(peer.until(HEADERS).await.flags & END_STREAM > 0);
    assert_eq!(sidecar.finish().await.of("v2").class(Class::Ok), 1);
}
