//! Reads the whole store and says whether it is what was acknowledged.

use super::fault::Fault;
use super::head::Head;
use super::key::{self, describe};
use super::pieces;
use crate::store::frame::{self, Chain, GENESIS, decode, parse_entry, unseal};
use serinus_proto::stored::v1 as stored;

/// What a whole store says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// Absent in a store that was never finished.
    pub(super) meta: Option<stored::Meta>,
    /// Number of the last commit; 0 where there was none.
    pub(super) commit: u64,
    /// Of the last event; 0 for an empty log.
    pub(super) revision: u64,
    /// Hash of the log up to it.
    pub(super) chain: Chain,
    /// Hash of the log at the revision of HEAD, if it reaches that far.
    at_head: Option<Chain>,
}

impl Found {
    /// Reads every value: checksums, chain, holes.
    pub(super) fn read(db: &sled::Db, head: Option<&Head>) -> Result<Self, Fault> {
        let mark = head.map_or(0, |head| head.revision);
        let at_head = (mark == 0).then_some(GENESIS);
        let mut found = Self {
            at_head,
            ..Self::default()
        };
        let mut first = true;
        for value in pieces::values(db.iter()) {
            let (key, bytes) = value?;
            match key.first() {
                Some(&key::EVENT) => {
                    found.entry(&key, &bytes, first)?;
                    first = false;
                    if found.revision == mark {
                        found.at_head = Some(found.chain);
                    }
                }
                _ => found.other(&key, &bytes)?,
            }
        }
        Ok(found)
    }

    fn entry(&mut self, key: &[u8], bytes: &[u8], first: bool) -> Result<(), Fault> {
        let entry = parse_entry(bytes).map_err(Fault::value(key))?;
        let record: stored::LogRecord = decode(entry.payload).map_err(Fault::value(key))?;
        let revision = record.event.map_or(0, |event| event.revision);
        if key::event_revision(key) != Some(revision) {
            return Err(Fault::Log(format!(
                "{} holds revision {revision}",
                describe(key)
            )));
        }
        let expected = if first { 1 } else { self.revision + 1 };
        if revision != expected {
            return Err(Fault::Log(format!(
                "the log lacks event {expected}, {revision} comes next"
            )));
        }
        if entry.previous != self.chain {
            return Err(Fault::value(key)(frame::FrameError::Chain));
        }
        self.chain = entry.chain();
        self.revision = revision;
        Ok(())
    }

    fn other(&mut self, key: &[u8], bytes: &[u8]) -> Result<(), Fault> {
        let payload = unseal(key, bytes).map_err(Fault::value(key))?;
        let checked = match key.first() {
            Some(&key::META) => decode(payload).map(|meta| self.meta = Some(meta)),
            Some(&key::COMMIT) => {
                let number = payload.try_into().map(u64::from_be_bytes);
                number
                    .map(|number| self.commit = number)
                    .map_err(|_| frame::FrameError::Short(payload.len()))
            }
            Some(&key::SLICE) => decode::<stored::Slice>(payload).map(drop),
            Some(&key::LABELS) => decode::<stored::LabelSlice>(payload).map(drop),
            Some(&key::PENDING) => decode::<stored::Pending>(payload).map(drop),
            Some(&key::SOURCE) => decode::<stored::Source>(payload).map(drop),
            Some(&key::SEEN) => Ok(()),
            _ => return Err(Fault::Log(format!("{} is not one of ours", describe(key)))),
        };
        checked.map_err(Fault::value(key))
    }

    /// Whether everything that HEAD says was acknowledged is here. What lies beyond it was written and perhaps never
    /// acknowledged; it is kept, since its caller may ask again with the same request id.
    pub(super) fn against(&self, head: Option<&Head>) -> Result<(), Fault> {
        let Some(head) = head else {
            // The first commit writes the counters, then HEAD: a crash in between leaves one commit.
            let unfinished = self.commit <= 1 && self.revision == 0;
            let missing = "HEAD is missing, so how far the log went is not known";
            return if unfinished {
                Ok(())
            } else {
                Err(Fault::Log(missing.into()))
            };
        };
        if self.revision < head.revision || self.commit < head.commit {
            return Err(Fault::Log(format!(
                "the newest part is lost: commit {} with event {} was acknowledged, commit {} with event {} is the \
                 last one there",
                head.commit, head.revision, self.commit, self.revision
            )));
        }
        if self.at_head != Some(head.chain) {
            let revision = head.revision;
            return Err(Fault::Log(format!(
                "event {revision} is not the one that was acknowledged"
            )));
        }
        Ok(())
    }
}
