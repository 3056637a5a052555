//! Who answers, and what passes through.

use crate::client::{Client, body, h2, infer, user_of};
use crate::sidecar::{KEY, Setup, shares};
use crate::upstream::{Model, Upstream, full};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serinus_common::bucket::{cluster, hashed};
use serinus_common::prediction_id::PredictionId;
use std::collections::HashMap;

#[tokio::test]
async fn every_user_is_where_the_hash_says_and_stays_there() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    let mut sidecar = Setup::new(&stable.url, &canary.url, 0.25).start();
    let mut client = Client::connect(sidecar.addr).await;
    let mut first = HashMap::new();
    for n in 0..400 {
        let user = format!("user-{n}");
        let got = client.infer(&user).await;
        let expected = if hashed("salt", user.as_bytes()) < 250_000 {
            "v2"
        } else {
            "v1"
        };
        assert_eq!(got.variant(), expected);
        assert_eq!(got.text, format!("{expected}:2"));
        first.insert(user, expected);
    }
    sidecar.reassign(|assignment| assignment.shares = vec![shares(0.5)]);
    for (user, before) in &first {
        let got = client.infer(user).await;
        assert!(
            got.variant() == *before || *before == "v1",
            "{user} was moved back"
        );
    }
    let counted = sidecar.finish().await;
    let (s, c) = (counted.of("v1"), counted.of("v2"));
    assert_eq!(s.assigned + c.assigned, 800);
    assert_eq!(
        s.class(serinus_common::class::Class::Ok),
        u64::from(v1.called())
    );
    assert_eq!(
        c.class(serinus_common::class::Class::Ok),
        u64::from(v2.called())
    );
    assert_eq!(
        counted.in_cells("v2", |cell| cell.ok),
        u64::from(v2.called())
    );
    let epochs: Vec<_> = counted.cells.iter().map(|cell| cell.epoch).collect();
    assert!(epochs.contains(&3) && epochs.contains(&4));
}

#[tokio::test]
async fn several_workers_agree() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    let mut setup = Setup::new(&stable.url, &canary.url, 0.5);
    setup.workers = 3;
    let sidecar = setup.start();
    let mut ids = std::collections::HashSet::new();
    for n in 0..60 {
        let mut client = Client::connect(sidecar.addr).await;
        let user = format!("user-{n}");
        let got = client.infer(&user).await;
        let expected = if hashed("salt", user.as_bytes()) < 500_000 {
            "v2"
        } else {
            "v1"
        };
        assert_eq!(got.variant(), expected);
        let id = got.headers["x-serinus-prediction-id"].to_str().unwrap();
        let id = PredictionId::parse(id).unwrap().verify(&KEY).unwrap();
        assert!(ids.insert(id.sequence), "a sequence number came twice");
    }
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").assigned + counted.of("v2").assigned, 60);
}

#[tokio::test]
async fn answers_say_who_gave_them() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    let sidecar = Setup::new(&stable.url, &canary.url, 0.5).start();
    let mut client = Client::connect(sidecar.addr).await;
    let user = user_of("v2", 0.5, 0);
    let got = client.infer(&user).await;
    let id = got.headers["x-serinus-prediction-id"].to_str().unwrap();
    let id = PredictionId::parse(id).unwrap().verify(&KEY).unwrap();
    assert_eq!((id.epoch, id.variant, id.issuer), (3, 1, 9));
    assert_eq!(id.cluster, cluster(user.as_bytes()));
    assert_eq!(
        uuid::Uuid::from_bytes(id.rollout).to_string(),
        crate::sidecar::ROLLOUT
    );
}

