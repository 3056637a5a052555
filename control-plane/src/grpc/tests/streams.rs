use super::*;
use tonic::{Code, Streaming};
use tonic_types::StatusExt as _;
use v1::watch_events_response::Message;

async fn watch(
    harness: &Harness,
    rollout: &str,
    after_revision: u64,
    follow: bool,
) -> Streaming<v1::WatchEventsResponse> {
    let rollout = rollout.to_owned();
    let request = v1::WatchEventsRequest {
        generation: 1,
        rollout,
        after_revision,
        follow,
        ..Default::default()
    };
    harness.events().watch(request).await.unwrap().into_inner()
}

async fn next(stream: &mut Streaming<v1::WatchEventsResponse>) -> Option<Message> {
    stream
        .message()
        .await
        .unwrap()
        .map(|response| response.message.unwrap())
}

/// Revisions up to the next bookmark, and the bookmark.
async fn until_bookmark(stream: &mut Streaming<v1::WatchEventsResponse>) -> (Vec<u64>, u64) {
    let mut revisions = Vec::new();
    loop {
        match next(stream).await.unwrap() {
            Message::Event(event) => revisions.push(event.revision),
            Message::Bookmark(bookmark) => return (revisions, bookmark),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn events_come_once_in_order_without_holes() {
    let harness = Harness::start().await;
    let first = harness.apply("m").await;
    let mut all = watch(&harness, "", 0, true).await;
    let (revisions, bookmark) = until_bookmark(&mut all).await;
    assert_eq!(revisions, (1..=bookmark).collect::<Vec<_>>());

    let second = harness.apply("n").await;
    harness
        .rollouts()
        .rollback(command(&first, "rollback"))
        .await
        .unwrap();
    let last = harness
        .rollouts()
        .get(v1::GetRolloutRequest {
            rollout: first.id.clone(),
        })
        .await;
    let last = last.unwrap().into_inner().revision;
    let mut seen = bookmark;
    while seen < last {
        let (revisions, bookmark) = until_bookmark(&mut all).await;
        assert_eq!(revisions, (seen + 1..=bookmark).collect::<Vec<_>>());
        seen = bookmark;
    }

    let mut one = watch(&harness, &second.id, 0, false).await;
    let (revisions, bookmark) = until_bookmark(&mut one).await;
    assert!(
        !revisions.is_empty() && revisions.iter().all(|&r| r > first.revision),
        "{revisions:?}"
    );
    assert!(bookmark >= last);
    assert!(next(&mut one).await.is_none(), "without follow it ends");

    let mut rest = watch(&harness, "", last - 1, false).await;
    assert_eq!(until_bookmark(&mut rest).await.0[0], last);
    harness.stop().await;
}

#[tokio::test]
async fn a_watcher_of_another_history_is_told() {
    let harness = Harness::start().await;
    let request = v1::WatchEventsRequest {
        after_revision: 7,
        ..Default::default()
    };
    let status = harness.events().watch(request).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert_eq!(
        status.get_error_details().error_info().unwrap().reason,
        "HISTORY_CHANGED"
    );
    let request = v1::WatchEventsRequest {
        rollout: "none".into(),
        ..Default::default()
    };
    assert_eq!(
        harness.events().watch(request).await.unwrap_err().code(),
        Code::NotFound
    );
    harness.stop().await;
}

#[tokio::test]
async fn a_watched_rollout_is_sent_until_it_is_over() {
    let harness = Harness::start().await;
    let rollout = harness.apply("m").await;
    let request = v1::WatchRolloutRequest {
        rollout: "m".into(),
        min_interval: None,
    };
    let mut stream = harness
        .rollouts()
        .watch(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().id, rollout.id);
    harness
        .rollouts()
        .rollback(command(&rollout, "rollback"))
        .await
        .unwrap();
    let mut last = None;
    while let Some(rollout) = stream.message().await.unwrap() {
        last = Some(rollout);
    }
    assert_eq!(last.unwrap().state(), v1::State::RolledBack);
    harness.stop().await;
}

#[tokio::test]
async fn open_watches_end_on_a_drain() {
    let harness = Harness::start().await;
    harness.apply("m").await;
    let mut events = watch(&harness, "", 0, true).await;
    until_bookmark(&mut events).await;
    let request = v1::WatchRolloutRequest {
        rollout: "m".into(),
        min_interval: None,
    };
    let mut rollout = harness
        .rollouts()
        .watch(request)
        .await
        .unwrap()
        .into_inner();
    rollout.message().await.unwrap().unwrap();
    harness.surfaces.drain();
    let status = loop {
        if let Err(status) = rollout.message().await {
            break status;
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let status = loop {
        if let Err(status) = events.message().await {
            break status;
        }
    };
    assert!(
        status.get_error_details().retry_info().is_some(),
        "{status}"
    );
    harness.stop().await;
}

#[tokio::test]
async fn a_watch_begins_with_what_there_is_if_asked_to() {
    let harness = Harness::start().await;
    let (first, second) = (harness.apply("m").await, harness.apply("n").await);
    let request = |rollout: &str| v1::WatchEventsRequest {
        rollout: rollout.into(),
        // Of another history, which a snapshot makes good.
        after_revision: 9_999,
        snapshot: true,
        follow: true,
        ..Default::default()
    };
    let mut stream = harness
        .events()
        .watch(request(""))
        .await
        .unwrap()
        .into_inner();
    let mut items = Vec::new();
    let at = loop {
        let message = stream.message().await.unwrap().unwrap();
        assert!(message.generation > 0);
        match message.message.unwrap() {
            Message::SnapshotItem(rollout) => items.push(rollout.id),
            Message::SnapshotDone(revision) => break revision,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(items, [first.id.clone(), second.id.clone()]);
    harness
        .rollouts()
        .rollback(command(&first, "rollback"))
        .await
        .unwrap();
    let mut seen = at;
    while seen == at {
        let (revisions, bookmark) = until_bookmark(&mut stream).await;
        assert_eq!(revisions, (at + 1..=bookmark).collect::<Vec<_>>());
        seen = bookmark;
    }
    let mut one = harness
        .events()
        .watch(request("n"))
        .await
        .unwrap()
        .into_inner();
    let Some(Message::SnapshotItem(only)) = next(&mut one).await else {
        panic!("no item")
    };
    assert_eq!(only.id, second.id);
    assert!(matches!(
        next(&mut one).await,
        Some(Message::SnapshotDone(_))
    ));
    drop(one);
    harness.stop().await;
}

#[tokio::test]
async fn a_revision_of_another_generation_is_of_another_history() {
    let harness = Harness::start().await;
    harness.apply("m").await;
    let request = |generation| v1::WatchEventsRequest {
        after_revision: 1,
        generation,
        ..Default::default()
    };
    let mut stream = harness
        .events()
        .watch(request(0))
        .await
        .unwrap()
        .into_inner();
    let ours = stream.message().await.unwrap().unwrap().generation;
    assert!(harness.events().watch(request(ours)).await.is_ok());
    let status = harness.events().watch(request(ours + 1)).await.unwrap_err();
    let reason = status
        .get_error_details()
        .error_info()
        .unwrap()
        .reason
        .clone();
    assert_eq!(reason, "HISTORY_CHANGED");
    harness.stop().await;
}

#[tokio::test]
async fn a_stream_ends_at_the_deadline_of_its_call() {
    let harness = Harness::start().await;
    harness.apply("m").await;
    let mut request = tonic::Request::new(v1::WatchEventsRequest {
        follow: true,
        ..Default::default()
    });
    request.set_timeout(std::time::Duration::from_millis(300));
    let mut stream = harness.events().watch(request).await.unwrap().into_inner();
    let ended = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended as if nothing followed"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::DeadlineExceeded);
    assert!(ended.message().contains("request_id"), "{ended}");
    harness.stop().await;
}
