//! The daemon: store, engine and surfaces, started in this order and stopped in the other.

use crate::access::callers;
use crate::config::{self, Args, Command, ControlPlane, Files};
use crate::engine::{Engine, EngineError};
use crate::store::Store;
use crate::store::sled::restore::RestoreError;
use crate::store::sled::{Options, SledStore};
use crate::{gates, grpc, http, keeper, listen, maintenance, metrics, notify, reload};
use anyhow::{Context as _, anyhow};
use serinus_runtime::shutdown::{self, Trigger};
use serinus_runtime::telemetry;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Does what the flags say; serves until SIGTERM or SIGINT unless they say something else.
///
/// # Errors
/// If the configuration is wrong, the store cannot be opened, an address cannot be bound, or the engine fails.
pub fn run(args: Args) -> anyhow::Result<()> {
    match &args.command {
        Some(Command::Token {
            name,
            role,
            models,
            sidecars,
        }) => {
            let bound = (models.as_deref(), sidecars.as_deref());
            let (secret, line) = callers::make(name, *role, bound)?;
            return print(&format!("secret:  {secret}\nline:    {line}\n"));
        }
        Some(Command::Restore(restore)) => return print(&restore.run()?.text),
        Some(Command::Store(store)) => return print(&store.run()?.text),
        Some(Command::Webhook { .. }) | None => {}
    }
    let config = config::load(&args, std::env::vars())?;
    if let Some(Command::Webhook { name }) = &args.command {
        return test_webhook(&config, name);
    }
    if args.print_config {
        return print(&toml::to_string(&config).context("print the configuration")?);
    }
    let files = config.files()?;
    notify::load(&config.webhook)?;
    gates::load(&config.gate)?;
    if args.check_config {
        return print("the configuration is right\n");
    }
    telemetry::init(config.log, &config.log_filter);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("start the runtime")?;
    let ended = runtime.block_on(serve(config, files));
    // A read of the store may still be under way on a thread of its own; it changes nothing.
    runtime.shutdown_background();
    ended
}

/// An error and its causes on one line, without what a message already says about its cause.
#[must_use]
pub fn describe(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .fold(String::new(), |text, cause| match text.contains(&cause) {
            true => text,
            false if text.is_empty() => cause,
            false => format!("{text}: {cause}"),
        })
}

/// The exit code that an error stands for: 1, or what the command says.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let restore = error.downcast_ref::<RestoreError>();
    restore.map_or(1, maintenance::exit_code)
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("write to standard output")
}

