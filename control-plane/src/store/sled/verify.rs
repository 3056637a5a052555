//! Reads the whole store and says whether it is what was acknowledged.

use super::base;
use super::fault::Fault;
use super::head::Head;
use super::key::{self, describe};
use super::pieces;
use crate::store::READER;
use crate::store::frame::{self, Chain, GENESIS, decode, parse_entry, unseal};
use serinus_core::audit;
use serinus_proto::stored::v1 as stored;
use std::collections::BTreeMap;

/// What a whole store says.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Absent in a store that was never finished.
    pub(super) meta: Option<stored::Meta>,
    /// Number of the last commit; 0 where there was none.
    pub(super) commit: u64,
    /// Of the last event; 0 for an empty log.
    pub(super) revision: u64,
    /// Hash of the log up to it.
    pub(super) chain: Chain,
    /// The log is whole after this revision; what is kept of before has no chain.
    pub(super) anchor: u64,
    /// Where the audit log has come to.
    audit: audit::Head,
    /// Values of each kind, by the first byte of their keys.
    pub(super) values: BTreeMap<u8, u64>,
    /// The revision that has to be passed, and the hash of the log there, once it is.
    mark: u64,
    at_mark: Option<Chain>,
    /// The numbered value before: kind and name, number.
    numbered: Option<(Vec<u8>, u64)>,
}

impl Found {
    /// Nothing read yet; the log has to reach `head`.
    pub(super) fn new(head: Option<&Head>) -> Self {
        let mark = head.map_or(0, |head| head.revision);
        Self {
            mark,
            at_mark: (mark == 0).then_some(GENESIS),
            ..Self::default()
        }
    }

    /// Reads every value: checksums, chain, holes.
    pub(super) fn read(db: &sled::Db, head: Option<&Head>) -> Result<Self, Fault> {
        let mut found = Self::new(head);
        for value in pieces::values(db.iter()) {
            let (key, bytes) = value?;
            found.take(&key, &bytes)?;
        }
        Ok(found)
    }

    /// Takes the next value in the order of keys.
    pub(super) fn take(&mut self, key: &[u8], bytes: &[u8]) -> Result<(), Fault> {
        let kind = key.first().copied().unwrap_or(0);
        *self.values.entry(kind).or_default() += 1;
        match kind {
            key::EVENT => self.entry(key, bytes),
            key::BASE => based(key, bytes).map(drop),
            _ => self.other(key, bytes),
        }
    }

    fn pass(&mut self, revision: u64, chain: Chain) {
        (self.revision, self.chain) = (revision, chain);
        if revision == self.mark {
            self.at_mark = Some(chain);
        }
    }

    fn entry(&mut self, key: &[u8], bytes: &[u8]) -> Result<(), Fault> {
        let (revision, entry, record) = read(key, bytes)?;
        let expected = self.revision + 1;
        if revision != expected {
            return Err(Fault::Log(format!(
                "the log lacks event {expected}, {revision} comes next"
            )));
        }
        if entry.previous != self.chain {
            return Err(Fault::value(key)(frame::FrameError::Chain));
        }
        let followed = self.audit.follow(&record, &audit::Head::default());
        followed.map_err(|broken| unaudited(revision, &broken))?;
        self.pass(revision, entry.chain());
        Ok(())
    }

    fn other(&mut self, key: &[u8], bytes: &[u8]) -> Result<(), Fault> {
        let payload = unseal(key, bytes).map_err(Fault::value(key))?;
        let checked = match key.first() {
            Some(&key::ANCHOR) => {
                let anchor: stored::Anchor = decode(payload).map_err(Fault::value(key))?;
                let chain = Chain::try_from(anchor.chain.as_slice());
                let chain =
                    chain.map_err(|_| Fault::Log("the log's beginning is cut off".into()))?;
                self.anchor = anchor.revision;
                self.pass(anchor.revision, chain);
                self.audit = base(anchor);
                Ok(())
            }
            Some(&key::META) => decode(payload).map(|meta| self.meta = Some(meta)),
            Some(&key::COMMIT) => {
                let number = payload.try_into().map(u64::from_be_bytes);
                number
                    .map(|number| self.commit = number)
                    .map_err(|_| frame::FrameError::Short(payload.len()))
            }
            Some(&key::SLICE) => {
                self.follows(key)?;
                decode::<stored::Slice>(payload).map(drop)
            }
            Some(&key::LABELS) => {
                self.follows(key)?;
                decode::<stored::LabelSlice>(payload).map(drop)
            }
            Some(&key::CHECKPOINT) => decode::<stored::Checkpoint>(payload).map(drop),
            Some(&key::PENDING) => decode::<stored::Pending>(payload).map(drop),
            Some(&key::SOURCE) => decode::<stored::Source>(payload).map(drop),
            Some(&key::REQUEST) => decode::<stored::RequestDone>(payload).map(drop),
            Some(&key::RESTORED) => decode::<stored::Restored>(payload).map(drop),
            Some(&key::WEBHOOK) => decode::<stored::Webhook>(payload).map(drop),
            Some(&key::SEEN) => Ok(()),
            _ => return Err(Fault::Log(format!("{} is not one of ours", describe(key)))),
        };
        checked.map_err(Fault::value(key))
    }

