//! Which commands were done already, by their request id.

use serinus_common::digest::digest;
use serinus_proto::stored::v1 as stored;
use std::collections::BTreeMap;

/// The command behind an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    digest: u64,
    /// The rollout, or the model, that it was about.
    pub(super) about: String,
}

/// Commands that changed nothing are remembered up to this number, and not over a restart.
const IDLE: usize = 10_000;

/// Every request id of the log.
#[derive(Debug, Default)]
pub(super) struct Requests {
    done: BTreeMap<String, Done>,
    /// Accepted, and there was nothing to do: a second rollback. Later there might be.
    idle: BTreeMap<String, Done>,
}

/// What is known of a request id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    New,
    /// This very command was done.
    Same(String),
    /// Another command was.
    Other,
}

impl Requests {
    /// Whether a command was done before.
    pub(super) fn look_up(&self, id: &str, digest: u64) -> Known {
        match self.done.get(id).or_else(|| self.idle.get(id)) {
            None => Known::New,
            Some(done) if done.digest == digest => Known::Same(done.about.clone()),
            Some(_) => Known::Other,
        }
    }

    /// Remembers a command that was accepted and changed nothing.
    pub(super) fn idle(&mut self, id: &str, digest: u64, about: &str) {
        if self.idle.len() >= IDLE {
            self.idle.clear();
        }
        let about = about.to_owned();
        self.idle.insert(id.to_owned(), Done { digest, about });
    }

    /// Follows a record of the log.
    pub(super) fn follow(&mut self, record: &stored::LogRecord) {
        let Some(event) = record
            .event
            .as_ref()
            .filter(|_| !record.request_id.is_empty())
        else {
            return;
        };
        let about = if event.rollout.is_empty() {
            &event.model
        } else {
            &event.rollout
        };
        let done = Done {
            digest: record.request_digest,
            about: about.clone(),
        };
        self.done.entry(record.request_id.clone()).or_insert(done);
    }
}

/// Digest of a command's content, by its kind and its encoded form.
pub(super) fn content(kind: &str, encoded: &[u8]) -> u64 {
    digest(&[kind.as_bytes(), b"\0", encoded].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_proto::v1;

    #[test]
    fn the_same_id_with_another_content_is_told() {
        let mut requests = Requests::default();
        let event = v1::Event {
            rollout: "r1".into(),
            ..v1::Event::default()
        };
        requests.follow(&stored::LogRecord {
            event: Some(event),
            request_id: "a".into(),
            request_digest: content("Pause", b"x"),
            part: 0,
            look: None,
        });
        assert_eq!(
            requests.look_up("a", content("Pause", b"x")),
            Known::Same("r1".into())
        );
        assert_eq!(requests.look_up("a", content("Resume", b"x")), Known::Other);
        assert_eq!(requests.look_up("b", content("Pause", b"x")), Known::New);
        requests.idle("b", content("Pause", b"x"), "r1");
        assert_eq!(
            requests.look_up("b", content("Pause", b"x")),
            Known::Same("r1".into())
        );
    }
}
