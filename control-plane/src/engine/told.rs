//! What was committed, for logs and metrics: each event once, when it is on disk.

use super::book::Book;
use crate::metrics::EVENTS;
use serinus_proto::{stored::v1 as stored, v1, v1::event::Kind};
use std::fmt::{self, Write as _};

/// Counts and logs the events of a commit.
pub(super) fn tell(records: &[stored::LogRecord], book: &Book) {
    for event in records.iter().filter_map(|record| record.event.as_ref()) {
        let Some(kind) = &event.kind else { continue };
        let name = name(kind);
        metrics::counter!(EVENTS, "kind" => name.clone()).increment(1);
        let epoch = book.rollout(&event.rollout).map(|rollout| rollout.epoch);
        let v1::Event {
            revision,
            rollout,
            model,
            actor,
            reason,
            ..
        } = event;
        // Absent fields are not written.
        tracing::info!(
            revision,
            rollout = (!rollout.is_empty()).then_some(rollout.as_str()),
            model = (!model.is_empty()).then_some(model.as_str()),
            epoch,
            sidecar = sidecar(kind),
            kind = name,
            actor,
            reason = (!reason.is_empty()).then_some(reason.as_str()),
            "event"
        );
    }
}

/// The sidecar that an event is about, if it is about one.
fn sidecar(kind: &Kind) -> Option<&str> {
    match kind {
        Kind::SidecarLost(of) => Some(&of.sidecar),
        Kind::AssignmentRejected(of) => Some(&of.sidecar),
        Kind::BreakerChanged(of) => Some(&of.sidecar),
        Kind::FenceRegressed(of) => Some(&of.sidecar),
        Kind::SidecarQuarantined(of) => Some(&of.sidecar),
        Kind::SidecarReleased(of) => Some(&of.sidecar),
        Kind::OverrideChanged(of) => Some(&of.sidecar),
        _ => None,
    }
}

/// As the contract names it, in small letters: `split_changed`.
fn name(kind: &Kind) -> String {
    let mut first = First(String::new());
    // It says that it failed: no more than the name of the variant, which comes first, is wanted.
    let _ = write!(first, "{kind:?}");
    let mut name = String::new();
    for letter in first.0.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// Takes what is written first, and no more: an event may hold a whole plan.
struct First(String);

impl fmt::Write for First {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text);
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_as_in_the_contract() {
        let created = v1::Created {
            undoes: "r-0".into(),
            ..v1::Created::default()
        };
        assert_eq!(name(&Kind::Created(created)), "created");
        let split = Kind::SplitChanged(v1::SplitChanged::default());
        assert_eq!(name(&split), "split_changed");
        let lifted = Kind::CapLifted(v1::CapLifted {});
        assert_eq!(name(&lifted), "cap_lifted");
    }

    #[test]
    fn events_about_a_sidecar_name_it() {
        let lost = Kind::SidecarLost(v1::SidecarLost {
            sidecar: "host-a".into(),
        });
        assert_eq!(sidecar(&lost), Some("host-a"));
        assert_eq!(sidecar(&Kind::CapLifted(v1::CapLifted {})), None);
    }
}
