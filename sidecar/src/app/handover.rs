//! One process of a sidecar takes over from another without a dropped request.
//!
//! The new one connects to the old one's Unix domain socket and is given its listening sockets, so that no connection
//! in their queues is lost. Only when it has everything else that can fail does it ask for the state directory; the old
//! one serves on meanwhile, and goes back to work if the new one does not say that it serves.

mod door;
mod predecessor;
mod wire;

pub(super) use door::Door;
pub(super) use predecessor::Predecessor;

use super::follow::Following;
use super::start::Running;
use crate::listen::Socket;
use anyhow::{Context as _, bail};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;
use tokio::net::UnixStream;
use tracing::{error, info, warn};
use wire::{Kind, Message, PROTOCOL, Wire};

/// For one message that needs nothing but a running process.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// For the new process to read its state and to start.
const SERVE_WITHIN: Duration = Duration::from_secs(30);
/// Between attempts to take the state directory back.
const RETRY: Duration = Duration::from_secs(1);

/// The sockets of a sidecar.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) inference: Vec<Socket>,
    pub(super) admin: Socket,
}

impl Running {
    /// Hands everything to the process at the other end. If that does not come to serve, this one does what it did
    /// before; whether it is over here.
    pub(super) async fn hand_over(&mut self, stream: UnixStream) -> bool {
        match self.try_hand_over(stream).await {
            Ok(()) => {
                info!("another process of this sidecar serves from now on");
                self.handed_over = true;
            }
            Err(error) => {
                let why = format!("{error:#}");
                warn!(why, "the handover to another process failed; serving on");
                self.take_back().await;
            }
        }
        self.handed_over
    }

    async fn try_hand_over(&mut self, stream: UnixStream) -> anyhow::Result<()> {
        let mut wire = Wire::new(stream)?;
        let (asked, _) = wire.receive(ANSWER_WITHIN).await?;
        let Message::TakeOver { protocol, name } = asked else {
            bail!("it did not say who it is");
        };
        if let Some(why) = self.objection(protocol, &name) {
            wire.send(&Message::Refused { why: why.clone() }, &[])
                .await?;
            bail!("refused: {why}");
        }
        let (kinds, fds) = self.descriptors();
        wire.send(&Message::Sockets { kinds }, &fds).await?;
        wire.expect(&Message::Release, SERVE_WITHIN).await?;
        if let Some(following) = self.following.take() {
            following.release().await;
        }
        wire.send(&Message::Released, &[]).await?;
        wire.expect(&Message::Serving, SERVE_WITHIN).await
    }

    fn objection(&self, protocol: u32, name: &str) -> Option<String> {
        let own = &self.core.config.name;
        if protocol != PROTOCOL {
            return Some(format!(
                "the running sidecar hands over by version {PROTOCOL}, not {protocol}; stop it first"
            ));
        }
        (name != own).then(|| {
            format!("the running sidecar is {own:?}, not {name:?}; give each its own state_dir")
        })
    }

    fn descriptors(&self) -> (Vec<Kind>, Vec<BorrowedFd<'_>>) {
        let inference = self.sockets.inference.iter();
        let mut kinds = vec![Kind::Inference; inference.len()];
        let mut fds: Vec<_> = inference.map(Socket::as_fd).collect();
        kinds.push(Kind::Admin);
        fds.push(self.sockets.admin.as_fd());
        (kinds, fds)
    }

    /// Follows the control plane again, as soon as the state directory is free.
    async fn take_back(&mut self) {
        while self.following.is_none() {
            match Following::begin(&self.core, &self.sockets.admin).await {
                Ok(following) => self.following = Some(following),
                Err(error) => {
                    let why = format!("{error:#}");
                    error!(why, "serving by the last assignments, without contact");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

/// Sorts what arrived by what it is for.
fn sort(kinds: &[Kind], sockets: Vec<Socket>) -> anyhow::Result<Sockets> {
    if kinds.len() != sockets.len() {
        bail!(
            "{} sockets were announced, {} came",
            kinds.len(),
            sockets.len()
        );
    }
    let (mut inference, mut admin) = (Vec::new(), None);
    for (kind, socket) in kinds.iter().zip(sockets) {
        match kind {
            Kind::Inference => inference.push(socket),
            Kind::Admin => admin = Some(socket),
        }
    }
    Ok(Sockets {
        inference,
        admin: admin.context("no admin socket came")?,
    })
}

#[cfg(test)]
mod tests;
