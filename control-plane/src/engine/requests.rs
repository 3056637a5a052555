//! Which commands were done already, by their request id.

use crate::store::prune::{REQUESTS, REQUESTS_MS};
use crate::store::request_done;
use serinus_common::digest::digest;
use serinus_proto::stored::v1 as stored;
use std::collections::{BTreeMap, BTreeSet};

/// The command behind an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    digest: u64,
    /// The rollout, or the model, that it was about.
    pub(super) about: String,
}

/// Commands that changed nothing are remembered up to this number, and not over a restart.
const IDLE: usize = 10_000;

/// The request ids of the log: of the last 24 hours, and at least the newest 100,000.
#[derive(Debug, Default)]
pub(super) struct Requests {
    done: BTreeMap<String, Done>,
    /// The same by time, unix milliseconds.
    ages: BTreeSet<(u64, String)>,
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
        if let Some(done) = request_done(record) {
            self.remember(done);
        }
    }

    /// Remembers a command; the oldest are forgotten when there are enough newer ones.
    pub(super) fn remember(&mut self, command: stored::RequestDone) {
        let stored::RequestDone {
            request_id: id,
            digest,
            about,
            time_ms,
        } = command;
        if self.done.contains_key(&id) {
            return;
        }
        self.ages.insert((time_ms, id.clone()));
        self.done.insert(id, Done { digest, about });
        let newest = self.ages.last().map_or(0, |(time_ms, _)| *time_ms);
        while self.done.len() > REQUESTS {
            let old = |(time_ms, _): &&(u64, String)| *time_ms + REQUESTS_MS < newest;
            let Some(oldest) = self.ages.first().filter(old).cloned() else {
                break;
            };
            self.ages.remove(&oldest);
            self.done.remove(&oldest.1);
        }
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
    fn the_oldest_are_forgotten_when_there_are_enough() {
        let mut requests = Requests::default();
        let command = |n: u64, time_ms| stored::RequestDone {
            request_id: n.to_string(),
            digest: n,
            about: "r".into(),
            time_ms,
        };
        let n = REQUESTS as u64;
        for i in 0..n + 10 {
            requests.remember(command(i, i));
        }
        // Not yet a day old.
        assert_eq!(requests.look_up("0", 0), Known::Same("r".into()));
        requests.remember(command(n + 10, REQUESTS_MS + 6));
        assert_eq!(requests.look_up("5", 5), Known::New);
        assert_eq!(requests.look_up("6", 6), Known::Same("r".into()));
    }

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
            ..stored::LogRecord::default()
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
