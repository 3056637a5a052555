use super::*;
use serinus_proto::v1::models_client::ModelsClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use v1::ack_result::Outcome;
use v1::{control_message, sidecar_message};

/// A sidecar that does what it is told.
struct Sidecar {
    out: mpsc::Sender<v1::SidecarMessage>,
    inbound: Streaming<v1::ControlMessage>,
}

impl Sidecar {
    async fn open(harness: &Harness, first: sidecar_message::Message) -> Self {
        let (out, messages) = mpsc::channel(8);
        out.send(v1::SidecarMessage {
            message: Some(first),
        })
        .await
        .unwrap();
        let opened = harness.sidecars().sync(ReceiverStream::new(messages)).await;
        Self {
            out,
            inbound: opened.unwrap().into_inner(),
        }
    }

    async fn connect(harness: &Harness, incarnation: u64) -> (Self, v1::Welcome) {
        let mut sidecar =
            Self::open(harness, sidecar_message::Message::Hello(hello(incarnation))).await;
        match sidecar.next().await.unwrap() {
            control_message::Message::Welcome(welcome) => (sidecar, welcome),
            other => panic!("{other:?} instead of Welcome"),
        }
    }

    async fn next(&mut self) -> Result<control_message::Message, Option<Status>> {
        match self.inbound.message().await {
            Ok(Some(message)) => Ok(message.message.unwrap()),
            Ok(None) => Err(None),
            Err(status) => Err(Some(status)),
        }
    }

    async fn push(&mut self) -> v1::Push {
        loop {
            match self.next().await.unwrap() {
                control_message::Message::Push(push) => return push,
                control_message::Message::Heartbeat(_) => {}
                other => panic!("{other:?} instead of Push"),
            }
        }
    }

    async fn answer(&self, push: &v1::Push, outcome: Outcome) {
        let results = push.assignments.iter().map(|assignment| v1::AckResult {
            model: assignment.model.clone(),
            fence: assignment.fence,
            outcome: outcome.into(),
            ..v1::AckResult::default()
        });
        let ack = v1::Ack {
            nonce: push.nonce,
            results: results.collect(),
        };
        let message = Some(sidecar_message::Message::Ack(ack));
        self.out.send(v1::SidecarMessage { message }).await.unwrap();
    }
}

fn hello(incarnation: u64) -> v1::Hello {
    v1::Hello {
        sidecar: "host-a".into(),
        incarnation,
        protocol: 1,
        models: vec!["m".into()],
        ..v1::Hello::default()
    }
}

#[tokio::test]
async fn a_sidecar_is_sent_everything_and_then_each_change() {
    let harness = Harness::start().await;
    let (mut sidecar, welcome) = Sidecar::connect(&harness, 1).await;
    assert!(
        welcome.issuer >= 1 && welcome.id_key.len() == 16,
        "{welcome:?}"
    );
    let snapshot = sidecar.push().await;
    assert!(
        snapshot.snapshot_complete && snapshot.assignments.is_empty(),
        "{snapshot:?}"
    );
    sidecar.answer(&snapshot, Outcome::Applied).await;

    let (rollout, _) = (harness.apply("m").await, harness.apply("other").await);
    let push = sidecar.push().await;
    assert_eq!(push.assignments.len(), 1);
    let assignment = &push.assignments[0];
    assert_eq!((&assignment.rollout, assignment.epoch), (&rollout.id, 1));
    assert_eq!(assignment.shares[0].ppm, 50_000);
    assert!(assignment.lease.is_some() && assignment.digest != 0);
    sidecar.answer(&push, Outcome::Applied).await;

    harness
        .rollouts()
        .rollback(command(&rollout, "rollback"))
        .await
        .unwrap();
    let push = sidecar.push().await;
    let after = &push.assignments[0];
    assert!(after.rolled_back && after.shares.is_empty(), "{after:?}");
    assert!(after.fence.unwrap().revision > assignment.fence.unwrap().revision);
    harness.stop().await;
}

/// One server with all versions.
fn version(name: &str, version: &str) -> v1::Variant {
    v1::Variant {
        name: name.into(),
        endpoints: vec!["http://127.0.0.1:9000".into()],
        rewrite: Some(v1::Rewrite {
            version: version.into(),
            ..v1::Rewrite::default()
        }),
    }
}

