//! Answers that name the model as the caller did.

use crate::client::{Client, SentBody, h2, infer};
use crate::sidecar::Setup;
use crate::upstream::{AnswerBody, Upstream, full};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use serinus_proto::v1;
use tokio::sync::mpsc::unbounded_channel;
use tokio_stream::iter;
use tokio_stream::wrappers::UnboundedReceiverStream;

fn restoring(stream: v1::rewrite::Stream) -> v1::Rewrite {
    v1::Rewrite {
        model: "digits".into(),
        version: "2".into(),
        restore: true,
        stream: stream.into(),
        ..Default::default()
    }
}

fn plain() -> v1::Rewrite {
    restoring(v1::rewrite::Stream::Unspecified)
}

fn parts(texts: &[&'static str]) -> AnswerBody {
    let frames: Vec<_> = texts
        .iter()
        .map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes()))))
        .collect();
    StreamBody::new(iter(frames)).boxed_unsync()
}

const INFERRED: &str = r#"{"model_name":"digits","model_version":"2","id":"7","outputs":[{"name":"o","model_name":"digits"}]}"#;

/// Answers each path in the way of its protocol.
async fn serve(request: Request<Incoming>) -> Response<AnswerBody> {
    let path = request.uri().path().to_owned();
    request.into_body().collect().await.unwrap();
    let coded = path.contains("/coded");
    let (kind, answer) = match path.rsplit('/').next().unwrap() {
        "infer" => ("application/json", full(INFERRED)),
        "infer_stream" => (
            "text/event-stream",
            parts(&[
                "data: {\"model_name\":\"dig",
                "its\"}\n\nda",
                "ta: {\"model_name\":\"digits\",\"x\":1}\n\n",
            ]),
        ),
        "completions" => (
            "text/event-stream; charset=utf-8",
            parts(&["data: {\"model\":\"digits-0613\"}\n\n", "data: [DONE]\n\n"]),
        ),
        _ => ("application/json", full(r#"{"model":"digits-0613","n":1}"#)),
    };
    let response = Response::builder().header("content-type", kind);
    let response = match coded {
        true => response.header("content-encoding", "br"),
        false => response,
    };
    response.body(answer).unwrap()
}

fn post(path: &str, text: &str) -> Request<SentBody> {
    let mut request = infer("ana", text.to_owned());
    *request.uri_mut() = path.parse().unwrap();
    request
}

#[tokio::test]
async fn answers_name_what_the_caller_named() {
    let server = Upstream::h1(serve).await;
    let sidecar = Setup::new(&server.url, &server.url, 1.0)
        .rewrite("v2", plain())
        .start();
    let mut client = Client::connect(sidecar.addr).await;
    let named = INFERRED.replacen("digits", "a/\\\"b", 1);
    let versioned = INFERRED
        .replacen("digits", "m", 1)
        .replacen("\"2\"", "\"1\"", 1);
    for (path, sent, answer) in [
        ("/v2/models/a%2F%22b/infer", "{}", named),
        ("/v2/models/m/versions/1/infer", "{}", versioned),
        (
            "/v2/models/m/infer_stream",
            "{}",
            "data: {\"model_name\":\"m\"}\n\ndata: {\"model_name\":\"m\",\"x\":1}\n\n".into(),
        ),
        (
            "/v1/chat/completions",
            r#"{"model":"m\u0021"}"#,
            "data: {\"model\":\"m\\u0021\"}\n\ndata: [DONE]\n\n".into(),
        ),
        (
            "/v1/embeddings",
            r#"{"model":"m"}"#,
            r#"{"model":"m","n":1}"#.into(),
        ),
        // Encoded: as it is.
        ("/coded/v2/models/m/infer", "{}", INFERRED.into()),
    ] {
        let got = client.get(post(path, sent)).await;
        assert_eq!(got.text, answer, "{path}");
        let coded = path.starts_with("/coded");
        assert_eq!(got.headers.contains_key("content-length"), coded, "{path}");
    }
}

#[tokio::test]
async fn without_the_option_answers_name_the_real_model() {
    let server = Upstream::h1(serve).await;
    let rewrite = v1::Rewrite {
        restore: false,
        ..plain()
    };
    let sidecar = Setup::new(&server.url, &server.url, 1.0)
        .rewrite("v2", rewrite)
        .start();
    let mut client = Client::connect(sidecar.addr).await;
    let got = client.get(post("/v2/models/m/infer", "{}")).await;
    assert_eq!(got.text, INFERRED);
    assert_eq!(got.headers["content-length"], INFERRED.len().to_string());
}

fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat().into()
}

/// A call whose messages come in one by one, and what comes back for each.
async fn conversation(
    stream: v1::rewrite::Stream,
    answers: fn(usize) -> &'static [u8],
) -> (Vec<u8>, HeaderMap) {
    let server = Upstream::h2(move |request: Request<Incoming>| async move {
        let mut seen = 0;
        let (out, answer) = unbounded_channel();
        let mut sent = request.into_body();
        tokio::spawn(async move {
            while let Some(Ok(part)) = sent.frame().await {
                if part.data_ref().is_none_or(Bytes::is_empty) {
                    continue;
                }
                // Cut in the middle of the prefix.
                let whole = frame(answers(seen));
                let _ = out.send(Ok(Frame::data(whole.slice(..3))));
                let _ = out.send(Ok(Frame::data(whole.slice(3..))));
                seen += 1;
            }
            let status = HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static("0"),
            )]);
            let _ = out.send(Ok(Frame::trailers(status)));
        });
        let response = Response::builder().header("content-type", "application/grpc");
        let answer = StreamBody::new(UnboundedReceiverStream::new(answer));
        response.body(answer.boxed_unsync()).unwrap()
    })
    .await;
    let sidecar = Setup::new(&server.url, &server.url, 1.0)
        .rewrite("v2", restoring(stream))
        .start();
    let mut send = h2(sidecar.addr).await;
    let messages = [frame(b"\x0a\x01m\x12\x011"), frame(b"\x0a\x01m")];
    let sent = StreamBody::new(iter(messages.map(|part| Ok(Frame::data(part)))));
    let request = Request::post("http://ml.local/inference.GRPCInferenceService/ModelStreamInfer")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-user-id", "ana");
    let request = request.body(sent.boxed_unsync()).unwrap();
    let response = send.send_request(request).await.unwrap();
    let whole = response.into_body().collect().await.unwrap();
    let trailers = whole.trailers().cloned().unwrap();
    (whole.to_bytes().to_vec(), trailers)
}

#[tokio::test]
async fn messages_of_grpc_streams_name_what_the_caller_named() {
    let plain = |n: usize| if n == 0 { &b"\x0a\x06digits"[..] } else { b"" };
    let (got, trailers) = conversation(v1::rewrite::Stream::Plain, plain).await;
    let expected = [
        frame(b"\x0a\x06digits\x0a\x01m\x12\x011"),
        frame(b"\x0a\x01m\x12\x011"),
    ];
    assert_eq!(got, expected.concat());
    assert_eq!(trailers["grpc-status"], "0");
    // An error around no answer stays one.
    let wrapped = |n: usize| {
        if n == 0 {
            &b"\x0a\x02no"[..]
        } else {
            b"\x12\x08\x0a\x06digits"
        }
    };
    let (got, _) = conversation(v1::rewrite::Stream::Wrapped, wrapped).await;
    let expected = [
        frame(b"\x0a\x02no"),
        frame(b"\x12\x08\x0a\x06digits\x12\x06\x0a\x01m\x12\x011"),
    ];
    assert_eq!(got, expected.concat());
}