#[tokio::test]
async fn a_tester_may_choose_only_if_the_plan_says_so() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    let mut sidecar = Setup::new(&stable.url, &canary.url, 0.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    let ask = |name: &str| {
        let mut request = infer("ana", "");
        request
            .headers_mut()
            .insert("x-serinus-variant", name.parse().unwrap());
        request
    };
    assert_eq!(client.get(ask("v2")).await.variant(), "v1");
    sidecar.reassign(|assignment| assignment.allow_override_header = true);
    assert_eq!(client.get(ask("v2")).await.variant(), "v2");
    assert_eq!(client.get(ask("v9")).await.variant(), "v1");
    sidecar.reassign(|assignment| assignment.rolled_back = true);
    assert_eq!(client.get(ask("v2")).await.variant(), "v1");
    let counted = sidecar.finish().await;
    let canary = counted.of("v2");
    assert_eq!((canary.overrides, canary.assigned), (1, 0));
    assert_eq!(canary.classes, [0; 7], "overrides are never judged");
    assert_eq!(counted.of("v1").assigned, 3);
}

#[tokio::test]
async fn requests_without_a_key_are_drawn_and_counted() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    let sidecar = Setup::new(&stable.url, &canary.url, 0.5).start();
    let mut client = Client::connect(sidecar.addr).await;
    for _ in 0..200 {
        let mut request = infer("", "");
        request.headers_mut().remove("x-user-id");
        assert_eq!(client.get(request).await.status, StatusCode::OK);
    }
    let counted = sidecar.finish().await;
    let (s, c) = (counted.of("v1"), counted.of("v2"));
    assert_eq!((s.unkeyed, c.unkeyed), (s.assigned, c.assigned));
    assert_eq!(s.assigned + c.assigned, 200);
    // Outside of this with a chance of 4e-7 (binomial, 5 standard deviations).
    assert!((65..=135).contains(&c.assigned), "{}", c.assigned);
}

#[tokio::test]
async fn headers_are_passed_on_but_for_those_of_the_connection() {
    let echo = Upstream::h1(|request: Request<_>| async move {
        let mut names: Vec<_> = request
            .headers()
            .iter()
            .map(|(n, v)| format!("{n}={}", v.to_str().unwrap()))
            .collect();
        names.sort();
        let mut response = Response::new(full(names.join("\n")));
        let headers = response.headers_mut();
        headers.insert("connection", "x-secret".parse().unwrap());
        headers.insert("x-secret", "1".parse().unwrap());
        headers.insert("keep-alive", "timeout=5".parse().unwrap());
        headers.insert("x-model", "m".parse().unwrap());
        response
    })
    .await;
    let sidecar = Setup::new(&echo.url, &echo.url, 0.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    let mut request = infer("ana", "{}");
    for (name, value) in [
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("x-serinus-anything", "1"),
        ("traceparent", "00-1-2-01"),
        ("x-request-id", "r1"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let got = client.get(request).await;
    let expected = [
        "content-length=2",
        "content-type=application/json",
        "host=ml.local",
        "traceparent=00-1-2-01",
        "x-request-id=r1",
        "x-user-id=ana",
    ];
    assert_eq!(got.text.lines().collect::<Vec<_>>(), expected);
    assert!(!got.headers.contains_key("x-secret") && !got.headers.contains_key("keep-alive"));
    assert_eq!(got.headers["x-model"], "m");
}

#[tokio::test]
async fn questions_about_the_server_go_to_stable_and_are_not_counted() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    let sidecar = Setup::new(&stable.url, &canary.url, 1.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    let question = Request::get("/v2/models/m/ready")
        .header("host", "x")
        .body(body(""))
        .unwrap();
    assert_eq!(client.get(question).await.text, "v1:0");
    assert_eq!(client.infer("ana").await.text, "v2:2");
    let counted = sidecar.finish().await;
    assert_eq!(
        (counted.of("v1").assigned, counted.of("v2").assigned),
        (0, 1)
    );
}

#[tokio::test]
async fn http2_callers_reach_models_that_speak_http1() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let sidecar = Setup::new(&stable.url, &stable.url, 0.0).start();
    let mut send = h2(sidecar.addr).await;
    let request = Request::post("http://ml.local/v2/models/m/infer")
        .body(body("12345"))
        .unwrap();
    let response = send.send_request(request).await.unwrap();
    assert_eq!(response.headers()["x-serinus-variant"], "v1");
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "v1:5"
    );
}
