//! A proxy between sidecars and their control plane that speaks the real protocol: it hands on what it is told to, or
//! sends reports late, twice and in any order, or changes what is in them. It writes down what was reported, for the
//! oracle.

use crate::cluster::ending::judged;
use crate::cluster::trace::Trace;
use crate::oracle::trace::{Cell, What};
use anyhow::Result;
use futures_util::StreamExt as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serinus_proto::v1::sidecars_client::SidecarsClient;
use serinus_proto::v1::sidecars_server::{Sidecars, SidecarsServer};
use serinus_proto::v1::{self, ack_result::Outcome};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};

/// Messages that may wait for the other side.
const QUEUE: usize = 1024;

/// What is done to reports.
#[derive(Clone, Copy, Debug)]
pub enum Treatment {
    /// They are handed on.
    Faithful,
    /// Each is sent up to three times or never, in any order, some much later; the same seed is the same schedule.
    Shuffled,
    /// They are changed on the way.
    Changed(fn(&mut v1::ReportRequest)),
}

/// What was done so far.
#[derive(Debug, Default)]
pub struct Tally {
    /// Reports that sidecars sent.
    pub received: AtomicU64,
    /// Reports that were handed on.
    pub sent: AtomicU64,
    /// That a later one had overtaken.
    pub overtaken: AtomicU64,
    /// Answers that asked for reports again.
    pub resent: AtomicU64,
    /// Reports that the control plane refused.
    pub refused: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    upstream: SidecarsClient<Channel>,
    treatment: Mutex<Treatment>,
    seed: AtomicU64,
    tally: Tally,
    trace: Trace,
}

/// A running proxy; it ends when this is dropped.
#[derive(Debug)]
pub struct Between {
    shared: Arc<Shared>,
    /// Where sidecars find it.
    pub url: String,
    serving: JoinHandle<()>,
}

impl Drop for Between {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Between {
    /// Begins one in front of the control plane at `grpc`, faithful at first.
    ///
    /// # Errors
    /// If there is no port, or `grpc` is no address.
    pub async fn start(grpc: &str, seed: u64, trace: &Trace) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{grpc}"))?;
        let shared = Arc::new(Shared {
            upstream: SidecarsClient::new(endpoint.connect_lazy()),
            treatment: Mutex::new(Treatment::Faithful),
            seed: AtomicU64::new(seed),
            tally: Tally::default(),
            trace: trace.clone(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let server = tonic::transport::Server::builder()
            .add_service(SidecarsServer::new(Proxy(Arc::clone(&shared))))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let serving = tokio::spawn(async move {
            // It ends with the test.
            let _ = server.await;
        });
        Ok(Self {
            shared,
            url,
            serving,
        })
    }

    /// From now on reports are treated so.
    pub fn treat(&self, treatment: Treatment) {
        *self.shared.treatment() = treatment;
    }

    /// What was done so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.shared.tally
    }
}

impl Shared {
    fn treatment(&self) -> std::sync::MutexGuard<'_, Treatment> {
        self.treatment
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, report: &v1::ReportRequest, forged: bool) {
        let sum = |cell: &v1::Cell, wanted: &str| {
            let of = cell.variants.iter().filter(|of| of.variant == wanted);
            of.map(judged).sum()
        };
        let cells = report.cells.iter().filter(|cell| !cell.rollout.is_empty());
        self.trace.note(What::Reported {
            sidecar: report.sidecar.clone(),
            incarnation: report.incarnation,
            seq: report.seq,
            cells: cells
                .map(|cell| Cell {
                    rollout: cell.rollout.clone(),
                    epoch: cell.epoch,
                    stable: sum(cell, "v1"),
                    canary: sum(cell, "v2"),
                })
                .collect(),
            forged,
        });
    }

    /// What goes on when a report comes in; what stays is in `held`.
    fn treated(
        &self,
        report: v1::ReportRequest,
        held: &mut Vec<v1::ReportRequest>,
        random: &mut StdRng,
    ) -> Vec<v1::ReportRequest> {
        let treatment = *self.treatment();
        match treatment {
            Treatment::Faithful => {
                let mut all = std::mem::take(held);
                all.push(report);
                all
            }
            Treatment::Shuffled => {
                for _ in 0..random.random_range(0..=3) {
                    held.push(report.clone());
                }
                held.shuffle(random);
                let leave = random.random_range(0..=held.len());
                held.drain(..leave).collect()
            }
            Treatment::Changed(change) => {
                let mut changed = report.clone();
                change(&mut changed);
                if changed != report {
                    self.note(&changed, true);
                }
                vec![changed]
            }
        }
    }

