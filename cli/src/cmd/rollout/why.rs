//! `serinus rollout why`: the evidence behind a decision.

use super::history;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{json, words};
use crate::session::Session;
use crate::view::{self, Stored, event_line, is_terminal};
use serde_json::json;
use serinus_proto::v1::{self, event::Kind};

const EXAMPLES: &str = "\
Examples:
  serinus rollout why recommender                 # what it waits for now, or why it ended
  serinus rollout why recommender --revision 41   # the decision of one event, see `rollout history`

Per guardrail: counts, values, the always-valid interval of the difference, the limit, the evidence (natural log, and as
a factor) against its threshold, and phi, the measured variance inflation.";

/// `rollout why`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    named: super::Named,
    /// Of the event with this revision
    #[arg(long, value_name = "REVISION")]
    revision: Option<u64>,
}

/// A decision and the event that carries it, if one does.
struct Found {
    decision: v1::Decision,
    stored: Option<Stored>,
}

pub(super) async fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let rollout = session.rollout(&args.named.rollout).await?;
    let found = match (args.revision, &rollout.decision) {
        (Some(revision), _) => of_revision(&rollout, revision, session).await?,
        (None, Some(decision)) if !is_terminal(rollout.state()) => Found {
            decision: decision.clone(),
            stored: None,
        },
        (None, present) => last_stored(&rollout, present.as_ref(), session).await?,
    };
    let options = session.console.view_options();
    let stored = found.stored.as_ref();
    session.emit(
        || {
            json!({
                "rollout": rollout.id,
                "model": rollout.model,
                "state": words::state(rollout.state()),
                "revision": stored.map(|stored| stored.revision),
                "event": stored.map(|stored| stored.what.clone()),
                "decision": json::decision(&found.decision),
            })
        },
        || view::why(&rollout, &found.decision, stored, options),
    )?;
    Ok(Exit::Ok)
}

async fn of_revision(
    rollout: &v1::Rollout,
    revision: u64,
    session: &Session<'_, '_>,
) -> Result<Found, Failure> {
    let page = history::page(&rollout.id, revision.saturating_sub(1), 1, session).await?;
    let hint = format!("`serinus rollout history {}` lists its events", rollout.id);
    let event = page
        .events
        .into_iter()
        .find(|event| event.revision == revision)
        .ok_or_else(|| {
            let what = format!(
                "rollout {} has no event with revision {revision}",
                rollout.id
            );
            Failure::error(what).hint(hint.clone())
        })?;
    stored(&event).ok_or_else(|| {
        let what = format!(
            "no decision is behind this event: {}",
            event_line(&event).trim()
        );
        Failure::error(what).hint(hint)
    })
}

/// The last event that carries a decision, preferring the one that ended the rollout.
async fn last_stored(
    rollout: &v1::Rollout,
    present: Option<&v1::Decision>,
    session: &mut Session<'_, '_>,
) -> Result<Found, Failure> {
    let events = history::all(&rollout.id, 0, session).await?;
    let end = events.iter().rfind(|event| is_end(event));
    if let Some(end) = end.filter(|end| stored(end).is_none()) {
        session.console.note(&format!(
            "ended on an operator's word: {}",
            event_line(end).trim()
        ));
    }
    let last = || {
        events
            .iter()
            .rev()
            .filter(|event| !is_verdict(event))
            .find_map(stored)
    };
    let present = || {
        present.map(|decision| Found {
            decision: decision.clone(),
            stored: None,
        })
    };
    end.and_then(stored)
        .or_else(last)
        .or_else(present)
        .ok_or_else(|| {
            Failure::error(format!(
                "nothing has been decided about rollout {} yet",
                rollout.id
            ))
            .hint(format!(
                "`serinus rollout get {}` shows how it stands",
                rollout.id
            ))
        })
}

fn is_end(event: &v1::Event) -> bool {
    matches!(event.kind, Some(Kind::Promoted(_) | Kind::RolledBack(_)))
}

fn is_verdict(event: &v1::Event) -> bool {
    matches!(event.kind, Some(Kind::VerdictChanged(_)))
}

/// What an event says about why, a change of a verdict as a decision with that one guardrail.
fn stored(event: &v1::Event) -> Option<Found> {
    let (decision, what) = match event.kind.as_ref()? {
        Kind::DecisionMade(e) => (e.decision.clone(), "decision".to_owned()),
        Kind::Held(e) => (e.decision.clone(), words::with_cause("HELD", e.cause())),
        Kind::Promoted(e) => (e.decision.clone(), "PROMOTED".to_owned()),
        Kind::RolledBack(e) => {
            let what = words::with_cause("ROLLED_BACK", e.cause());
            (e.decision.clone(), what)
        }
        Kind::VerdictChanged(e) => (one_guardrail(event, e), view::event_text(event)),
        _ => return None,
    };
    let revision = event.revision;
    decision.map(|decision| Found {
        decision,
        stored: Some(Stored { revision, what }),
    })
}

fn one_guardrail(event: &v1::Event, changed: &v1::VerdictChanged) -> Option<v1::Decision> {
    Some(v1::Decision {
        guardrails: vec![changed.evidence.clone()?],
        time: event.time,
        ..Default::default()
    })
}
