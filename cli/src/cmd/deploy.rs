//! `serinus deploy`: a whole rollout from one line.

use super::rollout::apply::{self, OnActive, Start};
use super::status;
use crate::args::values;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use serinus_core::plan::{short_form, short_form_auto};
use serinus_proto::v1;

const EXAMPLES: &str = "\
Examples:
  serinus deploy recommender --stable v1=http://127.0.0.1:9001 --canary v2=http://127.0.0.1:9002 --percent 5
  serinus deploy recommender --canary v3=http://127.0.0.1:9003 --wait
  serinus deploy recommender --canary v3=http://127.0.0.1:9003 --auto
  serinus deploy recommender --canary v3=http://127.0.0.1:9003 --validate-only -o yaml

Steps are PERCENT, then 25, 50 and 100 %, with guardrails on errors and latency; with --auto the first one follows from
the traffic, and each is left as soon as the evidence allows. --stable is needed the first time a
model is named; afterwards the version that serves it is known. With --wait the exit codes are those of `status`.";

/// `deploy`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What applications call by name
    model: String,
    /// The version that serves today
    #[arg(long, value_name = "NAME=URL", value_parser = values::variant)]
    stable: Option<v1::Variant>,
    /// The version to release
    #[arg(long, value_name = "NAME=URL", value_parser = values::variant)]
    canary: v1::Variant,
    /// Share of the first step, in per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    percent: f64,
    /// Choose the steps by the traffic and the evidence
    #[arg(long, conflicts_with = "percent")]
    auto: bool,
    /// Wait for the end
    #[arg(long)]
    wait: bool,
    /// What to do if another rollout of the model is active
    #[arg(long, value_enum, default_value_t = OnActive::Reject)]
    on_active: OnActive,
    /// Check everything, start nothing
    #[arg(long, conflicts_with = "wait")]
    validate_only: bool,
    /// Why; kept in the log
    #[arg(long, default_value = "")]
    reason: String,
}

pub(crate) async fn run(args: Args, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let plan = plan(&args)?;
    let start = Start {
        on_active: args.on_active,
        force: false,
        validate_only: args.validate_only,
        reason: args.reason,
    };
    let rollout = apply::start(plan, &start, session).await?;
    if !args.wait {
        return apply::report(&rollout, &start, session);
    }
    session.console.note(&format!(
        "rollout {} started; waiting for its end",
        rollout.id
    ));
    status::wait(&rollout.id, status::Until::Promoted, session).await
}

fn plan(args: &Args) -> Result<v1::Plan, Failure> {
    let stable = args.stable.as_ref().map(named_url);
    let (model, canary) = (&args.model, named_url(&args.canary));
    let plan = if args.auto {
        short_form_auto(model, stable, canary)
    } else {
        short_form(model, stable, canary, args.percent)
    };
    let mut plan =
        plan.map_err(|violations| Failure::violations("this is no valid deployment", &violations))?;
    // The short form takes one address each; here there may be several.
    if let (Some(stable), Some(given)) = (&mut plan.stable, &args.stable) {
        stable.endpoints.clone_from(&given.endpoints);
    }
    if let Some(canary) = plan.canaries.first_mut() {
        canary.endpoints.clone_from(&args.canary.endpoints);
    }
    Ok(plan)
}

fn named_url(variant: &v1::Variant) -> (&str, &str) {
    let url = variant.endpoints.first().map_or("", String::as_str);
    (&variant.name, url)
}
