//! Measures the decision engine: `serinus-bench decision --scenarios DIR --replicas N --out FILE.csv`.

mod decision;

use clap::{Parser, Subcommand};

/// Measures the decision engine in simulated worlds.
#[derive(Debug, Parser)]
#[command(name = "serinus-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How often and how fast rollouts end rightly, in every scenario of a folder
    Decision(decision::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Decision(args) => decision::run(&args),
    }
}
