//! What can be saved of a damaged store: the longest verified beginning of its log, and what belongs to it.

use super::fault::{Fault, guard, isolated};
use super::head::Head;
use super::open::{self, Options};
use super::restore::{Build, RestoreError, Sound, empty};
use super::verify::{Found, logged};
use super::{key, pieces};
use crate::store::copy;
use crate::store::frame::{Chain, GENESIS, decode, unseal};
use serinus_proto::stored::v1 as stored;
use serinus_proto::v1::event::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufWriter;
use std::ops::Bound;
use std::path::{Path, PathBuf};

/// Numbers of issuers that may have been given after the counters were lost.
const ISSUERS: u64 = 1_000_000;

/// What a repair did.
#[derive(Clone, Debug)]
pub struct Repaired {
    /// The store that was made.
    pub sound: Sound,
    /// What is lost, one line each; empty if nothing is known to be.
    pub lost: Vec<String>,
    /// Intact values that do not belong to what was saved, for inspection; absent if there are none.
    pub rest: Option<PathBuf>,
}

/// Saves what can be of the store in `from` into the empty directory `into`, as a new generation. `from` stays as it is;
/// what is intact and does not belong to what was saved goes into the file `rest`.
///
/// # Errors
/// [`RestoreError::Beyond`] if nothing of the log can be read, and the others of [`RestoreError`].
pub fn repair(from: &Path, into: &Path, rest: &Path) -> Result<Repaired, RestoreError> {
    if !from.join("db").exists() {
        return Err(RestoreError::NoStore(from.to_owned()));
    }
    empty(into)?;
    let beyond = |fault: &Fault| RestoreError::Beyond {
        path: from.to_owned(),
        what: fault.to_string(),
    };
    let options = Options::new(from);
    // A damaged mark only hides how much is lost.
    let head = Head::read(from).ok().flatten();
    let asked = options.clone();
    let saved = isolated(options.patience, move || {
        open::lock(&asked).map(|db| Saved::read(&db))
    });
    let mut saved = saved.map_err(|fault| match fault.is_lock() {
        true => open::refused(&options, 0, &fault).into(),
        false => beyond(&fault),
    })?;
    saved.choose().map_err(|fault| beyond(&fault))?;
    saved.compare(head.as_ref());
    let mut build = Build::new(into)?;
    let built = saved
        .kept
        .iter()
        .try_for_each(|(key, value)| build.put(key, value));
    built.map_err(|fault| beyond(&fault))?;
    build.counters(saved.meta, head.map_or(0, |head| head.commit));
    let before = saved
        .meta
        .generation
        .max(head.map_or(1, |head| head.generation));
    let detail = match saved.lost.as_slice() {
        [] => "repaired; nothing is known to be lost".to_owned(),
        lost => format!("repaired; lost: {}", lost.join("; ")),
    };
    let sound = build.finish(before + 1, detail)?;
    let rest = saved.write_rest(rest)?;
    Ok(Repaired {
        sound,
        lost: saved.lost,
        rest,
    })
}

/// Everything that can still be read.
#[derive(Default)]
struct Saved {
    kept: BTreeMap<Vec<u8>, Vec<u8>>,
    rest: BTreeMap<Vec<u8>, Vec<u8>>,
    lost: Vec<String>,
    /// Rollouts whose evidence has a hole.
    cut: BTreeSet<Vec<u8>>,
    meta: stored::Meta,
    revision: u64,
    chain: Chain,
    commit: u64,
}

impl Saved {
    /// Reads every value that sled gives; what it does not give is lost.
    fn read(db: &sled::Db) -> Self {
        let mut saved = Self::default();
        let mut cursor: Vec<u8> = Vec::new();
        loop {
            let from = match cursor.as_slice() {
                [] => Bound::Unbounded,
                _ => Bound::Excluded([&cursor[..], &[u8::MAX, u8::MAX]].concat()),
            };
            let next = guard(|| {
                let next = db.range((from, Bound::<Vec<u8>>::Unbounded)).next();
                let piece = next.transpose()?;
                piece
                    .map(|(piece, _)| pieces::key_of(&piece).map(<[u8]>::to_vec))
                    .transpose()
            });
            let key = match next {
                Ok(Some(key)) => key,
                Ok(None) => return saved,
                Err(fault) => {
                    let after = key::describe(&cursor);
                    saved.lose(format!("everything after {after} cannot be read ({fault})"));
                    return saved;
                }
            };
            match guard(|| pieces::get(db, &key)) {
                Ok(Some(value)) => {
                    saved.rest.insert(key.clone(), value);
                }
                Ok(None) => {}
                Err(fault) => saved.lose(fault.to_string()),
            }
            cursor = key;
        }
    }

    fn lose(&mut self, what: String) {
        tracing::warn!("lost: {what}");
        self.lost.push(what);
    }

    fn take(&mut self, key: &[u8]) {
        if let Some((key, value)) = self.rest.remove_entry(key) {
            self.kept.insert(key, value);
        }
    }

    fn keys(&self, kind: u8) -> Vec<Vec<u8>> {
        let keys = self.rest.range(vec![kind]..vec![kind + 1]);
        keys.map(|(key, _)| key.clone()).collect()
    }

    /// Decides what belongs to the new store. Only what stands before the log's beginning has to be whole.
    fn choose(&mut self) -> Result<(), Fault> {
        let rollouts = self.log()?;
        self.series(key::SLICE, &rollouts);
        self.series(key::LABELS, &rollouts);
        for kind in [
            key::PENDING,
            key::SOURCE,
            key::REQUEST,
            key::SEEN,
            key::WEBHOOK,
        ] {
            for key in self.keys(kind) {
                let of_rollout = kind == key::PENDING;
                let name = key::name(&key).unwrap_or_default();
                let name = name.split(|byte| *byte == b'/').next().unwrap_or_default();
                if of_rollout && !rollouts.contains(name) {
                    continue;
                }
                self.take_if_sound(&key);
            }
        }
        self.checkpoints();
        self.counters();
        Ok(())
    }

