//! A scripted control plane for tests: real gRPC on loopback, on a thread of its own, so that dropping it is a kill.

pub(crate) mod http;

use serinus_proto::v1;
use serinus_proto::v1::control_message::Message as FromControl;
use serinus_proto::v1::outcomes_server::{Outcomes, OutcomesServer};
use serinus_proto::v1::sidecar_message::Message as ToControl;
use serinus_proto::v1::sidecars_server::{Sidecars, SidecarsServer};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

/// No test waits for longer.
const PATIENCE: Duration = Duration::from_secs(20);

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the control plane has on disk: it survives a kill.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Of the incarnation that greeted last.
    pub(crate) committed: u64,
    greeted: u64,
    /// Of those before it.
    older: BTreeMap<u64, u64>,
    /// Requests that were ok, by incarnation.
    pub(crate) ok_of: BTreeMap<u64, u64>,
    pub(crate) cells: Vec<v1::Cell>,
    pub(crate) outcomes: Vec<v1::Outcome>,
    pub(crate) seqs: Vec<u64>,
    /// Reports are received but not stored.
    pub(crate) forgetful: bool,
    /// Every call is answered with this.
    pub(crate) refuse: Option<Status>,
    /// Streams are cut before a word; single calls pass.
    pub(crate) cuts_streams: bool,
    /// What whoever asks gets.
    pub(crate) fetched: Option<v1::Push>,
    /// Who asked.
    pub(crate) fetches: Vec<v1::Hello>,
}

impl Disk {
    fn greet(&mut self, incarnation: u64) -> u64 {
        let before = std::mem::replace(&mut self.greeted, incarnation);
        if before != 0 && before != incarnation {
            self.older.insert(before, self.committed);
            self.committed = 0;
        }
        self.committed
    }

    fn committed_of(&mut self, incarnation: u64) -> &mut u64 {
        match self.older.contains_key(&incarnation) {
            true => self.older.entry(incarnation).or_default(),
            false => &mut self.committed,
        }
    }
}

