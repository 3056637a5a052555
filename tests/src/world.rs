//! The real engine in virtual time: simulated sidecars and traffic, no processes, no waiting. The same seed gives the
//! same run.

pub mod fragile;
mod keys;
pub mod oracle;
pub mod recorded;
mod sidecar;
mod traffic;

pub use fragile::{Fault, Fragile};
pub use sidecar::Sidecar;
pub use traffic::{Behaviour, Trouble};

use anyhow::{Context as _, Result};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serinus_control_plane::engine::{Command, CommandError, Engine, Handle};
use serinus_control_plane::store::memory::Disk;
use serinus_proto::v1;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use traffic::Second;

/// Where virtual time begins, unix milliseconds.
pub const START_MS: u64 = 1_800_000_000_000;

/// A truth that becomes known later.
#[derive(Clone, Debug)]
pub struct Label {
    /// When, unix milliseconds.
    pub due_ms: u64,
    /// Of what.
    pub rollout: String,
    /// The truth.
    pub outcome: v1::Outcome,
}

/// Engine, sidecars and traffic.
#[derive(Debug)]
pub struct World {
    engine: Option<Box<Engine>>,
    /// To ask the engine.
    pub handle: Handle,
    /// What the engine writes to.
    pub store: Arc<Fragile>,
    disk: Disk,
    /// Virtual unix milliseconds.
    pub now_ms: u64,
    /// When the engine took its last turn.
    pub turned_ms: u64,
    /// The simulated sidecars.
    pub sidecars: Vec<Sidecar>,
    /// Requests per second, over all sidecars.
    pub rate: u64,
    /// How v1 behaves.
    pub stable: Behaviour,
    /// How v2 behaves.
    pub canary: Behaviour,
    /// What else goes on.
    pub trouble: Trouble,
    /// Requests that were reported: stable, canary.
    pub sent: (u64, u64),
    /// Labels that are to come.
    pub labels: Vec<Label>,
    /// Answers to the labels that [`World::run`] has sent.
    pub statuses: BTreeMap<&'static str, u64>,
    model: String,
    random: Box<StdRng>,
    /// Of traffic outside of rollouts, so that it changes nothing of what happens within them.
    idle: Box<StdRng>,
}

impl World {
    /// Starts an engine over a disk with connected sidecars.
    ///
    /// # Errors
    /// If the engine does not start.
    pub async fn new(disk: Disk, model: &str, sidecars: u64, seed: u64) -> Result<Self> {
        let store = Arc::new(Fragile::open(disk.clone()));
        let (engine, handle) = Engine::start(store.clone(), "test")?;
        let sane = Behaviour {
            error_rate: 0.005,
            latency_ms: 20.0,
        };
        let sidecar = |n| Sidecar::new(format!("sidecar-{n}"), seed * 1000 + n + 1);
        let mut world = Self {
            engine: Some(Box::new(engine)),
            handle,
            store,
            disk,
            now_ms: START_MS,
            turned_ms: START_MS,
            sidecars: (0..sidecars).map(sidecar).collect(),
            rate: 500,
            stable: sane,
            canary: sane,
            trouble: Trouble::default(),
            sent: (0, 0),
            labels: Vec::new(),
            statuses: BTreeMap::new(),
            model: model.to_owned(),
            random: Box::new(StdRng::seed_from_u64(seed)),
            idle: Box::new(StdRng::seed_from_u64(seed ^ 0x5eed)),
        };
        world.attach_all().await?;
        Ok(world)
    }

    /// Runs a future while the engine takes turns at the present time. An engine that stops does so as in a crash.
    ///
    /// # Errors
    /// If the engine stopped.
    pub async fn with<T>(&mut self, ask: impl Future<Output = T>) -> Result<T> {
        self.ask(ask, |_| false).await
    }

    /// The same for a question whose answer is a promise: there must be none if the engine stopped.
    async fn ask<T>(
        &mut self,
        ask: impl Future<Output = T>,
        is_answer: impl Fn(&T) -> bool,
    ) -> Result<T> {
        let mut engine = self.engine.take().context("the engine has stopped")?;
        let (answer, turned) = tokio::join!(ask, engine.turn_at(self.now_ms));
        assert!(
            turned.is_ok() || !is_answer(&answer),
            "answered before it was on disk"
        );
        turned?;
        self.turned_ms = self.now_ms;
        self.engine = Some(engine);
        Ok(answer)
    }

    /// Lets the engine take a turn.
    ///
    /// # Errors
    /// If it stopped.
    pub async fn turn(&mut self) -> Result<()> {
        self.with(std::future::ready(())).await
    }

