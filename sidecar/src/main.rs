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
    // Where every program gets pages of 2 MiB, the few that a sidecar touches would be most of what it takes. It serves
    // all the same if the system does not know of such pages.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    app::run(Cli::parse().args)
}
