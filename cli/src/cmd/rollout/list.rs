//! `serinus rollout list`.

use crate::client::lists;
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
  serinus rollout list --state held --state paused
  serinus rollout list --active -o json | jq -r '.[].id'";

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
    /// Only those in this state, such as HELD or rolled_back; may be given more than once
    #[arg(long, value_parser = state)]
    state: Vec<v1::State>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub(crate) async fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let request = v1::ListRolloutsRequest {
        model: args.model.clone().unwrap_or_default(),
        active_only: args.active,
        states: args.state.iter().map(|&state| state.into()).collect(),
        ..v1::ListRolloutsRequest::default()
    };
    let rollouts = lists::rollouts(&session.client, request, args.limit as usize).await?;
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

/// A state by its name.
fn state(text: &str) -> Result<v1::State, String> {
    let name = text.to_ascii_uppercase().replace('-', "_");
    let found = v1::State::from_str_name(&format!("STATE_{name}"));
    let found = found.filter(|&state| state != v1::State::Unspecified);
    found.ok_or_else(|| {
        format!(
            "`{text}` is no state; write QUEUED, WARMING_UP, RUNNING, PAUSED, HELD, BAKING, PROMOTED, ROLLED_BACK or \
             CANCELLED"
        )
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_written_as_they_are_shown_or_in_small_letters() {
        assert_eq!(state("HELD"), Ok(v1::State::Held));
        assert_eq!(state("rolled-back"), Ok(v1::State::RolledBack));
        assert_eq!(state("warming_up"), Ok(v1::State::WarmingUp));
        for bad in ["", "unspecified", "STATE_HELD", "stopped"] {
            assert!(state(bad).unwrap_err().contains("ROLLED_BACK"), "{bad}");
        }
    }
}
