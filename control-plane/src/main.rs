//! `serinus-control-plane`.

use clap::Parser;
use serinus_control_plane::{app, config::Args};
use std::process::ExitCode;

/// The control plane of Serinus: keeps rollouts, decides, and tells the sidecars.
#[derive(Debug, Parser)]
#[command(name = "serinus-control-plane", version)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn main() -> ExitCode {
    match app::run(Cli::parse().args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("serinus-control-plane: {}", app::describe(&error));
            ExitCode::from(app::exit_code(&error))
        }
    }
}
