//! `serinus plan simulate`: Monte Carlo through the decision engine and the plan's own state machine.

mod chart;
mod json;
mod progress;
mod report;
mod traffic;
mod words;

use crate::args::{Format, values};
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::emit;
use progress::Progress;
use serinus_core::plan;
use serinus_proto::v1;
use serinus_simulation::{Outcome, Study, Tally, Traffic, parallel};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub(super) const EXAMPLES: &str = "\
Examples:
  serinus plan simulate plan.yaml --rps 200
  serinus plan simulate plan.yaml --rps 35 --error-rate 0.01 --latency-p50 80ms --latency-p99 400ms
  serinus plan simulate plan.yaml --rps 200 --accuracy 0.87 --label-delay 15m --label-fraction 0.2
  serinus plan simulate plan.yaml --rps 200 --replicas 1000 --chart plan.svg --json

Needs no control plane. Every rollout that is simulated runs through the engine and the rules that a real one runs
through; only the traffic is made up. docs/simulate.md explains the table.";

/// Effects in the table, in margins; a dead canary is always there as well.
const MULTIPLES: [f64; 4] = [1.0, 1.5, 2.0, 4.0];
/// With a chart there are more, so that the curves have a shape.
const MULTIPLES_OF_CHART: [f64; 6] = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0];

/// `plan simulate`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// YAML or JSON file; `-` reads stdin
    #[arg(value_name = "FILE")]
    file: String,
    /// Requests per second of both versions together
    #[arg(long, value_name = "NUMBER", value_parser = traffic::rate)]
    rps: f64,
    /// Stable's error rate
    #[arg(long, value_name = "FRACTION", default_value = "0.005", value_parser = traffic::fraction)]
    error_rate: f64,
    /// Stable's median latency
    #[arg(long, value_name = "TIME", default_value = "40ms", value_parser = values::duration)]
    latency_p50: Duration,
    /// Stable's 99th percentile of latency
    #[arg(long, value_name = "TIME", default_value = "120ms", value_parser = values::duration)]
    latency_p99: Duration,
    /// Stable's accuracy
    #[arg(long, value_name = "FRACTION", default_value = "0.9", value_parser = traffic::fraction)]
    accuracy: f64,
    /// Stable's rate of an outcome [default: 0.1 each]
    #[arg(long, value_name = "NAME=FRACTION", value_parser = traffic::outcome)]
    outcome: Vec<traffic::OutcomeRate>,
    /// How long after the request its label comes
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = values::duration)]
    label_delay: Duration,
    /// Share of the requests that get a label
    #[arg(long, value_name = "FRACTION", default_value = "1", value_parser = traffic::fraction)]
    label_fraction: f64,
    /// Distinct users, for a budget of exposed keys [default: every request is another user's]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    users: Option<u32>,
    /// Rollouts per row
    #[arg(long, value_name = "NUMBER", default_value_t = 80, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    replicas: u32,
    /// How long each rollout is followed [default: twice the expected time to full share, at least 30m, at most 1h at
    /// 20 requests/s and more]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    horizon: Option<Duration>,
    /// Another seed draws other traffic
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Threads [default: one per core]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// The same as -o json
    #[arg(long)]
    json: bool,
    /// Draw the operating characteristic: probabilities over the effect, a panel per guardrail
    #[arg(long, value_name = "FILE.svg")]
    chart: Option<PathBuf>,
}

/// Everything that is printed and drawn.
#[derive(Debug)]
struct Results {
    study: Study,
    traffic: Traffic,
    seed: u64,
    /// One per case of the study.
    tallies: Vec<Tally>,
}

pub(super) fn run(args: &Args, format: Format, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let plan = complete(super::load(&args.file, console)?, &args.file)?;
    let plan = plan::choose_ramp(plan, Some(args.rps));
    let traffic = traffic::of(args, &plan)?;
    let multiples: &[f64] = if args.chart.is_some() {
        &MULTIPLES_OF_CHART
    } else {
        &MULTIPLES
    };
    let horizon_s = args.horizon.map(|horizon| horizon.as_secs_f64());
    let study = Study::new(plan, &traffic, multiples, horizon_s).map_err(|error| {
        Failure::bad_input(format!("{} cannot be simulated: {error}", args.file))
    })?;
    let tallies = simulate(args, &study, console)?;
    let results = Results {
        study,
        traffic,
        seed: args.seed,
        tallies,
    };
    if let Some(file) = &args.chart {
        std::fs::write(file, chart::svg(&results))
            .map_err(|error| Failure::error(format!("write {}: {error}", file.display())))?;
    }
    let format = if args.json { Format::Json } else { format };
    emit(
        console,
        format,
        || json::value(&results),
        || report::text(&results),
    )?;
    Ok(Exit::Ok)
}

/// The plan with its defaults; a stable version that is named only in the splits is taken from there.
fn complete(plan: v1::Plan, file: &str) -> Result<v1::Plan, Failure> {
    let is_canary = |name: &str| plan.canaries.iter().any(|canary| canary.name == name);
    let in_splits = plan.steps.iter().flat_map(|step| step.split.keys());
    let other = in_splits.filter(|name| !is_canary(name)).min().cloned();
    let stable = v1::Variant {
        name: other.unwrap_or_else(|| "stable".to_owned()),
        ..Default::default()
    };
    let known = plan.stable.is_none().then_some(&stable);
    plan::complete(plan.clone(), known).map_err(|violations| {
        Failure::violations(format!("{file} is no complete plan"), &violations)
    })
}

/// All replicas of all cases, on all cores.
fn simulate(args: &Args, study: &Study, console: &mut Console<'_>) -> Result<Vec<Tally>, Failure> {
    let replicas = args.replicas as usize;
    let jobs = study.cases().len() * replicas;
    let threads = args.threads.map_or_else(parallel::cores, usize::from);
    let (sender, done) = std::sync::mpsc::channel();
    let outcomes = std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            // A progress bar that has gone is no reason to stop.
            let tell = |count| {
                let _ = sender.send(count);
            };
            parallel::map(jobs, threads, tell, |job| {
                study.replica(job / replicas, job % replicas, args.seed)
            })
        });
        let mut progress = Progress::new(jobs);
        // Ends when the worker drops the sender.
        done.iter().for_each(|count| progress.draw(count, console));
        progress.clear(console);
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let outcomes: Vec<Outcome> =
        outcomes
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|error| {
                Failure::bad_input(format!("{} cannot be simulated: {error}", args.file))
            })?;
    Ok(outcomes.chunks(replicas).map(Tally::of).collect())
}

/// How often each cause stands in a tally, as text.
fn causes(of: &BTreeMap<&'static str, u64>) -> String {
    let each: Vec<String> = of
        .iter()
        .map(|(cause, count)| format!("{cause} {count}"))
        .collect();
    each.join(", ")
}

#[cfg(test)]
mod tests;