/// A running one.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    pub(crate) disk: Arc<Mutex<Disk>>,
    /// What it says that it understands.
    pub(crate) capabilities: Vec<String>,
    said: mpsc::UnboundedReceiver<ToControl>,
    line: Arc<Line>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Line {
    said: mpsc::UnboundedSender<ToControl>,
    to_sidecar: Mutex<Option<mpsc::Sender<Result<v1::ControlMessage, Status>>>>,
    disk: Arc<Mutex<Disk>>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        Self::restart("127.0.0.1:0".parse().unwrap(), Arc::default())
    }

    /// Comes back on the same port with the same disk.
    pub(crate) fn restart(address: SocketAddr, disk: Arc<Mutex<Disk>>) -> Self {
        let (say, said) = mpsc::unbounded_channel();
        let line = Arc::new(Line {
            said: say,
            to_sidecar: Mutex::default(),
            disk: Arc::clone(&disk),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound, at) = std::sync::mpsc::channel();
        let service = Service(Arc::clone(&line));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind(address).await.unwrap();
                bound.send(listener.local_addr().unwrap()).unwrap();
                let server = tonic::transport::Server::builder()
                    .add_service(SidecarsServer::new(service.clone()))
                    .add_service(OutcomesServer::new(service))
                    .serve_with_incoming(TcpListenerStream::new(listener));
                tokio::select! {
                    served = server => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: at.recv().unwrap(),
            disk,
            capabilities: Vec::new(),
            said,
            line,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// No farewell to anybody. The disk stays.
    pub(crate) fn kill(mut self) -> (SocketAddr, Arc<Mutex<Disk>>) {
        self.end();
        (self.address, Arc::clone(&self.disk))
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next message of the Sync stream that is none of the statuses.
    pub(crate) async fn next(&mut self) -> ToControl {
        loop {
            match self.any().await {
                ToControl::Status(_) => {}
                message => return message,
            }
        }
    }

    /// The next message of the Sync stream.
    pub(crate) async fn any(&mut self) -> ToControl {
        let next = tokio::time::timeout(PATIENCE, self.said.recv()).await;
        next.expect("the sidecar says nothing")
            .expect("the server lives")
    }

    pub(crate) async fn hello(&mut self) -> v1::Hello {
        match self.next().await {
            ToControl::Hello(hello) => hello,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn ack(&mut self) -> v1::Ack {
        match self.next().await {
            ToControl::Ack(ack) => ack,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the greeting and answers it.
    pub(crate) async fn greet(&mut self) -> v1::Hello {
        let hello = self.hello().await;
        let committed_seq = self.disk.lock().unwrap().greet(hello.incarnation);
        self.send(FromControl::Welcome(v1::Welcome {
            issuer: 7,
            id_key: vec![9; 16],
            id_key_id: 1,
            committed_seq,
            report_interval: None,
            capabilities: self.capabilities.clone(),
        }))
        .await;
        hello
    }

    pub(crate) async fn send(&self, message: FromControl) {
        let line = self.line.to_sidecar.lock().unwrap().clone();
        let message = v1::ControlMessage {
            message: Some(message),
        };
        let sent = line.expect("a stream is open").send(Ok(message)).await;
        sent.expect("the stream lives");
    }

    /// Pushes one assignment and waits for its result.
    pub(crate) async fn push(&mut self, nonce: u64, assignment: v1::Assignment) -> v1::AckResult {
        let push = v1::Push {
            nonce,
            assignments: vec![assignment],
            snapshot_complete: true,
            ..v1::Push::default()
        };
        self.send(FromControl::Push(push)).await;
        let mut ack = self.ack().await;
        assert_eq!((ack.nonce, ack.results.len()), (nonce, 1));
        ack.results.remove(0)
    }

    /// Ends the open Sync stream with a status.
    pub(crate) async fn hang_up(&self) {
        let line = self.line.to_sidecar.lock().unwrap().take();
        let gone = line
            .expect("a stream is open")
            .send(Err(Status::unavailable("bye")))
            .await;
        gone.expect("the stream lives");
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.end();
    }
}

#[derive(Clone)]
struct Service(Arc<Line>);

impl Service {
    fn check(&self) -> Result<(), Status> {
        match &self.0.disk.lock().unwrap().refuse {
            Some(status) => Err(status.clone()),
            None => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl Sidecars for Service {
    type SyncStream = Out<v1::ControlMessage>;
    type ReportStream = Out<v1::ReportAck>;

    async fn sync(
        &self,
        request: Request<Streaming<v1::SidecarMessage>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        self.check()?;
        if self.0.disk.lock().unwrap().cuts_streams {
            return Err(Status::unavailable("cut"));
        }
        let (send, receive) = mpsc::channel(16);
        *self.0.to_sidecar.lock().unwrap() = Some(send);
        let said = self.0.said.clone();
        let mut messages = request.into_inner();
        tokio::spawn(async move {
            while let Some(Ok(message)) = messages.next().await {
                drop(said.send(message.message.unwrap()));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }

    async fn fetch(&self, request: Request<v1::Hello>) -> Result<Response<v1::Push>, Status> {
        self.check()?;
        let mut disk = self.0.disk.lock().unwrap();
        disk.fetches.push(request.into_inner());
        Ok(Response::new(disk.fetched.clone().unwrap_or_default()))
    }

    async fn report(
        &self,
        request: Request<Streaming<v1::ReportRequest>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        self.check()?;
        let disk = Arc::clone(&self.0.disk);
        let mut received = None;
        let acks = request.into_inner().map(move |report| {
            let mut disk = disk.lock().unwrap();
            let report = report?;
            disk.seqs.push(report.seq);
            let incarnation = report.incarnation;
            let before = received.unwrap_or_else(|| *disk.committed_of(incarnation));
            let resend = report.seq > before + 1;
            if report.seq == before + 1 {
                received = Some(report.seq);
                if !disk.forgetful {
                    *disk.committed_of(incarnation) = report.seq;
                    let variants = report.cells.iter().flat_map(|cell| &cell.variants);
                    let ok: u64 = variants.map(|variant| variant.ok).sum();
                    *disk.ok_of.entry(incarnation).or_default() += ok;
                    disk.cells.extend(report.cells);
                }
            }
            Ok(v1::ReportAck {
                committed_seq: *disk.committed_of(incarnation),
                resend_after: received.unwrap_or(before),
                resend,
                ..v1::ReportAck::default()
            })
        });
        Ok(Response::new(Box::pin(acks)))
    }
}

#[tonic::async_trait]
impl Outcomes for Service {
    /// An outcome joins once; the metric `unknown` is unknown.
    async fn record_outcomes(
        &self,
        request: Request<v1::RecordOutcomesRequest>,
    ) -> Result<Response<v1::RecordOutcomesResponse>, Status> {
        self.check()?;
        let mut disk = self.0.disk.lock().unwrap();
        let mut statuses = Vec::new();
        for item in request.into_inner().items {
            let status = if item.metric == "unknown" {
                v1::OutcomeStatus::UnknownMetric
            } else if disk.outcomes.contains(&item) {
                v1::OutcomeStatus::Duplicate
            } else {
                disk.outcomes.push(item);
                v1::OutcomeStatus::Joined
            };
            statuses.push(status.into());
        }
        Ok(Response::new(v1::RecordOutcomesResponse { statuses }))
    }
}

/// Waits until a watched value is as it should be.
pub(crate) async fn until<T>(
    watched: &mut tokio::sync::watch::Receiver<T>,
    good: impl FnMut(&T) -> bool,
) {
    let waited = tokio::time::timeout(PATIENCE, watched.wait_for(good)).await;
    waited
        .expect("it never becomes so")
        .expect("its sender lives");
}

/// Waits until something that cannot be watched is so.
pub(crate) async fn eventually(mut good: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !good() {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.expect("it never becomes so");
}
