//! The verbs that steer a running rollout. What raises exposure is held to the revision that was looked at.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::json;
use crate::session::{Session, request_id};
use crate::view;
use serinus_proto::v1;
use tonic::{Code, Status};

const PROMOTE_EXAMPLES: &str = "\
Examples:
  serinus rollout promote recommender --reason 'measured offline'
  serinus rollout promote recommender --all --reason 'rollback of the old version is worse'";

pub(super) const UNDO_EXAMPLES: &str = "\
Examples:
  serinus rollout undo recommender --reason 'complaints since the release'
  serinus rollout undo recommender --validate-only

Possible after a promotion, for 7 days, while no rollout of the model is active. The former variant must still be served at
its endpoints. An active rollout is taken back with `serinus rollout rollback`.";

/// Whoever names no revision means the rollout as it is: small events in between are looked past this often.
const LOOKS: u32 = 4;

/// What the verbs take.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) named: super::Named,
    /// Why; kept in the log
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    /// Refuse unless the rollout is at this revision (see `rollout get -o json`)
    #[arg(long, value_name = "REVISION")]
    pub(crate) expected_revision: Option<u64>,
    /// Check whether it would be done, change nothing
    #[arg(long)]
    pub(crate) validate_only: bool,
}

/// `rollout promote`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = PROMOTE_EXAMPLES)]
pub(crate) struct PromoteArgs {
    #[command(flatten)]
    pub(crate) common: Args,
    /// To the end of the plan rather than to the next step
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) force: Force,
}

/// `rollout resume`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  serinus rollout resume recommender")]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    pub(crate) common: Args,
    #[command(flatten)]
    pub(crate) force: Force,
}

/// What takes a reason.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Force {
    /// In spite of a freeze of the plan; needs --reason
    #[arg(long, requires = "reason")]
    pub(crate) force: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Pause,
    Resume { force: bool },
    Approve,
    Reject,
    Promote { all: bool, force: bool },
    Rollback,
    Undo,
    Cancel,
}

impl Verb {
    /// Whether it can raise the canary's share, so that the revision must be known.
    fn raises(self) -> bool {
        matches!(
            self,
            Self::Resume { .. } | Self::Approve | Self::Promote { .. }
        )
    }
}

pub(crate) async fn run(
    verb: Verb,
    args: &Args,
    session: &mut Session<'_, '_>,
) -> Result<Exit, Failure> {
    let rollout = match args.expected_revision {
        None if verb.raises() => at_present_revision(verb, args, session).await?,
        revision => send(
            verb,
            args,
            &args.named.rollout,
            revision.unwrap_or(0),
            session,
        )
        .await
        .map_err(|status| session.client.failure(&status))?,
    };
    report(&rollout, args.validate_only, session)
}

/// Prints what a command made of the rollout.
pub(crate) fn report(
    rollout: &v1::Rollout,
    validate_only: bool,
    session: &mut Session<'_, '_>,
) -> Result<Exit, Failure> {
    session.emit(|| json::rollout(rollout), || view::summary(rollout))?;
    if validate_only {
        session
            .console
            .note("it would be done; nothing was changed");
    }
    Ok(Exit::Ok)
}

/// Looks, then acts on what was seen. An event in between that leaves the rollout in the same place is looked past; any
/// other needs a human to look again.
async fn at_present_revision(
    verb: Verb,
    args: &Args,
    session: &Session<'_, '_>,
) -> Result<v1::Rollout, Failure> {
    let first = session.rollout(&args.named.rollout).await?;
    let mut revision = first.revision;
    for _ in 1..LOOKS {
        let status = match send(verb, args, &first.id, revision, session).await {
            Err(status) if status.code() == Code::Aborted => status,
            answered => return answered.map_err(|status| session.client.failure(&status)),
        };
        let now = session.rollout(&first.id).await?;
        if place(&now) != place(&first) {
            return Err(session.client.failure(&status));
        }
        revision = now.revision;
    }
    send(verb, args, &first.id, revision, session)
        .await
        .map_err(|status| session.client.failure(&status))
}

fn place(rollout: &v1::Rollout) -> (v1::State, v1::Cause, u32, u64) {
    (
        rollout.state(),
        rollout.cause(),
        rollout.step,
        rollout.epoch,
    )
}

async fn send(
    verb: Verb,
    args: &Args,
    rollout: &str,
    expected_revision: u64,
    session: &Session<'_, '_>,
) -> Result<v1::Rollout, Status> {
    let client = &session.client;
    let command = v1::CommandRequest {
        rollout: rollout.to_owned(),
        request_id: request_id(),
        expected_revision,
        reason: args.reason.clone(),
        validate_only: args.validate_only,
        force: matches!(
            verb,
            Verb::Resume { force: true } | Verb::Promote { force: true, .. }
        ),
    };
    client
        .try_ask(|| {
            let (mut rollouts, command) = (client.rollouts(), command.clone());
            async move {
                match verb {
                    Verb::Pause => rollouts.pause(command).await,
                    Verb::Resume { .. } => rollouts.resume(command).await,
                    Verb::Approve => rollouts.approve(command).await,
                    Verb::Reject => rollouts.reject(command).await,
                    Verb::Promote { all, .. } => rollouts.promote(promote(command, all)).await,
                    Verb::Rollback => rollouts.rollback(command).await,
                    Verb::Undo => rollouts.undo(command).await,
                    Verb::Cancel => rollouts.cancel(command).await,
                }
            }
        })
        .await
}

fn promote(command: v1::CommandRequest, all: bool) -> v1::PromoteRequest {
    v1::PromoteRequest {
        rollout: command.rollout,
        request_id: command.request_id,
        expected_revision: command.expected_revision,
        reason: command.reason,
        validate_only: command.validate_only,
        all,
        force: command.force,
        // This version runs one canary.
        variant: String::new(),
    }
}
