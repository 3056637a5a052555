//! Putting a sidecar together.

use super::follow::{self, Following};
use super::handover::{Door, Predecessor, Sockets};
use super::watch::{self, Seen};
use super::{Shared, activation};
use crate::admin::Parts;
use crate::config::Sidecar;
use crate::kill::Switch;
use crate::listen::{self, Listen, Plan, Socket};
use crate::report::{self, Reports};
use crate::shared;
use crate::sync::Contact;
use crate::table::Table;
use crate::tls::{self, Tls};
use crate::worker::{self, LocalEvent, Sealed, Workers};
use anyhow::{Context as _, anyhow};
use serinus_runtime::shutdown::{self, Drain, Trigger};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch::{Sender, channel};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// How long a process that takes over waits for the control plane and for the first probes: meanwhile the old one
/// serves.
const SETTLE: Duration = Duration::from_secs(2);

/// A sidecar that serves.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) core: Core,
    pub(super) workers: Workers,
    /// Stops taking requests.
    pub(super) serving: Trigger,
    /// Held for the next process.
    pub(super) sockets: Sockets,
    /// Where that one knocks.
    pub(super) door: Option<Door>,
    /// Absent when the state directory was given up.
    pub(super) following: Option<Following>,
    pub(super) reporting: JoinHandle<()>,
    /// The next process serves.
    pub(super) handed_over: bool,
}

/// What lives as long as the process.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: Sidecar,
    pub(super) inference: Vec<Listen>,
    pub(super) admin: SocketAddr,
    pub(super) shared: Shared,
    pub(super) reports: Reports,
    pub(super) seen: Seen,
    /// How it stands with the control plane.
    pub(super) said: Arc<Sender<Contact>>,
    /// The connection must be made anew.
    pub(super) reconnect: Arc<Notify>,
    pub(super) tls: Arc<Tls>,
    /// The word of whoever operates this host.
    pub(super) kill: Switch,
    started: Instant,
    drain: Drain,
}

impl Core {
    fn new(
        config: Sidecar,
        sockets: &Sockets,
        drain: Drain,
        tls: Arc<Tls>,
        events: mpsc::UnboundedReceiver<LocalEvent>,
    ) -> anyhow::Result<Self> {
        let admin = sockets.admin.address().ok().and_then(|at| at.tcp());
        let inference = listen::addresses(&sockets.inference);
        let shared: Shared = Arc::new(shared::Shared::new());
        tokio::spawn(tls::watch(Arc::clone(&tls)));
        let kill = Switch::new(config.kill_path());
        tokio::spawn(kill.clone().follow());
        Ok(Self {
            inference: inference.context("listen: read the addresses")?,
            admin: admin.context("admin: read the address")?,
            seen: watch::start(Arc::clone(&shared), Arc::clone(&tls), events),
            tls,
            reports: Reports::new(config.name.clone(), config.workers),
            said: Arc::new(channel(Contact::default()).0),
            reconnect: Arc::default(),
            kill,
            started: Instant::now(),
            drain,
            shared,
            config,
        })
    }

    /// What the admin port shows of it.
    pub(super) fn parts(&self) -> Parts {
        Parts {
            name: self.config.name.clone(),
            inference: self.inference.clone(),
            started: self.started,
            shared: Arc::clone(&self.shared),
            holdings: channel(Default::default()).1,
            contact: None,
            probed: self.seen.probed.clone(),
            achieved: self.seen.achieved.clone(),
            reports: self.reports.clone(),
            desk: None,
            drain: self.drain.clone(),
            kill: self.kill.clone(),
            hosts: super::admin_names(&self.config),
            request_bytes: self.config.outcomes.request_bytes,
        }
    }
}

/// Ends of the channels between the workers and the rest.
struct Channels {
    sealed: mpsc::UnboundedSender<Sealed>,
    local: mpsc::UnboundedSender<LocalEvent>,
    drain: Drain,
}

