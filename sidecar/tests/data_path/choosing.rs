//! What decides where a request goes: keys, rules, names of models, endpoints.

use crate::client::{Client, Got, SentBody, body, h2, infer, user_of};
use crate::sidecar::{Setup, Sidecar};
use crate::upstream::{Model, Upstream, full};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serinus_proto::v1;
use serinus_sidecar::admin::probe::Prober;
use serinus_sidecar::table::{ModelSpec, StaticSplit, Table};
use serinus_sidecar::tls::Tls;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use v1::targeting_rule::{Place, Test};

fn post(path: &str, text: impl Into<Bytes>) -> Request<SentBody> {
    let request = Request::post(path).header("host", "ml.local");
    let request = request.header("content-type", "application/json");
    request.body(body(text)).unwrap()
}

fn with(mut request: Request<SentBody>, name: &'static str, value: &str) -> Request<SentBody> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// A sidecar with the variants v1 and v2 of model m, half of the keys for each.
async fn halves(key: &str) -> (Sidecar, Client) {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    let mut setup = Setup::new(&stable.url, &canary.url, 0.5);
    setup.assignment.bucketing.as_mut().unwrap().key = key.to_owned();
    let sidecar = setup.start();
    let client = Client::connect(sidecar.addr).await;
    (sidecar, client)
}

/// A body whose parts are sent one by one.
fn in_parts() -> (UnboundedSender<Frame<Bytes>>, SentBody) {
    use tokio_stream::StreamExt as _;
    let (sender, receiver) = unbounded_channel();
    let frames = UnboundedReceiverStream::new(receiver).map(Ok);
    (sender, StreamBody::new(frames).boxed_unsync())
}

#[tokio::test]
async fn a_key_in_the_body_decides_and_the_whole_body_arrives() {
    let (sidecar, mut client) = halves("json:/user/id").await;
    for n in 0..40 {
        for variant in ["v1", "v2"] {
            let user = user_of(variant, 0.5, n * 100);
            let rest = "x".repeat(usize::try_from(n).unwrap() * 5000);
            let text =
                format!("{{\"a\":[1,2],\"user\":{{\"id\":\"{user}\"}},\"rest\":\"{rest}\"}}");
            let length = text.len();
            let got = client.get(post("/v2/models/m/infer", text)).await;
            assert_eq!(got.variant(), variant);
            assert_eq!(got.text, format!("{variant}:{length}"));
        }
    }
    let counted = sidecar.finish().await;
    let (s, c) = (counted.of("v1"), counted.of("v2"));
    assert_eq!((s.assigned, c.assigned), (40, 40));
    assert_eq!(s.unkeyed + c.unkeyed, 0);
}

#[tokio::test]
async fn a_body_without_its_key_is_drawn_and_counted() {
    let (sidecar, mut client) = halves("json:/user").await;
    let far = format!("{{\"a\":\"{}\",\"user\":\"ana\"}}", "x".repeat(300 << 10));
    for text in ["{\"user\":1.5}", "{\"user\":", "no json", "", "{}", &far] {
        let got = client
            .get(post("/v2/models/m/infer", text.to_owned()))
            .await;
        assert_eq!(got.text, format!("{}:{}", got.variant(), text.len()));
    }
    let compressed = with(
        post("/v2/models/m/infer", "{\"user\":\"ana\"}"),
        "content-encoding",
        "gzip",
    );
    client.get(compressed).await;
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").unkeyed + counted.of("v2").unkeyed, 7);
}

#[tokio::test]
async fn the_rest_of_a_body_is_not_waited_for() {
    let stable = Upstream::h1(|request| async move {
        // Answers before the body has ended.
        let mut body = request.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        tokio::spawn(async move { while body.frame().await.is_some() {} });
        Response::new(full(first))
    })
    .await;
    let mut setup = Setup::new(&stable.url, &stable.url, 0.5);
    setup.assignment.bucketing.as_mut().unwrap().key = "json:/user".into();
    let sidecar = setup.start();
    let mut client = Client::connect(sidecar.addr).await;
    let (parts, sent) = in_parts();
    for part in ["{\"us", "er\":\"", "ana\"", ","] {
        parts.send(Frame::data(part.into())).unwrap();
    }
    let request = Request::post("/v2/models/m/infer").header("host", "m");
    let got = client.get(request.body(sent).unwrap()).await;
    assert!("{\"user\":\"ana\",".starts_with(&got.text) && !got.text.is_empty());
    drop(parts);
}

#[tokio::test]
async fn a_failing_canary_is_rescued_with_the_body_that_was_looked_into() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    let mut setup = Setup::new(&stable.url, &canary.url, 0.5);
    setup.assignment.bucketing.as_mut().unwrap().key = "json:/user".into();
    let sidecar = setup.start();
    let mut client = Client::connect(sidecar.addr).await;
    v2.fail(500);
    let text = format!(
        "{{\"user\":\"{}\",\"rest\":\"{}\"}}",
        user_of("v2", 0.5, 0),
        "x".repeat(9000)
    );
    let length = text.len();
    let got = client.get(post("/v2/models/m/infer", text)).await;
    assert_eq!(got.text, format!("v1:{length}"));
    assert_eq!(sidecar.finish().await.of("v2").rescued, 1);
}

