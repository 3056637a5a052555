//! The threads of the data path. Each has its own runtime, listener, connections, pools and counts; they share the
//! routing table and the breakers, and nothing else.

mod connection;
mod deadlines;
mod io;
mod listen;
mod local;
mod seal;
mod tunnel;

pub(crate) use connection::{Busy, Order, State};
pub(crate) use deadlines::{Deadline, Deadlines};
pub(crate) use local::{Lane, LocalRoute};
pub(crate) use tunnel::Tunnel;

use crate::fast::Buffers;
use crate::head::Head;
use crate::limits::Limits;
use crate::listen::Socket;
use crate::meter::{Meters, Timeline};
use crate::proxy::body::{Early, Source};
use crate::route::named::Place;
use crate::shared::Shared;
use crate::tls::Tls;
use connection::Connections;
use http::Version;
use hyper::body::Incoming;
use local::{LocalTable, Registry};
use serinus_proto::v1;
use serinus_runtime::shutdown::Drain;
use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::UnboundedSender;

/// How the data path is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads; 0 counts as 1.
    pub workers: usize,
    /// Bounds of the data path.
    pub limits: Limits,
    /// How long a drain takes.
    pub drain: DrainPatience,
    /// To endpoints, and from applications.
    pub tls: Arc<Tls>,
}

/// How long a drain waits, first for the one, then for the other.
#[derive(Clone, Copy, Debug)]
pub struct DrainPatience {
    /// For requests that are on their way on idle connections.
    pub linger: Duration,
    /// For requests in flight.
    pub finish: Duration,
}

/// What a worker has finished counting.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed {
    /// Which worker.
    pub worker: usize,
    /// Every cell before this unix second is finished there.
    pub finished_before: u64,
    /// The finished cells.
    pub cells: Vec<v1::Cell>,
    /// Every 10 s: cumulative per worker; only what has changed.
    pub keys: Vec<v1::KeyStatistics>,
}

/// What has to be known at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalEvent {
    /// The canary is not used here any more.
    BreakerOpened {
        /// The model.
        model: String,
        /// Its rollout; empty for a static split.
        rollout: String,
        /// The canary.
        variant: String,
    },
    /// The canary is used again.
    BreakerClosed {
        /// The model.
        model: String,
        /// Its rollout; empty for a static split.
        rollout: String,
        /// The canary.
        variant: String,
    },
}

/// The running threads.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Waits until every worker has drained; each has sent its last [`Sealed`] by then. Blocks the thread.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker has panicked");
            }
        }
    }

    /// Whether every worker has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}

/// Starts the workers on the sockets. They end by themselves after the drain.
///
/// # Errors
/// If a socket cannot be shared or a thread cannot be started.
pub fn spawn(
    settings: &Settings,
    sockets: Vec<Socket>,
    shared: Arc<Shared>,
    sealed: UnboundedSender<Sealed>,
    local: UnboundedSender<LocalEvent>,
    drain: Drain,
) -> std::io::Result<Workers> {
    let workers = settings.workers.max(1);
    let sockets = crate::listen::spread(sockets, workers)?;
    let mut threads = Vec::with_capacity(workers);
    for (index, sockets) in sockets.into_iter().enumerate() {
        let seed = Seed {
            index,
            workers,
            limits: settings.limits.per_worker(workers),
            shared: Arc::clone(&shared),
            tls: Arc::clone(&settings.tls),
            events: local.clone(),
        };
        let (sealed, drain, patience) = (sealed.clone(), drain.clone(), settings.drain);
        let thread = std::thread::Builder::new().name(format!("worker-{index}"));
        let (report, started) = mpsc::channel();
        threads.push(thread.spawn(move || {
            // It cannot be moved to its thread: no task that it runs ever leaves it.
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(report.send(error)),
            };
            drop(report);
            let worker = Rc::new(seed.grow());
            runtime.block_on(listen::run(worker, sockets, sealed, drain, patience));
        })?);
        if let Ok(error) = started.recv() {
            return Err(error);
        }
    }
    Ok(Workers { threads })
}

