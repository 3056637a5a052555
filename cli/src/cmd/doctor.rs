//! `serinus doctor`: reads everything that a control plane and sidecars say about themselves, and says what is wrong and
//! the way out.

mod facts;
mod finding;
mod fleet;
mod log;
mod metrics;
mod releases;
mod server;
mod sidecar;
mod web;

use crate::args::Format;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use facts::Facts;
use finding::{Finding, Severity};
use serde_json::json;

const EXAMPLES: &str = "\
Examples:
  serinus doctor
  serinus doctor --sidecar 127.0.0.1:7411
  serinus doctor --json | jq -r '.findings[] | select(.severity == \"problem\") | .way_out'

Exit codes: 0 nothing is wrong that must be seen to, 9 something is.";

/// `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Address of the control plane's HTTP port [default: the host of --server, port 7401]
    #[arg(long, env = "SERINUS_HTTP", value_name = "HOST:PORT")]
    http: Option<String>,
    /// Admin address of a sidecar to be asked too; may be given more than once
    #[arg(long, value_name = "HOST:PORT")]
    sidecar: Vec<String>,
    /// The same as -o json
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    if args.json {
        session.format = Format::Json;
    }
    let http = match &args.http {
        Some(http) => web::address(http).to_owned(),
        None => web::beside(session.client.server()),
    };
    let facts = facts::gather(&session.client, &http, &args.sidecar).await;
    let findings = diagnose(&facts);
    let healthy = !findings.iter().any(|of| of.severity == Severity::Problem);
    let looked_at = facts.looked_at();
    session.emit(
        || {
            json!({
                "healthy": healthy,
                "looked_at": looked_at,
                "findings": findings.iter().map(Finding::json).collect::<Vec<_>>(),
            })
        },
        || finding::text(&findings, &looked_at),
    )?;
    Ok(if healthy { Exit::Ok } else { Exit::Unwell })
}

/// What is wrong, worst first.
fn diagnose(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    server::examine(facts, &mut findings);
    if let Ok(known) = &facts.control_plane {
        fleet::examine(known, facts.now_ms, &mut findings);
        releases::examine(known, &mut findings);
        log::examine(&known.log, facts.now_ms, &mut findings);
    }
    for (address, looked) in &facts.sidecars {
        sidecar::examine(
            address,
            looked,
            facts.control_plane.as_ref().ok(),
            &mut findings,
        );
    }
    findings.sort_by_key(|finding| finding.severity);
    findings
}

#[cfg(test)]
mod tests;