#[tokio::test]
async fn a_segment_of_the_path_is_a_key() {
    let (_sidecar, mut client) = halves("path:2").await;
    for variant in ["v1", "v2"] {
        let path = format!("/tenants/{}/predict", user_of(variant, 0.5, 0));
        assert_eq!(client.get(post(&path, "{}")).await.variant(), variant);
    }
}

#[tokio::test]
async fn a_cookie_is_given_once_and_keeps_its_owner_where_it_is() {
    let (mut sidecar, mut client) = halves("cookie:sid").await;
    sidecar.reassign(|assignment| assignment.bucketing.as_mut().unwrap().sticky = true);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let first = client.get(post("/v2/models/m/infer", "{}")).await;
        let cookie = first.headers["set-cookie"].to_str().unwrap();
        assert!(
            cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000"),
            "{cookie}"
        );
        let pair = cookie.split(';').next().unwrap();
        let again = client
            .get(with(post("/v2/models/m/infer", "{}"), "cookie", pair))
            .await;
        assert_eq!(again.variant(), first.variant());
        assert!(!again.headers.contains_key("set-cookie"));
        assert!(seen.insert(pair.to_owned()), "{pair} came twice");
    }
    let ready = Request::get("/v2/models/m/ready")
        .header("host", "m")
        .body(body(""));
    assert!(
        !client
            .get(ready.unwrap())
            .await
            .headers
            .contains_key("set-cookie")
    );
    let counted = sidecar.finish().await;
    let (s, c) = (counted.of("v1"), counted.of("v2"));
    assert_eq!((s.assigned + c.assigned, s.unkeyed + c.unkeyed), (40, 20));
}

fn rule(variant: &str, place: Place, test: Test) -> v1::TargetingRule {
    v1::TargetingRule {
        variant: variant.into(),
        place: Some(place),
        test: Some(test),
    }
}

#[tokio::test]
async fn rules_come_before_the_hash_and_are_never_judged() {
    let (mut sidecar, mut client) = halves("header:x-user-id").await;
    sidecar.reassign(|assignment| {
        assignment.targeting = vec![
            rule(
                "v2",
                Place::Header("X-Beta".into()),
                Test::Equals("1".into()),
            ),
            rule(
                "v1",
                Place::Cookie("group".into()),
                Test::Regex("^sta".into()),
            ),
        ];
    });
    let (stable, canary) = (user_of("v1", 0.5, 0), user_of("v2", 0.5, 0));
    assert_eq!(client.infer(&stable).await.variant(), "v1");
    let beta = with(infer(&stable, "{}"), "x-beta", "1");
    assert_eq!(client.get(beta).await.variant(), "v2");
    let other = with(infer(&stable, "{}"), "x-beta", "2");
    assert_eq!(client.get(other).await.variant(), "v1");
    let staff = with(infer(&canary, "{}"), "cookie", "a=b; group=staff");
    assert_eq!(client.get(staff).await.variant(), "v1");
    sidecar.reassign(|assignment| assignment.rolled_back = true);
    let beta = with(infer(&stable, "{}"), "x-beta", "1");
    assert_eq!(client.get(beta).await.variant(), "v1");
    let counted = sidecar.finish().await;
    let (s, c) = (counted.of("v1"), counted.of("v2"));
    assert_eq!((s.overrides, s.assigned), (1, 3));
    assert_eq!((c.overrides, c.assigned), (1, 0));
    assert_eq!(c.classes, [0; 7]);
}

/// Looks at every endpoint once, as the sidecar does every second.
async fn look(prober: &mut Prober, sidecar: &Sidecar) {
    prober.round(sidecar.shared.table().routes()).await;
}

