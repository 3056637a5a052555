//! The command line of Serinus: [`run`] is the whole program; [`view`] and [`output::json`] are its renderers, pure.

mod args;
mod client;
mod cmd;
mod console;
#[cfg(feature = "demo")]
mod daemons;
mod exit;
mod failure;
pub mod output;
mod session;
pub mod view;

use args::{Cli, Command};
use clap::Parser as _;
use console::Console;
use failure::Failure;
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};

/// Reads the process's arguments, does what they ask and returns the exit code: 0 done, 1 failed, 2 bad input;
/// `status` adds 3 rolled back, 4 HELD, 5 timed out.
#[must_use]
pub fn run() -> ExitCode {
    #[cfg(feature = "demo")]
    if let Some(code) = daemons::run(std::env::args_os().collect()) {
        return code;
    }
    let cli = Cli::parse();
    let outcome = runtime(&cli.command).and_then(|runtime| {
        Console::with_process(cli.global.no_color, |console| {
            runtime.block_on(cmd::dispatch(cli, console))
        })
    });
    let exit = outcome.unwrap_or_else(|failure| {
        if !failure.is_silent() {
            eprintln!("{failure}");
        }
        failure.exit()
    });
    ExitCode::from(exit.code())
}

/// One thread carries everything that a command line does; the demo's users need more.
fn runtime(command: &Command) -> Result<Runtime, Failure> {
    let mut builder = match command {
        #[cfg(feature = "demo")]
        Command::Demo(_) => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    builder
        .enable_all()
        .build()
        .map_err(|error| Failure::error(format!("start: {error}")))
}

#[cfg(test)]
mod tests;
