//! Records the stream of one sidecar with this version of both sides, for `proto/recordings`; see the README there:
//! `cargo run -p serinus-tests --example record_stream -- proto/recordings/stream-VERSION.bin`.
//!
//! Both are the real ones, in this process, with a proxy between them that writes down what passes. Only the checks of
//! the canary's endpoints are played.

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use serinus_control_plane::app::Server;
use serinus_control_plane::config::ControlPlane;
use serinus_proto::recording::{StreamEntry, write};
use serinus_proto::v1::sidecars_server::{Sidecars, SidecarsServer};
use serinus_proto::v1::{self, rollouts_client::RolloutsClient, sidecars_client::SidecarsClient};
use serinus_proto::v1::{control_message, sidecar_message};
use serinus_runtime::shutdown;
use serinus_sidecar::kill::Switch;
use serinus_sidecar::report::Reports;
use serinus_sidecar::shared::Shared;
use serinus_sidecar::sync::apply::Applier;
use serinus_sidecar::sync::cache::Cache;
use serinus_sidecar::sync::clock::Clock;
use serinus_sidecar::sync::store::Store;
use serinus_sidecar::sync::{self, Contact, Peer, Probed, ProbedVariant};
use serinus_sidecar::table::ModelSpec;
use serinus_sidecar::tls::Dial;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

const LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Proxy {
    upstream: SidecarsClient<Channel>,
    began: Instant,
    entries: Arc<Mutex<Vec<StreamEntry>>>,
}

impl Proxy {
    fn note(&self, sidecar: Option<v1::SidecarMessage>, control: Option<v1::ControlMessage>) {
        let at_ms = self.began.elapsed().as_millis() as u64;
        let entry = StreamEntry {
            at_ms,
            sidecar,
            control,
        };
        self.entries
            .lock()
            .expect("nobody panics with it")
            .push(entry);
    }

    /// Waits until something was said.
    async fn said(&self, what: &str, is: impl Fn(&StreamEntry) -> bool) -> Result<()> {
        let waited = tokio::time::timeout(LIMIT, async {
            while !self
                .entries
                .lock()
                .expect("nobody panics with it")
                .iter()
                .any(&is)
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.with_context(|| format!("never said: {what}"))
    }
}

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Sidecars for Proxy {
    type SyncStream = Out<v1::ControlMessage>;
    type ReportStream = Out<v1::ReportAck>;

    async fn sync(
        &self,
        request: Request<Streaming<v1::SidecarMessage>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let (send, receive) = mpsc::channel(64);
        let (up, mut inbound) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(message)) = inbound.message().await {
                up.note(Some(message.clone()), None);
                if send.send(message).await.is_err() {
                    return;
                }
            }
        });
        let mut upstream = self.upstream.clone();
        let answers = upstream
            .sync(ReceiverStream::new(receive))
            .await?
            .into_inner();
        let down = self.clone();
        let noted = answers.inspect(move |message| {
            if let Ok(message) = message {
                down.note(None, Some(message.clone()));
            }
        });
        Ok(Response::new(Box::pin(noted)))
    }

    async fn report(
        &self,
        _: Request<Streaming<v1::ReportRequest>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        Err(Status::unavailable("only the Sync stream is recorded"))
    }

    async fn fetch(&self, _: Request<v1::Hello>) -> Result<Response<v1::Push>, Status> {
        Err(Status::unavailable("only the Sync stream is recorded"))
    }
}

fn outcome(entry: &StreamEntry, is: v1::ack_result::Outcome, nonce: u64) -> bool {
    let Some(sidecar_message::Message::Ack(ack)) =
        entry.sidecar.as_ref().and_then(|m| m.message.as_ref())
    else {
        return false;
    };
    ack.nonce >= nonce && ack.results.iter().any(|result| result.outcome() == is)
}

fn control(entry: &StreamEntry) -> Option<&control_message::Message> {
    entry.control.as_ref()?.message.as_ref()
}

