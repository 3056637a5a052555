use super::*;
use serinus_proto::v1::{self, rollouts_client::RolloutsClient};
use std::path::Path;
use tonic::transport::Channel;

fn config(directory: &Path) -> ControlPlane {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    ControlPlane {
        listen: free,
        http: free,
        data_dir: directory.to_owned(),
        ..ControlPlane::default()
    }
}

async fn client(server: &Server) -> RolloutsClient<Channel> {
    RolloutsClient::connect(format!("http://{}", server.grpc))
        .await
        .unwrap()
}

fn apply() -> v1::ApplyRequest {
    let stable = Some(("v1", "http://127.0.0.1:9001"));
    let plan = serinus_core::plan::short_form("m", stable, ("v2", "http://127.0.0.1:9002"), 5.0);
    v1::ApplyRequest {
        request_id: "apply".into(),
        plan: Some(plan.unwrap()),
        ..v1::ApplyRequest::default()
    }
}

#[test]
fn causes_are_said_once() {
    let missing = std::fs::read(Path::new("/does/not/exist")).unwrap_err();
    let text = missing.to_string();
    let said = anyhow!("read it: {text}");
    assert_eq!(describe(&said), format!("read it: {text}"));
    let unsaid = anyhow::Error::from(missing).context("open the store");
    assert_eq!(describe(&unsaid), format!("open the store: {text}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_outlives_a_restart_and_the_fence_moves_on() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(&config(home.path())).await.unwrap();
    let applied = client(&server)
        .await
        .apply(apply())
        .await
        .unwrap()
        .into_inner();
    server.until(std::future::ready(Ok(()))).await.unwrap();

    let server = Server::start(&config(home.path())).await.unwrap();
    let again = client(&server)
        .await
        .apply(apply())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.id, applied.id);
    assert!(again.revision >= applied.revision);
    let (before, after) = (applied.fence.unwrap(), again.fence.unwrap());
    assert_eq!((before.generation, before.term), (1, 1));
    assert_eq!((after.generation, after.term), (1, 2));
    server.until(std::future::ready(Ok(()))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_put_back_is_another_generation_and_holds_what_was_active() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(&config(&home.path().join("a")))
        .await
        .unwrap();
    let mut client = client(&server).await;
    let applied = client.apply(apply()).await.unwrap().into_inner();
    let address = format!("http://{}", server.grpc);
    let channel = Channel::from_shared(address).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut admin = v1::admin_client::AdminClient::new(channel);
    let backup = admin.backup(v1::BackupRequest {}).await;
    let mut backup = backup.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(chunk) = backup.message().await.unwrap() {
        bytes.extend(chunk.data);
    }
    let file = home.path().join("backup");
    std::fs::write(&file, bytes).unwrap();
    server.until(std::future::ready(Ok(()))).await.unwrap();

    let into = home.path().join("b");
    crate::store::sled::restore::restore(&file, &into, 0).unwrap();
    let server = Server::start(&config(&into)).await.unwrap();
    let address = format!("http://{}", server.grpc);
    let channel = Channel::from_shared(address).unwrap();
    let channel = channel.connect().await.unwrap();
    let events = v1::events_client::EventsClient::new(channel.clone());
    let watch = |generation, after_revision| {
        let request = v1::WatchEventsRequest {
            generation,
            after_revision,
            follow: true,
            ..v1::WatchEventsRequest::default()
        };
        let mut events = events.clone();
        async move { events.watch(request).await }
    };
    for (generation, after) in [(1, applied.revision), (0, applied.revision + 1000)] {
        let refused = watch(generation, after).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::OutOfRange, "{refused}");
    }
    let mut stream = watch(2, 0).await.unwrap().into_inner();
    let held = loop {
        let response = stream.message().await.unwrap().unwrap();
        if let Some(v1::watch_events_response::Message::Event(event)) = response.message
            && let Some(v1::event::Kind::Held(held)) = event.kind
        {
            break held;
        }
    };
    assert_eq!(held.cause(), v1::Cause::Restored);
    let mut client = RolloutsClient::new(channel);
    let request = v1::GetRolloutRequest {
        rollout: applied.id,
    };
    let rollout = client.get(request).await.unwrap().into_inner();
    assert_eq!(rollout.fence.unwrap().generation, 2);
    server.until(std::future::ready(Ok(()))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_watch_does_not_hold_the_stop_up() {
    let home = tempfile::tempdir().unwrap();
    // Far longer than any test may take: only a stream that ends by itself lets this one pass.
    let drain = Duration::from_secs(86_400);
    let server = Server::start(&ControlPlane {
        drain,
        ..config(home.path())
    })
    .await
    .unwrap();
    let channel = Channel::from_shared(format!("http://{}", server.grpc)).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut events = v1::events_client::EventsClient::new(channel.clone());
    let request = v1::WatchEventsRequest {
        follow: true,
        ..v1::WatchEventsRequest::default()
    };
    let mut watch = events.watch(request).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    server.until(std::future::ready(Ok(()))).await.unwrap();
    assert!(watch.message().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(&config(home.path())).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let taken = ControlPlane {
        listen: server.grpc,
        ..config(other.path())
    };
    let error = describe(&Server::start(&taken).await.unwrap_err());
    client(&server).await.apply(apply()).await.unwrap();
    assert!(
        error.contains("listen = ") && error.contains("choose another address"),
        "{error}"
    );
    server.until(std::future::ready(Ok(()))).await.unwrap();

    std::fs::remove_file(home.path().join("HEAD")).unwrap();
    let error = describe(&Server::start(&config(home.path())).await.unwrap_err());
    assert!(
        error.contains("HEAD is missing") && error.contains("--generation"),
        "{error}"
    );
}
