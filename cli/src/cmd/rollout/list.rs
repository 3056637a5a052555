//! `serinus rollout list`.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{json, table::table};
use crate::session::Session;
use crate::view;
use serde_json::Value;
use serinus_proto::v1;

const EXAMPLES: &str = "\
Examples:
  serinus rollout list
  serinus rollout list --model recommender --limit 5
  serinus rollout list --active -o json | jq -r '.[].id'";

/// The server's largest page.
const PAGE: u32 = 500;

/// `rollout list`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only rollouts of this model
    #[arg(long)]
    model: Option<String>,
    /// Only those that have not ended
    #[arg(long)]
    active: bool,
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub(crate) async fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let rollouts = fetch(args, session).await?;
    session.emit(
        || Value::from_iter(rollouts.iter().map(json::rollout)),
        || {
            let rows: Vec<_> = rollouts.iter().map(row).collect();
            let head = ["MODEL", "CHANGE", "STATE", "SHARE", "CREATED", "ROLLOUT"];
            table(&head, &rows, "no rollouts; start one with `serinus deploy`")
        },
    )?;
    Ok(Exit::Ok)
}

async fn fetch(args: &Args, session: &Session<'_, '_>) -> Result<Vec<v1::Rollout>, Failure> {
    let client = &session.client;
    let wanted = args.limit as usize;
    let mut rollouts: Vec<v1::Rollout> = Vec::new();
    let mut page_token = String::new();
    loop {
        let missing = wanted.saturating_sub(rollouts.len());
        let request = v1::ListRolloutsRequest {
            model: args.model.clone().unwrap_or_default(),
            page_size: u32::try_from(missing).unwrap_or(PAGE).min(PAGE),
            page_token,
            active_only: args.active,
        };
        let page = client
            .ask(|| {
                let (mut rollouts, request) = (client.rollouts(), request.clone());
                async move { rollouts.list(request).await }
            })
            .await?;
        rollouts.extend(page.rollouts);
        rollouts.truncate(wanted);
        page_token = page.next_page_token;
        if page_token.is_empty() || rollouts.len() == wanted {
            return Ok(rollouts);
        }
    }
}

fn row(rollout: &v1::Rollout) -> Vec<String> {
    let shown = view::Brief::of(rollout);
    vec![
        rollout.model.clone(),
        shown.change,
        shown.stage,
        shown.asked,
        shown.created,
        rollout.id.clone(),
    ]
}
