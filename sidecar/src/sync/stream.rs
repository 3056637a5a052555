//! One life of the Sync stream: greeting, pushes, heartbeats, latches, until it ends.

use super::apply::Applier;
use super::link::{Link, LinkError, causes};
use super::status::Readiness;
use super::{Peer, Session};
use crate::report::ledger::LostHistory;
use crate::table::Ids;
use rand::RngExt as _;
use serinus_common::prediction_id::IdKey;
use serinus_proto::v1;
use serinus_proto::v1::ack_result::Outcome;
use serinus_proto::v1::control_message::Message as FromControl;
use serinus_proto::v1::sidecar_message::Message as ToControl;
use serinus_proto::v1::sidecars_client::SidecarsClient;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tracing::{error, info, warn};

/// The first answer must be there by then.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);
/// A lease to go by where nothing is leased, as the control plane does, ms.
const LEASE_MS: u64 = 60_000;
/// Heartbeats come four times a lease, give or take a fifth: a control plane that is silent for three of them has
/// forgotten this stream.
const MISSED: f64 = 3.0 * 1.2 / 4.0;
/// However short the lease is.
const SHORTEST_SILENCE: Duration = Duration::from_secs(2);
/// What this sidecar sends to those who understand it.
const WARMING: &str = "warming";
/// Version of the protocol that is spoken here.
const PROTOCOL: u32 = 1;

/// Why a stream ended.
#[derive(Debug, Error)]
pub(super) enum Ended {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("the control plane said {:?}: {}{}", .0.code(), .0.message(), causes(.0))]
    Status(#[from] Status),
    #[error("the control plane closed the stream")]
    Closed,
    #[error("the control plane did not {0} in time")]
    Silent(&'static str),
    #[error("the control plane does not read what it is sent")]
    Deaf,
    #[error("the first message was no welcome")]
    Rude,
    #[error("a new connection was asked for")]
    Asked,
    #[error("the control plane asked this sidecar to come back later")]
    Drained(Duration),
    #[error(transparent)]
    LostHistory(#[from] LostHistory),
}

/// A stream that was welcomed.
pub(super) struct Stream {
    send: mpsc::Sender<v1::SidecarMessage>,
    receive: Streaming<v1::ControlMessage>,
    link: Link,
    status: Vec<v1::VariantStatus>,
    /// The control plane understands that an assignment is warming.
    says_warming: bool,
    leave_at: Option<Instant>,
}

impl Stream {
    /// Greets, and waits for the welcome.
    pub(super) async fn open(
        link: Link,
        peer: &Peer,
        applier: &mut Applier,
    ) -> Result<(Self, v1::Welcome), Ended> {
        let (send, outgoing) = mpsc::channel(64);
        let hello = ToControl::Hello(hello(peer, applier));
        let stream = async {
            let _ = send.try_send(wrap(hello));
            let mut client = SidecarsClient::new(link.clone());
            let mut receive = client
                .sync(ReceiverStream::new(outgoing))
                .await?
                .into_inner();
            let first = receive.message().await?.ok_or(Ended::Closed)?;
            match first.message {
                Some(FromControl::Welcome(welcome)) => Ok((receive, welcome)),
                _ => Err(Ended::Rude),
            }
        };
        let silent = || Ended::Silent("welcome this sidecar");
        let (receive, welcome) = tokio::select! {
            opened = timeout(WELCOME_WITHIN, stream) => opened.map_err(|_| silent())??,
            // Leases grow older, and whoever operates this host has a say, also while nobody answers.
            () = super::ticking(applier) => return Err(silent()),
        };
        peer.reports.welcome(&welcome)?;
        applier.set_ids(ids(&welcome));
        let stream = Self {
            send,
            receive,
            link,
            status: Vec::new(),
            says_warming: welcome.capabilities.iter().any(|name| name == WARMING),
            leave_at: None,
        };
        Ok((stream, welcome))
    }

    /// What others need to speak over the same connection.
    pub(super) fn session(&self, url: &str) -> Session {
        Session {
            link: self.link.clone(),
            url: url.to_owned(),
            since_ms: super::clock::wall_ms(),
        }
    }

    /// Does what it is told until the stream ends. Whoever was asked to come back later does, however it ends.
    pub(super) async fn serve(&mut self, peer: &Peer, applier: &mut Applier) -> Ended {
        let ended = self.work(peer, applier).await;
        match self.leave_at {
            Some(at) => Ended::Drained(at.saturating_duration_since(Instant::now())),
            None => ended,
        }
    }

    async fn work(&mut self, peer: &Peer, applier: &mut Applier) -> Ended {
        if let Err(ended) = self.tell(peer, applier) {
            return ended;
        }
        let mut silence = Instant::now() + silence_after(applier);
        let mut ticks = tokio::time::interval(super::TICK);
        loop {
            let leave_at = self.leave_at;
            let step = tokio::select! {
                message = self.receive.message() => {
                    let obeyed = match message {
                        Ok(Some(message)) => self.obey(message, peer, applier).await,
                        Ok(None) => Err(Ended::Closed),
                        Err(status) => Err(status.into()),
                    };
                    silence = Instant::now() + silence_after(applier);
                    obeyed
                }
                _ = ticks.tick() => {
                    if applier.tick().await {
                        // Something was refused only for the disk: greet again, to tell what is held now.
                        Err(Ended::Asked)
                    } else {
                        Ok(())
                    }
                }
                () = peer.news.notified() => Ok(()),
                () = applier.local_change() => {
                    applier.tick().await;
                    Ok(())
                }
                () = peer.reconnect.notified() => Err(Ended::Asked),
                () = sleep_until(silence) => Err(Ended::Silent("send a heartbeat")),
                () = sleep_until(leave_at.unwrap_or(silence)), if leave_at.is_some() => Err(Ended::Asked),
            };
            if let Err(ended) = step.and_then(|()| self.tell(peer, applier)) {
                return ended;
            }
        }
    }

    async fn obey(
        &mut self,
        message: v1::ControlMessage,
        peer: &Peer,
        applier: &mut Applier,
    ) -> Result<(), Ended> {
        match message.message {
            Some(FromControl::Push(push)) => {
                let mut ack = {
                    let probed = peer.probed.borrow().clone();
                    applier.push(push, &Readiness(&probed)).await
                };
                for result in ack.results.iter_mut().filter(|_| !self.says_warming) {
                    if result.outcome() == Outcome::Warming {
                        result.set_outcome(Outcome::Applied);
                    }
                }
                self.send(ToControl::Ack(ack))
            }
            Some(FromControl::Heartbeat(heartbeat)) => {
                applier.renew(&heartbeat);
                match heartbeat.state_digest {
                    Some(theirs) if theirs != applier.digest() => {
                        warn!(
                            "the control plane is mistaken about what is held here; asking for everything"
                        );
                        let held = applier.held();
                        self.send(ToControl::Resync(v1::Resync { held }))
                    }
                    _ => Ok(()),
                }
            }
            Some(FromControl::Latch(latch)) => {
                applier.latch(&latch).await;
                Ok(())
            }
            Some(FromControl::Drain(drain)) => {
                let wait = drain_wait(&drain);
                info!(
                    ?wait,
                    "the control plane asks this sidecar to connect again"
                );
                self.leave_at = Some(Instant::now() + wait);
                Ok(())
            }
            // A second welcome, or something of a later version: nothing to do.
            Some(FromControl::Welcome(_)) | None => Ok(()),
        }
    }

    /// Sends the status of the variants if it is another one than was sent last.
    fn tell(&mut self, peer: &Peer, applier: &mut Applier) -> Result<(), Ended> {
        let mut applied = applier.warmed(&Readiness(&peer.probed.borrow()));
        if !self.says_warming {
            applied.clear();
        }
        let status = peer.status(&applier.holdings().borrow());
        if status == self.status && applied.is_empty() {
            return Ok(());
        }
        self.status.clone_from(&status);
        self.send(ToControl::Status(v1::Status {
            variants: status,
            applied,
        }))
    }

    fn send(&self, message: ToControl) -> Result<(), Ended> {
        self.send
            .try_send(wrap(message))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Ended::Deaf,
                mpsc::error::TrySendError::Closed(_) => Ended::Closed,
            })
    }
}