    async fn reports(
        self: Arc<Self>,
        mut inbound: Streaming<v1::ReportRequest>,
        acks: mpsc::Sender<Result<v1::ReportAck, Status>>,
    ) {
        let Some(Ok(first)) = inbound.next().await else {
            return;
        };
        let who = (first.sidecar.clone(), first.incarnation);
        let (send, receive) = mpsc::channel(QUEUE);
        let this = Arc::clone(&self);
        tokio::spawn(async move {
            let seed = this.seed.fetch_add(1, Ordering::Relaxed);
            let mut random = StdRng::seed_from_u64(seed);
            let (mut held, mut next, mut highest) = (Vec::new(), Some(Ok(first)), 0);
            while let Some(Ok(report)) = next {
                this.tally.received.fetch_add(1, Ordering::Relaxed);
                this.note(&report, false);
                for report in this.treated(report, &mut held, &mut random) {
                    this.tally.sent.fetch_add(1, Ordering::Relaxed);
                    if report.seq < highest {
                        this.tally.overtaken.fetch_add(1, Ordering::Relaxed);
                    }
                    highest = highest.max(report.seq);
                    if send.send(report).await.is_err() {
                        return;
                    }
                }
                next = inbound.next().await;
            }
        });
        let mut upstream = self.upstream.clone();
        let mut answers = match upstream.report(ReceiverStream::new(receive)).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return drop(acks.send(Err(status)).await),
        };
        while let Some(ack) = answers.next().await {
            if let Ok(ack) = &ack {
                self.tally
                    .resent
                    .fetch_add(u64::from(ack.resend), Ordering::Relaxed);
                let refused = ack.refusal() != v1::report_ack::Refusal::None;
                self.tally
                    .refused
                    .fetch_add(u64::from(refused), Ordering::Relaxed);
                self.trace.note(What::Stored {
                    sidecar: who.0.clone(),
                    incarnation: who.1,
                    seq: ack.committed_seq,
                });
            }
            if acks.send(ack).await.is_err() {
                return;
            }
        }
    }

    fn applied(&self, sidecar: &str, results: &[v1::AckResult]) {
        let taken =
            |of: &&v1::AckResult| matches!(of.outcome(), Outcome::Applied | Outcome::Warming);
        for result in results.iter().filter(taken) {
            let fence = result.fence.unwrap_or_default();
            self.trace.note(What::Applied {
                sidecar: sidecar.to_owned(),
                model: result.model.clone(),
                fence: [fence.generation, fence.term, fence.revision],
            });
        }
    }
}

struct Proxy(Arc<Shared>);

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Sidecars for Proxy {
    type SyncStream = Out<v1::ControlMessage>;
    type ReportStream = Out<v1::ReportAck>;

    async fn sync(
        &self,
        request: Request<Streaming<v1::SidecarMessage>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let (send, receive) = mpsc::channel(QUEUE);
        let (this, mut inbound) = (Arc::clone(&self.0), request.into_inner());
        tokio::spawn(async move {
            let mut name = String::new();
            while let Ok(Some(message)) = inbound.message().await {
                match &message.message {
                    Some(v1::sidecar_message::Message::Hello(hello)) => {
                        name.clone_from(&hello.sidecar);
                    }
                    Some(v1::sidecar_message::Message::Ack(ack)) => {
                        this.applied(&name, &ack.results);
                    }
                    _ => {}
                }
                if send.send(message).await.is_err() {
                    return;
                }
            }
        });
        let mut upstream = self.0.upstream.clone();
        let answers = upstream.sync(ReceiverStream::new(receive)).await?;
        Ok(Response::new(Box::pin(answers.into_inner())))
    }

    async fn report(
        &self,
        request: Request<Streaming<v1::ReportRequest>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        // The answer begins at once: a sidecar sends no second report before it has.
        let (send, receive) = mpsc::channel(QUEUE);
        tokio::spawn(Arc::clone(&self.0).reports(request.into_inner(), send));
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }

    async fn fetch(&self, request: Request<v1::Hello>) -> Result<Response<v1::Push>, Status> {
        self.0.upstream.clone().fetch(request.into_inner()).await
    }
}
