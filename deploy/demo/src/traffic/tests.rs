//! The load against real servers on loopback: model servers of ours, and a stand-in for a sidecar.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::models::Echo;
use crate::server::{self, Fault, Faults, Served};

/// A model server alone; it ends with the test's runtime.
async fn echo_server() -> (Target, Arc<Faults>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let infer = listener.local_addr().unwrap();
    let faults = Arc::new(Faults::new(1));
    let served = Served {
        name: "echo".into(),
        version: "v1".into(),
        model: Arc::new(Echo),
    };
    tokio::spawn(server::serve(listener, served, faults.clone()));
    (Target { infer, admin: None }, faults)
}

/// Waits until the counts are as asked; the load itself is bounded in time.
async fn until(traffic: &Traffic, holds: impl Fn(&Stats) -> bool) -> Stats {
    loop {
        let stats = traffic.snapshot();
        if holds(&stats) {
            return stats;
        }
        assert!(stats.elapsed_ms < 60_000, "{stats:#?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_load_runs_its_time_at_its_rate_spread_evenly() {
    let (first, _) = echo_server().await;
    let (second, _) = echo_server().await;
    let mut config = Config::new(vec![first, second], Requests::echo("echo", 7));
    config.rate = 500.0;
    config.duration = Duration::from_millis(400);
    let stats = Traffic::start(config).unwrap().finish().await;

    let due = stats.sent + stats.skipped;
    assert!((199..=200).contains(&due), "{stats:#?}");
    assert_eq!(
        (stats.ended, stats.errors, stats.in_flight()),
        (stats.sent, 0, 0)
    );
    let [a, b] = stats.targets.as_slice() else {
        panic!("{stats:#?}")
    };
    assert!(
        a.requests.abs_diff(b.requests) <= 1 + stats.skipped,
        "{stats:#?}"
    );
    let seen = stats.variant(UNKNOWN_VARIANT);
    assert_eq!(
        (seen.requests, seen.latency.count),
        (stats.sent, stats.sent)
    );
    assert_eq!(seen.accuracy(), Some(1.0));
    assert_eq!(stats.outcomes, OutcomeStats::default());
}

#[tokio::test]
async fn users_come_from_the_population() {
    let (target, _) = echo_server().await;
    let mut config = Config::new(vec![target], Requests::echo("echo", 7));
    config.users.count = 5;
    let traffic = Traffic::start(config).unwrap();
    until(&traffic, |stats| stats.ended >= 200).await;
    let stats = traffic.stop().await;
    assert_eq!(stats.variant(UNKNOWN_VARIANT).exposed_users, 5);
}

#[tokio::test]
async fn errors_and_wrong_answers_are_seen_and_so_is_a_dead_target() {
    let (target, faults) = echo_server().await;
    let traffic = Traffic::start(Config::new(vec![target], Requests::echo("echo", 9))).unwrap();
    until(&traffic, |stats| stats.ended >= 20).await;
    assert_eq!(traffic.snapshot().errors, 0);

    faults
        .set(Fault {
            error_rate: 1.0,
            status: 503,
            ..Fault::default()
        })
        .unwrap();
    let stats = until(&traffic, |stats| stats.errors >= 20).await;
    assert_eq!(stats.statuses.get(&503), Some(&stats.errors));

    faults
        .set(Fault {
            wrong_rate: 1.0,
            ..Fault::default()
        })
        .unwrap();
    let wrong = |stats: &Stats| stats.variant(UNKNOWN_VARIANT);
    until(&traffic, |stats| {
        wrong(stats).judged - wrong(stats).right >= 20
    })
    .await;

    faults
        .set(Fault {
            refuse: true,
            ..Fault::default()
        })
        .unwrap();
    let stats = until(&traffic, |stats| stats.transport_errors >= 20).await;
    assert!(stats.last_transport_error.is_some() && stats.errors > stats.transport_errors);
    let last = traffic.stop().await;
    assert_eq!(last.in_flight(), 0);
}

#[tokio::test]
async fn a_target_that_hangs_gets_no_more_than_its_connections() {
    let (target, faults) = echo_server().await;
    faults
        .set(Fault {
            hang: true,
            ..Fault::default()
        })
        .unwrap();
    let mut config = Config::new(vec![target], Requests::echo("echo", 9));
    config.connections = 8;
    let traffic = Traffic::start(config).unwrap();
    let stats = until(&traffic, |stats| stats.skipped >= 20).await;
    assert_eq!((stats.in_flight(), stats.ended), (8, 0));
    faults.set(Fault::default()).unwrap();
    assert_eq!(until(&traffic, |stats| stats.ended >= 30).await.errors, 0);
}

#[tokio::test]
async fn a_user_does_not_wait_longer_than_the_timeout() {
    let (target, faults) = echo_server().await;
    faults
        .set(Fault {
            hang: true,
            ..Fault::default()
        })
        .unwrap();
    let mut config = Config::new(vec![target], Requests::echo("echo", 9));
    config.timeout = Duration::from_millis(20);
    let traffic = Traffic::start(config).unwrap();
    let stats = until(&traffic, |stats| stats.transport_errors >= 5).await;
    assert!(stats.last_transport_error.unwrap().contains("within 20ms"));
}

/// Answers as a sidecar would: users below 10 get `v2`, which is wrong, all others `v1`; takes outcomes.
async fn sidecar(outcomes: Arc<Mutex<Vec<Value>>>, fail_first_outcomes: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let failing = Arc::new(std::sync::atomic::AtomicBool::new(fail_first_outcomes));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (outcomes, failing) = (outcomes.clone(), failing.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (outcomes, failing) = (outcomes.clone(), failing.clone());
                async move {
                    if request.uri().path() != "/v1/outcomes" {
                        return Ok::<_, Infallible>(sidecar_answer(&request));
                    }
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let mut answer = Response::new(Full::default());
                    if failing.swap(false, Ordering::Relaxed) {
                        *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                    } else {
                        let mut body: Value = serde_json::from_slice(&body).unwrap();
                        let items = body["items"].take();
                        outcomes
                            .lock()
                            .unwrap()
                            .extend(items.as_array().unwrap().iter().cloned());
                    }
                    Ok(answer)
                }
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

fn sidecar_answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let user = request.headers()["x-user-id"].to_str().unwrap();
    let user: u32 = user.strip_prefix("user-").unwrap().parse().unwrap();
    let (variant, digit) = if user < 10 { ("v2", 3) } else { ("v1", 7) };
    let body = json!({"outputs": [{"name": "digit", "data": [digit]}]}).to_string();
    Response::builder()
        .header("x-serinus-variant", variant)
        .header("x-serinus-prediction-id", format!("{variant}-{user}"))
        .body(Full::from(body))
        .unwrap()
}

#[tokio::test]
async fn variants_are_told_apart_and_truths_come_back_to_the_sidecar() {
    let truths = Arc::new(Mutex::new(Vec::new()));
    let address = sidecar(truths.clone(), true).await;
    let target = Target {
        infer: address,
        admin: Some(address),
    };
    let mut config = Config::new(vec![target], Requests::echo("any", 7));
    config.users.count = 40;
    config.duration = Duration::from_millis(500);
    config.outcomes = Some(Outcomes {
        delay: Duration::from_millis(30),
        every: Duration::from_millis(10),
        ..Outcomes::default()
    });
    let stats = Traffic::start(config).unwrap().finish().await;

    let (v1, v2) = (stats.variant("v1"), stats.variant("v2"));
    assert_eq!(v1.requests + v2.requests, stats.sent);
    assert_eq!((v1.exposed_users, v2.exposed_users), (30, 10), "{stats:#?}");
    assert_eq!((v1.accuracy(), v2.accuracy()), (Some(1.0), Some(0.0)));
    assert_eq!((stats.errors, stats.moves.len()), (0, 0));

    let expected = OutcomeStats {
        delivered: stats.sent,
        ..OutcomeStats::default()
    };
    assert_eq!(stats.outcomes, expected);
    let truths = truths.lock().unwrap();
    assert_eq!(truths.len() as u64, stats.sent);
    for truth in truths.iter() {
        let right = truth["prediction_id"].as_str().unwrap().starts_with("v1-");
        assert_eq!(truth["value"], json!(u8::from(right)), "{truth}");
        assert_eq!(truth["metric"], "accuracy");
    }
}

#[tokio::test]
async fn stopping_ends_the_load_and_drops_truths_that_are_not_due() {
    let address = sidecar(Arc::default(), false).await;
    let target = Target {
        infer: address,
        admin: Some(address),
    };
    let mut config = Config::new(vec![target], Requests::echo("any", 7));
    config.outcomes = Some(Outcomes {
        delay: Duration::from_secs(3600),
        ..Outcomes::default()
    });
    let traffic = Traffic::start(config).unwrap();
    traffic.set_rate(3000.0).unwrap();
    until(&traffic, |stats| stats.ended >= 50).await;
    let stats = traffic.stop().await;
    assert_eq!((stats.in_flight(), stats.outcomes.pending), (0, stats.sent));
}

#[test]
fn a_load_that_cannot_run_is_refused_by_field() {
    let target = Target {
        infer: ([127, 0, 0, 1], 1).into(),
        admin: None,
    };
    let config = Config::new(vec![target], Requests::echo("m", 1));
    let refused = |change: fn(&mut Config)| {
        let mut wrong = config.clone();
        change(&mut wrong);
        Traffic::start(wrong).unwrap_err().to_string()
    };
    for (error, field) in [
        (refused(|c| c.rate = 0.0), "rate"),
        (refused(|c| c.rate = f64::NAN), "rate"),
        (refused(|c| c.rate = 1e9), "rate"),
        (refused(|c| c.targets.clear()), "targets"),
        (
            refused(|c| c.requests.payloads = [].into()),
            "requests.payloads",
        ),
        (
            refused(|c| c.requests.path = "a b".to_owned()),
            "requests.path",
        ),
        (
            refused(|c| c.requests.path = "v2/x".to_owned()),
            "requests.path",
        ),
        (refused(|c| c.connections = 0), "connections"),
        (
            refused(|c| c.users.prefix = "a\n".to_owned()),
            "users.prefix",
        ),
    ] {
        assert!(error.starts_with(&format!("{field}: ")), "{error}");
    }
}