    /// Does a command as an operator.
    ///
    /// # Errors
    /// If the engine stopped; the inner one if it refused.
    pub async fn command(&mut self, command: Command) -> Result<Result<v1::Rollout, CommandError>> {
        let handle = self.handle.clone();
        let command = Box::pin(async move { handle.command("operator", command).await });
        self.ask(command, |answer| {
            !matches!(answer, Err(CommandError::Stopping))
        })
        .await
    }

    /// Applies a plan.
    ///
    /// # Errors
    /// If it has mistakes or is refused.
    pub async fn apply(&mut self, plan: &str) -> Result<v1::Rollout> {
        let plan =
            serinus_core::plan::parse(plan).map_err(|mistakes| anyhow::anyhow!("{mistakes:?}"))?;
        let request_id = format!("apply-{}", self.now_ms);
        let request = v1::ApplyRequest {
            request_id,
            plan: Some(plan),
            ..v1::ApplyRequest::default()
        };
        Ok(self.command(Command::Apply(request)).await??)
    }

    /// The rollout as everybody sees it.
    ///
    /// # Errors
    /// If there is none.
    pub fn rollout(&self) -> Result<Arc<v1::Rollout>> {
        self.handle
            .views()
            .find(&self.model)
            .cloned()
            .context("no rollout")
    }