    /// Evidence has no holes: it could not be folded again.
    fn follows(&mut self, key: &[u8]) -> Result<(), Fault> {
        let number = key::number(key).unwrap_or_default();
        let series = key[..key.len().saturating_sub(8)].to_vec();
        if let Some((before, last)) = &self.numbered
            && *before == series
            && last + 1 != number
        {
            return Err(Fault::Log(format!(
                "what comes before {} is missing",
                describe(key)
            )));
        }
        self.numbered = Some((series, number));
        Ok(())
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
        if self.at_mark != Some(head.chain) {
            let revision = head.revision;
            return Err(Fault::Log(format!(
                "event {revision} is not the one that was acknowledged"
            )));
        }
        Ok(())
    }
}

/// An entry of the log and its revision, which is that of its key.
pub(super) fn logged<'a>(key: &[u8], bytes: &'a [u8]) -> Result<(u64, frame::Entry<'a>), Fault> {
    read(key, bytes).map(|(revision, entry, _)| (revision, entry))
}

fn unaudited(revision: u64, broken: &audit::Broken) -> Fault {
    Fault::Log(format!("the audit log at event {revision}: {broken}"))
}

/// As [`logged`], with what it says.
fn read<'a>(
    key: &[u8],
    bytes: &'a [u8],
) -> Result<(u64, frame::Entry<'a>, stored::LogRecord), Fault> {
    let entry = parse_entry(bytes).map_err(Fault::value(key))?;
    let record: stored::LogRecord = decode(entry.payload).map_err(Fault::value(key))?;
    if record.min_reader > READER {
        return Err(Fault::TooNew {
            value: describe(key),
            writer: entry.writer,
            needed: record.min_reader,
        });
    }
    let revision = record.event.as_ref().map_or(0, |event| event.revision);
    if record.audit.is_some() {
        audit::check(&record).map_err(|broken| unaudited(revision, &broken))?;
    }
    if key::number(key) != Some(revision) {
        return Err(Fault::Log(format!(
            "{} holds revision {revision}",
            describe(key)
        )));
    }
    Ok((revision, entry, record))
}

/// What is kept of before the log's beginning is single entries.
pub(super) fn based(key: &[u8], bytes: &[u8]) -> Result<u64, Fault> {
    logged(key, bytes).map(|(revision, _)| revision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use serinus_proto::v1;

    /// The log as it is on disk, after `change` was made to its records and every frame was made anew around them.
    fn found(change: impl Fn(&mut Vec<stored::LogRecord>)) -> Result<Found, Fault> {
        let mut head = audit::Head::default();
        let mut records = Vec::new();
        for revision in 1..=4 {
            let mut record = stored::LogRecord {
                event: Some(v1::Event {
                    revision,
                    actor: "ana".into(),
                    ..v1::Event::default()
                }),
                ..stored::LogRecord::default()
            };
            if revision != 2 {
                head.seal(&mut record, v1::Audit::default());
            }
            records.push(record);
        }
        change(&mut records);
        let mut found = Found::new(None);
        let mut chain = GENESIS;
        for record in &records {
            let payload = record.encode_to_vec();
            let revision = record.event.as_ref().unwrap().revision;
            let frame = frame::entry(&chain, &payload);
            chain = frame::chain(&chain, &payload);
            found.take(&key::event(revision), &frame)?;
        }
        Ok(found)
    }

    #[test]
    fn a_log_that_was_rewritten_with_all_its_checksums_is_found_by_its_seals() {
        assert_eq!(found(|_| {}).unwrap().audit.number, 3);
        let actor = |record: &mut stored::LogRecord| {
            record.event.as_mut().unwrap().actor = "bob".into();
        };
        let changed = found(|records| actor(&mut records[2])).unwrap_err();
        assert!(
            changed
                .to_string()
                .contains("audit log at event 3: it is not what was written"),
            "{changed}"
        );
        let hidden = found(|records| records[2].audit = None).unwrap_err();
        assert!(
            hidden
                .to_string()
                .contains("audit log at event 4: entries 2 to 2 are missing"),
            "{hidden}"
        );
    }
}
