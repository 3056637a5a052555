//! `serinus rollout apply`, and starting a rollout for `deploy`.

use crate::cmd::plan;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::json;
use crate::session::{Session, request_id};
use crate::view;
use clap::ValueEnum;
use serinus_core::plan::to_yaml;
use serinus_proto::v1;

const EXAMPLES: &str = "\
Examples:
  serinus rollout apply plan.yaml
  serinus rollout apply plan.yaml --validate-only         # what would be, with all defaults
  serinus rollout apply plan.yaml --on-active supersede   # roll the active one back first
  serinus rollout apply plan.yaml --on-active queue       # start when the active one has ended

Applying the very plan that is active changes nothing and prints that rollout.";

/// `rollout apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// YAML or JSON file; `-` reads stdin
    #[arg(value_name = "FILE")]
    file: String,
    /// What to do if another rollout of the model is active
    #[arg(long, value_enum, default_value_t = OnActive::Reject)]
    on_active: OnActive,
    /// Start in spite of a freeze of the plan; needs --reason
    #[arg(long, requires = "reason")]
    force: bool,
    /// Check everything, start nothing
    #[arg(long)]
    validate_only: bool,
    /// Why; kept in the log
    #[arg(long, default_value = "")]
    reason: String,
}

/// What to do if another rollout of the model is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnActive {
    /// Refuse to start
    Reject,
    /// Roll the active one back first
    Supersede,
    /// Wait until it has ended, promoted or rolled back
    Queue,
}

/// How to start.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) on_active: OnActive,
    pub(crate) force: bool,
    pub(crate) validate_only: bool,
    pub(crate) reason: String,
}

pub(crate) async fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let plan = plan::load(&args.file, session.console)?;
    let start = Start {
        on_active: args.on_active,
        force: args.force,
        validate_only: args.validate_only,
        reason: args.reason.clone(),
    };
    let rollout = self::start(plan, &start, session).await?;
    report(&rollout, &start, session)
}

/// Applies a plan.
pub(crate) async fn start(
    plan: v1::Plan,
    start: &Start,
    session: &Session<'_, '_>,
) -> Result<v1::Rollout, Failure> {
    let on_active = match start.on_active {
        OnActive::Reject => v1::apply_request::OnActive::Reject,
        OnActive::Supersede => v1::apply_request::OnActive::Supersede,
        OnActive::Queue => v1::apply_request::OnActive::Queue,
    };
    let request = v1::ApplyRequest {
        request_id: request_id(),
        plan: Some(plan),
        on_active: on_active.into(),
        validate_only: start.validate_only,
        reason: start.reason.clone(),
        force: start.force,
    };
    let client = &session.client;
    client
        .ask(|| {
            let (mut rollouts, request) = (client.rollouts(), request.clone());
            async move { rollouts.apply(request).await }
        })
        .await
}

/// Prints what was started, or would be.
pub(crate) fn report(
    rollout: &v1::Rollout,
    start: &Start,
    session: &mut Session<'_, '_>,
) -> Result<Exit, Failure> {
    let model = &rollout.model;
    let text = || {
        if start.validate_only {
            let plan = rollout.plan.as_ref().map(to_yaml).unwrap_or_default();
            return format!("# valid; nothing was started\n{plan}");
        }
        format!("rollout {}\n{}", rollout.id, view::summary(rollout))
    };
    session.emit(|| json::rollout(rollout), text)?;
    if rollout.state() == v1::State::Queued && !start.validate_only {
        let id = &rollout.id;
        session.console.note(&format!(
            "it starts when the rollouts before it have ended\nwatch it:  serinus rollout watch {id}\ncancel it: serinus rollout cancel {id}"
        ));
    } else if !start.validate_only {
        session.console.note(&format!(
            "watch it: serinus rollout watch {model}\nstop it:  serinus rollout rollback {model}"
        ));
    }
    Ok(Exit::Ok)
}