#[tokio::test]
async fn a_canary_that_is_not_ready_gets_nothing() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    let mut setup = Setup::new(&stable.url, &canary.url, 0.5);
    setup.assignment.allow_override_header = true;
    let sidecar = setup.start();
    let mut prober = Prober::new(Arc::new(Tls::plain()));
    let mut client = Client::connect(sidecar.addr).await;
    let user = user_of("v2", 0.5, 0);
    v2.fail(503);
    look(&mut prober, &sidecar).await;
    let asked = v2.called();
    for _ in 0..10 {
        assert_eq!(client.infer(&user).await.variant(), "v1");
    }
    let named = with(infer("ana", "{}"), "x-serinus-variant", "v2");
    assert_eq!(client.get(named).await.variant(), "v1");
    assert_eq!(v2.called(), asked);
    v2.fail(200);
    look(&mut prober, &sidecar).await;
    assert_eq!(client.infer(&user).await.variant(), "v2");
    let counted = sidecar.finish().await;
    let (s, c) = (counted.of("v1"), counted.of("v2"));
    assert_eq!((c.diverted, c.assigned), (10, 1));
    assert_eq!((s.assigned, s.overrides), (1, 0));
    assert_eq!(counted.in_cells("v2", |cell| cell.diverted), 10);
}

#[tokio::test]
async fn an_open_breaker_probes_whatever_the_checks_say() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    let setup = Setup::new(&stable.url, &canary.url, 0.5).failure(|failure| {
        failure.breaker = Some(v1::Breaker {
            consecutive: 1,
            ..Default::default()
        });
    });
    let mut sidecar = setup.start();
    let mut client = Client::connect(sidecar.addr).await;
    let user = user_of("v2", 0.5, 0);
    v2.fail(500);
    assert_eq!(client.infer(&user).await.variant(), "v1");
    assert!(sidecar.events.recv().await.is_some(), "the breaker opens");
    look(&mut Prober::new(Arc::new(Tls::plain())), &sidecar).await;
    let before = v2.called();
    while v2.called() == before {
        assert_eq!(client.infer(&user).await.variant(), "v1");
    }
    assert!(sidecar.finish().await.of("v2").failed_probes >= 1);
}

#[tokio::test]
async fn stable_is_used_even_where_the_checks_fail() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let sidecar = Setup::new(&stable.url, &stable.url, 0.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    v1.fail(503);
    look(&mut Prober::new(Arc::new(Tls::plain())), &sidecar).await;
    v1.fail(200);
    assert_eq!(client.infer("ana").await.text, "v1:2");
}

#[tokio::test]
async fn equal_endpoints_share_the_load_and_those_that_are_not_ready_have_none() {
    let models = [Model::new("a"), Model::new("b"), Model::new("c")];
    let mut servers = Vec::new();
    for model in &models {
        servers.push(model.serve().await);
    }
    let mut setup = Setup::new(&servers[0].url, &servers[0].url, 0.0);
    setup.assignment.variants[0].endpoints = servers.iter().map(|s| s.url.clone()).collect();
    let sidecar = setup.start();
    let mut client = Client::connect(sidecar.addr).await;
    for _ in 0..30 {
        client.infer("ana").await;
    }
    assert_eq!([0, 1, 2].map(|at: usize| models[at].called()), [10; 3]);
    models[1].fail(503);
    let mut prober = Prober::new(Arc::new(Tls::plain()));
    look(&mut prober, &sidecar).await;
    let before = models[1].called();
    for _ in 0..20 {
        assert_ne!(client.infer("ana").await.text, "b:2");
    }
    assert_eq!(models[1].called(), before);
}

#[tokio::test]
async fn an_endpoint_that_fails_is_passed_over() {
    let (good, bad) = (Model::new("good"), Model::new("bad"));
    let servers = [good.serve().await, bad.serve().await];
    let mut setup = Setup::new(&servers[0].url, &servers[0].url, 0.0);
    setup.assignment.variants[0].endpoints = servers.iter().map(|s| s.url.clone()).collect();
    let sidecar = setup.start();
    let mut client = Client::connect(sidecar.addr).await;
    bad.fail(500);
    for _ in 0..20 {
        client.infer("ana").await;
    }
    assert_eq!(bad.called(), 5, "five failures in a row are enough");
    let dead = Upstream::refusing().await;
    let mut setup = Setup::new(&dead.url, &dead.url, 0.0);
    setup.assignment.variants[0]
        .endpoints
        .push(servers[0].url.clone());
    let sidecar = setup.start();
    let mut client = Client::connect(sidecar.addr).await;
    for _ in 0..5 {
        assert_eq!(client.infer("ana").await.text, "good:2");
    }
}

fn model(name: &str, stable: &Upstream) -> ModelSpec {
    ModelSpec {
        name: name.into(),
        stable_name: format!("{name}1"),
        stable: vec![stable.url.clone()],
        ..ModelSpec::default()
    }
}

/// Two models: a, with half of it on a canary, and b.
async fn two_models() -> (Sidecar, Client) {
    let mut urls = Vec::new();
    for name in ["a1", "a2", "b1"] {
        urls.push(Model::new(name).serve().await);
    }
    let mut a = model("a", &urls[0]);
    a.endpoints = BTreeMap::from([("a2".into(), vec![urls[1].url.clone()])]);
    a.split = Some(StaticSplit {
        shares: BTreeMap::from([("a2".into(), 0.5)]),
        key: "json:/user".into(),
        salt: "salt".into(),
        sticky: false,
        targeting: Vec::new(),
    });
    let b = model("b", &urls[2]);
    let table = Table::compile(&[a, b], &[], None).unwrap();
    let sidecar = Setup::new(&urls[0].url, &urls[0].url, 0.0).start();
    sidecar.shared.publish(table);
    let client = Client::connect(sidecar.addr).await;
    (sidecar, client)
}

