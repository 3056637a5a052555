use super::{Harness, get, plan, post};
use crate::access::callers::make;
use crate::access::{Access, Callers, Role};
use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use std::sync::Arc;

fn tokens(lines: &[String]) -> Arc<Access> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines.join("\n")).unwrap();
    let callers = Callers::read(file.path()).unwrap();
    Arc::new(Access::of(file.path().into(), callers))
}

#[tokio::test]
async fn what_is_no_request() {
    let harness = Harness::start();
    let json_type = ("content-type", "application/json");
    let with = |method: &str, path: &str, header: (&str, &str), body: &'static str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header.0, header.1);
        request.body(Body::from(body)).unwrap()
    };
    let cases = [
        (get("/v1/nothing"), 404, 5, "there is no /v1/nothing"),
        (
            with("DELETE", "/v1/rollouts", json_type, ""),
            405,
            12,
            "this path takes GET, POST alone",
        ),
        (
            with("POST", "/v1/rollouts", ("content-type", "text/plain"), "{}"),
            415,
            3,
            "content-type: send JSON",
        ),
        (
            with("POST", "/v1/rollouts", json_type, "{"),
            400,
            3,
            "body: is no JSON",
        ),
        (
            with("POST", "/v1/rollouts", json_type, "[]"),
            400,
            3,
            "body: is a list",
        ),
        (
            with("POST", "/v1/rollouts?force=true", json_type, "{}"),
            400,
            3,
            "query: takes no parameters",
        ),
        (
            get("/v1/rollouts?pagesize=1"),
            400,
            3,
            "pagesize: is no field here",
        ),
        (
            get("/v1/rollouts?page_size=ten"),
            400,
            3,
            "page_size: is a string that it cannot be; write a whole number",
        ),
        (
            get("/v1/rollouts/nobody"),
            404,
            5,
            "there is no rollout \"nobody\"",
        ),
        (
            with("GET", "/v1/rollouts", ("grpc-timeout", "soon"), ""),
            400,
            3,
            "grpc-timeout: is no timeout",
        ),
    ];
    for (request, status, code, message) in cases {
        let line = format!("{} {}", request.method(), request.uri());
        let answered = harness.ask(request).await;
        assert_eq!(answered.status, status, "{line}: {}", answered.json);
        assert_eq!(answered.json["code"], code, "{line}");
        let said = answered.json["message"].as_str().unwrap();
        assert!(said.starts_with(message), "{line}: {said}");
        assert_eq!(answered.headers["content-type"], "application/json");
        assert_eq!(answered.headers.contains_key("allow"), status == 405);
    }
    harness.stop().await;
}

#[tokio::test]
async fn every_mistake_at_once() {
    let harness = Harness::start();
    let mut request = plan("m");
    request["plan"]["steps"][0]["minDuration"] = "soon".into();
    request["plan"]["colour"] = "red".into();
    request["onActive"] = "WHATEVER".into();
    let refused = harness.ask(post("/v1/rollouts", &request)).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json["code"]),
        (400, &json!(3))
    );
    let violations = refused.json["details"][0]["fieldViolations"]
        .as_array()
        .unwrap();
    let mut fields: Vec<&str> = violations
        .iter()
        .map(|violation| violation["field"].as_str().unwrap())
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["onActive", "plan.colour", "plan.steps[0].minDuration"]
    );

    // Those of the plan itself are found by the plan's own check, and listed in the same way.
    let mut request = plan("m");
    request["plan"]["steps"][0]["split"] = json!({"v2": 0.1, "v3": 0.1});
    request["plan"]["guardrails"] = json!([{"errorRate": {"margin": -1}}]);
    let refused = harness.ask(post("/v1/rollouts", &request)).await;
    assert_eq!(refused.json["code"], 3);
    let violations = refused.json["details"][0]["fieldViolations"]
        .as_array()
        .unwrap();
    assert!(violations.len() >= 2, "{}", refused.json);
    harness.stop().await;
}

#[tokio::test]
async fn bodies_are_bounded() {
    let harness = Harness::start();
    let long = json!({"requestId": "x".repeat(1024 * 1024)});
    let refused = harness.ask(post("/v1/rollouts", &long)).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json["code"]),
        (413, &json!(8))
    );
    // Outcomes come in larger batches, of which there is a largest one too.
    let items: Vec<_> = (0..10_001).map(|_| json!({"predictionId": "x"})).collect();
    let many = harness
        .ask(post("/v1/outcomes", &json!({"items": items})))
        .await;
    assert_eq!(many.status, 400);
    let said = many.json["message"].as_str().unwrap();
    assert!(said.starts_with("items: has 10001 items"), "{said}");
    harness.stop().await;
}

#[tokio::test]
async fn the_gates_are_those_of_grpc() {
    let (operator, first) = make("ana", Role::Operator, (None, None)).unwrap();
    let (sidecar, second) = make("host-a", Role::Sidecar, (None, None)).unwrap();
    let harness = Harness::with(&tokens(&[first, second]), false);
    let bearer = |request: Request<Body>, secret: &str| {
        let (mut parts, body) = request.into_parts();
        let value = format!("Bearer {secret}");
        parts
            .headers
            .insert("authorization", value.parse().unwrap());
        Request::from_parts(parts, body)
    };
    let nobody = harness.ask(get("/v1/rollouts")).await;
    assert_eq!(
        (nobody.status.as_u16(), &nobody.json["code"]),
        (401, &json!(16))
    );
    assert!(nobody.headers.contains_key("www-authenticate"));
    let wrong = harness.ask(bearer(get("/v1/rollouts"), &sidecar)).await;
    assert_eq!(
        (wrong.status.as_u16(), &wrong.json["code"]),
        (403, &json!(7))
    );
    let stream = harness.ask(bearer(get("/v1/events"), &sidecar)).await;
    assert_eq!(stream.status, 403);
    let applied = harness
        .ask(bearer(post("/v1/rollouts", &plan("m")), &operator))
        .await;
    assert_eq!(applied.json["actor"], "ana", "{}", applied.json);
    harness.stop().await;
}

#[tokio::test]
async fn a_name_that_was_pointed_at_this_host_is_refused() {
    let harness = Harness::with(&Arc::default(), true);
    let host = |name: &str| {
        let request = Request::get("/v1/info").header("host", name);
        request.body(Body::empty()).unwrap()
    };
    for name in [
        "127.0.0.1:7401",
        "localhost:7401",
        "[::1]:7401",
        "[::1]",
        "a.localhost",
    ] {
        assert_eq!(harness.ask(host(name)).await.status, 200, "{name}");
    }
    for name in [
        "evil.example",
        "evil.example:7401",
        "localhost.evil.example",
        "",
    ] {
        let refused = harness.ask(host(name)).await;
        assert_eq!(refused.status, 403, "{name}");
    }
    harness.stop().await;
}
