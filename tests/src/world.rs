//! The real engine in virtual time: simulated sidecars and traffic, no processes, no waiting. The same seed gives the
//! same run.

use anyhow::{Context as _, Result};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serinus_common::class::Class;
use serinus_common::sketch;
use serinus_control_plane::engine::{Command, CommandError, Engine, Handle, Session};
use serinus_control_plane::store::memory::{Disk, MemoryStore};
use serinus_core::ledger::counts::Counts;
use serinus_proto::v1;
use std::future::Future;
use std::sync::Arc;

/// Where virtual time begins, unix milliseconds.
pub const START_MS: u64 = 1_800_000_000_000;

/// How one variant behaves.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// Share of requests that fail, 0..=1.
    pub error_rate: f64,
    /// Median latency in milliseconds; log-normal with sigma 0.3.
    pub latency_ms: f64,
}

/// A simulated sidecar.
#[derive(Debug)]
pub struct Sidecar {
    /// Its name.
    pub name: String,
    /// Changes at a restart.
    pub incarnation: u64,
    session: Option<Session>,
    seq: u64,
    acknowledged: Option<v1::Fence>,
    /// Reports that were not acknowledged.
    pub unacknowledged: Vec<v1::ReportRequest>,
}

/// Engine, sidecars and traffic.
#[derive(Debug)]
pub struct World {
    engine: Option<Engine>,
    /// To ask the engine.
    pub handle: Handle,
    disk: Disk,
    /// Virtual unix milliseconds.
    pub now_ms: u64,
    /// The simulated sidecars.
    pub sidecars: Vec<Sidecar>,
    /// Requests per second, over all sidecars.
    pub rate: u64,
    /// How v1 behaves.
    pub stable: Behaviour,
    /// How v2 behaves.
    pub canary: Behaviour,
    /// Requests that were reported: stable, canary.
    pub sent: (u64, u64),
    model: String,
    random: StdRng,
}

impl World {
    /// Starts an engine over a disk with connected sidecars.
    ///
    /// # Errors
    /// If the engine does not start.
    pub async fn new(disk: Disk, model: &str, sidecars: u64, seed: u64) -> Result<Self> {
        let (engine, handle) = Engine::start(Arc::new(MemoryStore::open(disk.clone())), "test")?;
        let sane = Behaviour {
            error_rate: 0.005,
            latency_ms: 20.0,
        };
        let mut world = Self {
            engine: Some(engine),
            handle,
            disk,
            now_ms: START_MS,
            sidecars: Vec::new(),
            rate: 500,
            stable: sane,
            canary: sane,
            sent: (0, 0),
            model: model.to_owned(),
            random: StdRng::seed_from_u64(seed),
        };
        for number in 0..sidecars {
            world.sidecars.push(Sidecar {
                name: format!("sidecar-{number}"),
                incarnation: seed * 1000 + number + 1,
                session: None,
                seq: 0,
                acknowledged: None,
                unacknowledged: Vec::new(),
            });
        }
        world.attach_all().await?;
        Ok(world)
    }

    /// Runs a future while the engine takes turns at the present time.
    ///
    /// # Errors
    /// If the engine stopped.
    pub async fn with<T>(&mut self, ask: impl Future<Output = T>) -> Result<T> {
        let engine = self.engine.as_mut().context("the engine has stopped")?;
        let (answer, turned) = tokio::join!(ask, engine.turn_at(self.now_ms));
        turned?;
        Ok(answer)
    }

    /// Does a command as an operator.
    ///
    /// # Errors
    /// If the engine stopped; the inner one if it refused.
    pub async fn command(&mut self, command: Command) -> Result<Result<v1::Rollout, CommandError>> {
        let handle = self.handle.clone();
        self.with(async move { handle.command("operator", command).await })
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

    /// Connects every sidecar that is not connected.
    ///
    /// # Errors
    /// If the engine stopped.
    pub async fn attach_all(&mut self) -> Result<()> {
        for number in 0..self.sidecars.len() {
            if self.sidecars[number].session.is_some() {
                continue;
            }
            let of = &self.sidecars[number];
            let hello = v1::Hello {
                sidecar: of.name.clone(),
                incarnation: of.incarnation,
                protocol: 1,
                models: vec![self.model.clone()],
                ..v1::Hello::default()
            };
            let handle = self.handle.clone();
            let session = self
                .with(async move { handle.attach(hello).await })
                .await?
                .context("stopping")?;
            let of = &mut self.sidecars[number];
            let committed = session.welcome.committed_seq;
            of.unacknowledged.retain(|report| report.seq > committed);
            of.session = Some(session);
            of.acknowledged = None;
        }
        Ok(())
    }

    /// Drops the engine as a crash would, and starts another one from the store.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn crash(&mut self) -> Result<()> {
        self.engine = None;
        let (engine, handle) =
            Engine::start(Arc::new(MemoryStore::open(self.disk.clone())), "test")?;
        self.engine = Some(engine);
        self.handle = handle;
        self.sidecars
            .iter_mut()
            .for_each(|sidecar| sidecar.session = None);
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
        for number in 0..self.sidecars.len() {
            self.acknowledge(number).await?;
        }
        let second = self.now_ms / 1000;
        let count = self.sidecars.len() as u64;
        let mut reports = Vec::new();
        for number in 0..self.sidecars.len() {
            let n = self.rate / count + u64::from((number as u64) < self.rate % count);
            reports.push(self.report(number, second, n));
        }
        self.now_ms += 1050;
        for (number, report) in reports.into_iter().enumerate() {
            self.sidecars[number].unacknowledged.push(report);
            self.resend(number).await?;
        }
        self.now_ms = (second + 1) * 1000;
        Ok(())
    }