#[tokio::test]
async fn several_models_are_told_apart_by_every_protocol() {
    let (sidecar, mut client) = two_models().await;
    for path in [
        "/v2/models/b/infer",
        "/v2/models/b/versions/2/infer",
        "/v1/models/b:predict",
        "/v1/models/b/versions/2:predict",
        "/v1/models/b/labels/l:predict",
        "/openai/deployments/b/chat/completions",
    ] {
        assert_eq!(client.get(post(path, "{}")).await.variant(), "b1", "{path}");
    }
    let chat = |name: &str| {
        let text =
            format!("{{\"messages\":[{{\"model\":\"x\"}}],\"model\":\"{name}\",\"user\":7}}");
        post("/v1/chat/completions", text)
    };
    assert_eq!(client.get(chat("b")).await.variant(), "b1");
    assert_eq!(client.get(chat("c")).await.status, 404);
    let got = client.get(post("/v1/embeddings", "{\"input\":1}")).await;
    assert_eq!(got.status, 404);
    let header = with(post("/any", "{}"), "seldon-model", "b");
    assert_eq!(client.get(header).await.variant(), "b1");
    assert_eq!(client.get(post("/invocations", "{}")).await.status, 404);
    let question = Request::get("/v2/health/ready")
        .header("host", "m")
        .body(body(""));
    assert_eq!(client.get(question.unwrap()).await.variant(), "a1");
    let counted = sidecar.finish().await;
    assert_eq!(
        (counted.of("b1").assigned, counted.of("a1").assigned),
        (8, 0)
    );
}

#[tokio::test]
async fn one_body_has_the_models_name_and_the_key() {
    let (_sidecar, mut client) = two_models().await;
    let mut chat = async |user: &str| -> Got {
        let text = format!("{{\"user\":\"{user}\",\"model\":\"a\"}}");
        client.get(post("/v1/chat/completions", text)).await
    };
    for n in 0..10 {
        let user = user_of("v2", 0.5, n * 10);
        assert_eq!(chat(&user).await.variant(), "a2");
        let user = user_of("v1", 0.5, n * 10);
        assert_eq!(chat(&user).await.variant(), "a1");
    }
}

fn grpc(path: &str, message: &[u8]) -> Request<SentBody> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let framed = [&[0][..], &length, message].concat();
    let request = Request::post(format!("http://ml.local{path}"));
    let request = request
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    request.body(body(framed)).unwrap()
}

#[tokio::test]
async fn grpc_messages_name_their_model() {
    let echo = |name: &'static str| {
        Upstream::h2(move |request: Request<hyper::body::Incoming>| async move {
            let bytes = request.into_body().collect().await.unwrap().to_bytes();
            let trailers = http::HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static("0"),
            )]);
            let body = full([name.as_bytes(), &bytes].concat());
            let body = body
                .with_trailers(std::future::ready(Some(Ok(trailers))))
                .boxed_unsync();
            Response::new(body)
        })
    };
    let (a, b) = (echo("a").await, echo("b").await);
    let table = Table::compile(&[model("a", &a), model("b", &b)], &[], None).unwrap();
    let sidecar = Setup::new(&a.url, &a.url, 0.0).start();
    sidecar.shared.publish(table);
    let mut client = h2(sidecar.addr).await;
    for (path, message, expected) in [
        (
            "/inference.GRPCInferenceService/ModelInfer",
            &b"\x0a\x01b"[..],
            "b1",
        ),
        (
            "/inference.GRPCInferenceService/ModelReady",
            b"\x0a\x01b",
            "b1",
        ),
        (
            "/tensorflow.serving.PredictionService/Predict",
            b"\x0a\x03\x0a\x01b",
            "b1",
        ),
        (
            "/inference.GRPCInferenceService/ModelInfer",
            b"\x1a\x02id\x0a\x01a",
            "a1",
        ),
        ("/inference.GRPCInferenceService/ServerLive", b"", "a1"),
    ] {
        let answer = client.send_request(grpc(path, message)).await.unwrap();
        assert_eq!(answer.headers()["x-serinus-variant"], expected, "{path}");
        let got = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(got.ends_with(message), "{path}");
    }
    let unknown = grpc("/inference.GRPCInferenceService/ModelInfer", b"\x0a\x01c");
    let answer = client.send_request(unknown).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "5");
}
