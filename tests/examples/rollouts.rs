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
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SIDECARS: u64 = 3;
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

/// The control plane's engine in a task of its own, and what it is asked.
struct Fleet {
    handle: Handle,
    sessions: Vec<Session>,
}

impl Fleet {
    async fn apply(&self, model: &str) -> Result<()> {
        let plan = serinus_core::plan::parse(&plan(model));
        let request = v1::ApplyRequest {
            request_id: model.to_owned(),
            plan: Some(plan.map_err(|mistakes| anyhow::anyhow!("{mistakes:?}"))?),
            ..v1::ApplyRequest::default()
        };
        self.handle
            .command("bench", Command::Apply(request))
            .await?;
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
            let session = self.handle.attach(hello).await.context("stopping")?;
            self.acknowledge(&session).await;
            self.sessions.push(session);
        }
        Ok(())
    }

    async fn acknowledge(&self, session: &Session) {
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
        let results = results.collect();
        self.handle
            .acknowledge(session.id, v1::Ack { nonce: 1, results })
            .await;
    }

    /// What one sidecar counts in a second of all rollouts.
    fn cells(&self, number: usize, random: &mut StdRng) -> Vec<v1::Cell> {
        let assignments = self.sessions[number].assignments.borrow().clone();
        let cells = assignments.by_model.values().map(|one| v1::Cell {
            model: one.model.clone(),
            rollout: one.rollout.clone(),
            epoch: one.epoch,
            second: 0,
            variants: vec![
                variant(random, "v1", RATE * 9 / 10 / SIDECARS),
                variant(random, "v2", RATE / 10 / SIDECARS),
            ],
        });
        cells.collect()
    }
}

fn report(number: usize, seq: u64, second: u64, cells: &[v1::Cell]) -> v1::ReportRequest {
    let mut cells = cells.to_vec();
    cells.iter_mut().for_each(|cell| cell.second = second);
    v1::ReportRequest {
        sidecar: format!("sidecar-{number}"),
        incarnation: number as u64 + 1,
        seq,
        finished_before: second + 1,
        cells,
        keys: Vec::new(),
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

/// Processor time of this process.
fn processor_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("the fields of stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Vec<u64> = ticks.map(str::parse).collect::<Result<_, _>>()?;
    // Linux counts them in hundredths.
    Ok(Duration::from_millis(10 * ticks.iter().sum::<u64>()))
}

fn now_s() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

async fn run(rollouts: u64, seconds: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(SledStore::open(&Options::new(folder.path()))?);
    let (engine, handle) = Engine::start(store, "bench")?;
    let (trigger, drain) = serinus_runtime::shutdown::channel();
    let engine = tokio::spawn(engine.run(drain));
    let sessions = Vec::new();
    let mut fleet = Fleet { handle, sessions };
    let models: Vec<String> = (0..rollouts).map(|n| format!("model-{n:04}")).collect();
    for model in &models {
        fleet.apply(model).await?;
    }
    fleet.attach(&models).await?;
    let mut random = StdRng::seed_from_u64(1);
    let of_sidecar = |number| fleet.cells(number, &mut random);
    let cells: Vec<_> = (0..SIDECARS as usize).map(of_sidecar).collect();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    let before = processor_time()?;
    for seq in 1..=seconds {
        second.tick().await;
        let finished = now_s()? - 1;
        for (number, cells) in cells.iter().enumerate() {
            let ack = fleet.handle.report(report(number, seq, finished, cells));
            ensure!(ack.await.is_some_and(|ack| ack.committed_seq == seq));
        }
    }
    let spent = processor_time()? - before;
    second.tick().await;
    let views = fleet.handle.views();
    let slices = views.find(&models[0]).and_then(|of| of.decision.as_ref());
    let slices = slices.map(|decision| decision.slices);
    ensure!(
        slices.is_some_and(|slices| slices + 2 >= seconds),
        "{slices:?} slices in {seconds} s"
    );
    println!(
        "{rollouts} rollouts, {SIDECARS} sidecars: {:.2} of a core",
        spent.as_secs_f64() / seconds as f64
    );
    trigger.drain();
    engine.await??;
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