fn silence_after(applier: &Applier) -> Duration {
    let lease = Duration::from_millis(applier.shortest_lease_ms().unwrap_or(LEASE_MS));
    lease.mul_f64(MISSED).max(SHORTEST_SILENCE)
}

fn wrap(message: ToControl) -> v1::SidecarMessage {
    v1::SidecarMessage {
        message: Some(message),
    }
}

pub(super) fn hello(peer: &Peer, applier: &Applier) -> v1::Hello {
    v1::Hello {
        sidecar: peer.name.clone(),
        incarnation: peer.reports.incarnation(),
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        models: peer.models.clone(),
        held: applier.held(),
        capabilities: vec![WARMING.to_owned()],
        labels: peer.labels.clone(),
    }
}

/// The issuer and its key, if they are what they should be.
fn ids(welcome: &v1::Welcome) -> Option<Ids> {
    let issuer = u32::try_from(welcome.issuer)
        .ok()
        .filter(|&issuer| issuer > 0);
    let secret = <[u8; 16]>::try_from(welcome.id_key.as_slice()).ok();
    let (Some(issuer), Some(secret)) = (issuer, secret) else {
        error!(
            issuer = welcome.issuer,
            key_bytes = welcome.id_key.len(),
            "the control plane gave no usable issuer or key: outcomes will answer bad_id"
        );
        return None;
    };
    let key = IdKey {
        // Key numbers wrap at 256.
        id: (welcome.id_key_id % 256) as u8,
        secret,
    };
    Some(Ids { issuer, key })
}

fn drain_wait(drain: &v1::Drain) -> Duration {
    let of = |duration: Option<prost_types::Duration>| {
        duration
            .and_then(|duration| Duration::try_from(duration).ok())
            .unwrap_or_default()
    };
    let (min, max) = (of(drain.after_min), of(drain.after_max));
    let spread = max.saturating_sub(min);
    min + spread.mul_f64(rand::rng().random_range(0.0..1.0))
}
