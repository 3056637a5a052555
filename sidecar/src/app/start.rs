//! Putting a sidecar together.

use super::watch::{self, Seen};
use super::{Shared, state};
use crate::admin::{Admin, Parts};
use crate::config::{Model, Sidecar};
use crate::listen::{self, Listen};
use crate::outcomes::Desk;
use crate::report::{self, Reports};
use crate::shared;
use crate::sync::apply::Applier;
use crate::sync::{self, Contact, Peer};
use crate::table::ModelSpec;
use crate::tls;
use crate::worker::{self, Workers};
use anyhow::Context as _;
use serinus_runtime::shutdown::{self, Trigger};
use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::sync::watch::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tracing::info;

/// A sidecar that serves.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) inference: Vec<Listen>,
    pub(super) admin: SocketAddr,
    pub(super) workers: Workers,
    pub(super) drain: Duration,
    /// Stops taking requests.
    pub(super) serving: Trigger,
    /// Absent for a static sidecar.
    pub(super) contact: Option<ControlPlane>,
    /// The state directory is this process's alone as long as it is held.
    _lock: Option<File>,
}

/// Everything that speaks with the control plane.
#[derive(Debug)]
pub(super) struct ControlPlane {
    pub(super) syncing: JoinHandle<()>,
    pub(super) reporting: JoinHandle<()>,
    pub(super) forwarding: JoinHandle<()>,
    /// How it stands.
    pub(super) heard: Receiver<Contact>,
    /// Ends following.
    pub(super) leave: Trigger,
    /// Ends forwarding, once nothing is left on disk.
    pub(super) outcomes_end: Sender<bool>,
    desk: Desk,
}

/// Binds, starts every part, and returns when calls are taken.
pub(super) async fn start(config: Sidecar) -> anyhow::Result<Running> {
    let started = Instant::now();
    let shared: Shared = Arc::new(shared::Shared::new());
    let specs = specs(&config)?;
    let tls = Arc::new(config.tls.load()?);
    tokio::spawn(tls::watch(Arc::clone(&tls)));
    let lock = state::lock(&config).await?;
    let applier = state::applier(&config, specs, &shared)?;
    let holdings = applier.holdings();
    let reports = Reports::new(config.name.clone(), config.workers);
    let (serving, drain) = shutdown::channel();
    let listener = TcpListener::bind(config.admin)
        .await
        .with_context(|| format!("admin: listen on {}", config.admin))?;
    let admin = listener.local_addr().context("admin: read the address")?;
    let (sealed, sealing) = mpsc::unbounded_channel();
    let (local, events) = mpsc::unbounded_channel();
    let settings = config.worker_settings(Arc::clone(&tls));
    let sockets = listen::bind(&config.listening(), Vec::new())?;
    let inference = listen::addresses(&sockets).context("listen: read the addresses")?;
    let sharing = Arc::clone(&shared);
    let workers = worker::spawn(&settings, sockets, sharing, sealed, local, drain.clone())
        .context("start the data path")?;
    let seen = watch::start(Arc::clone(&shared), tls, events);
    let contact = if config.control_plane.is_empty() {
        info!("no control plane: static");
        tokio::spawn(watch::forget(sealing));
        None
    } else {
        let peer = peer(&config, &reports, &shared, &seen);
        Some(connect(&config, peer, applier, sealing)?)
    };
    let parts = Parts {
        name: config.name.clone(),
        inference: inference.clone(),
        started,
        shared,
        holdings,
        contact: contact.as_ref().map(|contact| contact.heard.clone()),
        probed: seen.probed,
        achieved: seen.achieved,
        reports,
        desk: contact.as_ref().map(|contact| contact.desk.clone()),
        drain,
        hosts: super::admin_names(&config),
        request_bytes: config.outcomes.request_bytes,
    };
    tokio::spawn(serve_admin(listener, Admin::new(parts)));
    Ok(Running {
        inference,
        admin,
        workers,
        drain: config.drain,
        serving,
        contact,
        _lock: lock,
    })
}

/// Follows, reports and forwards outcomes.
fn connect(
    config: &Sidecar,
    peer: Peer,
    applier: Applier,
    sealing: mpsc::UnboundedReceiver<worker::Sealed>,
) -> anyhow::Result<ControlPlane> {
    let (said, heard) = channel(Contact::default());
    let desk = state::open_desk(config, heard.clone())?;
    let (leave, leaving) = shutdown::channel();
    let (outcomes_end, ending) = channel(false);
    let (reports, reconnect) = (peer.reports.clone(), Arc::clone(&peer.reconnect));
    let forwarding = desk.clone();
    Ok(ControlPlane {
        syncing: tokio::spawn(sync::run(peer, applier, said, leaving)),
        reporting: tokio::spawn(report::run(reports, sealing, heard.clone(), reconnect)),
        forwarding: tokio::spawn(async move { forwarding.forward(ending).await }),
        desk,
        heard,
        leave,
        outcomes_end,
    })
}

fn specs(config: &Sidecar) -> anyhow::Result<Vec<ModelSpec>> {
    let specs = config.models.iter().map(Model::spec);
    specs.collect::<Result<_, _>>().context("match")
}

fn peer(config: &Sidecar, reports: &Reports, shared: &Shared, seen: &Seen) -> Peer {
    let models = config.models.iter();
    Peer {
        name: config.name.clone(),
        models: models.map(|model| model.name.clone()).collect(),
        control_plane: config.control_plane.clone(),
        token_file: config.token_file.clone(),
        reports: reports.clone(),
        shared: Arc::clone(shared),
        probed: seen.probed.clone(),
        news: Arc::clone(&seen.news),
        reconnect: Arc::default(),
    }
}

/// Serves until the process ends: probes and metrics must answer during a drain too.
async fn serve_admin(listener: TcpListener, admin: Admin) {
    if let Err(error) = axum::serve(listener, admin.router()).await {
        tracing::error!(%error, "the admin port is closed");
    }
}