    fn take_if_sound(&mut self, key: &[u8]) -> bool {
        let Some(value) = self.rest.get(key) else {
            return false;
        };
        match Found::default().take(key, value) {
            Ok(()) => {
                self.take(key);
                true
            }
            Err(fault) => {
                self.lose(fault.to_string());
                false
            }
        }
    }

    /// The verified beginning of the log; the rollouts that it creates, by id.
    fn log(&mut self) -> Result<BTreeSet<Vec<u8>>, Fault> {
        let mut found = Found::default();
        (found.revision, found.chain) = (0, GENESIS);
        let mut created = BTreeSet::new();
        for kind in [key::ANCHOR, key::BASE] {
            for key in self.keys(kind) {
                found.take(&key, &self.rest[&key])?;
                self.note_created(&key, &mut created);
                self.take(&key);
            }
        }
        for (events, key) in self.keys(key::EVENT).into_iter().enumerate() {
            if let Err(fault) = found.take(&key, &self.rest[&key]) {
                if events == 0 && found.anchor == 0 {
                    return Err(fault);
                }
                self.lose(format!("every event after {}: {fault}", found.revision));
                break;
            }
            self.note_created(&key, &mut created);
            self.take(&key);
        }
        (self.revision, self.chain) = (found.revision, found.chain);
        Ok(created)
    }

    fn note_created(&self, key: &[u8], created: &mut BTreeSet<Vec<u8>>) {
        let entry = self.rest.get(key).and_then(|value| logged(key, value).ok());
        let record = entry.and_then(|(_, entry)| decode::<stored::LogRecord>(entry.payload).ok());
        let event = record.and_then(|record| record.event);
        if let Some(event) = event.filter(|of| matches!(of.kind, Some(Kind::Created(_)))) {
            created.insert(event.rollout.into_bytes());
        }
    }

    /// Evidence up to the first hole of each rollout.
    fn series(&mut self, kind: u8, rollouts: &BTreeSet<Vec<u8>>) {
        let mut last: Option<(Vec<u8>, u64)> = None;
        for key in self.keys(kind) {
            let name = key::name(&key).unwrap_or_default().to_vec();
            let number = key::number(&key).unwrap_or_default();
            let follows = last
                .as_ref()
                .is_none_or(|(before, last)| *before != name || last + 1 == number);
            if !rollouts.contains(&name) || self.cut.contains(&name) {
                continue;
            }
            if !follows || !self.take_if_sound(&key) {
                let what = key::describe(&key);
                self.lose(format!("{what} and what follows it"));
                self.cut.insert(name);
                continue;
            }
            last = Some((name, number));
        }
    }

    /// States of evidence whose slices are all there.
    fn checkpoints(&mut self) {
        for key in self.keys(key::CHECKPOINT) {
            let name = key::name(&key).unwrap_or_default().to_vec();
            let slices = key::number(&key).unwrap_or_default();
            let there = key::numbered(key::SLICE, &name, slices);
            if self.kept.contains_key(&there) && !self.cut.contains(&name) {
                self.take_if_sound(&key);
            }
        }
    }

    fn counters(&mut self) {
        let meta_key = [key::META];
        let meta = self.rest.get(&meta_key[..]).and_then(|value| {
            let payload = unseal(&meta_key, value).ok()?;
            decode::<stored::Meta>(payload).ok()
        });
        let commit_key = [key::COMMIT];
        let commit = self.rest.get(&commit_key[..]).and_then(|value| {
            let payload = unseal(&commit_key, value).ok()?;
            payload.try_into().ok().map(u64::from_be_bytes)
        });
        self.commit = commit.unwrap_or(0);
        let issuers = self.kept.range(vec![key::SOURCE]..vec![key::SOURCE + 1]);
        let issuers = issuers
            .filter_map(|(key, value)| decode::<stored::Source>(unseal(key, value).ok()?).ok());
        let highest = issuers.map(|source| source.issuer).max().unwrap_or(0);
        self.meta = meta.unwrap_or_else(|| {
            self.lost.push("the counters".to_owned());
            stored::Meta {
                last_issuer: highest + ISSUERS,
                ..stored::Meta::default()
            }
        });
        self.meta.last_issuer = self.meta.last_issuer.max(highest);
        for key in [&meta_key[..], &commit_key[..], &[key::RESTORED]] {
            self.rest.remove(key);
        }
    }

    /// Holds what was saved against the mark of what was acknowledged.
    fn compare(&mut self, head: Option<&Head>) {
        match head {
            None => self.lose("HEAD, so how far the log went is not known".to_owned()),
            Some(head) if self.revision < head.revision => {
                let (first, last) = (self.revision + 1, head.revision);
                self.lose(format!("the acknowledged events {first} to {last}"));
            }
            Some(head) if self.commit < head.commit => {
                let commits = head.commit - self.commit;
                self.lose(format!("counts of the last {commits} commits"));
            }
            Some(_) => {}
        }
    }

    fn write_rest(&self, path: &Path) -> Result<Option<PathBuf>, RestoreError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let write = || {
            let file = File::create_new(path)?;
            let header = stored::CopyHeader::default();
            let mut writer = copy::Writer::new(BufWriter::new(file), &header)?;
            for (key, value) in &self.rest {
                writer.value(key, value)?;
            }
            writer.finish()?.2.into_inner()?.sync_all()
        };
        write().map_err(open::directory(path, "write what is left over"))?;
        Ok(Some(path.to_owned()))
    }
}
