//! What many rollouts at once cost the control plane: every second each of them gets a report from every sidecar, its
//! evidence grows by a slice and is judged, and everything is stored. By hand:
//! `cargo run --release -p serinus-tests --example rollouts -- [ROLLOUTS] [SECONDS]` (default 1000 and 30).

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serinus_control_plane::engine::{Command, Engine, Handle, Session};
use serinus_control_plane::store::sled::{Options, SledStore};
use serinus_proto::v1;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SIDECARS: u64 = 3;
const START_MS: u64 = 1_800_000_000_000;
/// Requests per second of one rollout, over all sidecars.
const RATE: u64 = 300;

fn plan(model: &str) -> String {
    format!(
        r#"
model: {model}
stable: {{name: v1, endpoints: ["http://127.0.0.1:1"]}}
canary: {{name: v2, endpoints: ["http://127.0.0.1:2"]}}
steps:
  - {{split: {{v2: 0.1, v1: 0.9}}, min_duration: 1h}}
  - {{split: {{v2: 1.0}}}}
guardrails:
  - {{metric: error_rate, margin: 0.0025}}
  - {{metric: latency, quantiles: [0.5, 0.95, 0.99], ratio: 1.10, slack: 2ms}}
  - {{metric: latency, quantile: 0.99, limit: 250ms}}
  - {{metric: accuracy, margin: 0.01, label_window: 10m}}
  - {{metric: "outcome:click", direction: higher_is_better, margin: 0.005, required: false}}
"#
    )
}

struct Fleet {
    engine: Engine,
    handle: Handle,
    sessions: Vec<Session>,
    random: StdRng,
    now_ms: u64,
    seq: u64,
}

impl Fleet {
    async fn with<T>(&mut self, ask: impl Future<Output = T>) -> Result<T> {
        let (answer, turned) = tokio::join!(ask, self.engine.turn_at(self.now_ms));
        turned?;
        Ok(answer)
    }

    async fn apply(&mut self, model: &str) -> Result<()> {
        let plan = serinus_core::plan::parse(&plan(model));
        let request = v1::ApplyRequest {
            request_id: model.to_owned(),
            plan: Some(plan.map_err(|mistakes| anyhow::anyhow!("{mistakes:?}"))?),
            ..v1::ApplyRequest::default()
        };
        let handle = self.handle.clone();
        let apply = async move { handle.command("bench", Command::Apply(request)).await };
        self.with(apply).await??;
        Ok(())
    }

    async fn attach(&mut self, models: &[String]) -> Result<()> {
        for number in 0..SIDECARS {
            let hello = v1::Hello {
                sidecar: format!("sidecar-{number}"),
                incarnation: number + 1,
                protocol: 1,
                models: models.to_vec(),
                ..v1::Hello::default()
            };
            let handle = self.handle.clone();
            let session = self.with(async move { handle.attach(hello).await }).await?;
            self.sessions.push(session.context("stopping")?);
        }
        Ok(())
    }

    async fn acknowledge(&mut self) -> Result<()> {
        for number in 0..self.sessions.len() {
            let session = &self.sessions[number];
            let assignments = session.assignments.borrow().clone();
            let results = assignments.by_model.values().map(|one| {
                let mut result = v1::AckResult {
                    model: one.model.clone(),
                    fence: one.fence,
                    ..v1::AckResult::default()
                };
                result.set_outcome(v1::ack_result::Outcome::Applied);
                result
            });
            let (id, results) = (session.id, results.collect());
            let handle = self.handle.clone();
            let ack = v1::Ack { nonce: 1, results };
            self.with(async move { handle.acknowledge(id, ack).await })
                .await?;
        }
        Ok(())
    }

    /// The report of one sidecar for the second that has just passed.
    fn report(&mut self, number: usize) -> v1::ReportRequest {
        let second = self.now_ms / 1000 - 1;
        let assignments = self.sessions[number].assignments.borrow().clone();
        let cells = assignments.by_model.values().map(|one| v1::Cell {
            model: one.model.clone(),
            rollout: one.rollout.clone(),
            epoch: one.epoch,
            second,
            variants: vec![
                variant(&mut self.random, "v1", RATE * 9 / 10 / SIDECARS),
                variant(&mut self.random, "v2", RATE / 10 / SIDECARS),
            ],
        });
        v1::ReportRequest {
            sidecar: format!("sidecar-{number}"),
            incarnation: number as u64 + 1,
            seq: self.seq,
            finished_before: second + 1,
            cells: cells.collect(),
            keys: Vec::new(),
        }
    }
}

fn variant(random: &mut StdRng, name: &str, requests: u64) -> v1::VariantCell {
    let mut counts = serinus_core::ledger::counts::Counts {
        assigned: requests,
        ..Default::default()
    };
    for _ in 0..requests {
        let failed = random.random_range(0..200) == 0;
        let spread: f64 = (0..4).map(|_| random.random_range(-0.5..0.5)).sum();
        let micros = 40_000.0 * (0.5 * spread).exp();
        counts.classes[if failed { 2 } else { 0 }] += 1;
        counts
            .latency
            .add(serinus_common::sketch::index(micros as u64), 1);
    }
    counts.to_wire(name)
}

async fn run(rollouts: u64, seconds: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(SledStore::open(&Options::new(folder.path()))?);
    let (engine, handle) = Engine::start(store, "bench")?;
    let mut fleet = Fleet {
        engine,
        handle,
        sessions: Vec::new(),
        random: StdRng::seed_from_u64(1),
        now_ms: START_MS,
        seq: 0,
    };
    let models: Vec<String> = (0..rollouts).map(|n| format!("model-{n:04}")).collect();
    for model in &models {
        fleet.apply(model).await?;
    }
    fleet.attach(&models).await?;
    fleet.acknowledge().await?;
    let mut spent = Duration::ZERO;
    let mut slowest = Duration::ZERO;
    for _ in 0..seconds {
        fleet.now_ms += 1000;
        fleet.seq += 1;
        let reports: Vec<_> = (0..SIDECARS as usize).map(|n| fleet.report(n)).collect();
        let start = Instant::now();
        for report in reports {
            let handle = fleet.handle.clone();
            let ack = fleet
                .with(async move { handle.report(report).await })
                .await?;
            ensure!(ack.is_some_and(|ack| ack.committed_seq == fleet.seq));
        }
        fleet.now_ms += 600;
        fleet.with(std::future::ready(())).await?;
        fleet.now_ms -= 600;
        let took = start.elapsed();
        spent += took;
        slowest = slowest.max(took);
    }
    let slices = fleet.handle.views().find(&models[0]).map(|rollout| {
        let decision = rollout.decision.clone().unwrap_or_default();
        decision.slices
    });
    ensure!(
        slices.is_some_and(|slices| slices + 2 >= seconds),
        "{slices:?} slices in {seconds} s"
    );
    println!(
        "{rollouts} rollouts, {SIDECARS} sidecars: {:?} per second, slowest {slowest:?}",
        spent / u32::try_from(seconds)?
    );
    Ok(())
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(Ok(default), |word| word.parse());
    let (rollouts, seconds) = (number(1000)?, number(30)?);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(rollouts, seconds))
}
