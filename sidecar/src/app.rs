//! A whole sidecar: from its configuration to its last report.

mod activation;
mod follow;
mod handover;
mod notify;
mod start;
mod state;
mod stop;
mod successor;
mod watch;

pub use crate::config::Args;

use crate::config::{self, Sidecar};
use crate::listen::{self, Listen};
use anyhow::Context as _;
use serinus_runtime::{shutdown, telemetry};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::signal::{
    self,
    unix::{Signal, SignalKind},
};

/// Runs a sidecar until SIGTERM or SIGINT, then drains it. Blocks; the calling thread is the control runtime.
///
/// # Errors
/// If the configuration is wrong, an address is taken, or the state directory cannot be used.
pub fn run(args: Args) -> anyhow::Result<()> {
    let config = config::load(&args, std::env::vars(), &host_name())?;
    if args.check_config {
        println!("the configuration is good");
        return Ok(());
    }
    if args.print_config {
        print!(
            "{}",
            toml::to_string(&config).context("print the configuration")?
        );
        return Ok(());
    }
    telemetry::init(config.log, &config.log_filter);
    warn_if_open(&config);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the control runtime")?;
    runtime.block_on(async {
        let mut running = start::start(config).await?;
        let end = shutdown::signal();
        let hang_ups = hang_ups()?;
        println!(
            "{}",
            ready_line(&running.core.inference, running.core.admin)
        );
        notify::serving();
        running.serve(end, hang_ups).await?;
        running.stop().await;
        Ok(())
    })
}

/// Requests to start the next process, which kill this one no more.
fn hang_ups() -> anyhow::Result<Signal> {
    signal::unix::signal(SignalKind::hangup()).context("wait for a signal")
}

impl start::Running {
    /// Serves until `end`, or until another process has taken over.
    async fn serve(
        &mut self,
        end: impl Future<Output = io::Result<()>>,
        mut hang_ups: Signal,
    ) -> anyhow::Result<()> {
        let mut end = pin!(end);
        while !self.handed_over {
            let stream = tokio::select! {
                ended = &mut end => return ended.context("wait for a signal"),
                () = workers_died(self) => anyhow::bail!("every worker of the data path has ended"),
                _ = hang_ups.recv() => {
                    successor::start(&self.core.config);
                    continue;
                }
                stream = knock(self.door.as_ref()) => stream,
            };
            tokio::select! {
                ended = &mut end => return ended.context("wait for a signal"),
                _ = self.hand_over(stream) => {}
            }
        }
        Ok(())
    }
}

async fn knock(door: Option<&handover::Door>) -> UnixStream {
    match door {
        Some(door) => door.knock().await,
        None => std::future::pending().await,
    }
}

/// What a parent reads to learn the ports.
fn ready_line(inference: &[Listen], admin: SocketAddr) -> String {
    let inference = listen::list(inference);
    format!("serinus-sidecar ready inference={inference} admin={admin}")
}

async fn workers_died(running: &start::Running) {
    while !running.workers.is_finished() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Name of this machine, as far as the system says.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        return std::env::var("HOSTNAME").unwrap_or_else(|_| "sidecar".to_owned());
    }
    name.to_owned()
}

fn warn_if_open(config: &Sidecar) {
    let listen = config.listen.iter().filter_map(Listen::tcp);
    let listen = listen.map(|address| ("listen", address));
    for (what, address) in listen.chain([("admin", config.admin)]) {
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "{what} is open to the network: whoever reaches this address can use it");
        }
    }
}

/// Names by which the admin port may be called.
fn admin_names(config: &Sidecar) -> Vec<String> {
    let mut names = config.admin_hosts.clone();
    names.push(host_name());
    names
}

/// Table, breakers and counts, for every part.
type Shared = Arc<crate::shared::Shared>;

#[cfg(test)]
mod tests;
