//! `serinus rollout ...`.

pub(crate) mod apply;
mod history;
mod list;
mod replay;
mod steer;
mod watch;
mod why;

pub(crate) use history::all as history;
pub(crate) use steer::report;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// A rollout, as commands name it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Named {
    /// Id of the rollout, or its model: then the active or else the latest one is meant
    #[arg(value_name = "ROLLOUT")]
    pub(crate) rollout: String,
}

/// `rollout`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Start the rollout of a plan
    Apply(apply::Args),
    /// Show a rollout as it is now
    #[command(
        after_help = "Examples:\n  serinus rollout get recommender\n  serinus rollout get recommender -o json | jq .split"
    )]
    Get(Named),
    /// List rollouts, newest first
    List(list::Args),
    /// Show a rollout live until it ends
    #[command(after_help = watch::EXAMPLES)]
    Watch(Named),
    /// Stop the ramp at its present split; guardrails keep running
    #[command(
        after_help = "Example:\n  serinus rollout pause recommender --reason 'sale starts at noon'"
    )]
    Pause(steer::Args),
    /// Go on after PAUSED or HELD
    Resume(steer::ResumeArgs),
    /// Approve leaving the present step
    #[command(
        after_help = "Examples:\n  serinus rollout approve recommender --reason 'looked at 20 answers'\n  serinus rollout approve recommender --expected-revision 41"
    )]
    Approve(steer::Args),
    /// Refuse to leave the present step: rolled back
    #[command(
        after_help = "Example:\n  serinus rollout reject recommender --reason 'answers are rude'"
    )]
    Reject(steer::Args),
    /// Move on without evidence, on your word
    Promote(steer::PromoteArgs),
    /// Back to stable at once, in any state
    #[command(
        after_help = "Example:\n  serinus rollout rollback recommender --reason 'users complain'"
    )]
    Rollback(steer::Args),
    /// Take a queued rollout, named by its id, out of the queue
    #[command(
        after_help = "Example:\n  serinus rollout cancel 0197c1f0-7d3e-7cc2-8a53-3f0a6f1f2b11 --reason 'not needed any more'"
    )]
    Cancel(steer::Args),
    /// Take a promotion back: everybody to the variant that was stable before, at once
    #[command(after_help = steer::UNDO_EXAMPLES)]
    Undo(steer::Args),
    /// Show what is behind the last decision
    Why(why::Args),
    /// Make every decision again from the stored slices, or judge them by another plan
    Replay(replay::Args),
    /// Show the events of a rollout
    History(history::Args),
}

pub(crate) async fn run(command: Command, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    use steer::Verb;
    match command {
        Command::Apply(args) => apply::run(&args, session).await,
        Command::Get(named) => {
            let rollout = session.rollout(&named.rollout).await?;
            session.emit_rollout(&rollout)?;
            Ok(Exit::Ok)
        }
        Command::List(args) => list::run(&args, session).await,
        Command::Watch(named) => watch::run(&named.rollout, session).await,
        Command::Pause(args) => steer::run(Verb::Pause, &args, session).await,
        Command::Resume(args) => {
            let force = args.force.force;
            steer::run(Verb::Resume { force }, &args.common, session).await
        }
        Command::Approve(args) => steer::run(Verb::Approve, &args, session).await,
        Command::Reject(args) => steer::run(Verb::Reject, &args, session).await,
        Command::Promote(args) => {
            let verb = Verb::Promote {
                all: args.all,
                force: args.force.force,
            };
            steer::run(verb, &args.common, session).await
        }
        Command::Rollback(args) => steer::run(Verb::Rollback, &args, session).await,
        Command::Cancel(args) => steer::run(Verb::Cancel, &args, session).await,
        Command::Undo(args) => steer::run(Verb::Undo, &args, session).await,
        Command::Why(args) => why::run(&args, session).await,
        Command::Replay(args) => replay::run(&args, session).await,
        Command::History(args) => history::run(&args, session).await,
    }
}