#[tokio::test]
async fn a_sidecar_is_told_what_each_variant_is_called() {
    let harness = Harness::start().await;
    let (mut sidecar, _) = Sidecar::connect(&harness, 1).await;
    let snapshot = sidecar.push().await;
    sidecar.answer(&snapshot, Outcome::Applied).await;
    let mut models = ModelsClient::new(harness.channel.clone());
    let set = |request_id: &str, stable| v1::SetStableRequest {
        request_id: request_id.into(),
        model: "m".into(),
        stable: Some(stable),
        ..v1::SetStableRequest::default()
    };
    let wrong = models.set_stable(set("a", version("v1", ".."))).await;
    let status = wrong.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().contains("stable.rewrite.version"),
        "{status}"
    );
    models
        .set_stable(set("b", version("v1", "1")))
        .await
        .unwrap();
    let push = sidecar.push().await;
    assert_eq!(push.assignments[0].variants, [version("v1", "1")]);
    sidecar.answer(&push, Outcome::Applied).await;
    // The plan leaves stable as the model has it.
    let plan = v1::Plan {
        model: "m".into(),
        canaries: vec![version("v2", "2")],
        ..v1::Plan::default()
    };
    let applied = v1::ApplyRequest {
        request_id: "c".into(),
        plan: Some(plan),
        ..v1::ApplyRequest::default()
    };
    harness.rollouts().apply(applied).await.unwrap();
    let push = sidecar.push().await;
    assert_eq!(
        push.assignments[0].variants,
        [version("v1", "1"), version("v2", "2")]
    );
    harness.stop().await;
}

#[tokio::test]
async fn while_a_push_is_open_changes_collapse() {
    let harness = Harness::start().await;
    let rollout = harness.apply("m").await;
    let (mut sidecar, _) = Sidecar::connect(&harness, 1).await;
    let snapshot = sidecar.push().await;
    let mut client = harness.rollouts();
    for (percent, request_id) in [(0.04, "a"), (0.03, "b"), (0.02, "c")] {
        let split = [("v1".to_owned(), 1.0 - percent), ("v2".to_owned(), percent)];
        let request = v1::SetSplitRequest {
            rollout: rollout.id.clone(),
            request_id: request_id.into(),
            split: split.into(),
            ..v1::SetSplitRequest::default()
        };
        client.set_split(request).await.unwrap();
    }
    sidecar.answer(&snapshot, Outcome::Applied).await;
    let push = sidecar.push().await;
    assert_eq!((push.nonce, push.assignments[0].shares[0].ppm), (2, 20_000));
    harness.stop().await;
}

#[tokio::test]
async fn a_refused_assignment_reaches_the_engine_and_is_not_sent_again() {
    let harness = Harness::start().await;
    let rollout = harness.apply("m").await;
    let (mut sidecar, _) = Sidecar::connect(&harness, 1).await;
    let snapshot = sidecar.push().await;
    sidecar.answer(&snapshot, Outcome::Rejected).await;
    let request = v1::WatchRolloutRequest {
        rollout: rollout.id.clone(),
        min_interval: None,
    };
    let mut views = harness
        .rollouts()
        .watch(request)
        .await
        .unwrap()
        .into_inner();
    while views
        .message()
        .await
        .unwrap()
        .unwrap()
        .fleet
        .unwrap()
        .rejected
        != 1
    {}
    harness
        .rollouts()
        .rollback(command(&rollout, "rollback"))
        .await
        .unwrap();
    let push = sidecar.push().await;
    assert_eq!(push.nonce, 2);
    assert_ne!(push.assignments[0].digest, snapshot.assignments[0].digest);
    harness.stop().await;
}

#[tokio::test]
async fn a_second_stream_of_a_name_replaces_the_first() {
    let harness = Harness::start().await;
    let (mut first, _) = Sidecar::connect(&harness, 1).await;
    let snapshot = first.push().await;
    first.answer(&snapshot, Outcome::Applied).await;
    let (mut second, _) = Sidecar::connect(&harness, 2).await;
    let status = loop {
        match first.next().await {
            Ok(_) => {}
            Err(end) => break end.unwrap(),
        }
    };
    assert_eq!(status.code(), Code::Aborted, "{status}");
    second.push().await;
    harness.stop().await;
}

#[tokio::test]
async fn whoever_does_not_begin_with_hello_is_told() {
    let harness = Harness::start().await;
    let first = sidecar_message::Message::Ack(v1::Ack::default());
    let mut sidecar = Sidecar::open(&harness, first).await;
    let status = sidecar.next().await.unwrap_err().unwrap();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let newer = v1::Hello {
        protocol: 9,
        ..hello(1)
    };
    let mut sidecar = Sidecar::open(&harness, sidecar_message::Message::Hello(newer)).await;
    let status = sidecar.next().await.unwrap_err().unwrap();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    harness.stop().await;
}