    /// Takes the newest assignment, as a sidecar would.
    async fn acknowledge(&mut self, number: usize) -> Result<()> {
        let of = &self.sidecars[number];
        let Some(session) = &of.session else {
            return Ok(());
        };
        let assignments = session.assignments.borrow().clone();
        let Some(assignment) = assignments.by_model.get(&self.model) else {
            return Ok(());
        };
        if of.acknowledged == assignment.fence {
            return Ok(());
        }
        let result = v1::AckResult {
            model: self.model.clone(),
            fence: assignment.fence,
            outcome: v1::ack_result::Outcome::Applied.into(),
            ..v1::AckResult::default()
        };
        let (id, fence) = (session.id, assignment.fence);
        let handle = self.handle.clone();
        let ack = v1::Ack {
            nonce: 1,
            results: vec![result],
        };
        self.with(async move { handle.acknowledge(id, ack).await })
            .await?;
        self.sidecars[number].acknowledged = fence;
        Ok(())
    }

    /// Sends everything that was not acknowledged.
    ///
    /// # Errors
    /// If the engine stopped.
    pub async fn resend(&mut self, number: usize) -> Result<()> {
        for report in self.sidecars[number].unacknowledged.clone() {
            let handle = self.handle.clone();
            let ack = self
                .with(async move { handle.report(report).await })
                .await?
                .context("stopping")?;
            self.sidecars[number]
                .unacknowledged
                .retain(|report| report.seq > ack.committed_seq);
        }
        Ok(())
    }

    fn report(&mut self, number: usize, second: u64, n: u64) -> v1::ReportRequest {
        let of = &self.sidecars[number];
        let assignments = of
            .session
            .as_ref()
            .map(|session| session.assignments.borrow().clone());
        let assignment = assignments.and_then(|all| all.by_model.get(&self.model).cloned());
        let cells = assignment.filter(|of| !of.rollout.is_empty() && !of.rolled_back);
        let cells = cells
            .map(|assignment| self.cell(&assignment, second, n))
            .into_iter()
            .collect();
        let of = &mut self.sidecars[number];
        of.seq += 1;
        v1::ReportRequest {
            sidecar: of.name.clone(),
            incarnation: of.incarnation,
            seq: of.seq,
            finished_before: second + 1,
            cells,
            keys: Vec::new(),
        }
    }

    fn cell(&mut self, assignment: &v1::Assignment, second: u64, n: u64) -> v1::Cell {
        let share = assignment
            .shares
            .first()
            .map_or(0.0, |share| f64::from(share.ppm) / 1e6);
        let (mut stable, mut canary) = (Counts::default(), Counts::default());
        for _ in 0..n {
            let to_canary = self.random.random_range(0.0..1.0) < share;
            let (counts, of) = if to_canary {
                (&mut canary, self.canary)
            } else {
                (&mut stable, self.stable)
            };
            request(&mut self.random, counts, of);
        }
        self.sent = (self.sent.0 + stable.assigned, self.sent.1 + canary.assigned);
        let names = assignment
            .variants
            .iter()
            .map(|variant| variant.name.as_str());
        let variants = names
            .zip([&stable, &canary])
            .map(|(name, counts)| counts.to_wire(name))
            .collect();
        v1::Cell {
            rollout: assignment.rollout.clone(),
            epoch: assignment.epoch,
            second,
            variants,
        }
    }
}

fn request(random: &mut StdRng, counts: &mut Counts, of: Behaviour) {
    let failed = random.random_range(0.0..1.0) < of.error_rate;
    let class = if failed { Class::Model } else { Class::Ok };
    // Box and Muller: a standard normal from two uniforms.
    let (u, v): (f64, f64) = (
        random.random_range(1e-12..1.0),
        random.random_range(0.0..1.0),
    );
    let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
    let micros = of.latency_ms * 1000.0 * (0.3 * normal).exp();
    counts.assigned += 1;
    counts.classes[class as usize] += 1;
    counts.latency.add(sketch::index(micros as u64), 1);
}
