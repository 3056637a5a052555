//! `serinus-bench decision`: every scenario of a folder, many replicas each, into a table.

mod progress;
mod table;

use anyhow::{Context as _, bail};
use progress::Progress;
use serinus_proto::v1;
use serinus_simulation::{
    Options, Outcome, Scenario, Setup, Spec, Trial, parallel, reference_plan, seed,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use table::Row;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of scenario files, *.json
    #[arg(long, value_name = "DIR")]
    scenarios: PathBuf,
    /// Rollouts per scenario
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    replicas: u32,
    /// Table to write, CSV
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Only scenarios whose file name contains one of these
    #[arg(long, value_name = "PART,..", value_delimiter = ',')]
    only: Vec<String>,
    /// Threads [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Another seed draws other worlds
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Do not tell the engine how stable did before the rollout
    #[arg(long)]
    no_history: bool,
}

/// A scenario made ready.
struct Prepared {
    scenario: Scenario,
    spec: Spec,
    setup: Setup,
}

/// One replica.
struct Replica {
    outcome: Outcome,
    took: Duration,
}

/// Runs all scenarios and writes the table.
///
/// # Errors
/// A folder without scenarios, a file with a mistake, or a table that cannot be written.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let prepared = files(&args.scenarios, &args.only)?
        .iter()
        .map(|file| prepare(file))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let replicas = args.replicas as usize;
    let progress = Progress::new(prepared.len() * replicas);
    let threads = args.threads.unwrap_or_else(parallel::cores);
    let one = |job: usize| replica(&prepared[job / replicas], job % replicas, args);
    let results = parallel::map(
        prepared.len() * replicas,
        threads,
        |done| progress.done(done),
        one,
    );
    let results = results.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    progress.end();
    let mut rows: Vec<Row> = prepared
        .iter()
        .zip(results.chunks(replicas))
        .map(|(prepared, replicas)| Row::of(&prepared.scenario, replicas))
        .collect();
    rows.sort_by(|a, b| a.scenario.cmp(&b.scenario));
    for row in &rows {
        eprintln!("{}", row.line());
    }
    std::fs::write(&args.out, table::csv(&rows))
        .with_context(|| format!("write {}", args.out.display()))
}

/// The scenario files of a folder in the order of their names.
fn files(folder: &Path, only: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("read the folder {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry
            .with_context(|| format!("read the folder {}", folder.display()))?
            .path();
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let wanted = only.is_empty() || only.iter().any(|part| name.contains(part.as_str()));
        if wanted && name.ends_with(".json") {
            files.push(file);
        }
    }
    if files.is_empty() {
        bail!(
            "{} has no scenario file (*.json) that was asked for",
            folder.display()
        );
    }
    files.sort();
    Ok(files)
}

fn prepare(file: &Path) -> anyhow::Result<Prepared> {
    let scenario = Scenario::read(file)?;
    for field in &scenario.unknown {
        eprintln!(
            "{}: {field} is no field of a scenario and changes nothing",
            file.display()
        );
    }
    let plan = reference_plan(&scenario).map_err(|violations| refused(file, &violations))?;
    let names: Vec<&str> = scenario.labelled().iter().map(|(name, _)| *name).collect();
    let setup = Setup::new(plan, &names).with_context(|| file.display().to_string())?;
    Ok(Prepared {
        spec: scenario.spec(),
        scenario,
        setup,
    })
}

fn refused(file: &Path, violations: &[v1::Violation]) -> anyhow::Error {
    let lines: Vec<String> = violations
        .iter()
        .map(|of| format!("{}: {}", of.path, of.message))
        .collect();
    anyhow::anyhow!(
        "{}: margins that no plan may have: {}",
        file.display(),
        lines.join("; ")
    )
}

fn replica(prepared: &Prepared, number: usize, args: &Args) -> anyhow::Result<Replica> {
    let begun = Instant::now();
    let options = Options {
        horizon_s: prepared.scenario.horizon,
        history: !args.no_history,
        users: None,
    };
    let seed = seed(&prepared.scenario.name, number, args.seed);
    let trial = Trial::new(&prepared.setup, &prepared.spec, options, seed)
        .with_context(|| prepared.scenario.name.clone())?;
    Ok(Replica {
        outcome: trial.run(),
        took: begun.elapsed(),
    })
}

#[cfg(test)]
mod tests;
