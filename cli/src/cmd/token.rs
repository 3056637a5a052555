//! `serinus token`: tokens for callers.

use crate::args::Format;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::emit;
use clap::Subcommand;
use serde_json::json;
use serinus_control_plane::access::Role;
use serinus_control_plane::access::callers::make;

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a token: prints its secret, once, and the line for the token file, which has only a hash of it
    #[command(
        after_help = "Examples:\n  serinus token new ana approver\n  serinus token new host-a sidecar --models digits \
                            --sidecars host-a"
    )]
    New(New),
}

/// Flags of `token new`.
#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// Who will use it; the name is kept in every event that it causes
    name: String,
    /// What it may do
    #[arg(value_enum)]
    role: Role,
    /// Models that a sidecar may speak for, e.g. digits,cats-*; all of them if not given
    #[arg(long, value_name = "NAMES")]
    models: Option<String>,
    /// Names that a sidecar may have, e.g. host-a,host-b or host-*; all of them if not given
    #[arg(long, value_name = "NAMES")]
    sidecars: Option<String>,
}

/// Does it.
pub(crate) fn run(
    command: &Command,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let Command::New(new) = command;
    let bound = (new.models.as_deref(), new.sidecars.as_deref());
    let made = make(&new.name, new.role, bound);
    let (secret, line) = made.map_err(|error| Failure::bad_input(error.to_string()))?;
    emit(
        console,
        format,
        || json!({ "secret": secret, "line": line }),
        || format!("secret:  {secret}\nline:    {line}\n"),
    )?;
    Ok(Exit::Ok)
}
