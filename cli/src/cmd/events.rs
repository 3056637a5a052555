//! `serinus events`: the log as it is written.

use crate::client;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::json;
use crate::session::Session;
use crate::view::event_line;
use serinus_proto::v1::{self, watch_events_response::Message};
use serinus_runtime::backoff::Backoff;
use std::time::Duration;
use tonic::Status;

const EXAMPLES: &str = "\
Examples:
  serinus events
  serinus events --from 1200 --follow
  serinus events --rollout recommender --follow -o json | jq -c 'select(.kind == \"ROLLED_BACK\")'

Every event once, in order. With --follow lost connections are opened again where they broke.";

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// Without --follow, lost connections are opened again this often.
const ATTEMPTS: u32 = 4;

/// `events`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// First revision to print
    #[arg(long, value_name = "REVISION", default_value_t = 0)]
    from: u64,
    /// Go on with whatever comes
    #[arg(long)]
    follow: bool,
    /// Only of this rollout or model
    #[arg(long, default_value = "")]
    rollout: String,
}

pub(crate) async fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let mut reached = Reached {
        revision: args.from.saturating_sub(1),
        generation: 0,
    };
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let mut failures = 0;
    loop {
        let before = reached.revision;
        let ended = stream(args, &mut reached, session).await?;
        if reached.revision > before {
            failures = 0;
            backoff.reset();
        }
        match ended {
            Ok(()) if !args.follow => return Ok(Exit::Ok),
            Ok(()) => {}
            Err(status) if client::is_lost(&status) => {
                failures += 1;
                let begun = reached.revision > args.from.saturating_sub(1);
                if failures >= ATTEMPTS && !(args.follow && begun) {
                    return Err(session.client.failure(&status));
                }
            }
            Err(status) => return Err(session.client.failure(&status)),
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

/// How far the log was printed, and which one it was: after a restore it is another.
#[derive(Debug)]
struct Reached {
    revision: u64,
    /// 0 until something was heard.
    generation: u64,
}

/// One stream to its end. The outer result is our own failure to print; the inner one the stream's.
async fn stream(
    args: &Args,
    reached: &mut Reached,
    session: &mut Session<'_, '_>,
) -> Result<Result<(), Status>, Failure> {
    let request = v1::WatchEventsRequest {
        rollout: args.rollout.clone(),
        after_revision: reached.revision,
        generation: reached.generation,
        follow: args.follow,
        snapshot: false,
    };
    let mut events = match session.client.events().watch(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Ok(Err(status)),
    };
    loop {
        match events.message().await {
            Ok(Some(message)) => {
                reached.generation = message.generation;
                match message.message {
                    Some(Message::Event(event)) => {
                        session.emit_item(|| json::event(&event), || event_line(&event))?;
                        reached.revision = reached.revision.max(event.revision);
                    }
                    Some(Message::Bookmark(revision)) => {
                        reached.revision = reached.revision.max(revision);
                    }
                    // Not asked for, or of a later version.
                    Some(Message::SnapshotItem(_) | Message::SnapshotDone(_)) | None => {}
                }
            }
            Ok(None) => return Ok(Ok(())),
            Err(status) => return Ok(Err(status)),
        }
    }
}
