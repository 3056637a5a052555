//! Every decision of a recording, made again.

use super::difference::{self, Difference};
use super::fold::{Fold, Short};
use super::{Recording, ReplayError};
use crate::evidence::{self, Basis};
use crate::rollout::{self, Facts, Rollout, millis};
use serinus_evidence::ENGINE_VERSION;
use serinus_proto::v1;
use v1::event::Kind;

/// Who decided in the log, where it was the control plane itself.
const OWN: &str = "serinus";

/// A recording, made again.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// One per look that changed something, oldest first.
    pub decisions: Vec<Redecided>,
    /// Slices of requests that were folded for them.
    pub slices: u64,
    /// Slices of labels.
    pub label_slices: u64,
}

/// What one look led to, and whether it does again.
#[derive(Clone, Debug, PartialEq)]
pub struct Redecided {
    /// The events, as they are in the log; at least one.
    pub events: Vec<v1::Event>,
    /// Of the engine that decided.
    pub engine_version: u32,
    /// How it compares.
    pub outcome: Outcome,
}

/// How a decision compares with the same one made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The same, to the last bit.
    Same,
    /// It is not; what differs.
    Differs(Vec<Difference>),
    /// What the look knew is not in the recording, which is older than looks in recordings.
    NotStored,
}

impl Replayed {
    /// Decisions that came out the same, bit for bit.
    #[must_use]
    pub fn reproduced(&self) -> usize {
        self.count(|of| of.outcome == Outcome::Same)
    }

    /// Decisions of this very engine that came out otherwise: either the data or the program is not what it was.
    #[must_use]
    pub fn broken(&self) -> usize {
        self.count(|of| of.differs() && of.engine_version == ENGINE_VERSION)
    }

    /// Decisions that this engine cannot be held to: by another version and other now, or not stored well enough.
    #[must_use]
    pub fn beyond(&self) -> usize {
        self.decisions.len() - self.reproduced() - self.broken()
    }

    fn count(&self, of: impl Fn(&Redecided) -> bool) -> usize {
        self.decisions.iter().filter(|each| of(each)).count()
    }
}

impl Redecided {
    fn differs(&self) -> bool {
        matches!(self.outcome, Outcome::Differs(_))
    }
}

/// Makes every decision of the control plane again and compares it with the recorded one. The state follows the log, so
/// that a decision that differs does not make all later ones differ.
///
/// # Errors
/// If the recording has no beginning, or its plan cannot be judged by this engine.
pub fn replay(recording: &Recording) -> Result<Replayed, ReplayError> {
    let (first, _) = recording.created()?;
    let mut rollout = Rollout::from_created(first).ok_or(ReplayError::NoBeginning)?;
    let takers = (0..rollout.plan.guardrails.len())
        .map(|index| vec![index])
        .collect();
    let mut fold = Fold::new(recording, recording.settings(&rollout.plan)?, takers)?;
    let mut decisions = Vec::new();
    for group in groups(&recording.events[1..]) {
        let events: Vec<v1::Event> = group
            .iter()
            .filter_map(|entry| entry.event.clone())
            .collect();
        let look = group.first().and_then(|entry| entry.look.as_ref());
        if let Some(look) = look {
            let outcome = redecide(&mut fold, &rollout, look, &events);
            decisions.push(Redecided {
                engine_version: look.engine_version,
                outcome,
                events: events.clone(),
            });
        } else if is_own(&events) {
            decisions.push(Redecided {
                engine_version: version(&events).unwrap_or_else(|| recording.engine_version()),
                outcome: Outcome::NotStored,
                events: events.clone(),
            });
        }
        for event in &events {
            rollout::apply(&mut rollout, event);
        }
    }
    Ok(Replayed {
        decisions,
        slices: fold.slices as u64,
        label_slices: fold.label_slices as u64,
    })
}

/// The entries of one look, command or other cause each: those that are numbered on from the one before.
fn groups(entries: &[v1::RecordedEvent]) -> impl Iterator<Item = &[v1::RecordedEvent]> {
    entries.chunk_by(|a, b| b.part == a.part + 1 && b.look.is_none())
}

fn redecide(
    fold: &mut Fold<'_>,
    rollout: &Rollout,
    look: &v1::Look,
    events: &[v1::Event],
) -> Outcome {
    if let Err(short) = fold.to(look.slices, look.label_slices) {
        return Outcome::Differs(vec![lacking(short)]);
    }
    let judged = evidence::judge(&fold.engine, &rollout.plan, Basis::of(rollout));
    let facts = fold.doubts.apply(Facts::new(&judged, look), rollout);
    let time = events.first().and_then(|event| event.time.as_ref());
    let again = rollout::look(rollout, time.map_or(0, millis), &facts);
    match difference::between(events, &again) {
        same if same.is_empty() => Outcome::Same,
        differences => Outcome::Differs(differences),
    }
}

fn lacking(short: Short) -> Difference {
    Difference {
        field: short.what.to_owned(),
        recorded: format!("{} were folded", short.wanted),
        recomputed: format!("the recording holds {}", short.held),
    }
}

/// Whether the control plane decided this by itself.
fn is_own(events: &[v1::Event]) -> bool {
    let decides = |event: &v1::Event| match &event.kind {
        Some(Kind::RolledBack(back)) => back.decision.is_some(),
        Some(
            Kind::VerdictChanged(_)
            | Kind::DecisionMade(_)
            | Kind::Held(_)
            | Kind::Resumed(_)
            | Kind::ApprovalRequested(_)
            | Kind::GateAsked(_)
            | Kind::FreezeBegan(_)
            | Kind::FreezeEnded(_)
            | Kind::CapLifted(_)
            | Kind::BakeStarted(_)
            | Kind::Promoted(_),
        ) => true,
        _ => false,
    };
    events
        .iter()
        .any(|event| event.actor == OWN && decides(event))
}

fn version(events: &[v1::Event]) -> Option<u32> {
    events.iter().find_map(|event| match &event.kind {
        Some(Kind::DecisionMade(made)) => made.decision.as_ref().map(|of| of.engine_version),
        Some(Kind::Held(held)) => held.decision.as_ref().map(|of| of.engine_version),
        Some(Kind::Promoted(promoted)) => promoted.decision.as_ref().map(|of| of.engine_version),
        Some(Kind::RolledBack(back)) => back.decision.as_ref().map(|of| of.engine_version),
        _ => None,
    })
}
