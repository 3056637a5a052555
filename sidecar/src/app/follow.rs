//! What only one process of a sidecar may do at a time: hold the state directory, follow the control plane by it,
//! forward outcomes, and answer on the admin port.

use super::start::Core;
use super::stop::finish;
use super::{Shared, state};
use crate::admin::{Admin, Parts};
use crate::config::{Model, Sidecar};
use crate::listen::Socket;
use crate::outcomes::Desk;
use crate::sync::apply::Applier;
use crate::sync::{self, Peer};
use crate::table::ModelSpec;
use anyhow::{Context as _, bail};
use serinus_runtime::shutdown::{self, Drain, Trigger};
use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch::{Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// For tasks that end at once when told to.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Everything that hangs on the state directory.
#[derive(Debug)]
pub(super) struct Following {
    /// Absent for a static sidecar.
    contact: Option<Contact>,
    /// Of a static sidecar: follows whoever operates this host.
    alone: Option<JoinHandle<()>>,
    admin: JoinHandle<()>,
    admin_end: Trigger,
    /// The state directory is this process's alone as long as it is held.
    _lock: Option<File>,
}

/// What speaks with the control plane on behalf of the state directory.
#[derive(Debug)]
struct Contact {
    syncing: JoinHandle<()>,
    forwarding: JoinHandle<()>,
    /// Ends following.
    leave: Trigger,
    /// Ends forwarding, once nothing is left on disk.
    outcomes_end: Sender<bool>,
    desk: Desk,
}

impl Following {
    /// Takes the state directory, publishes the first table, and follows.
    pub(super) async fn begin(core: &Core, admin: &Socket) -> anyhow::Result<Self> {
        let lock = state::lock(&core.config).await?;
        let applier = state::applier(&core.config, specs(&core.config)?, &core.shared, &core.kill)?;
        let holdings = applier.holdings();
        let (contact, alone) = match core.config.control_plane.is_empty() {
            true => (None, Some(applier)),
            false => (Some(Contact::begin(core, applier)?), None),
        };
        let alone = alone.map(|applier| tokio::spawn(sync::alone(applier)));
        let desk = contact.as_ref().map(|contact| contact.desk.clone());
        let parts = Parts {
            holdings,
            contact: desk.is_some().then(|| core.said.subscribe()),
            desk,
            ..core.parts()
        };
        let (admin_end, ending) = shutdown::channel();
        let admin = tokio::spawn(serve_admin(listener(admin)?, Admin::new(parts), ending));
        Ok(Self {
            contact,
            alone,
            admin,
            admin_end,
            _lock: lock,
        })
    }

    /// Gives the state directory up. Reports go on over the connection that there is.
    pub(super) async fn release(self) {
        self.admin_end.drain();
        finish("the admin port", self.admin, Instant::now() + AT_ONCE).await;
        if let Some(alone) = self.alone {
            alone.abort();
        }
        if let Some(contact) = self.contact {
            contact.leave.drain();
            let leaving = contact.syncing;
            finish("following", leaving, Instant::now() + AT_ONCE).await;
            contact.forwarding.abort();
            contact.desk.close().await;
        }
    }

    /// Ends with the process; probes and metrics answer to the last. `until`: for outcomes that are still on disk.
    pub(super) async fn end(self, until: Instant) {
        let Some(contact) = self.contact else { return };
        contact.outcomes_end.send_replace(true);
        finish("outcomes", contact.forwarding, until).await;
        contact.leave.drain();
        let leaving = contact.syncing;
        let what = "the contact with the control plane";
        finish(what, leaving, Instant::now() + AT_ONCE).await;
    }
}

impl Contact {
    fn begin(core: &Core, applier: Applier) -> anyhow::Result<Self> {
        let desk = state::open_desk(&core.config, core.said.subscribe())?;
        let (leave, leaving) = shutdown::channel();
        let (outcomes_end, ending) = channel(false);
        let forwarding = desk.clone();
        let said = Arc::clone(&core.said);
        Ok(Self {
            syncing: tokio::spawn(sync::run(peer(core), applier, said, leaving)),
            forwarding: tokio::spawn(async move { forwarding.forward(ending).await }),
            desk,
            leave,
            outcomes_end,
        })
    }
}

/// The models of the own file.
pub(super) fn specs(config: &Sidecar) -> anyhow::Result<Vec<ModelSpec>> {
    let specs = config.models.iter().map(Model::spec);
    specs.collect::<Result<_, _>>().context("match")
}

fn peer(core: &Core) -> Peer {
    let models = core.config.models.iter();
    Peer {
        name: core.config.name.clone(),
        models: models.map(|model| model.name.clone()).collect(),
        labels: core.config.labels.clone(),
        control_plane: core.config.control_plane.clone(),
        token_file: core.config.token_file.clone(),
        tls: Arc::clone(&core.tls.control_plane),
        reports: core.reports.clone(),
        shared: Shared::clone(&core.shared),
        probed: core.seen.probed.clone(),
        news: Arc::clone(&core.seen.news),
        reconnect: Arc::clone(&core.reconnect),
    }
}

fn listener(socket: &Socket) -> anyhow::Result<TcpListener> {
    let socket = socket.try_clone().context("admin: share the socket")?;
    match socket {
        Socket::Tcp(listener) => TcpListener::from_std(listener).context("admin: listen"),
        Socket::Unix(_) => bail!("admin: a Unix domain socket is not served"),
    }
}

async fn serve_admin(listener: TcpListener, admin: Admin, mut end: Drain) {
    let router = admin.router();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serve = axum::serve(listener, service);
    let serve = serve.with_graceful_shutdown(async move { end.wait().await });
    if let Err(error) = serve.await {
        tracing::error!(%error, "the admin port is closed");
    }
}