#[tokio::main]
async fn main() -> Result<()> {
    let path = std::env::args().nth(1).context("name the file to write")?;
    let folder = tempfile::tempdir()?;
    let loopback = "127.0.0.1:0".parse()?;
    let config = ControlPlane {
        listen: loopback,
        http: loopback,
        data_dir: folder.path().join("control-plane"),
        ..ControlPlane::default()
    };
    let server = Server::start(&config).await?;
    let channel = Channel::from_shared(format!("http://{}", server.grpc))?
        .connect()
        .await?;
    let (stop, mut stopping) = shutdown::channel();
    let serving = tokio::spawn(server.until(async move {
        stopping.wait().await;
        Ok(())
    }));

    let proxy = Proxy {
        upstream: SidecarsClient::new(channel.clone()),
        began: Instant::now(),
        entries: Arc::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let between = tonic::transport::Server::builder()
        .add_service(SidecarsServer::new(proxy.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(between);

    let spec = ModelSpec {
        name: "m".into(),
        stable_name: "v1".into(),
        stable: vec!["http://127.0.0.1:9001".into()],
        ..ModelSpec::default()
    };
    let shared = Arc::new(Shared::new());
    let store = Store::new(Cache::open(&folder.path().join("sidecar"))?);
    let killed = Switch::new(None).watch();
    let applier = Applier::start(
        vec![spec],
        shared.clone(),
        store,
        Clock::boot_time(),
        0,
        killed,
    );
    let applier = applier.map_err(|mistakes| anyhow::anyhow!("{mistakes:?}"))?;
    let (probed, probes) = watch::channel(Probed::new());
    let news = Arc::new(Notify::new());
    let peer = Peer {
        name: "host-a".into(),
        models: vec!["m".into()],
        control_plane: vec![url],
        token_file: None,
        tls: Arc::new(Dial::system()),
        labels: BTreeMap::new(),
        reports: Reports::new("host-a".into(), 1),
        shared,
        probed: probes,
        news: news.clone(),
        reconnect: Arc::default(),
    };
    let (leave, leaving) = shutdown::channel();
    let contact = Arc::new(watch::channel(Contact::default()).0);
    let following = tokio::spawn(sync::run(peer, applier, contact, leaving));

    let probe = |variant: &str| {
        let found = ProbedVariant {
            ready: true,
            stable: variant == "v1",
            ..ProbedVariant::default()
        };
        probed.send_modify(|probed| {
            probed.insert(("m".into(), variant.into()), found);
        });
        news.notify_one();
    };
    use v1::ack_result::Outcome::{Applied, Warming};
    let is_push =
        |entry: &StreamEntry| matches!(control(entry), Some(control_message::Message::Push(_)));
    proxy.said("the first push", is_push).await?;
    probe("v1");
    let mut rollouts = RolloutsClient::new(channel);
    let stable = Some(("v1", "http://127.0.0.1:9001"));
    let plan = serinus_core::plan::short_form("m", stable, ("v2", "http://127.0.0.1:9002"), 5.0);
    let plan = plan.map_err(|mistakes| anyhow::anyhow!("{mistakes:?}"))?;
    let apply = v1::ApplyRequest {
        request_id: "apply".into(),
        plan: Some(plan),
        ..v1::ApplyRequest::default()
    };
    let rollout = rollouts.apply(apply).await?.into_inner();
    proxy
        .said("warming", |entry| outcome(entry, Warming, 2))
        .await?;
    probe("v2");
    let warmed = |entry: &StreamEntry| {
        let message = entry.sidecar.as_ref().and_then(|m| m.message.as_ref());
        matches!(message, Some(sidecar_message::Message::Status(status)) if !status.applied.is_empty())
    };
    proxy.said("that it is warm", warmed).await?;
    let split = [("v1".to_owned(), 0.98), ("v2".to_owned(), 0.02)];
    let lower = v1::SetSplitRequest {
        rollout: rollout.id.clone(),
        request_id: "split".into(),
        split: split.into(),
        ..v1::SetSplitRequest::default()
    };
    rollouts.set_split(lower).await?;
    proxy
        .said("the lower split", |entry| outcome(entry, Applied, 3))
        .await?;
    let beat = |entry: &StreamEntry| {
        let leases = match control(entry) {
            Some(control_message::Message::Heartbeat(beat)) => beat.leases.len(),
            _ => 0,
        };
        leases > 0
    };
    proxy.said("a heartbeat", beat).await?;
    let back = v1::CommandRequest {
        rollout: rollout.id,
        request_id: "rollback".into(),
        ..v1::CommandRequest::default()
    };
    rollouts.rollback(back).await?;
    proxy
        .said("the rollback", |entry| outcome(entry, Applied, 4))
        .await?;
    stop.drain();
    let drain =
        |entry: &StreamEntry| matches!(control(entry), Some(control_message::Message::Drain(_)));
    proxy.said("the drain", drain).await?;
    leave.drain();
    following.await?;
    serving.await??;
    let entries = proxy.entries.lock().expect("nobody panics with it").clone();
    // What is said after the drain belongs to the next stream.
    let end = entries.iter().position(drain).context("a drain")?;
    std::fs::write(&path, write(&entries[..=end]))?;
    println!("{path}: {} messages", end + 1);
    Ok(())
}
