//! Who did what: every command that changes something, and every call that is refused.

use super::{Harness, apply, command, tokens};
use crate::access::Role;
use crate::access::callers::make;
use crate::grpc::Options;
use crate::store::Store as _;
use serinus_core::audit::{self, Head};
use serinus_proto::v1::{self, admin_client::AdminClient, list_audit_response::Message};
use tonic::{Code, Request};

fn with<T>(secret: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let header = format!("Bearer {secret}").parse().unwrap();
    request.metadata_mut().insert("authorization", header);
    request
}

async fn list(harness: &Harness, secret: &str) -> Result<Vec<Message>, tonic::Status> {
    let mut admin = AdminClient::new(harness.channel.clone());
    let request = with(secret, v1::ListAuditRequest::default());
    let mut stream = admin.list_audit(request).await?.into_inner();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await? {
        messages.push(message.message.unwrap());
    }
    Ok(messages)
}

#[tokio::test]
async fn every_command_is_an_entry_and_every_refusal_is_kept() {
    let (ana, first) = make("ana", Role::Admin, (None, None)).unwrap();
    let (bob, second) = make("bob", Role::Operator, (None, None)).unwrap();
    let options = Options {
        access: tokens(&[&first, &second]),
        reflection: false,
    };
    let harness = Harness::with(options).await;
    let mut client = harness.rollouts();
    let rollout = client.apply(with(&bob, apply("m"))).await.unwrap();
    let rollout = rollout.into_inner();
    client
        .pause(with(&ana, command(&rollout, "pause")))
        .await
        .unwrap();
    // Done already, not possible, not allowed.
    client
        .pause(with(&ana, command(&rollout, "pause")))
        .await
        .unwrap();
    let denied = client
        .approve(with(&bob, command(&rollout, "approve")))
        .await;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    let refused = client
        .approve(with(&ana, command(&rollout, "approve")))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    let rollback = v1::CommandRequest {
        reason: "users complain".into(),
        ..command(&rollout, "rollback")
    };
    client.rollback(with(&bob, rollback)).await.unwrap();
    assert_eq!(
        list(&harness, &bob).await.unwrap_err().code(),
        Code::PermissionDenied
    );

    let messages = list(&harness, &ana).await.unwrap();
    let entries: Vec<_> = messages
        .iter()
        .filter_map(|message| match message {
            Message::Entry(entry) => Some(entry.clone()),
            _ => None,
        })
        .collect();
    let said: Vec<_> = entries
        .iter()
        .map(|entry| {
            let audit = entry.audit.as_ref().unwrap();
            let state = |state: &Option<v1::AuditState>| state.as_ref().map(|of| of.state());
            let (before, after) = (state(&audit.before), state(&audit.after));
            (audit.caller.as_str(), audit.method.as_str(), before, after)
        })
        .collect();
    use v1::State::{Paused, RolledBack, Running};
    assert_eq!(
        said,
        [
            ("bob", "serinus.v1.Rollouts/Apply", None, Some(Running)),
            (
                "ana",
                "serinus.v1.Rollouts/Pause",
                Some(Running),
                Some(Paused)
            ),
            (
                "bob",
                "serinus.v1.Rollouts/Rollback",
                Some(Paused),
                Some(RolledBack)
            ),
        ]
    );
    let last = entries[2].audit.as_ref().unwrap();
    assert_eq!(
        (last.role.as_str(), last.proof.as_str()),
        ("operator", "token")
    );
    assert!(last.from.starts_with("127.0.0.1:"), "{last:?}");
    assert_eq!(entries[2].event.as_ref().unwrap().reason, "users complain");

    let mut head = Head::default();
    for entry in &entries {
        let record = audit::read(&entry.record).unwrap();
        assert_eq!(record.audit, entry.audit);
        head.follow(&record, &Head::default()).unwrap();
    }
    assert_eq!(head.number, 3);
    let mut forged = audit::read(&entries[1].record).unwrap();
    forged.event.as_mut().unwrap().actor = "bob".into();
    assert_eq!(audit::check(&forged), Err(audit::Broken::Changed));

    let refusals = messages.iter().filter_map(|message| match message {
        Message::Refusal(refusal) => Some((refusal.caller.as_str(), refusal.why.as_str())),
        _ => None,
    });
    assert_eq!(
        refusals.collect::<Vec<_>>(),
        [("bob", "role"), ("ana", "command"), ("bob", "role")]
    );
    assert!(matches!(messages.last(), Some(Message::End(end)) if end.refusals == 3));
    // Whatever else is in the log was not done by anybody.
    let records = harness.store.records(0, usize::MAX).unwrap();
    let audited = records.iter().filter(|record| record.audit.is_some());
    assert_eq!(audited.count(), 3);
    harness.stop().await;
}
