//! What is committed together.

use super::StoreError;
use serinus_proto::stored::v1 as stored;

/// Whether a batch can wait for room on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// It can.
    #[default]
    Normal,
    /// A few hundred bytes without which a sidecar cannot connect: only where hardly anything is left.
    Small,
    /// It takes a canary from users. It is tried whatever room there is.
    Lowers,
}

/// One commit, all or nothing.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// New entries of the log. Their revisions follow the last one without a hole.
    pub records: Vec<stored::LogRecord>,
    /// (rollout, sequence number from 1, slice).
    pub slices: Vec<(String, u64, stored::Slice)>,
    /// (rollout, sequence number from 1, label slice).
    pub label_slices: Vec<(String, u64, stored::LabelSlice)>,
    /// (rollout, state of its evidence).
    pub checkpoints: Vec<(String, stored::Checkpoint)>,
    /// (rollout, slices at the checkpoint) that newer ones have taken the place of.
    pub drop_checkpoints: Vec<(String, u64)>,
    /// (rollout, cells in no slice yet); replaces what was there.
    pub pending: Vec<(String, stored::Pending)>,
    /// Rollouts whose pending record goes. One that is named in `pending` too is kept.
    pub drop_pending: Vec<String>,
    /// Replaces what was there for the same sidecar and incarnation.
    pub sources: Vec<stored::Source>,
    /// (sidecar, incarnation) of which nobody will hear again.
    pub drop_sources: Vec<(String, u64)>,
    /// (key, block of the bitmap); replaces what was there.
    pub seen: Vec<(Vec<u8>, Vec<u8>)>,
    /// Replaces what was there for the same webhook.
    pub webhooks: Vec<stored::Webhook>,
    /// Counters; generation, term and schema have to be the ones that were loaded.
    pub meta: Option<stored::Meta>,
    /// The rollouts that were active when the store came back are held now.
    pub held_restored: bool,
    /// How it is treated where the disk is nearly full.
    pub urgency: Urgency,
}

impl Batch {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.slices.is_empty()
            && self.label_slices.is_empty()
            && self.checkpoints.is_empty()
            && self.drop_checkpoints.is_empty()
            && self.pending.is_empty()
            && self.drop_pending.is_empty()
            && self.sources.is_empty()
            && self.drop_sources.is_empty()
            && self.seen.is_empty()
            && self.webhooks.is_empty()
            && self.meta.is_none()
            && !self.held_restored
    }

    /// Refuses what would leave a hole, go back, or act for another term.
    pub(super) fn check(&self, last_revision: u64, meta: &stored::Meta) -> Result<(), StoreError> {
        for (record, expected) in self.records.iter().zip(last_revision + 1..) {
            let found = revision(record)?;
            if found != expected {
                return refuse(format!("revision {found} where {expected} comes next"));
            }
        }
        let numbered = self.slices.iter().map(|(_, seq, _)| *seq);
        let mut numbered = numbered.chain(self.label_slices.iter().map(|(_, seq, _)| *seq));
        if numbered.any(|seq| seq == 0) {
            return refuse("a slice has number 0; they count from 1".into());
        }
        match &self.meta {
            Some(new) if !same_reign(new, meta) => refuse(format!(
                "counters of generation {} term {} in a store of generation {} term {}",
                new.generation, new.term, meta.generation, meta.term
            )),
            _ => Ok(()),
        }
    }
}

/// The revision of a record's event.
pub(super) fn revision(record: &stored::LogRecord) -> Result<u64, StoreError> {
    match &record.event {
        Some(event) => Ok(event.revision),
        None => refuse("a record has no event".into()),
    }
}

fn same_reign(a: &stored::Meta, b: &stored::Meta) -> bool {
    (a.generation, a.term, a.schema) == (b.generation, b.term, b.schema)
}

fn refuse<T>(what: String) -> Result<T, StoreError> {
    Err(StoreError::Refused(what))
}
