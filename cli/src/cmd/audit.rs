//! `serinus audit`: who did what, checked.

mod chain;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::table::table;
use crate::output::words;
use crate::session::Session;
use crate::view::number;
use chain::{Chain, Known};
use serde_json::{Value, json};
use serinus_proto::stored::v1::LogRecord;
use serinus_proto::v1::{self, list_audit_response::Message};
use std::fmt::Write as _;

const EXAMPLES: &str = "\
Examples:
  serinus audit
  serinus audit --known 12:5f6ab2...    # the last line of an earlier run: has anything before it been rewritten?
  serinus audit -o json

Every command that changed something is an entry. Each is sealed with SHA-256 together with the one before it, in the
event log itself; this command checks every seal on this side. Calls that were refused are kept in the control plane's
memory, the newest 1000.";

/// `audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only entries of later revisions; what is before is not checked then
    #[arg(long, value_name = "REVISION", default_value_t = 0)]
    after: u64,
    /// An entry that was noted earlier: it has to be there still, unchanged
    #[arg(long, value_name = "NUMBER:SEAL")]
    known: Option<Known>,
}

/// What came.
#[derive(Debug, Default)]
struct Log {
    records: Vec<LogRecord>,
    refusals: Vec<v1::Refusal>,
    end: v1::AuditEnd,
}

pub(crate) async fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let log = read(args, session).await?;
    let checked = Chain::check(&log.records, args.after > 0, &log.end, args.known.as_ref());
    session.emit(|| shown_json(&log, &checked), || shown(&log, &checked))?;
    match checked.broken {
        None => Ok(Exit::Ok),
        Some(broken) => Err(Failure::error(broken).hint(
            "somebody has changed the log: compare it with a backup, `serinus store verify --file FILE` checks one",
        )),
    }
}

async fn read(args: &Args, session: &Session<'_, '_>) -> Result<Log, Failure> {
    let client = &session.client;
    let request = v1::ListAuditRequest {
        after_revision: args.after,
    };
    let opened = client.try_ask(|| {
        let mut admin = client.admin();
        async move { admin.list_audit(request).await }
    });
    let failed = |status: tonic::Status| client.failure(&status);
    let mut stream = opened.await.map_err(failed)?;
    let mut log = Log::default();
    while let Some(message) = stream.message().await.map_err(failed)? {
        match message.message {
            Some(Message::Entry(entry)) => {
                let record = serinus_core::audit::read(&entry.record);
                let record = record.map_err(|error| {
                    Failure::error(format!("entry {}: {error}", log.records.len() + 1))
                })?;
                log.records.push(record);
            }
            Some(Message::Refusal(refusal)) => log.refusals.push(refusal),
            Some(Message::End(end)) => {
                log.end = end;
                return Ok(log);
            }
            // Of a later version.
            None => {}
        }
    }
    Err(Failure::error("the answer ended too early").hint("run the same command again"))
}

fn shown(log: &Log, checked: &Chain) -> String {
    let rows: Vec<_> = log.records.iter().map(row).collect();
    let head = [
        "#", "REVISION", "TIME", "WHO", "FROM", "WHAT", "ABOUT", "BEFORE", "AFTER", "WHY",
    ];
    let mut text = table(&head, &rows, "no entries yet");
    if !log.refusals.is_empty() {
        let rows: Vec<_> = log.refusals.iter().map(refusal_row).collect();
        let head = ["TIME", "WHO", "FROM", "WHAT", "REFUSED", "MESSAGE"];
        let _ = write!(
            text,
            "\n{} of {} refused calls:\n{}",
            rows.len(),
            log.end.refusals,
            table(&head, &rows, "")
        );
    }
    if checked.broken.is_none() {
        let _ = write!(text, "\n{}\n", checked.said());
    }
    text
}

fn row(record: &LogRecord) -> Vec<String> {
    let audit = record.audit.clone().unwrap_or_default();
    let event = record.event.clone().unwrap_or_default();
    let state = audit.after.as_ref().or(audit.before.as_ref());
    let about = state.map_or("", |state| match state.model.as_str() {
        "" => state.rollout.as_str(),
        model => model,
    });
    vec![
        audit.number.to_string(),
        event.revision.to_string(),
        event.time.as_ref().map(number::rfc3339).unwrap_or_default(),
        who(&audit),
        audit.from.clone(),
        call(&audit.method).to_owned(),
        about.to_owned(),
        audit.before.as_ref().map(standing).unwrap_or_default(),
        audit.after.as_ref().map(standing).unwrap_or_default(),
        event.reason,
    ]
}

fn refusal_row(refusal: &v1::Refusal) -> Vec<String> {
    vec![
        refusal
            .time
            .as_ref()
            .map(number::rfc3339)
            .unwrap_or_default(),
        refusal.caller.clone(),
        refusal.from.clone(),
        call(&refusal.method).to_owned(),
        refusal.why.clone(),
        refusal.message.clone(),
    ]
}

/// `ana (admin, certificate)`.
fn who(audit: &v1::Audit) -> String {
    match (audit.role.as_str(), audit.proof.as_str()) {
        ("", _) => audit.caller.clone(),
        (role, "nothing") => format!("{} ({role})", audit.caller),
        (role, proof) => format!("{} ({role}, {proof})", audit.caller),
    }
}

/// `Rollouts/Pause`.
fn call(method: &str) -> &str {
    method.strip_prefix("serinus.v1.").unwrap_or(method)
}

/// `RUNNING 5 %`, or what is stable.
fn standing(state: &v1::AuditState) -> String {
    if state.state() == v1::State::Unspecified {
        return format!("stable {}", state.stable);
    }
    let named = words::with_cause(words::state(state.state()), state.cause());
    let share = number::share(f64::from(state.canary_ppm) / 1e6);
    format!("{named} {share}")
}

fn shown_json(log: &Log, checked: &Chain) -> Value {
    let entries: Vec<Value> = log.records.iter().map(entry_json).collect();
    let refusals: Vec<Value> = log.refusals.iter().map(refusal_json).collect();
    json!({
        "entries": entries,
        "refusals": refusals,
        "refusals_total": log.end.refusals,
        "whole": checked.broken.is_none(),
        "broken": checked.broken,
        "last": checked.last(),
    })
}

fn entry_json(record: &LogRecord) -> Value {
    let audit = record.audit.clone().unwrap_or_default();
    let event = record.event.clone().unwrap_or_default();
    json!({
        "number": audit.number,
        "revision": event.revision,
        "time": event.time.as_ref().map(number::rfc3339),
        "caller": audit.caller,
        "role": audit.role,
        "proof": audit.proof,
        "identity": audit.identity,
        "from": audit.from,
        "method": audit.method,
        "request_id": audit.request_id,
        "reason": event.reason,
        "before": audit.before.as_ref().map(state_json),
        "after": audit.after.as_ref().map(state_json),
        "seal": chain::hex(&audit.seal),
    })
}

fn state_json(state: &v1::AuditState) -> Value {
    json!({
        "rollout": state.rollout,
        "model": state.model,
        "state": words::state(state.state()),
        "cause": words::cause(state.cause()),
        "step": state.step,
        "canary_share": f64::from(state.canary_ppm) / 1e6,
        "epoch": state.epoch,
        "revision": state.revision,
        "stable": state.stable,
    })
}

fn refusal_json(refusal: &v1::Refusal) -> Value {
    json!({
        "time": refusal.time.as_ref().map(number::rfc3339),
        "caller": refusal.caller,
        "from": refusal.from,
        "method": refusal.method,
        "why": refusal.why,
        "message": refusal.message,
    })
}
