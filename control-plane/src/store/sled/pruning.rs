//! Removal of what is old, in steps small enough that commits in between hardly wait.

use super::fault::{Fault, guard};
use super::staged::Staged;
use super::verify::logged;
use super::{SledStore, base, key, pieces};
use crate::store::frame::decode;
use crate::store::prune::{Prune, REQUESTS};
use crate::store::{StoreError, frame};
use prost::Message as _;
use serinus_core::audit::Head;
use serinus_proto::stored::v1 as stored;
use serinus_proto::v1;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use uuid::Uuid;
use v1::event::Kind;

/// Values of a step.
const STEP: usize = 500;
/// Bytes of a prediction's key in the names of [`key::SEEN`].
const SEEN_NAME: u16 = 36;

impl SledStore {
    /// Does one step; whether there is more to do. Commits wait only for the writing: what is read for it nobody else
    /// changes.
    pub(super) fn prune_step(&self, prune: &Prune) -> Result<bool, StoreError> {
        let _one = self.pruning.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shortage) = self.room.shortage().filter(|shortage| shortage.severe) {
            return Err(StoreError::Full(shortage));
        }
        let mut staged = Staged::default();
        let planned = guard(|| self.plan_step(prune, &mut staged));
        let step = planned.map_err(|fault| self.damaged(&fault))?;
        if let Step::Nothing = step {
            return Ok(false);
        }
        let mut writer = self.writer();
        self.check_sound(&writer)?;
        let mut end = writer.position;
        staged.number(&mut end);
        self.write_staged(&mut writer, &staged, end)?;
        if let Step::Log(through) = step {
            self.anchor.store(through, Ordering::Release);
        }
        Ok(true)
    }

    fn plan_step(&self, prune: &Prune, staged: &mut Staged) -> Result<Step, Fault> {
        if self.evidence(prune, staged)? {
            return Ok(Step::Values);
        }
        let anchor = self.anchor.load(Ordering::Acquire);
        let last = self.last_revision.load(Ordering::Acquire);
        // The newest event stays: the log never looks empty.
        let through = prune.through.min(last.saturating_sub(1));
        if through > anchor {
            let through = through.min(anchor + STEP as u64);
            self.compact(anchor, through, prune, staged)?;
            return Ok(Step::Log(through));
        }
        if self.forget(prune, staged)? || self.requests(prune, staged)? {
            return Ok(Step::Values);
        }
        Ok(Step::Nothing)
    }

    /// Slices and the like, oldest first: what is left has no hole.
    fn evidence(&self, prune: &Prune, staged: &mut Staged) -> Result<bool, Fault> {
        let evidence = prune.evidence.iter().chain(prune.forgotten.keys());
        for rollout in evidence {
            for kind in [key::SLICE, key::LABELS, key::CHECKPOINT] {
                if self.remove_all(&key::named(kind, rollout.as_bytes()), staged)? {
                    return Ok(true);
                }
            }
        }
        for rollout in prune.forgotten.keys() {
            if self.remove_all(&key::named(key::PENDING, rollout.as_bytes()), staged)? {
                return Ok(true);
            }
        }
        for rollout in prune.seen.iter().chain(prune.forgotten.keys()) {
            let Ok(id) = Uuid::parse_str(rollout) else {
                continue;
            };
            let prefix = [&[key::SEEN][..], &SEEN_NAME.to_be_bytes(), id.as_bytes()].concat();
            if self.remove_all(&prefix, staged)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the first values under a prefix; whether there was any.
    fn remove_all(&self, prefix: &[u8], staged: &mut Staged) -> Result<bool, Fault> {
        let mut any = false;
        for value in pieces::values(self.db.scan_prefix(prefix)).take(STEP) {
            staged.remove(value?.0);
            any = true;
        }
        Ok(any)
    }

    /// Moves the log's beginning: what is still needed is kept entry by entry, the rest goes.
    fn compact(
        &self,
        anchor: u64,
        through: u64,
        prune: &Prune,
        staged: &mut Staged,
    ) -> Result<(), Fault> {
        let gone = |event: &v1::Event| {
            let last = prune.forgotten.get(&event.rollout);
            !event.rollout.is_empty() && last.is_some_and(|last| *last <= through)
        };
        let ends = |last: &u64| (anchor + 1..=through).contains(last);
        let forgets = prune.forgotten.values().any(ends);
        let mut audited = self.audited_before()?;
        let mut stable = BTreeMap::new();
        let mut chain = None;
        let log = self
            .db
            .range(key::event(anchor + 1)..key::event(through + 1));
        for value in pieces::values(log) {
            let (event_key, bytes) = value?;
            let (revision, entry) = logged(&event_key, &bytes)?;
            chain = Some(entry.chain());
            staged.remove(event_key.clone());
            let record: stored::LogRecord =
                decode(entry.payload).map_err(Fault::value(&event_key))?;
            if let Some(audit) = &record.audit {
                audited = Head {
                    number: audit.number,
                    seal: audit.seal.clone(),
                };
            }
            let Some(event) = &record.event else { continue };
            if gone(event) {
                remember(&record, revision, staged);
                continue;
            }
            if let Some(Kind::ModelChanged(_)) = event.kind {
                // The last one of a model is all that is needed of them.
                if let Some((before, record)) =
                    stable.insert(event.model.clone(), (revision, record.clone()))
                {
                    staged.remove(key::at(key::BASE, before));
                    remember(&record, before, staged);
                }
            }
            staged.keep(key::at(key::BASE, revision), bytes);
        }
        let replaced = |event: &v1::Event| {
            let changed = matches!(event.kind, Some(Kind::ModelChanged(_)));
            changed && stable.contains_key(&event.model)
        };
        if forgets || !stable.is_empty() {
            let of = |event: &v1::Event| gone(event) || replaced(event);
            self.clean_base(|record| record.event.as_ref().is_some_and(of), staged)?;
        }
        let Some(chain) = chain else {
            return Err(Fault::Log(format!("the log lacks event {}", anchor + 1)));
        };
        let anchor = stored::Anchor {
            revision: through,
            chain: chain.to_vec(),
            audit_number: audited.number,
            audit_seal: audited.seal,
        };
        staged.put(vec![key::ANCHOR], &anchor.encode_to_vec());
        Ok(())
    }

    /// The last entry of the audit log up to the log's beginning.
    fn audited_before(&self) -> Result<Head, Fault> {
        let anchor_key = [key::ANCHOR];
        let Some(bytes) = self.db.get(anchor_key).map_err(Fault::from)? else {
            return Ok(Head::default());
        };
        let payload = frame::unseal(&anchor_key, &bytes).map_err(Fault::value(&anchor_key))?;
        decode(payload).map(base).map_err(Fault::value(&anchor_key))
    }

    /// Rollouts that are forgotten when the log has passed them. All entries of one go at once: half of them would be
    /// another rollout.
    fn forget(&self, prune: &Prune, staged: &mut Staged) -> Result<bool, Fault> {
        let anchor = self.anchor.load(Ordering::Acquire);
        let gone = |rollout: &str| {
            prune
                .forgotten
                .get(rollout)
                .is_some_and(|last| *last <= anchor)
        };
        let of = |record: &stored::LogRecord| {
            let event = record.event.as_ref();
            event.is_some_and(|event| !event.rollout.is_empty() && gone(&event.rollout))
        };
        self.clean_base(of, staged)
    }

    /// Removes kept entries; whether there was any.
    fn clean_base(
        &self,
        gone: impl Fn(&stored::LogRecord) -> bool,
        staged: &mut Staged,
    ) -> Result<bool, Fault> {
        let mut any = false;
        for value in pieces::values(self.db.scan_prefix([key::BASE])) {
            let (base_key, bytes) = value?;
            let (revision, entry) = logged(&base_key, &bytes)?;
            let record: stored::LogRecord =
                decode(entry.payload).map_err(Fault::value(&base_key))?;
            if gone(&record) {
                remember(&record, revision, staged);
                staged.remove(base_key);
                any = true;
            }
        }
        Ok(any)
    }

    /// Commands that are old and many.
    fn requests(&self, prune: &Prune, staged: &mut Staged) -> Result<bool, Fault> {
        let all = pieces::values(self.db.scan_prefix([key::REQUEST]));
        let surplus = all.count().saturating_sub(REQUESTS).min(STEP);
        let mut any = false;
        for value in pieces::values(self.db.scan_prefix([key::REQUEST])).take(surplus) {
            let (request_key, bytes) = value?;
            let payload =
                frame::unseal(&request_key, &bytes).map_err(Fault::value(&request_key))?;
            let done: stored::RequestDone = decode(payload).map_err(Fault::value(&request_key))?;
            if done.time_ms < prune.requests_before_ms {
                staged.remove(request_key);
                any = true;
            }
        }
        Ok(any)
    }
}

enum Step {
    Nothing,
    Values,
    /// The log begins after this revision now.
    Log(u64),
}

/// What stays of a command whose entry goes.
fn remember(record: &stored::LogRecord, revision: u64, staged: &mut Staged) {
    if let Some(done) = crate::store::request_done(record) {
        staged.put(key::at(key::REQUEST, revision), &done.encode_to_vec());
    }
}
