//! `serinus status`: for scripts and pipelines, which branch on the exit code.

use super::rollout::Named;
use crate::client::{Follow, Update};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::json;
use crate::session::{Session, now_ms};
use crate::view::{self, Change};
use clap::ValueEnum;
use serde_json::json;
use serinus_proto::v1;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  serinus status recommender
  serinus status recommender --wait --timeout 30m && echo released
  serinus status recommender --wait --until full      # do not wait for the bake

Exit codes: 0 promoted (with --until full: the canary has everything but the holdback), 3 rolled back, 4 HELD and in
need of a human, or cancelled in the queue, 5 timed out. Without --wait: 3, 4, or else 0.";

/// How long `--wait` waits where the user does not say.
const PATIENCE: Duration = Duration::from_secs(600);

/// `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    named: Named,
    /// Wait for the end, at most --timeout
    #[arg(long)]
    wait: bool,
    /// What to wait for
    #[arg(long, value_enum, requires = "wait", default_value_t = Until::Promoted)]
    until: Until,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    /// The bake has ended
    Promoted,
    /// The canary has everything but the holdback
    Full,
}

/// How a rollout stands, as far as waiting goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Promoted,
    Full,
    RolledBack,
    Cancelled,
    Held,
    UnderWay,
    TimedOut,
}

impl Standing {
    fn of(rollout: &v1::Rollout, until: Until) -> Self {
        match rollout.state() {
            v1::State::Promoted => Self::Promoted,
            v1::State::RolledBack => Self::RolledBack,
            v1::State::Cancelled => Self::Cancelled,
            v1::State::Held => Self::Held,
            v1::State::Baking | v1::State::Running
                if until == Until::Full && has_everything(rollout) =>
            {
                Self::Full
            }
            _ => Self::UnderWay,
        }
    }

    fn exit(self) -> Exit {
        match self {
            Self::Promoted | Self::Full | Self::UnderWay => Exit::Ok,
            Self::RolledBack => Exit::RolledBack,
            Self::Held | Self::Cancelled => Exit::Held,
            Self::TimedOut => Exit::TimedOut,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::Full => "full",
            Self::RolledBack => "rolled_back",
            Self::Cancelled => "cancelled",
            Self::Held => "held",
            Self::UnderWay => "under_way",
            Self::TimedOut => "timed_out",
        }
    }
}

/// Whether the present step gives a canary 1.0; what it really has then is 1.0 less the holdback.
fn has_everything(rollout: &v1::Rollout) -> bool {
    let Some(plan) = &rollout.plan else {
        return false;
    };
    let step = plan.steps.get(rollout.step as usize);
    let given = |name: &str| step.and_then(|step| step.split.get(name)).copied();
    plan.canaries
        .iter()
        .any(|canary| given(&canary.name).is_some_and(|share| share >= 1.0 - 1e-9))
}

pub(crate) async fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    if args.wait {
        return wait(&args.named.rollout, args.until, session).await;
    }
    let rollout = session.rollout(&args.named.rollout).await?;
    report(Standing::of(&rollout, Until::Promoted), &rollout, session)
}

/// Waits until the rollout has ended, is HELD or the time is up; tells changes meanwhile.
pub(crate) async fn wait(
    name: &str,
    until: Until,
    session: &mut Session<'_, '_>,
) -> Result<Exit, Failure> {
    let patience = session.timeout.unwrap_or(PATIENCE);
    let deadline = tokio::time::Instant::now() + patience;
    let (mut follow, mut rollout) = Follow::open(&session.client.waiting(), name).await?;
    let mut told = None;
    loop {
        let standing = Standing::of(&rollout, until);
        if standing != Standing::UnderWay {
            return report(standing, &rollout, session);
        }
        let change = Change::of(&rollout);
        if told.as_ref() != Some(&change) {
            session.console.note(&view::change_line(&rollout));
            told = Some(change);
        }
        match tokio::time::timeout_at(deadline, follow.next()).await {
            Ok(update) => match update? {
                Update::State(state) => rollout = *state,
                Update::Lost(why) => session.console.note(&why),
            },
            Err(_) => return report(Standing::TimedOut, &rollout, session),
        }
    }
}

fn report(
    standing: Standing,
    rollout: &v1::Rollout,
    session: &mut Session<'_, '_>,
) -> Result<Exit, Failure> {
    let options = session.console.view_options();
    session.emit(
        || {
            json!({
                "result": standing.word(),
                "exit_code": standing.exit().code(),
                "rollout": json::rollout(rollout),
            })
        },
        || view::render(rollout, now_ms(), options),
    )?;
    let model = &rollout.model;
    match standing {
        Standing::RolledBack => session.console.note(&format!("why: serinus rollout why {model}")),
        Standing::Held => session.console.note(&format!(
            "it is held and needs a human: serinus rollout why {model}, then resume, promote or rollback"
        )),
        Standing::TimedOut => session.console.note("timed out; allow more with --timeout 1h"),
        _ => {}
    }
    Ok(standing.exit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixture;

    fn standing(state: v1::State, step: u32, until: Until) -> Standing {
        let mut rollout = fixture::rollout();
        rollout.set_state(state);
        rollout.step = step;
        Standing::of(&rollout, until)
    }

    #[test]
    fn states_map_to_the_published_codes() {
        let code = |state| standing(state, 1, Until::Promoted).exit().code();
        assert_eq!(code(v1::State::Promoted), 0);
        assert_eq!(code(v1::State::RolledBack), 3);
        assert_eq!(code(v1::State::Held), 4);
        assert_eq!(Standing::TimedOut.exit().code(), 5);
    }

    #[test]
    fn what_still_moves_is_waited_for() {
        use v1::State;
        for state in [
            State::WarmingUp,
            State::Running,
            State::Paused,
            State::Baking,
        ] {
            assert_eq!(
                standing(state, 1, Until::Promoted),
                Standing::UnderWay,
                "{state:?}"
            );
        }
    }

    #[test]
    fn full_is_everything_but_the_holdback() {
        assert_eq!(
            standing(v1::State::Running, 2, Until::Full),
            Standing::UnderWay
        );
        assert_eq!(standing(v1::State::Running, 3, Until::Full), Standing::Full);
        assert_eq!(standing(v1::State::Baking, 3, Until::Full), Standing::Full);
        assert_eq!(
            standing(v1::State::Paused, 3, Until::Full),
            Standing::UnderWay
        );
        assert_eq!(
            standing(v1::State::Baking, 3, Until::Promoted),
            Standing::UnderWay
        );
    }
}
