//! The stream of one sidecar: moves messages between the wire, the engine and the [`Pusher`].

use super::pusher::{ACK_WITHIN, Answer, Pusher};
use super::{hello, scope};
use crate::access::Caller;
use crate::engine::{Handle, Session};
use crate::grpc::error;
use crate::grpc::feed::{Filler, Lost};
use crate::metrics::{ACK_SECONDS, LEASES, PUSHES, PUSHES_SENT, RESYNCS, STREAMS_ENDED};
use rand::RngExt as _;
use serinus_proto::v1::{self, control_message, sidecar_message};
use serinus_runtime::shutdown::Drain;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic::{Code, Status, Streaming};

/// A stream is ended after this long, give or take a fifth, so that streams move to replicas that came later.
const AGE: Duration = Duration::from_secs(30 * 60);
/// Where sidecars spread their reconnects after a drain.
const RECONNECT_MS: (u32, u32) = (200, 2000);

/// Why a stream ended.
enum End {
    /// Without an error.
    Quiet(&'static str),
    /// With one for the sidecar.
    Loud(&'static str, Status),
}

/// Serves one stream until it ends.
pub(super) async fn run(
    handle: Handle,
    caller: Caller,
    mut inbound: Streaming<v1::SidecarMessage>,
    out: Filler<v1::ControlMessage>,
    mut drain: Drain,
) -> Result<(), Status> {
    let hello = tokio::select! {
        hello = hello::receive(&mut inbound) => hello?,
        () = drain.wait() => return Err(error::stopping()),
    };
    scope::hello(&caller, &hello)?;
    let (sidecar, pusher) = (hello.sidecar.clone(), Pusher::new(&hello));
    let session = handle.attach(hello).await;
    let session = session.ok_or_else(|| error::unanswered(&handle))?;
    let id = session.id;
    let mut stream = Stream {
        handle: handle.clone(),
        caller,
        out,
        session,
        pusher,
    };
    let Err(end) = stream.serve(&mut inbound, &mut drain).await;
    handle.detach(id).await;
    let (why, ended) = match end {
        End::Quiet(why) => (why, Ok(())),
        End::Loud(why, status) => (why, Err(status)),
    };
    metrics::counter!(STREAMS_ENDED, "why" => why).increment(1);
    tracing::info!(%sidecar, why, "sidecar stream ended");
    ended
}

struct Stream {
    handle: Handle,
    caller: Caller,
    out: Filler<v1::ControlMessage>,
    session: Session,
    pusher: Pusher,
}

impl Stream {
    /// Latches and the drain go before everything else, timers before what the sidecar sends: a sidecar that floods us
    /// cannot hold up a rollback or its own end.
    async fn serve(
        &mut self,
        inbound: &mut Streaming<v1::SidecarMessage>,
        drain: &mut Drain,
    ) -> Result<Infallible, End> {
        self.send(control_message::Message::Welcome(
            self.session.welcome.clone(),
        ))
        .await?;
        let mut heartbeat = self.next_heartbeat();
        let old_at = Instant::now() + age(rand::rng().random_range(-1.0..=1.0));
        loop {
            self.push().await?;
            let deadline = self.pusher.deadline().map(Instant::from_std);
            tokio::select! {
                biased;
                () = drain.wait() => return Err(self.drain("drain").await),
                () = sleep_until(old_at) => return Err(self.drain("age").await),
                latch = self.session.latches.recv() => self.latch(latch).await?,
                end = replacement(&mut self.session.replaced) => return Err(end),
                () = sleep_until(deadline.unwrap_or(heartbeat)), if deadline.is_some() => return Err(late()),
                () = sleep_until(heartbeat) => {
                    self.beat().await?;
                    heartbeat = self.next_heartbeat();
                }
                changed = self.session.assignments.changed() => changed.map_err(|_| stopping())?,
                message = inbound.message() => match message {
                    Ok(Some(message)) => self.take(message).await?,
                    Ok(None) => return Err(End::Quiet("closed")),
                    Err(_) => return Err(End::Quiet("broken")),
                },
                () = self.out.gone() => return Err(End::Quiet("broken")),
            }
        }
    }

    async fn push(&mut self) -> Result<(), End> {
        let table = self.session.assignments.borrow_and_update().clone();
        match self.pusher.next(&table, std::time::Instant::now()) {
            Some(push) => {
                metrics::counter!(PUSHES_SENT).increment(1);
                self.send(control_message::Message::Push(push)).await
            }
            None => Ok(()),
        }
    }

    async fn beat(&mut self) -> Result<(), End> {
        let table = self.session.assignments.borrow().clone();
        let heartbeat = self.pusher.heartbeat(&table);
        metrics::counter!(LEASES).increment(heartbeat.leases.len() as u64);
        self.send(control_message::Message::Heartbeat(heartbeat))
            .await
    }

    fn next_heartbeat(&self) -> Instant {
        let jitter = rand::rng().random_range(-1.0..=1.0);
        Instant::now() + self.pusher.heartbeat_after(jitter)
    }

    async fn latch(&mut self, latch: Result<v1::Latch, RecvError>) -> Result<(), End> {
        match latch {
            Ok(latch) => self.send(control_message::Message::Latch(latch)).await,
            Err(RecvError::Lagged(missed)) => {
                let status =
                    Status::aborted(format!("{missed} latches were missed; connect again"));
                Err(End::Loud("lagged", status))
            }
            Err(RecvError::Closed) => Err(stopping()),
        }
    }

    async fn take(&mut self, message: v1::SidecarMessage) -> Result<(), End> {
        scope::message(&self.caller, &message).map_err(|status| End::Loud("denied", status))?;
        match message.message {
            Some(sidecar_message::Message::Ack(ack)) => self.acknowledge(ack).await,
            Some(sidecar_message::Message::Status(status)) => {
                self.handle.status(self.session.id, status).await;
            }
            Some(sidecar_message::Message::Hello(_)) => {
                let status = Status::invalid_argument("Hello is sent once, as the first message");
                return Err(End::Loud("protocol", status));
            }
            Some(sidecar_message::Message::Resync(resync)) => {
                metrics::counter!(RESYNCS).increment(1);
                self.pusher.resync(&resync.held);
                self.handle.resync(self.session.id, resync.held).await;
            }
            // A newer sidecar's message: it must work without.
            None => {}
        }
        Ok(())
    }

    async fn acknowledge(&mut self, ack: v1::Ack) {
        let sent = self.pusher.deadline();
        if let Answer::Current {
            applied,
            rejected,
            stale,
        } = self.pusher.acknowledge(&ack)
        {
            metrics::counter!(PUSHES, "outcome" => "applied").increment(applied.into());
            metrics::counter!(PUSHES, "outcome" => "rejected").increment(rejected.into());
            metrics::counter!(PUSHES, "outcome" => "stale").increment(stale.into());
            if let Some(deadline) = sent {
                let left = deadline.saturating_duration_since(std::time::Instant::now());
                let took = ACK_WITHIN.saturating_sub(left);
                metrics::histogram!(ACK_SECONDS).record(took.as_secs_f64());
            }
            self.handle.acknowledge(self.session.id, ack).await;
        }
    }

    async fn drain(&self, why: &'static str) -> End {
        let after = |ms: u32| {
            let nanos = i32::try_from(ms % 1000 * 1_000_000).unwrap_or(0);
            prost_types::Duration {
                seconds: i64::from(ms / 1000),
                nanos,
            }
        };
        let drain = v1::Drain {
            after_min: Some(after(RECONNECT_MS.0)),
            after_max: Some(after(RECONNECT_MS.1)),
        };
        match self.send(control_message::Message::Drain(drain)).await {
            Ok(()) => End::Quiet(why),
            Err(end) => end,
        }
    }

    async fn send(&self, message: control_message::Message) -> Result<(), End> {
        let sent = self
            .out
            .send(v1::ControlMessage {
                message: Some(message),
            })
            .await;
        sent.map_err(|lost| match lost {
            Lost::Slow => late(),
            Lost::Gone => End::Quiet("broken"),
        })
    }
}

/// How long a stream may last; `jitter` is in -1.0..=1.0.
fn age(jitter: f64) -> Duration {
    AGE.mul_f64(1.0 + 0.2 * jitter)
}

fn late() -> End {
    metrics::counter!(PUSHES, "outcome" => "timeout").increment(1);
    End::Loud(
        "timeout",
        Status::deadline_exceeded("a push was not acknowledged within 10 s"),
    )
}

/// Ends when another stream has taken this one's place, or the engine has ended.
async fn replacement(replaced: &mut watch::Receiver<bool>) -> End {
    if replaced.wait_for(|&replaced| replaced).await.is_err() {
        return stopping();
    }
    let message =
        "a newer stream of the same sidecar name replaced this one; give each sidecar its own name";
    End::Loud(
        "replaced",
        error::status(Code::Aborted, "REPLACED", message, []),
    )
}

fn stopping() -> End {
    End::Loud("stopping", error::stopping())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_hour_do_not_end_in_one_minute() {
        let minutes = |jitter| age(jitter).as_secs_f64() / 60.0;
        assert_eq!(
            (minutes(-1.0), minutes(0.0), minutes(1.0)),
            (24.0, 30.0, 36.0)
        );
    }
}
