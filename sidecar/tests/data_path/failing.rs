//! A failing canary and its users.

use crate::client::{Client, Got, infer, user_of};
use crate::sidecar::{Setup, eventually};
use crate::upstream::{Model, Upstream};
use http::StatusCode;
use serinus_common::class::Class;
use serinus_common::prediction_id::PredictionId;
use serinus_sidecar::worker::LocalEvent;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn millis(ms: u64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration::try_from(Duration::from_millis(ms)).unwrap())
}

fn assert_from_stable(got: &Got) {
    assert_eq!(
        (got.status, got.variant()),
        (StatusCode::OK, "v1"),
        "{}",
        got.text
    );
    let id = got.headers["x-serinus-prediction-id"].to_str().unwrap();
    let id = PredictionId::parse(id)
        .unwrap()
        .verify(&crate::sidecar::KEY)
        .unwrap();
    assert_eq!(id.rollout, [0; 16], "an outcome of it counts for nobody");
}

#[tokio::test]
async fn stable_answers_for_a_canary_that_answers_errors() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    v2.fail(500);
    let sidecar = Setup::new(&stable.url, &canary.url, 1.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    for length in [1000, 50_000, 17] {
        let got = client.get(infer("ana", "x".repeat(length))).await;
        assert_from_stable(&got);
        let whole = format!("v1:{length}");
        assert_eq!(got.text, whole, "the whole body was sent again");
    }
    assert_eq!(v2.called(), 3);
    let counted = sidecar.finish().await;
    let (s, c) = (counted.of("v1"), counted.of("v2"));
    assert_eq!((c.class(Class::Model), c.rescued, c.user_errors), (3, 3, 0));
    assert_eq!(
        (s.assigned, s.classes),
        (0, [0; 7]),
        "rescues do not count for stable"
    );
    assert_eq!(counted.in_cells("v2", |cell| cell.rescued), 3);
}

#[tokio::test]
async fn stable_answers_for_a_canary_that_is_not_there() {
    let v1 = Model::new("v1");
    let (stable, canary) = (v1.serve().await, Upstream::refusing().await);
    let sidecar = Setup::new(&stable.url, &canary.url, 1.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    let large = vec![1u8; 300_000];
    let got = client.get(infer("ana", large)).await;
    assert_from_stable(&got);
    assert_eq!(got.text, "v1:300000", "nothing of the body had been taken");
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v2").class(Class::Connect), 1);
}

#[tokio::test]
async fn stable_answers_for_a_canary_that_hangs() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    v2.hangs.store(true, Ordering::SeqCst);
    let sidecar = Setup::new(&stable.url, &canary.url, 1.0)
        .failure(|failure| failure.attempt_timeout = millis(100))
        .start();
    let mut client = Client::connect(sidecar.addr).await;
    assert_from_stable(&client.infer("ana").await);
    let counted = sidecar.finish().await;
    let canary = counted.of("v2");
    assert_eq!((canary.class(Class::Timeout), canary.rescued), (1, 1));
    // Its latency is that of its own attempt.
    assert!(canary.latency.quantile(1.0).unwrap() >= 98_000.0);
}

#[tokio::test]
async fn stable_past_the_same_bound_is_booked_as_too_slow_and_still_answers() {
    let v2 = Model::new("v2");
    let slow = Upstream::h1(|_| async {
        // Longer than the bound of an attempt, shorter than the call's.
        tokio::time::sleep(Duration::from_millis(300)).await;
        http::Response::new(crate::upstream::full("late"))
    })
    .await;
    let canary = v2.serve().await;
    let sidecar = Setup::new(&slow.url, &canary.url, 0.0)
        .failure(|failure| failure.attempt_timeout = millis(100))
        .start();
    let mut client = Client::connect(sidecar.addr).await;
    let got = client.infer("ana").await;
    assert_eq!((got.status, got.text.as_str()), (StatusCode::OK, "late"));
    let counted = sidecar.finish().await;
    let stable = counted.of("v1");
    assert_eq!(
        (stable.class(Class::Timeout), stable.class(Class::Ok)),
        (1, 0)
    );
    assert_eq!(stable.user_errors, 0);
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_ended() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    v1.hangs.store(true, Ordering::SeqCst);
    let sidecar = Setup::new(&stable.url, &canary.url, 0.0)
        .failure(|failure| failure.timeout = millis(150))
        .start();
    let mut client = Client::connect(sidecar.addr).await;
    assert_eq!(
        client.infer("ana").await.status,
        StatusCode::GATEWAY_TIMEOUT
    );
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Timeout), 1);
    assert_eq!(counted.of("v1").user_errors, 1);
}

#[tokio::test]
async fn what_must_not_run_twice_is_not_rescued() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    v2.fail(503);
    let sidecar = Setup::new(&stable.url, &canary.url, 1.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    let mut request = infer("ana", "{}");
    request
        .headers_mut()
        .insert("x-serinus-idempotent", "false".parse().unwrap());
    let got = client.get(request).await;
    assert_eq!(
        (got.status, got.variant()),
        (StatusCode::SERVICE_UNAVAILABLE, "v2")
    );
    let large = client.get(infer("ana", vec![0; 100_000])).await;
    assert_eq!(
        (large.status, large.variant()),
        (StatusCode::SERVICE_UNAVAILABLE, "v2")
    );
    assert_eq!(v1.called(), 0);
    let counted = sidecar.finish().await;
    let canary = counted.of("v2");
    assert_eq!(
        (
            canary.class(Class::Overload),
            canary.rescued,
            canary.user_errors
        ),
        (2, 0, 2)
    );
}

