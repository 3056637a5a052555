use super::*;
use crate::access::Role;
use crate::access::callers::make;
use serinus_proto::v1::{models_client::ModelsClient, outcomes_client::OutcomesClient};
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

#[tokio::test]
async fn a_rollout_is_applied_listed_paused_and_rolled_back() {
    let harness = Harness::start().await;
    let mut client = harness.rollouts();
    let rollout = harness.apply("m").await;
    assert_eq!(
        harness.apply("m").await.id,
        rollout.id,
        "the same request id is the same rollout"
    );

    let by_model = v1::GetRolloutRequest {
        rollout: "m".into(),
    };
    assert_eq!(
        client.get(by_model).await.unwrap().into_inner().id,
        rollout.id
    );
    let listed = client
        .list(v1::ListRolloutsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.rollouts.len(), 1);

    let paused = client
        .pause(command(&rollout, "pause"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(paused.state(), v1::State::Paused);
    let status = client
        .resume(command(&rollout, "resume"))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(
        status.message().starts_with("expected_revision"),
        "{status}"
    );
    let stale = v1::CommandRequest {
        expected_revision: 1,
        ..command(&rollout, "stale")
    };
    let status = client.resume(stale).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted, "{status}");

    let over = client
        .rollback(command(&rollout, "rollback"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(over.state(), v1::State::RolledBack);
    let status = client.pause(command(&rollout, "late")).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "WRONG_STATE");
    harness.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let harness = Harness::start().await;
    let mut client = harness.rollouts();
    let none = v1::GetRolloutRequest {
        rollout: "none".into(),
    };
    assert_eq!(client.get(none).await.unwrap_err().code(), Code::NotFound);
    let nameless = v1::ApplyRequest {
        request_id: String::new(),
        ..apply("m")
    };
    let status = client.apply(nameless).await.unwrap_err();
    assert!(status.message().starts_with("request_id"), "{status}");

    let mut bad = apply("m").plan.unwrap();
    bad.steps[0].split.insert("v2".into(), 10.0);
    bad.canaries[0].endpoints.clear();
    let request = v1::ValidateRequest {
        plan: Some(bad.clone()),
    };
    let checked = client.validate(request).await.unwrap().into_inner();
    assert!(
        checked.plan.is_none() && checked.violations.len() >= 2,
        "{checked:?}"
    );
    let status = client
        .apply(v1::ApplyRequest {
            plan: Some(bad),
            ..apply("m")
        })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let details = status.get_error_details();
    let fields = &details.bad_request().unwrap().field_violations;
    assert_eq!(fields.len(), checked.violations.len());

    let many = vec![v1::Outcome::default(); 10_001];
    let mut outcomes = OutcomesClient::new(harness.channel.clone());
    let status = outcomes
        .record_outcomes(v1::RecordOutcomesRequest { items: many })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    harness.stop().await;
}

#[tokio::test]
async fn history_is_read_page_by_page() {
    let harness = Harness::start().await;
    let mut client = harness.rollouts();
    let (rollout, _) = (harness.apply("m").await, harness.apply("other").await);
    client
        .rollback(command(&rollout, "rollback"))
        .await
        .unwrap();
    let mut request = v1::HistoryRequest {
        rollout: "m".into(),
        page_size: 1,
        after_revision: 0,
    };
    let mut revisions = Vec::new();
    loop {
        let page = client.history(request.clone()).await.unwrap().into_inner();
        assert_eq!(page.events.len(), 1);
        assert!(page.events.iter().all(|event| event.rollout == rollout.id));
        request.after_revision = page.events[0].revision;
        revisions.push(request.after_revision);
        if !page.more {
            break;
        }
    }
    let whole = v1::HistoryRequest {
        rollout: rollout.id.clone(),
        ..Default::default()
    };
    let whole = client.history(whole).await.unwrap().into_inner();
    assert_eq!(
        whole
            .events
            .iter()
            .map(|event| event.revision)
            .collect::<Vec<_>>(),
        revisions
    );
    assert!(!whole.more && revisions.len() >= 4, "{revisions:?}");
    harness.stop().await;
}

#[tokio::test]
async fn tokens_say_who_and_what() {
    let (operator, first) = make("ana", Role::Operator, (None, None)).unwrap();
    let (sidecar, second) = make("host-a", Role::Sidecar, (None, None)).unwrap();
    let options = Options {
        access: tokens(&[&first, &second]),
        reflection: false,
    };
    let harness = Harness::with(options).await;
    let mut client = harness.rollouts();
    let with = |secret: &str, message: v1::ApplyRequest| {
        let mut request = Request::new(message);
        let header = format!("Bearer {secret}").parse().unwrap();
        request.metadata_mut().insert("authorization", header);
        request
    };
    let status = client.apply(apply("m")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    let status = client.apply(with(&sidecar, apply("m"))).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    let rollout = client
        .apply(with(&operator, apply("m")))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(rollout.actor, "ana");

    let mut sidecars = harness.sidecars();
    let mut hello = Request::new(tokio_stream::empty());
    let header = format!("Bearer {operator}").parse().unwrap();
    hello.metadata_mut().insert("authorization", header);
    let status = sidecars.sync(hello).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    harness.stop().await;
}

#[tokio::test]
async fn a_promoted_models_stable_can_be_named() {
    let harness = Harness::start().await;
    let mut models = ModelsClient::new(harness.channel.clone());
    let stable = v1::Variant {
        name: "v0".into(),
        endpoints: vec!["http://127.0.0.1:9000".into()],
        ..Default::default()
    };
    let request = v1::SetStableRequest {
        request_id: "set".into(),
        model: "m".into(),
        stable: Some(stable),
        ..v1::SetStableRequest::default()
    };
    models.set_stable(request.clone()).await.unwrap();
    let found = models
        .get_model(v1::GetModelRequest { model: "m".into() })
        .await
        .unwrap();
    assert_eq!(found.into_inner().stable, request.stable);
    let none = v1::GetModelRequest {
        model: "none".into(),
    };
    assert_eq!(
        models.get_model(none).await.unwrap_err().code(),
        Code::NotFound
    );
    let all = models
        .list_models(v1::ListModelsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(all.models.len(), 1);
    harness.stop().await;
}