struct Seed {
    index: usize,
    workers: usize,
    limits: Limits,
    shared: Arc<Shared>,
    tls: Arc<Tls>,
    events: UnboundedSender<LocalEvent>,
}

/// The state of one worker. It never leaves its thread.
#[derive(Debug)]
pub(crate) struct Worker {
    index: usize,
    workers: usize,
    pub(crate) limits: Limits,
    pub(crate) shared: Arc<Shared>,
    pub(crate) tls: Arc<Tls>,
    pub(crate) events: UnboundedSender<LocalEvent>,
    pub(crate) timeline: Timeline,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) meters: Meters,
    pub(crate) buffers: Buffers,
    connections: Connections,
    registry: RefCell<Registry>,
    table: RefCell<Rc<LocalTable>>,
    version: Cell<u64>,
    sequence: Cell<u64>,
    random: Cell<u64>,
}

impl Seed {
    fn grow(self) -> Worker {
        let now = Instant::now();
        let wall_ms = wall_ms();
        Worker {
            index: self.index,
            workers: self.workers,
            limits: self.limits,
            shared: self.shared,
            tls: self.tls,
            events: self.events,
            timeline: Timeline::new(now, wall_ms),
            deadlines: Rc::new(Deadlines::new(now)),
            meters: Meters::new(wall_ms / 1000),
            buffers: Buffers::default(),
            connections: Connections::default(),
            registry: RefCell::default(),
            table: RefCell::default(),
            // No table has this version, so that the first request fetches one.
            version: Cell::new(0),
            sequence: Cell::new(0),
            random: Cell::new(rand::random()),
        }
    }
}

impl Worker {
    /// The route of a request, by the newest table.
    #[inline]
    pub(crate) fn route(&self, head: &impl Head) -> Option<Rc<LocalRoute>> {
        self.newest().route(head)
    }

    /// Whether the beginning of a request's body must be known before its variant can be chosen, by the newest table.
    #[inline]
    pub(crate) fn wants_body(&self, head: &impl Head) -> bool {
        self.newest().wants_body(head)
    }

    /// Where in its body a request names its model, if nothing else tells it.
    pub(crate) fn place_of_name(&self, head: &impl Head) -> Option<Place> {
        self.newest().place_of_name(head)
    }

    /// The route of a request by the name in its body.
    pub(crate) fn route_named(&self, name: Option<&[u8]>, place: Place) -> Option<Rc<LocalRoute>> {
        self.newest().route_named(name, place)
    }

    #[inline]
    fn newest(&self) -> Ref<'_, Rc<LocalTable>> {
        if self.shared.version() != self.version.get() {
            self.refresh();
        }
        self.table.borrow()
    }

    /// Takes over the newest table.
    #[cold]
    fn refresh(&self) {
        // The version first: a table that is published in between is fetched once more, never missed.
        self.version.set(self.shared.version());
        let table = self.shared.table();
        let mut registry = self.registry.borrow_mut();
        let now_ms = self.deadlines.now_ms();
        let local = registry.localise(table, &self.meters, &self.limits, &self.tls, now_ms);
        self.table.replace(Rc::new(local));
    }

    /// The caller's body, kept as far as a second attempt may need it.
    pub(crate) fn source(
        &self,
        body: Incoming,
        version: Version,
        early: Early,
        longest: u64,
    ) -> Rc<Source> {
        let source = Source::new(body, early, self.limits.replay_bytes, longest);
        match version {
            Version::HTTP_2 => source.tells_ends(),
            _ => source,
        }
    }

    /// Unique among the workers.
    pub(crate) fn next_sequence(&self) -> u64 {
        let local = self.sequence.get();
        self.sequence.set(local + 1);
        local * self.workers as u64 + self.index as u64
    }

    /// Uniform; SplitMix64 (Steele, Lea, Flood 2014).
    pub(crate) fn random(&self) -> u32 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 counts as 1970.
    since.map_or(0, |since| since.as_millis() as u64)
}

/// Runs futures on the worker's own thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
