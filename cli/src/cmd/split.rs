//! `serinus split get|set`.

use super::{model, rollout::Named};
use crate::args::values::{self, Part};
use crate::client;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::table::table;
use crate::session::{Session, request_id};
use crate::view::{self, number};
use serde_json::{Value, json};
use serinus_proto::v1;
use std::collections::BTreeMap;
use tonic::Code;

const SET_EXAMPLES: &str = "\
Examples:
  serinus split set recommender v2=0.1 v1=0.9
  serinus split set recommender v2=0.5 v1=0.5 --force --reason 'load test'

Lowering the canary's share is always allowed. Raising it above the present step needs --force and --reason, and never
goes above the plan's highest step. The rollout is PAUSED(MANUAL) afterwards; `serinus rollout resume` goes on at the
first step whose share is at least the present one.";

/// `split`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show who gets what share now
    #[command(
        after_help = "Examples:\n  serinus split get recommender\n  serinus split get recommender -o json | jq .split.v2"
    )]
    Get {
        /// Model, or id of a rollout
        model: String,
    },
    /// Change a running split by hand, without a restart
    #[command(after_help = SET_EXAMPLES)]
    Set(SetArgs),
}

/// `split set`.
#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    named: Named,
    /// Fractions of all variants; they sum to 1.0
    #[arg(required = true, value_name = "NAME=FRACTION", value_parser = values::part)]
    split: Vec<Part>,
    /// Allow a share above the present step's
    #[arg(long, requires = "reason")]
    force: bool,
    /// Why; kept in the log
    #[arg(long)]
    reason: Option<String>,
    /// Refuse unless the rollout is at this revision
    #[arg(long, value_name = "REVISION")]
    expected_revision: Option<u64>,
    /// Check whether it would be done, change nothing
    #[arg(long)]
    validate_only: bool,
}

/// Who gets what.
#[derive(Debug)]
struct Split {
    model: String,
    rollout: Option<v1::Rollout>,
    shares: BTreeMap<String, f64>,
}

pub(crate) async fn run(command: Command, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    match command {
        Command::Get { model } => {
            let split = present(&model, session).await?;
            session.emit(|| split.json(), || split.text())?;
            Ok(Exit::Ok)
        }
        Command::Set(args) => set(args, session).await,
    }
}

/// The split of the active rollout; without one, everything goes to the model's stable variant.
async fn present(name: &str, session: &Session<'_, '_>) -> Result<Split, Failure> {
    let latest = client::try_get(&session.client, name).await;
    let of_model = match latest {
        Ok(rollout) if !view::is_terminal(rollout.state()) => {
            return Ok(Split {
                model: rollout.model.clone(),
                shares: rollout.split.clone(),
                rollout: Some(rollout),
            });
        }
        Ok(ended) => ended.model,
        Err(status) if status.code() == Code::NotFound => name.to_owned(),
        Err(status) => return Err(session.client.failure(&status)),
    };
    let model = model::get(&of_model, session)
        .await
        .map_err(|status| session.client.failure(&status))?;
    let stable = model.stable.map(|stable| stable.name);
    Ok(Split {
        model: model.name,
        rollout: None,
        shares: stable.into_iter().map(|name| (name, 1.0)).collect(),
    })
}

impl Split {
    fn json(&self) -> Value {
        json!({
            "model": self.model,
            "rollout": self.rollout.as_ref().map(|rollout| &rollout.id),
            "epoch": self.rollout.as_ref().map(|rollout| rollout.epoch),
            "revision": self.rollout.as_ref().map(|rollout| rollout.revision),
            "achieved_share": self.rollout.as_ref().and_then(|rollout| rollout.achieved_share),
            "split": self.shares,
        })
    }

    fn text(&self) -> String {
        let row = |(name, share): (&String, &f64)| vec![name.clone(), number::share(*share)];
        let rows: Vec<_> = self.shares.iter().map(row).collect();
        table(
            &["VARIANT", "SHARE"],
            &rows,
            "no version serves this model yet",
        )
    }
}

async fn set(args: SetArgs, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let split = values::split(&args.split)
        .map_err(|violations| Failure::violations("this is no split", &violations))?;
    let expected_revision = match args.expected_revision {
        Some(revision) => revision,
        None => session.rollout(&args.named.rollout).await?.revision,
    };
    let request = v1::SetSplitRequest {
        rollout: args.named.rollout,
        request_id: request_id(),
        expected_revision,
        reason: args.reason.unwrap_or_default(),
        validate_only: args.validate_only,
        split,
        force: args.force,
    };
    let client = &session.client;
    let rollout = client
        .ask(|| {
            let (mut rollouts, request) = (client.rollouts(), request.clone());
            async move { rollouts.set_split(request).await }
        })
        .await?;
    super::rollout::report(&rollout, args.validate_only, session)
}
