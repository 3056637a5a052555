//! `serinus completions SHELL`.

use crate::args::Cli;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use clap::CommandFactory as _;
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  source <(serinus completions bash)
  serinus completions zsh > ~/.zfunc/_serinus
  serinus completions fish > ~/.config/fish/completions/serinus.fish";

/// `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "serinus", &mut script);
    console.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
