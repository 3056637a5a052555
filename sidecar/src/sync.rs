//! The control plane's instructions: how they arrive, what is accepted, and how they come into force.

pub mod apply;
pub mod cache;
pub mod clock;
pub mod follow;
mod link;
mod poll;
pub mod saved;
mod status;
pub mod store;
mod stream;

pub use link::{Bearer, Link, LinkError};

use crate::report::Reports;
use crate::shared::Shared;
use crate::tls::Dial;
use apply::{Applier, Holdings};
use poll::Polling;
use rand::RngExt as _;
use serinus_proto::v1;
use serinus_runtime::backoff::Backoff;
use serinus_runtime::shutdown::Drain;
use status::Readiness;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stream::{Ended, Stream};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tonic::Code;
use tracing::{info, warn};

pub use status::{Probed, ProbedVariant};

/// How often leases are looked at.
const TICK: Duration = Duration::from_millis(500);
/// A connection that held for so long was no failure.
const GOOD: Duration = Duration::from_secs(60);
/// How long a refused sidecar waits; it serves on.
const REFUSED: Duration = Duration::from_secs(300);

/// An open connection.
#[derive(Clone, Debug)]
pub struct Session {
    /// What calls go over.
    pub link: Link,
    /// Which replica it is.
    pub url: String,
    /// Unix milliseconds of the welcome.
    pub since_ms: u64,
}

/// How it stands with the control plane.
#[derive(Clone, Debug, Default)]
pub struct Contact {
    /// The connection, while there is one.
    pub session: Option<Session>,
    /// Why there is none.
    pub trouble: String,
    /// Connections that were opened since the start.
    pub connections: u64,
}

/// Who this sidecar is to the control plane, and what it tells.
#[derive(Debug)]
pub struct Peer {
    /// Stable name.
    pub name: String,
    /// Models of the own file.
    pub models: Vec<String>,
    /// By which rollouts may select it.
    pub labels: BTreeMap<String, String>,
    /// Base addresses of the control plane's replicas.
    pub control_plane: Vec<String>,
    /// File with the token.
    pub token_file: Option<PathBuf>,
    /// How `https` addresses are connected to.
    pub tls: Arc<Dial>,
    /// Counts on their way.
    pub reports: Reports,
    /// Breakers are read from it.
    pub shared: Arc<Shared>,
    /// Which variants answer.
    pub probed: watch::Receiver<Probed>,
    /// Notified when a breaker or a variant's readiness changed.
    pub news: Arc<Notify>,
    /// Notified when the connection must be made anew.
    pub reconnect: Arc<Notify>,
}

impl Peer {
    fn status(&self, holdings: &Holdings) -> Vec<v1::VariantStatus> {
        let readiness = Readiness(&self.probed.borrow());
        status::all(holdings, &self.shared.breakers(), &readiness)
    }
}

/// Stays in contact until the drain: connects, follows, connects again. Never gives up; leases grow older meanwhile.
pub async fn run(
    peer: Peer,
    mut applier: Applier,
    contact: Arc<watch::Sender<Contact>>,
    mut drain: Drain,
) {
    tokio::select! {
        () = forever(&peer, &mut applier, &contact) => {}
        () = drain.wait() => {}
    }
}

/// Without a control plane: follows nothing but whoever operates this host.
pub async fn alone(mut applier: Applier) {
    ticking(&mut applier).await;
}

async fn forever(peer: &Peer, applier: &mut Applier, contact: &watch::Sender<Contact>) {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    let mut polling = Polling::default();
    let mut attempt = 0;
    while !peer.control_plane.is_empty() {
        let url = &peer.control_plane[attempt % peer.control_plane.len()];
        attempt += 1;
        let start = Instant::now();
        let ended = once(peer, url, applier, contact).await;
        let lasted = start.elapsed();
        if lasted >= GOOD {
            backoff.reset();
        }
        polling.ended(&ended, lasted);
        let wait = wait(peer, &ended, lasted, &mut backoff);
        warn!(url, why = %ended, ?wait, "no contact with the control plane; serving on");
        contact.send_modify(|contact| {
            contact.session = None;
            contact.trouble = ended.to_string();
        });
        let until = Instant::now() + wait;
        while polling.wait(until, applier).await {
            polling.fetch(peer, url, applier).await;
        }
    }
    // Static: there is nothing to follow, and nothing that grows old, but whoever operates this host has a say.
    ticking(applier).await
}

/// One connection from its beginning to its end.
async fn once(
    peer: &Peer,
    url: &str,
    applier: &mut Applier,
    contact: &watch::Sender<Contact>,
) -> Ended {
    let link = tokio::select! {
        link = link::connect(url, peer.token_file.as_deref(), &peer.tls) => link,
        // Connecting ends by its own time limit long before a tick could matter twice.
        () = ticking(applier) => return Ended::Silent("answer"),
    };
    let link = match link {
        Ok(link) => link,
        Err(error) => return error.into(),
    };
    let (mut stream, welcome) = match Stream::open(link, peer, applier).await {
        Ok(opened) => opened,
        Err(ended) => return ended,
    };
    info!(
        url,
        issuer = welcome.issuer,
        committed = welcome.committed_seq,
        "in contact with the control plane"
    );
    contact.send_modify(|contact| {
        contact.session = Some(stream.session(url));
        contact.trouble.clear();
        contact.connections += 1;
    });
    stream.serve(peer, applier).await
}

async fn ticking(applier: &mut Applier) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = applier.local_change() => {}
        }
        applier.tick().await;
    }
}

/// How long to stay away after an end.
fn wait(peer: &Peer, ended: &Ended, lasted: Duration, backoff: &mut Backoff) -> Duration {
    match ended {
        Ended::Asked if lasted >= TICK => Duration::ZERO,
        Ended::Drained(left) => *left,
        Ended::LostHistory(_) => {
            peer.reports.restart();
            Duration::ZERO
        }
        Ended::Status(status)
            if matches!(
                status.code(),
                Code::Unauthenticated | Code::PermissionDenied
            ) =>
        {
            REFUSED.mul_f64(rand::rng().random_range(0.8..1.2))
        }
        _ => backoff.next_delay(),
    }
}

/// A connection to a server of a test.
#[cfg(test)]
pub(crate) async fn link_for_tests(url: &str) -> Link {
    link::connect(url, None, &Arc::new(Dial::system()))
        .await
        .unwrap()
}

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;
