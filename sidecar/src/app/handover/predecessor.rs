//! The process that serves until now, as the new one sees it.

use super::wire::{Message, PROTOCOL, Wire};
use super::{ANSWER_WITHIN, SERVE_WITHIN, Sockets, sort};
use crate::config::Sidecar;
use anyhow::{Context as _, bail};
use std::io;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tracing::{info, warn};

/// The running process of this sidecar.
#[derive(Debug)]
pub(in crate::app) struct Predecessor(Wire);

impl Predecessor {
    /// The process that answers at the handover's path, with its sockets; `None` if there is none.
    ///
    /// # Errors
    /// If one is there that does not hand over.
    pub(in crate::app) async fn find(config: &Sidecar) -> anyhow::Result<Option<(Self, Sockets)>> {
        let Some(path) = config.handover_path() else {
            return Ok(None);
        };
        let connected = timeout(ANSWER_WITHIN, UnixStream::connect(&path)).await;
        let stream = match connected.context("handover: the running sidecar does not answer")? {
            Ok(stream) => stream,
            Err(error) => {
                let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
                if !nobody.contains(&error.kind()) {
                    warn!(path = %path.display(), %error, "handover: cannot connect");
                }
                return Ok(None);
            }
        };
        let wire = Wire::new(stream).with_context(|| format!("handover: {}", path.display()))?;
        let process = wire.peer().unwrap_or_default();
        let mut predecessor = Self(wire);
        let sockets = predecessor.ask(config).await.with_context(|| {
            format!("handover: process {process}, which serves at present, does not hand over; if it hangs, end it")
        })?;
        info!(process, "taking over");
        Ok(Some((predecessor, sockets)))
    }

    async fn ask(&mut self, config: &Sidecar) -> anyhow::Result<Sockets> {
        let ask = Message::TakeOver {
            protocol: PROTOCOL,
            name: config.name.clone(),
        };
        self.0.send(&ask, &[]).await?;
        match self.0.receive(ANSWER_WITHIN).await? {
            (Message::Sockets { kinds }, sockets) => sort(&kinds, sockets),
            (Message::Refused { why }, _) => bail!(why),
            (other, _) => bail!("it said {other:?}"),
        }
    }

    /// Has the state directory given up.
    pub(in crate::app) async fn release(&mut self) -> anyhow::Result<()> {
        self.0.send(&Message::Release, &[]).await?;
        self.0.expect(&Message::Released, SERVE_WITHIN).await
    }

    /// Says that everything is taken care of here.
    pub(in crate::app) async fn retire(self) -> anyhow::Result<()> {
        self.0.send(&Message::Serving, &[]).await
    }
}
