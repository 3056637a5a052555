//! `serinus-sidecar`: see the library.

use clap::Parser;
use serinus_sidecar::app::{self, Args};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Routes local inference calls between model versions and measures them.
#[derive(Debug, Parser)]
#[command(name = "serinus-sidecar", version)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn main() -> anyhow::Result<()> {
    app::run(Cli::parse().args)
}
