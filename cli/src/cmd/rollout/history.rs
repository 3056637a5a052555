//! `serinus rollout history`.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::json;
use crate::session::Session;
use crate::view::event_line;
use serde_json::Value;
use serinus_proto::v1;

const EXAMPLES: &str = "\
Examples:
  serinus rollout history recommender
  serinus rollout history recommender -o json | jq '.[] | select(.kind == \"DECISION_MADE\")'

The columns are revision, time, model, who, and what; `serinus rollout why ROLLOUT --revision N` shows the evidence.";

const PAGE: u32 = 500;

/// `rollout history`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    named: super::Named,
    /// Only events after this revision
    #[arg(long, value_name = "REVISION", default_value_t = 0)]
    after: u64,
}

pub(super) async fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let events = all(&args.named.rollout, args.after, session).await?;
    session.emit(
        || Value::from_iter(events.iter().map(json::event)),
        || {
            events
                .iter()
                .map(|event| format!("{}\n", event_line(event)))
                .collect()
        },
    )?;
    Ok(Exit::Ok)
}

/// Every event of a rollout after a revision, oldest first.
pub(crate) async fn all(
    rollout: &str,
    after: u64,
    session: &Session<'_, '_>,
) -> Result<Vec<v1::Event>, Failure> {
    let mut events: Vec<v1::Event> = Vec::new();
    let mut after_revision = after;
    loop {
        let page = page(rollout, after_revision, PAGE, session).await?;
        let last = page.events.last().map(|event| event.revision);
        events.extend(page.events);
        match last {
            // A page that does not get ahead would be asked for again for ever.
            Some(last) if page.more && last > after_revision => after_revision = last,
            _ => return Ok(events),
        }
    }
}

pub(super) async fn page(
    rollout: &str,
    after_revision: u64,
    page_size: u32,
    session: &Session<'_, '_>,
) -> Result<v1::HistoryResponse, Failure> {
    let client = &session.client;
    let request = v1::HistoryRequest {
        rollout: rollout.to_owned(),
        page_size,
        after_revision,
    };
    client
        .ask(|| {
            let (mut rollouts, request) = (client.rollouts(), request.clone());
            async move { rollouts.history(request).await }
        })
        .await
}