    /// Whether the engine runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.engine.is_some()
    }

    /// Connects every sidecar that is not connected.
    ///
    /// # Errors
    /// If the engine stopped.
    pub async fn attach_all(&mut self) -> Result<()> {
        for number in 0..self.sidecars.len() {
            self.attach(number).await?;
        }
        Ok(())
    }

    /// Connects a sidecar, unless it is connected.
    ///
    /// # Errors
    /// If the engine stopped.
    pub async fn attach(&mut self, number: usize) -> Result<()> {
        if self.sidecars[number].session.is_some() {
            return Ok(());
        }
        let hello = self.sidecars[number].hello(&self.model);
        let handle = self.handle.clone();
        let session = self
            .ask(async move { handle.attach(hello).await }, Option::is_some)
            .await?
            .context("stopping")?;
        let of = &mut self.sidecars[number];
        let committed = session.welcome.committed_seq;
        of.unacknowledged.retain(|report| report.seq > committed);
        of.session = Some(session);
        of.answered = None;
        Ok(())
    }

    /// A sidecar tells how its variants are.
    ///
    /// # Errors
    /// If the engine stopped.
    pub async fn tell(&mut self, number: usize, status: v1::Status) -> Result<()> {
        let session = self.sidecars[number].session.as_ref();
        let id = session.context("not connected")?.id;
        let handle = self.handle.clone();
        self.with(async move { handle.status(id, status).await })
            .await
    }

    /// Ends a sidecar's stream.
    ///
    /// # Errors
    /// If the engine stopped.
    pub async fn detach(&mut self, number: usize) -> Result<()> {
        let Some(session) = self.sidecars[number].session.take() else {
            return Ok(());
        };
        let handle = self.handle.clone();
        self.with(async move { handle.detach(session.id).await })
            .await
    }

    /// Stops the engine as a crash would.
    pub fn stop(&mut self) {
        self.engine = None;
        self.sidecars
            .iter_mut()
            .for_each(|sidecar| sidecar.session = None);
    }

    /// Starts an engine from the store; nobody is connected to it yet.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(&mut self) -> Result<()> {
        self.stop();
        self.store = Arc::new(Fragile::open(self.disk.clone()));
        let (engine, handle) = Engine::start(self.store.clone(), "test")?;
        self.engine = Some(Box::new(engine));
        self.handle = handle;
        Ok(())
    }

    /// Drops the engine as a crash would, starts another one from the store and connects everybody.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn crash(&mut self) -> Result<()> {
        self.start()?;
        self.attach_all().await?;
        for number in 0..self.sidecars.len() {
            self.resend(number).await?;
        }
        Ok(())
    }

    /// Lets seconds pass, with traffic.
    ///
    /// # Errors
    /// If the engine stopped.
    pub async fn run(&mut self, seconds: u64) -> Result<()> {
        for _ in 0..seconds {
            self.second().await?;
        }
        Ok(())
    }

    /// Lets time pass until `done`, at most `limit` seconds; whether it was.
    ///
    /// # Errors
    /// If the engine stopped.
    pub async fn run_until(
        &mut self,
        limit: u64,
        done: impl Fn(&v1::Rollout) -> bool,
    ) -> Result<bool> {
        for _ in 0..limit {
            self.second().await?;
            if done(&*self.rollout()?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn second(&mut self) -> Result<()> {
        self.push().await?;
        self.traffic();
        for number in 0..self.sidecars.len() {
            self.resend(number).await?;
        }
        let due = self.take_due();
        if !due.is_empty() {
            let due = due.into_iter().map(|label| label.outcome).collect();
            for status in self.send_labels(due).await? {
                *self.statuses.entry(status.as_str_name()).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Every connected sidecar takes the newest assignment and answers.
    ///
    /// # Errors
    /// If the engine stopped, or an instruction must not be.
    pub async fn push(&mut self) -> Result<()> {
        for number in 0..self.sidecars.len() {
            self.acknowledge(number).await?;
        }
        Ok(())
    }

    /// One second passes: every sidecar serves what it holds, and has a report to send.
    pub fn traffic(&mut self) {
        let second = self.now_ms / 1000;
        let count = self.sidecars.len() as u64;
        for number in 0..self.sidecars.len() {
            let n = self.rate / count + u64::from((number as u64) < self.rate % count);
            let report = self.report(number, second, n);
            self.sidecars[number].unacknowledged.push(report);
        }
        self.now_ms = (second + 1) * 1000 + 50;
    }

    /// Takes the newest assignment, as a sidecar would.
    async fn acknowledge(&mut self, number: usize) -> Result<()> {
        let of = &mut self.sidecars[number];
        let Some(session) = &of.session else {
            return Ok(());
        };
        let assignments = session.assignments.borrow().clone();
        let Some(assignment) = assignments.of(&self.model, &of.labels) else {
            return Ok(());
        };
        if of.answered == assignment.fence {
            return Ok(());
        }
        let id = session.id;
        let ack = v1::Ack {
            nonce: 1,
            results: vec![of.take(assignment)?],
        };
        let handle = self.handle.clone();
        self.with(async move { handle.acknowledge(id, ack).await })
            .await
    }

    /// Sends everything that was not acknowledged.
    ///
    /// # Errors
    /// If the engine stopped.
    pub async fn resend(&mut self, number: usize) -> Result<()> {
        for report in self.sidecars[number].unacknowledged.clone() {
            self.send(number, report).await?;
        }
        Ok(())
    }

    /// Sends one report.
    ///
    /// # Errors
    /// If the engine stopped.
    pub async fn send(
        &mut self,
        number: usize,
        report: v1::ReportRequest,
    ) -> Result<v1::ReportAck> {
        let handle = self.handle.clone();
        let ack = self
            .ask(async move { handle.report(report).await }, Option::is_some)
            .await?
            .context("stopping")?;
        self.sidecars[number]
            .unacknowledged
            .retain(|report| report.seq > ack.committed_seq);
        Ok(ack)
    }

    /// Takes out the labels that have become known.
    pub fn take_due(&mut self) -> Vec<Label> {
        let now_ms = self.now_ms;
        self.labels
            .extract_if(.., |label| label.due_ms <= now_ms)
            .collect()
    }

    /// Sends labels.
    ///
    /// # Errors
    /// If the engine stopped.
    pub async fn send_labels(&mut self, items: Vec<v1::Outcome>) -> Result<Vec<v1::OutcomeStatus>> {
        let handle = self.handle.clone();
        let recorded = async move { handle.record_outcomes(items).await };
        self.ask(recorded, Option::is_some)
            .await?
            .context("stopping")
    }

    fn report(&mut self, number: usize, second: u64, n: u64) -> v1::ReportRequest {
        let of = &mut self.sidecars[number];
        let second = second.saturating_add_signed(of.clock_ms / 1000);
        let held = of.held.clone();
        let active = held
            .clone()
            .filter(|held| !held.rollout.is_empty() && !held.rolled_back);
        let mut cells = Vec::new();
        let mut keys = Vec::new();
        if let Some(assignment) = active {
            let pass = Second {
                assignment: &assignment,
                second,
                now_ms: self.now_ms,
                stable: self.stable,
                canary: of.canary.unwrap_or(self.canary),
                trouble: self.trouble,
            };
            let (cell, counts, labels) = pass.send(&mut self.random, of, n);
            self.labels.extend(labels);
            let [stable, canary] = counts;
            self.sent = (self.sent.0 + stable.assigned, self.sent.1 + canary.assigned);
            cells.push(cell);
            keys = of.keys.report(&assignment, second);
        } else if n > 0 {
            let held = held.as_deref();
            let idle = traffic::idle(&mut self.idle, &self.model, held, second, self.stable, n);
            cells.push(idle);
        }
        of.seq += 1;
        v1::ReportRequest {
            sidecar: of.name.clone(),
            incarnation: of.incarnation,
            seq: of.seq,
            finished_before: second + 1,
            cells,
            keys,
        }
    }
}
