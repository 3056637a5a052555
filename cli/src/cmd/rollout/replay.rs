//! `serinus rollout replay`: the decisions of a rollout, made again here.

use crate::cmd::plan as plan_file;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::json;
use crate::session::Session;
use crate::view::{self, OtherPlan};
use serinus_core::plan::{choose_ramp, complete};
use serinus_core::replay::{self, ENGINE_VERSION, Recording, ReplayError, Replayed};
use serinus_proto::v1;

const EXAMPLES: &str = "\
Examples:
  serinus rollout replay recommender                      # is every decision what the data says, bit for bit?
  serinus rollout replay recommender --plan strict.yaml   # what would this plan have found in the same data?
  serinus rollout replay 0198c7f2-... -o json | jq .reproduced

Fetches the recording of a rollout, active or finished (its settings, its events, every slice that was folded), and
decides again in this process. Exit codes: 0 all decisions came out the same to the last bit; 6 one differs, so the data
or the program is not what it was; 7 some were made by another version of the engine, or before looks were stored, and
could not be reproduced. With --plan: 0.";

/// `rollout replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    named: super::Named,
    /// Judge the recorded slices by this plan instead; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    plan: Option<String>,
}

pub(super) async fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let recording = session.client.recording(&args.named.rollout).await?;
    match &args.plan {
        Some(file) => what_if(file, &recording, session),
        None => again(&recording, session),
    }
}

fn again(recording: &Recording, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let replayed = replay::replay(recording).map_err(unreadable)?;
    session.emit(
        || json::replayed(recording, &replayed),
        || view::replayed(recording, &replayed),
    )?;
    Ok(exit(&replayed))
}

fn exit(replayed: &Replayed) -> Exit {
    if replayed.broken() > 0 {
        Exit::Differs
    } else if replayed.beyond() > 0 {
        Exit::NotReplayed
    } else {
        Exit::Ok
    }
}

fn what_if(
    file: &str,
    recording: &Recording,
    session: &mut Session<'_, '_>,
) -> Result<Exit, Failure> {
    let recorded = recording.plan().map_err(unreadable)?;
    let plan = plan_file::load(file, session.console)?;
    let plan = complete(plan, recorded.stable.as_ref())
        .map_err(|violations| Failure::violations(format!("{file} has mistakes"), &violations))?;
    let plan = choose_ramp(plan, rate_at_creation(recorded));
    let found = replay::what_if(recording, &plan).map_err(unreadable)?;
    let options = session.console.view_options();
    let other = OtherPlan {
        file,
        plan: &plan,
        recording,
        found: &found,
    };
    session.emit(
        || json::what_if(recording, &plan, &found),
        || view::other_plan(other, options),
    )?;
    Ok(Exit::Ok)
}

/// Requests per second when the rollout began, if its own ramp followed from them.
fn rate_at_creation(recorded: &v1::Plan) -> Option<f64> {
    let choice = recorded.ramp.as_ref()?.choice.as_ref()?;
    (!choice.assumed).then_some(choice.requests_per_second)
}

fn unreadable(error: ReplayError) -> Failure {
    Failure::error(format!("replay: {error}")).hint(format!(
        "this is engine version {ENGINE_VERSION}; `serinus rollout history` shows the decisions as they were recorded"
    ))
}