#[tokio::test]
async fn a_plan_without_fallback_rescues_nobody() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    v2.fail(500);
    let none = serinus_proto::v1::failure::Fallback::None as i32;
    let sidecar = Setup::new(&stable.url, &canary.url, 1.0)
        .failure(|failure| failure.fallback = none)
        .start();
    let mut client = Client::connect(sidecar.addr).await;
    assert_eq!(
        client.infer("ana").await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    assert_eq!(sidecar.finish().await.of("v2").user_errors, 1);
}

#[tokio::test]
async fn when_stable_fails_too_the_user_sees_it_and_the_canary_is_charged() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    v1.fail(500);
    v2.fail(500);
    let sidecar = Setup::new(&stable.url, &canary.url, 1.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    assert_eq!(
        client.infer("ana").await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    let counted = sidecar.finish().await;
    assert_eq!(
        (counted.of("v2").rescued, counted.of("v2").user_errors),
        (1, 1)
    );
    assert_eq!(
        (counted.of("v1").classes, counted.of("v1").user_errors),
        ([0; 7], 0)
    );
}

#[tokio::test]
async fn a_refusal_of_the_caller_is_no_failure() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    v2.fail(422);
    let sidecar = Setup::new(&stable.url, &canary.url, 1.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    for _ in 0..20 {
        let got = client.infer("ana").await;
        assert_eq!((got.status.as_u16(), got.variant()), (422, "v2"));
    }
    let counted = sidecar.finish().await;
    let canary = counted.of("v2");
    assert_eq!((canary.class(Class::Client), canary.user_errors), (20, 0));
    assert!(counted.events.is_empty());
}

#[tokio::test]
async fn the_breaker_opens_probes_and_closes_again() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    let share = 0.5;
    let mut sidecar = Setup::new(&stable.url, &canary.url, share).start();
    let mut client = Client::connect(sidecar.addr).await;
    let (on_canary, on_stable) = (user_of("v2", share, 0), user_of("v1", share, 0));
    v2.fail(500);
    for _ in 0..5 {
        assert_from_stable(&client.infer(&on_canary).await);
    }
    let opened = LocalEvent::BreakerOpened {
        model: "m".into(),
        rollout: crate::sidecar::ROLLOUT.into(),
        variant: "v2".into(),
    };
    assert_eq!(sidecar.events.recv().await, Some(opened));
    assert!(sidecar.shared.breakers()[0].open);
    // Diverted, but for one probe a second, which fails and is rescued.
    let mut requests = 0;
    while v2.called() < 6 {
        assert_from_stable(&client.infer(&on_canary).await);
        assert_eq!(client.infer(&on_stable).await.variant(), "v1");
        requests += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    v2.fail(200);
    eventually_closed(&mut sidecar, &mut client, &on_canary).await;
    assert_eq!(client.infer(&on_canary).await.variant(), "v2");
    let calls = u64::from(v2.called());
    let counted = sidecar.finish().await;
    let (s, c) = (counted.of("v1"), counted.of("v2"));
    assert_eq!((c.breaker_openings, c.user_errors), (1, 0));
    assert!(
        c.failed_probes >= 1 && c.failed_probes <= 2,
        "{}",
        c.failed_probes
    );
    assert_eq!(c.assigned, calls, "probes count as canary requests");
    assert_eq!(c.class(Class::Model), 5 + c.failed_probes);
    assert!(c.diverted >= requests - 2, "{} of {requests}", c.diverted);
    assert_eq!(
        s.class(Class::Ok),
        requests,
        "stable's own requests, and no others, are its"
    );
    assert_eq!(
        counted.in_cells("v2", |cell| u64::from(cell.breaker_openings)),
        1
    );
}

async fn eventually_closed(sidecar: &mut crate::sidecar::Sidecar, client: &mut Client, user: &str) {
    let closed = async {
        while sidecar.shared.breakers()[0].open {
            assert_eq!(client.infer(user).await.status, StatusCode::OK);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closed)
        .await
        .unwrap();
    let event = sidecar.events.recv().await;
    assert!(matches!(event, Some(LocalEvent::BreakerClosed { .. })));
}

#[tokio::test]
async fn another_endpoint_answers_where_one_is_gone() {
    let v1 = Model::new("v1");
    let (alive, gone) = (v1.serve().await, Upstream::refusing().await);
    let mut setup = Setup::new(&gone.url, &gone.url, 0.0);
    setup.assignment.variants[0]
        .endpoints
        .push(alive.url.clone());
    let sidecar = setup.start();
    let mut client = Client::connect(sidecar.addr).await;
    for _ in 0..10 {
        assert_eq!(client.infer("ana").await.text, "v1:2");
    }
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Ok), 10);
    assert_eq!(counted.of("v1").class(Class::Connect), 0);
}

#[tokio::test]
async fn a_model_that_is_gone_is_said_to_be() {
    let gone = Upstream::refusing().await;
    let sidecar = Setup::new(&gone.url, &gone.url, 0.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    let got = client.infer("ana").await;
    assert_eq!(got.status, StatusCode::BAD_GATEWAY);
    assert!(got.text.contains("no endpoint"), "{}", got.text);
    eventually("nothing in flight", || {
        sidecar
            .shared
            .totals()
            .iter()
            .all(|total| total.in_flight == 0)
    })
    .await;
}