/// Whether a receiver can be reached and takes what is posted.
fn test_webhook(config: &ControlPlane, name: &str) -> anyhow::Result<()> {
    let webhooks = notify::load(&config.webhook)?;
    let Some(webhook) = webhooks.iter().find(|webhook| webhook.service.name == name) else {
        let names: Vec<&str> = webhooks
            .iter()
            .map(|webhook| webhook.service.name.as_str())
            .collect();
        return Err(anyhow!(
            "the configuration has no webhook {name:?}; it has: {}",
            names.join(", ")
        ));
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("start the runtime")?;
    let posted = runtime.block_on(notify::test_message(webhook));
    let said = posted.with_context(|| format!("webhook {name}"))?;
    print(&format!("webhook {name} took a test message: {said}\n"))
}

async fn serve(config: ControlPlane, files: Files) -> anyhow::Result<()> {
    let server = Server::with(&config, files).await?;
    let (grpc, http) = (server.grpc, server.http);
    let signal = shutdown::signal();
    print(&format!(
        "serinus-control-plane ready grpc={grpc} http={http}\n"
    ))?;
    server.until(signal).await
}

/// A running control plane.
#[derive(Debug)]
pub struct Server {
    /// Where gRPC is served.
    pub grpc: SocketAddr,
    /// Where HTTP is served.
    pub http: SocketAddr,
    surfaces: JoinSet<anyhow::Result<()>>,
    notifiers: JoinSet<()>,
    engine: JoinHandle<Result<(), EngineError>>,
    stop_surfaces: Trigger,
    stop_engine: Trigger,
    deadline: Duration,
}

impl Server {
    /// Opens the store, recovers the engine and serves. The term of this process is on disk before a port is open.
    ///
    /// # Errors
    /// If a file that the configuration names cannot be used, the store cannot be opened or an address cannot be bound.
    pub async fn start(config: &ControlPlane) -> anyhow::Result<Self> {
        let files = config.files()?;
        Self::with(config, files).await
    }

    async fn with(config: &ControlPlane, files: Files) -> anyhow::Result<Self> {
        metrics::install();
        let options = Options {
            generation: config.generation,
            reserve_bytes: config.disk_reserve_bytes,
            ..Options::new(&config.data_dir)
        };
        let webhooks = notify::load(&config.webhook)?;
        let gates = gates::load(&config.gate)?;
        let names = gates.keys().cloned().collect();
        let opened = tokio::task::spawn_blocking(move || {
            let (store, engine, handle) = open(&options, names)?;
            let webhooks = notify::begin(store.as_ref(), webhooks).context("begin webhooks")?;
            anyhow::Ok((store, engine, handle, webhooks))
        });
        let (store, engine, handle, webhooks) = opened.await.context("open the store")??;
        let grpc_listener = bind("listen", config.listen).await?;
        let http_listener = bind("http", config.http).await?;
        let grpc = grpc_listener
            .local_addr()
            .context("read the bound address")?;
        let http = http_listener
            .local_addr()
            .context("read the bound address")?;
        let (stop_surfaces, drain) = shutdown::channel();
        let (stop_engine, engine_drain) = shutdown::channel();
        let engine = tokio::spawn(engine.run(engine_drain));
        tokio::spawn(keeper::run(
            store,
            handle.clone(),
            config.retention,
            drain.clone(),
        ));
        let mut notifiers = notify::start(webhooks, &handle, &drain);
        notifiers.spawn(gates::run(gates, handle.clone(), drain.clone()));
        warn_of(&files);
        let tls = [&files.grpc, &files.http].into_iter().flatten().cloned();
        tokio::spawn(reload::watch(tls.collect(), Arc::clone(&files.access)));
        let limits = config.connections();
        let grpc_in = listen::open(grpc_listener, files.grpc, limits.clone(), grpc::BEGINNING);
        let http_in = listen::open(http_listener, files.http, limits, http::BEGINNING);
        let options = grpc::Options {
            access: files.access,
            reflection: grpc.ip().is_loopback(),
        };
        let mut surfaces = JoinSet::new();
        let routes = grpc::routes(handle.clone(), &options.access, drain.clone());
        let calls = grpc::serve(grpc_in, routes.clone(), options, drain.clone());
        surfaces.spawn(async move { Ok(calls.await?) });
        let pages = http::Options {
            grpc,
            local: http.ip().is_loopback(),
        };
        let pages = http::serve(http_in, handle, routes, pages, drain);
        surfaces.spawn(async move {
            pages.await;
            Ok(())
        });
        let deadline = config.drain;
        Ok(Self {
            grpc,
            http,
            surfaces,
            notifiers,
            engine,
            stop_surfaces,
            stop_engine,
            deadline,
        })
    }

    /// Serves until `stop`, then drains: streams and calls end, then the engine commits what is left. What has not
    /// ended by the deadline is cut off.
    ///
    /// # Errors
    /// If the engine or a surface ended by itself.
    pub async fn until(
        mut self,
        stop: impl Future<Output = std::io::Result<()>>,
    ) -> anyhow::Result<()> {
        tokio::select! {
            stopped = stop => stopped.context("wait for a signal")?,
            ended = &mut self.engine => {
                let ended = ended.context("the engine panicked")?;
                return Err(ended.err().map_or_else(|| anyhow!("the engine ended"), Into::into));
            }
            Some(ended) = self.surfaces.join_next() => {
                ended.context("a surface panicked")??;
                return Err(anyhow!("a surface ended"));
            }
        }
        tracing::info!("draining");
        self.stop_surfaces.drain();
        let drained = async {
            while self.surfaces.join_next().await.is_some() {}
            while self.notifiers.join_next().await.is_some() {}
        };
        if tokio::time::timeout(self.deadline, drained).await.is_err() {
            tracing::warn!(after = ?self.deadline, "calls were still open and are cut off");
            self.surfaces.abort_all();
            self.notifiers.abort_all();
        }
        self.stop_engine.drain();
        self.engine.await.context("the engine panicked")??;
        tracing::info!("stopped");
        Ok(())
    }
}

fn open(
    options: &Options,
    gates: BTreeSet<String>,
) -> anyhow::Result<(Arc<dyn Store>, Engine, crate::engine::Handle)> {
    let store: Arc<dyn Store> = Arc::new(SledStore::open(options)?);
    tracing::info!(revision = store.last_revision(), "store opened");
    let (engine, handle) = Engine::start_with(store.clone(), VERSION, gates)?;
    Ok((store, engine, handle))
}

async fn bind(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("{key} = {address}: cannot listen there; choose another address"))
}

/// What is allowed and yet should be known.
fn warn_of(files: &Files) {
    for name in files.access.unbound() {
        tracing::warn!(
            name,
            "whoever has this token or certificate may report for every model; bind it with models= in the token file"
        );
    }
}

#[cfg(test)]
mod tests;
