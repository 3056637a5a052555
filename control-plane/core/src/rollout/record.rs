//! From what happened to entries of the log.

use super::time::timestamp;
use serinus_proto::v1;
use serinus_proto::v1::event::Kind;

/// What all events of one transition have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Revision of the first one; the others follow without a gap.
    pub first_revision: u64,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// Id of the rollout.
    pub rollout: String,
    /// Its model.
    pub model: String,
    /// Who caused them; "serinus" for the control plane's own decisions.
    pub actor: String,
    /// Why, in the actor's words.
    pub reason: String,
}

/// Makes log entries of what [`super::create`], [`super::command`] or [`super::look`] returned.
#[must_use]
pub fn stamp(kinds: Vec<Kind>, stamp: &Stamp) -> Vec<v1::Event> {
    let revisions = stamp.first_revision..;
    let event = |(revision, kind)| v1::Event {
        revision,
        time: Some(timestamp(stamp.at_ms)),
        rollout: stamp.rollout.clone(),
        model: stamp.model.clone(),
        actor: stamp.actor.clone(),
        reason: stamp.reason.clone(),
        kind: Some(kind),
    };
    revisions.zip(kinds).map(event).collect()
}
