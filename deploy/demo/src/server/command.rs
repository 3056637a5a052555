//! The model server as a process of its own.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;

use super::{Faults, Served, serve};
use crate::models::ModelKind;

/// Serve a demonstration model over the Open Inference Protocol v2.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// echo, constant:N, stable, better or worse; the last three are trained at start
    #[arg(long, default_value = "echo")]
    pub model: ModelKind,
    /// Name of the model in the paths
    #[arg(long, default_value = "digits")]
    pub name: String,
    /// Version of the model in the paths
    #[arg(long, default_value = "v1")]
    pub version: String,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Seed of the data split, of the training and of injected faults
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Builds the model, listens, prints the line `listening ADDRESS:PORT` to stdout and serves until dropped or killed.
///
/// It uses one thread well: a current-thread runtime is the cheapest for it.
///
/// # Errors
/// If the model cannot be trained, the address not bound or stdout not written.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let Args {
        model: kind,
        name,
        version,
        listen,
        seed,
    } = args;
    let model = tokio::task::spawn_blocking(move || kind.build(seed))
        .await
        .context("training the model")??;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("--listen: cannot bind {listen}"))?;
    let address = listener.local_addr().context("reading the bound address")?;
    writeln!(std::io::stdout(), "listening {address}").context("writing to stdout")?;
    match serve(
        listener,
        Served {
            name,
            version,
            model,
        },
        Arc::new(Faults::new(seed)),
    )
    .await {}
}
