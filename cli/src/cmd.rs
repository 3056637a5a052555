//! The commands, a file each.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod bucket;
pub(crate) mod certs;
pub(crate) mod completions;
#[cfg(feature = "demo")]
pub(crate) mod demo;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod model;
pub(crate) mod plan;
pub(crate) mod rollout;
pub(crate) mod sidecars;
pub(crate) mod split;
pub(crate) mod status;
#[cfg(feature = "demo")]
mod store;
#[cfg(feature = "demo")]
pub(crate) mod token;

use crate::args::{Cli, Command, Global};
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Runs the command that was asked for.
pub(crate) async fn dispatch(cli: Cli, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Plan(command) => plan::run(&command, &global, console),
        Command::Certs(command) => certs::run(&command, global.output, console),
        #[cfg(feature = "demo")]
        Command::Token(command) => token::run(&command, global.output, console),
        Command::Completions(args) => completions::run(&args, console),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(&args, global.output, console).await,
        #[cfg(feature = "demo")]
        Command::ControlPlane(_) | Command::Sidecar(_) | Command::ModelServer(_) => Err(
            Failure::bad_input("flags stand before the name of the program")
                .hint("write `serinus control-plane FLAGS` or `serinus sidecar FLAGS`"),
        ),
        #[cfg(feature = "demo")]
        Command::Restore(restore) => store::print(restore.run(), global.output, console),
        #[cfg(feature = "demo")]
        Command::Store(command) => store::print(command.run(), global.output, console),
        Command::Bucket(args) => bucket::run(&args, &global, console).await,
        command => remote(command, &global, console).await,
    }
}

/// The commands that always need a control plane.
async fn remote(
    command: Command,
    global: &Global,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let session = &mut Session::new(global, console)?;
    match command {
        Command::Deploy(args) => deploy::run(args, session).await,
        Command::Model(command) => model::run(command, session).await,
        Command::Rollout(command) => rollout::run(command, session).await,
        Command::Split(command) => split::run(command, session).await,
        Command::Events(args) => events::run(&args, session).await,
        Command::Sidecars(args) => sidecars::run(&args, session).await,
        Command::Status(args) => status::run(&args, session).await,
        Command::Doctor(args) => doctor::run(&args, session).await,
        Command::Audit(args) => audit::run(&args, session).await,
        Command::Backup(args) => backup::run(&args, session).await,
        // `dispatch` has the others.
        _ => Ok(Exit::Ok),
    }
}
