//! What each RPC answers to each mistake: its code, and the reason or the fields. gRPC says the same, since the same
//! services do.

use super::{Harness, get, plan, post};
use serde_json::{Value, json};

/// A command, its mistake and the answer: HTTP code, gRPC code, and the reason or the fields that are named.
struct Case {
    what: &'static str,
    path: String,
    body: Option<Value>,
    http: u16,
    code: u8,
    says: &'static str,
}

fn ask(
    what: &'static str,
    path: impl Into<String>,
    (http, code, says): (u16, u8, &'static str),
) -> Case {
    Case {
        what,
        path: path.into(),
        body: None,
        http,
        code,
        says,
    }
}

fn tell(
    what: &'static str,
    path: impl Into<String>,
    body: Value,
    answer: (u16, u8, &'static str),
) -> Case {
    Case {
        body: Some(body),
        ..ask(what, path, answer)
    }
}

/// The reason for programs, or the fields.
fn said(json: &Value) -> String {
    let mut says = Vec::new();
    for detail in json["details"].as_array().into_iter().flatten() {
        says.extend(detail["reason"].as_str().map(str::to_owned));
        for violation in detail["fieldViolations"].as_array().into_iter().flatten() {
            says.extend(violation["field"].as_str().map(str::to_owned));
        }
    }
    says.join(" ")
}

async fn check(harness: &Harness, cases: Vec<Case>) {
    for case in cases {
        let request = match &case.body {
            Some(body) => post(&case.path, body),
            None => get(&case.path),
        };
        let answered = harness.ask(request).await;
        let json = &answered.json;
        assert_eq!(
            (answered.status.as_u16(), json["code"].as_u64(), said(json)),
            (case.http, Some(case.code.into()), case.says.to_owned()),
            "{}: {json}",
            case.what
        );
        let message = json["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "{}: says nothing", case.what);
    }
}

const INVALID: (u16, u8) = (400, 3);
const NOT_FOUND: (u16, u8, &str) = (404, 5, "NOT_FOUND");

fn invalid(fields: &'static str) -> (u16, u8, &'static str) {
    (INVALID.0, INVALID.1, fields)
}

fn precondition(reason: &'static str) -> (u16, u8, &'static str) {
    (400, 9, reason)
}

#[tokio::test]
async fn what_is_missing_is_told_at_once() {
    let harness = Harness::start();
    let id = harness.apply("m").await;
    let at = |verb: &str| format!("/v1/rollouts/{id}:{verb}");
    let mut nameless = plan("n");
    nameless.as_object_mut().unwrap().remove("requestId");
    nameless["plan"]["steps"] = json!([]);
    nameless["plan"]["guardrails"] = json!([{"errorRate": {"margin": 2}}]);
    let mut cases = vec![
        tell(
            "apply without an id, of a plan with a mistake",
            "/v1/rollouts",
            nameless,
            invalid("request_id guardrails[0].margin"),
        ),
        tell(
            "promote",
            at("promote"),
            json!({}),
            invalid("request_id expected_revision"),
        ),
        tell(
            "resume",
            at("resume"),
            json!({}),
            invalid("request_id expected_revision"),
        ),
        tell(
            "approve",
            at("approve"),
            json!({}),
            invalid("request_id expected_revision"),
        ),
        tell(
            "set the stable",
            "/v1/models/m:setStable",
            json!({}),
            invalid("request_id stable.name stable.endpoints"),
        ),
        tell(
            "validate",
            "/v1/rollouts:validate",
            json!({}),
            invalid("plan"),
        ),
    ];
    for verb in ["pause", "reject", "rollback", "undo", "cancel", "setSplit"] {
        cases.push(tell("a verb", at(verb), json!({}), invalid("request_id")));
    }
    check(&harness, cases).await;
    harness.stop().await;
}

#[tokio::test]
async fn what_is_not_there() {
    let harness = Harness::start();
    let named = || json!({"requestId": "r", "expectedRevision": "1", "split": {"v1": 1}});
    let mut cases = vec![
        ask("a rollout", "/v1/rollouts/x", NOT_FOUND),
        ask("its history", "/v1/rollouts/x/history", NOT_FOUND),
        ask("its recording", "/v1/rollouts/x/recording", NOT_FOUND),
        ask("its changes", "/v1/rollouts/x:watch", NOT_FOUND),
        ask("its events", "/v1/events?rollout=x", NOT_FOUND),
        ask("a model", "/v1/models/x", NOT_FOUND),
        tell(
            "a sidecar",
            "/v1/sidecars/x:release",
            json!({"requestId": "r"}),
            NOT_FOUND,
        ),
    ];
    for verb in [
        "pause", "resume", "approve", "reject", "promote", "rollback", "undo", "cancel",
    ] {
        let mut body = named();
        body.as_object_mut().unwrap().remove("split");
        cases.push(tell(
            "a verb",
            format!("/v1/rollouts/x:{verb}"),
            body,
            NOT_FOUND,
        ));
    }
    cases.push(tell(
        "a split",
        "/v1/rollouts/x:setSplit",
        named(),
        NOT_FOUND,
    ));
    check(&harness, cases).await;
    harness.stop().await;
}

#[tokio::test]
async fn what_the_state_or_another_does_not_allow() {
    let harness = Harness::start();
    let id = harness.apply("m").await;
    let at = |verb: &str| format!("/v1/rollouts/{id}:{verb}");
    let numbered = |id: &str, revision: u64| json!({"requestId": id, "expectedRevision": revision.to_string()});
    let mut other = plan("m");
    other["requestId"] = "another plan".into();
    other["plan"]["maxDuration"] = "7200s".into();
    let mut reused = plan("m");
    reused["reason"] = "why not".into();
    let raise = |id: &str, to: f64, more: &[(&str, Value)]| {
        let mut body = json!({"requestId": id, "split": {"v2": to, "v1": 1.0 - to}});
        for (key, value) in more {
            body[*key] = value.clone();
        }
        body
    };
    let cases = vec![
        tell(
            "another plan",
            "/v1/rollouts",
            other,
            precondition("ROLLOUT_ACTIVE"),
        ),
        tell(
            "a reused id",
            "/v1/rollouts",
            reused,
            (400, 3, "REQUEST_ID_REUSED"),
        ),
        tell(
            "the stable while a rollout is active",
            "/v1/models/m:setStable",
            json!({"requestId": "s", "stable": {"name": "v1", "endpoints": ["http://x:1"]}}),
            precondition("ROLLOUT_ACTIVE"),
        ),
        tell(
            "resume what runs",
            at("resume"),
            numbered("a", 1),
            precondition("WRONG_STATE"),
        ),
        tell(
            "approve what needs none",
            at("approve"),
            numbered("b", 1),
            precondition("NOTHING_TO_APPROVE"),
        ),
        tell(
            "undo what is not promoted",
            at("undo"),
            json!({"requestId": "c"}),
            precondition("WRONG_STATE"),
        ),
        tell(
            "cancel what has started",
            at("cancel"),
            json!({"requestId": "d"}),
            precondition("NOT_QUEUED"),
        ),
        tell(
            "promote an older revision",
            at("promote"),
            numbered("e", 1),
            (409, 10, "REVISION_MISMATCH"),
        ),
        tell(
            "promote without one",
            at("promote"),
            json!({"requestId": "f"}),
            invalid("expected_revision"),
        ),
        tell(
            "pause an older revision",
            at("pause"),
            numbered("g", 1),
            (409, 10, "REVISION_MISMATCH"),
        ),
        tell(
            "a split that is none",
            at("setSplit"),
            json!({"requestId": "h", "split": {"v4": 0.5, "v3": 0.6}}),
            invalid("split.v3 split.v4"),
        ),
        tell(
            "raise above the step",
            at("setSplit"),
            raise("i", 0.2, &[]),
            precondition("NEEDS_FORCE"),
        ),
        tell(
            "force without a reason",
            at("setSplit"),
            raise("j", 0.2, &[("force", true.into())]),
            invalid("reason"),
        ),
        tell(
            "raise without a revision",
            at("setSplit"),
            raise("k", 0.2, &[("force", true.into()), ("reason", "x".into())]),
            invalid("expected_revision"),
        ),
        ask(
            "a token of nobody",
            "/v1/rollouts?pageToken=x",
            invalid("page_token"),
        ),
        ask(
            "another history",
            "/v1/events?afterRevision=999",
            (400, 11, "HISTORY_CHANGED"),
        ),
        ask(
            "another generation",
            "/v1/events?generation=9",
            (400, 11, "HISTORY_CHANGED"),
        ),
        tell(
            "another protocol",
            "/v1/sidecars:fetch",
            json!({"sidecar": "s", "incarnation": "1", "protocol": 9}),
            precondition("PROTOCOL"),
        ),
        tell(
            "a sidecar without a name",
            "/v1/sidecars:fetch",
            json!({"incarnation": "1", "protocol": 1}),
            invalid("hello.sidecar"),
        ),
    ];
    check(&harness, cases).await;

    // What is done ends what can be done: rollback alone is possible twice.
    harness
        .post(&at("rollback"), json!({"requestId": "z"}))
        .await;
    harness
        .post(&at("rollback"), json!({"requestId": "z2"}))
        .await;
    let over = precondition("WRONG_STATE");
    let cases = vec![
        tell(
            "pause what is over",
            at("pause"),
            json!({"requestId": "p"}),
            over,
        ),
        tell("resume what is over", at("resume"), numbered("q", 1), over),
        tell(
            "promote what is over",
            at("promote"),
            numbered("r", 1),
            over,
        ),
        tell(
            "split what is over",
            at("setSplit"),
            raise("t", 0.0, &[]),
            over,
        ),
        tell(
            "reject what is over",
            at("reject"),
            json!({"requestId": "u"}),
            over,
        ),
    ];
    check(&harness, cases).await;
    harness.stop().await;
}

#[tokio::test]
async fn to_validate_only_takes_no_id_and_changes_nothing() {
    let harness = Harness::start();
    let id = harness.apply("m").await;
    let path = format!("/v1/rollouts/{id}:pause");
    let would = harness.post(&path, json!({"validateOnly": true})).await;
    assert_eq!(would["state"], "STATE_PAUSED");
    assert_ne!(
        harness.get(&format!("/v1/rollouts/{id}")).await["state"],
        "STATE_PAUSED"
    );
    harness.stop().await;
}

#[tokio::test]
async fn lists_are_paged_and_filtered() {
    let harness = Harness::start();
    let mut ids = Vec::new();
    for model in ["a", "b", "c"] {
        ids.push(harness.apply(model).await);
    }
    ids.reverse();
    harness
        .post(
            &format!("/v1/rollouts/{}:pause", ids[0]),
            json!({"requestId": "p"}),
        )
        .await;
    let first = harness.get("/v1/rollouts?pageSize=2").await;
    let listed = |page: &Value| -> Vec<String> {
        let rollouts = page["rollouts"].as_array().into_iter().flatten();
        rollouts
            .map(|of| of["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(listed(&first), ids[..2]);
    // What happens in between is on no page of this list.
    harness.apply("d").await;
    let token = first["nextPageToken"].as_str().unwrap();
    let second = harness
        .get(&format!("/v1/rollouts?pageSize=2&pageToken={token}"))
        .await;
    assert_eq!(listed(&second), ids[2..]);
    assert_eq!(second["revision"], first["revision"]);
    assert!(second["nextPageToken"].is_null());
    let other = harness
        .ask(get(&format!(
            "/v1/rollouts?activeOnly=true&pageToken={token}"
        )))
        .await;
    assert_eq!(said(&other.json), "page_token");

    let paused = harness.get("/v1/rollouts?states=STATE_PAUSED").await;
    assert_eq!(listed(&paused), ids[..1]);
    let either = harness
        .get("/v1/rollouts?states=STATE_HELD&states=STATE_PAUSED&model=c")
        .await;
    assert_eq!(listed(&either), ids[..1]);
    let models = harness.get("/v1/models?page_size=3").await;
    assert_eq!(models["models"].as_array().unwrap().len(), 3);
    let token = models["nextPageToken"].as_str().unwrap();
    let rest = harness.get(&format!("/v1/models?page_token={token}")).await;
    assert_eq!(rest["models"][0]["name"], "d");
    harness.stop().await;
}