#[tokio::test]
async fn a_drain_asks_sidecars_to_come_back_and_ends_their_streams() {
    let harness = Harness::start().await;
    let (mut sidecar, _) = Sidecar::connect(&harness, 1).await;
    let snapshot = sidecar.push().await;
    sidecar.answer(&snapshot, Outcome::Applied).await;
    let (_reports, sending) = mpsc::channel::<v1::ReportRequest>(1);
    let reporting = harness
        .sidecars()
        .report(ReceiverStream::new(sending))
        .await;
    let mut acks = reporting.unwrap().into_inner();
    harness.surfaces.drain();
    assert!(matches!(
        sidecar.next().await,
        Ok(control_message::Message::Drain(_))
    ));
    assert!(matches!(sidecar.next().await, Err(None)));
    assert!(acks.message().await.unwrap().is_none());
    harness.stop().await;
}

#[tokio::test]
async fn reports_are_acknowledged_in_order() {
    let harness = Harness::start().await;
    let (_sidecar, welcome) = Sidecar::connect(&harness, 1).await;
    assert_eq!(welcome.committed_seq, 0);
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now_s = now_s.unwrap().as_secs();
    let (out, sending) = mpsc::channel(64);
    for seq in 1..=40 {
        let report = v1::ReportRequest {
            sidecar: "host-a".into(),
            incarnation: 1,
            seq,
            finished_before: now_s + seq,
            ..v1::ReportRequest::default()
        };
        out.send(report).await.unwrap();
    }
    let reporting = harness
        .sidecars()
        .report(ReceiverStream::new(sending))
        .await;
    let mut acks = reporting.unwrap().into_inner();
    for seq in 1..=40 {
        let ack = acks.message().await.unwrap().unwrap();
        assert!(ack.committed_seq >= seq && !ack.resend, "{ack:?}");
    }
    drop(out);
    assert!(acks.message().await.unwrap().is_none());
    harness.stop().await;
}

#[tokio::test]
async fn a_sidecar_without_a_stream_asks_for_everything() {
    let harness = Harness::start().await;
    let rollout = harness.apply("m").await;
    harness.apply("other").await;
    let hello = v1::Hello {
        held: vec![v1::HeldAssignment {
            model: "gone".into(),
            ..v1::HeldAssignment::default()
        }],
        ..hello(1)
    };
    let push = harness.sidecars().fetch(hello).await.unwrap().into_inner();
    assert!(push.snapshot_complete);
    assert_eq!(push.assignments.len(), 1);
    assert_eq!(push.assignments[0].rollout, rollout.id);
    assert_eq!(push.removed, ["gone"]);
    let nobody = harness.sidecars().fetch(v1::Hello::default()).await;
    assert_eq!(nobody.unwrap_err().code(), Code::FailedPrecondition);
    harness.stop().await;
}

#[tokio::test]
async fn whoever_asks_without_a_stream_gets_what_its_labels_give_it() {
    let harness = Harness::start().await;
    let ring = v1::OneOf {
        values: vec!["0".into()],
    };
    let mut request = apply("m");
    let plan = request.plan.as_mut().unwrap();
    plan.selector = Some(v1::Selector {
        labels: [("ring".to_owned(), ring)].into(),
    });
    harness.rollouts().apply(request).await.unwrap();
    for (value, selected) in [("0", true), ("1", false)] {
        let hello = v1::Hello {
            labels: [("ring".to_owned(), value.to_owned())].into(),
            ..hello(1)
        };
        let push = harness.sidecars().fetch(hello).await.unwrap();
        let shares = &push.into_inner().assignments[0].shares;
        assert_eq!(!shares.is_empty(), selected, "ring {value}: {shares:?}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_sidecar_that_asks_is_sent_everything_again() {
    let harness = Harness::start().await;
    harness.apply("m").await;
    let (mut sidecar, welcome) = Sidecar::connect(&harness, 1).await;
    assert_eq!(welcome.capabilities, ["warming"]);
    assert_eq!(welcome.report_interval.unwrap().seconds, 1);
    let snapshot = sidecar.push().await;
    sidecar.answer(&snapshot, Outcome::Applied).await;
    let message = Some(sidecar_message::Message::Resync(v1::Resync::default()));
    sidecar
        .out
        .send(v1::SidecarMessage { message })
        .await
        .unwrap();
    let again = sidecar.push().await;
    assert!(again.snapshot_complete && again.nonce == 2, "{again:?}");
    assert_eq!(again.assignments, snapshot.assignments);
    harness.stop().await;
}
