//! Asking for assignments where streams do not hold: what lies between may cut or hold back a stream and yet let single
//! calls through.

use super::apply::Applier;
use super::status::Readiness;
use super::stream::{Ended, hello};
use super::{GOOD, Peer, link, ticking};
use rand::RngExt as _;
use serinus_proto::v1::sidecars_client::SidecarsClient;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Code;
use tracing::{debug, info};

/// So many streams in a row that broke.
const BROKEN: u32 = 3;
/// Between two questions, give or take a half.
const EVERY: Duration = Duration::from_secs(10);
/// For one of them, with its connection.
const WITHIN: Duration = Duration::from_secs(5);

/// Whether to ask, and when next.
#[derive(Debug, Default)]
pub(super) struct Polling {
    broken: u32,
    next: Option<Instant>,
}

impl Polling {
    /// A stream has ended.
    pub(super) fn ended(&mut self, ended: &Ended, lasted: Duration) {
        if lasted >= GOOD {
            *self = Self::default();
        }
        match ended {
            Ended::Asked | Ended::Drained(_) | Ended::LostHistory(_) => {}
            Ended::Status(status)
                if matches!(
                    status.code(),
                    Code::Unauthenticated | Code::PermissionDenied
                ) => {}
            _ => self.broken = self.broken.saturating_add(1),
        }
        if self.broken >= BROKEN {
            self.next.get_or_insert_with(|| Instant::now() + pause());
        }
    }

    /// Waits until a stream is to be tried again, or until it is time to ask: then `true`.
    pub(super) async fn wait(&self, until: Instant, applier: &mut Applier) -> bool {
        let asks = self.next.is_some_and(|next| next < until);
        let until = self.next.filter(|_| asks).unwrap_or(until);
        tokio::select! {
            () = sleep_until(until) => {}
            () = ticking(applier) => {}
        }
        asks
    }

    /// Asks for everything, and takes it.
    pub(super) async fn fetch(&mut self, peer: &Peer, url: &str, applier: &mut Applier) {
        self.next = Some(Instant::now() + pause());
        let hello = hello(peer, applier);
        let asked = async {
            let link = link::connect(url, peer.token_file.as_deref(), &peer.tls).await?;
            let push = SidecarsClient::new(link).fetch(hello).await?;
            Ok::<_, Ended>(push.into_inner())
        };
        let asked = tokio::select! {
            asked = timeout(WITHIN, asked) => asked,
            () = ticking(applier) => return,
        };
        match asked.unwrap_or(Err(Ended::Silent("answer"))) {
            Ok(push) => {
                let probed = peer.probed.borrow().clone();
                applier.push(push, &Readiness(&probed)).await;
                info!(url, "asked for the assignments, since streams break");
            }
            Err(why) => debug!(url, %why, "asking for the assignments failed"),
        }
    }
}

fn pause() -> Duration {
    EVERY.mul_f64(rand::rng().random_range(0.5..1.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_broken_streams_make_it_ask_and_one_that_holds_ends_that() {
        let mut polling = Polling::default();
        let short = Duration::from_secs(1);
        let broken = || Ended::Silent("welcome this sidecar");
        for _ in 0..2 {
            polling.ended(&broken(), short);
        }
        polling.ended(&Ended::Drained(short), short);
        polling.ended(&Ended::Status(tonic::Status::permission_denied("x")), short);
        assert!(polling.next.is_none());
        polling.ended(&broken(), short);
        let first = polling.next.unwrap();
        assert!(first <= Instant::now() + EVERY.mul_f64(1.5));
        polling.ended(&broken(), short);
        assert_eq!(polling.next, Some(first));
        polling.ended(&broken(), GOOD);
        assert!(polling.next.is_none());
    }
}