/// Starts every part, and returns when calls are taken. What can fail comes before a running process gives up anything.
pub(super) async fn start(config: Sidecar) -> anyhow::Result<Running> {
    compile(&config)?;
    let tls = Arc::new(config.load_tls()?);
    let (mut predecessor, inherited) = Predecessor::find(&config).await?.unzip();
    let sockets = sockets(&config, inherited)?;
    let (serving, drain) = shutdown::channel();
    let (sealed, sealing) = mpsc::unbounded_channel();
    let (local, events) = mpsc::unbounded_channel();
    let core = Core::new(config, &sockets, drain.clone(), Arc::clone(&tls), events)?;
    if let Some(old) = &mut predecessor {
        old.release().await.context("handover")?;
    }
    let following = Following::begin(&core, &sockets.admin).await?;
    // What was in use before a restart is in use at once; what comes from now on is looked at first.
    core.shared.watch_endpoints();
    let reporting = start_reporting(&core, sealing);
    if predecessor.is_some() {
        settle(&core).await;
    }
    let channels = Channels {
        sealed,
        local,
        drain,
    };
    let workers = start_workers(&core, &sockets, tls, channels)?;
    let door = open_door(&core.config);
    if let Some(old) = predecessor
        && let Err(error) = old.retire().await
    {
        warn!(why = format!("{error:#}"), "the old process has gone");
    }
    Ok(Running {
        core,
        workers,
        serving,
        sockets,
        door,
        following: Some(following),
        reporting,
        handed_over: false,
    })
}

fn start_workers(
    core: &Core,
    sockets: &Sockets,
    tls: Arc<Tls>,
    channels: Channels,
) -> anyhow::Result<Workers> {
    let shares: std::io::Result<Vec<_>> = sockets.inference.iter().map(Socket::try_clone).collect();
    let settings = core.config.worker_settings(tls);
    let Channels {
        sealed,
        local,
        drain,
    } = channels;
    let shares = shares.context("listen: share the sockets")?;
    let shared = Arc::clone(&core.shared);
    worker::spawn(&settings, shares, shared, sealed, local, drain).context("start the data path")
}

/// Mistakes of the own file that only compiling it shows.
fn compile(config: &Sidecar) -> anyhow::Result<()> {
    let compiled = Table::compile(&follow::specs(config)?, &[], None);
    compiled.map(|_| ()).map_err(|mistakes| {
        anyhow!(
            "the configuration cannot be served:\n  {}",
            mistakes.join("\n  ")
        )
    })
}

/// Those of the running process, else those of systemd, else new ones.
fn sockets(config: &Sidecar, inherited: Option<Sockets>) -> anyhow::Result<Sockets> {
    let (inference, admin) = match inherited {
        Some(sockets) => (sockets.inference, vec![sockets.admin]),
        None => {
            let is_admin = |socket: &Socket| {
                let address = socket.address().ok();
                address == Some(Listen::Tcp(config.admin))
            };
            let mut passed = activation::sockets()?;
            let admin = passed.extract_if(.., |socket| is_admin(socket)).collect();
            (passed, admin)
        }
    };
    let admin_plan = Plan {
        addresses: vec![Listen::Tcp(config.admin)],
        workers: 1,
        ..config.listening()
    };
    let admin = listen::bind(&admin_plan, admin).context("admin")?;
    Ok(Sockets {
        inference: listen::bind(&config.listening(), inference)?,
        admin: admin.into_iter().next().context("admin: no socket")?,
    })
}

fn start_reporting(core: &Core, sealing: mpsc::UnboundedReceiver<Sealed>) -> JoinHandle<()> {
    if core.config.control_plane.is_empty() {
        info!("no control plane: static");
        return tokio::spawn(watch::forget(sealing));
    }
    let (reports, heard) = (core.reports.clone(), core.said.subscribe());
    tokio::spawn(report::run(
        reports,
        sealing,
        heard,
        Arc::clone(&core.reconnect),
    ))
}

/// Waits for what makes the first request as good as the last one of the old process: a number for prediction ids, and
/// a look at the endpoints.
async fn settle(core: &Core) {
    let (mut said, mut probed) = (core.said.subscribe(), core.seen.probed.clone());
    let known = async {
        if !core.config.control_plane.is_empty() {
            let _ = said.wait_for(|contact| contact.session.is_some()).await;
        }
        let _ = probed.wait_for(|probed| !probed.is_empty()).await;
    };
    if tokio::time::timeout(SETTLE, known).await.is_err() {
        warn!("taking over without contact to the control plane");
    }
}

/// Without it the sidecar serves all the same.
fn open_door(config: &Sidecar) -> Option<Door> {
    let path = config.handover_path()?;
    match Door::open(&path) {
        Ok(door) => Some(door),
        Err(error) => {
            let why = format!("{error:#}");
            warn!(
                why,
                "no other process can take over from this one; set handover"
            );
            None
        }
    }
}
