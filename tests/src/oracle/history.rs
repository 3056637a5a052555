//! The log: whole, acknowledged, watched, and by the rules of a rollout.

use super::trace::{Change, Fault, Logged, Record, What};
use super::{CLOCK_MS, Found};
use std::collections::{BTreeMap, BTreeSet};

/// What the log says of one rollout.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    pub(super) canary: String,
    pub(super) salt: String,
    /// By epoch: when the split was decided, at which revision, and the canary's buckets.
    pub(super) splits: BTreeMap<u64, Split>,
    steps: Vec<u32>,
    warmup: u32,
    ceiling: u32,
    present: u32,
    epoch: u64,
    /// Since when it has been over.
    pub(super) rolled_back_ms: Option<u64>,
    ended: bool,
}

/// One split of a rollout.
#[derive(Clone, Debug, Default)]
pub(super) struct Split {
    pub(super) at_ms: u64,
    pub(super) revision: u64,
    pub(super) ranges: Vec<(u32, u32)>,
}

impl Split {
    pub(super) fn ppm(&self) -> u32 {
        self.ranges.iter().map(|(start, end)| end - start).sum()
    }
}

/// One history of the store.
#[derive(Clone, Debug, Default)]
pub(super) struct Log<'a> {
    entries: BTreeMap<u64, (&'a Record, &'a Logged)>,
    pub(super) lives: BTreeMap<String, Life>,
}

/// Every history that was read, by generation.
#[derive(Clone, Debug, Default)]
pub(super) struct History<'a> {
    logs: BTreeMap<u64, Log<'a>>,
}

impl History<'_> {
    /// A rollout as a generation has it. A generation of which no log was read is told by the next one that was: it came
    /// out of it.
    pub(super) fn life(&self, generation: u64, rollout: &str) -> Option<&Life> {
        let (_, log) = self.logs.range(generation..).next()?;
        log.lives.get(rollout)
    }

    /// Whether there is a log at all.
    pub(super) fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    /// A rollout of the newest history.
    pub(super) fn latest(&self, rollout: &str) -> Option<&Life> {
        self.logs.values().next_back()?.lives.get(rollout)
    }

    /// Whether any variant was promoted.
    pub(super) fn promoted(&self) -> bool {
        let entries = self.logs.values().flat_map(|log| log.entries.values());
        entries
            .into_iter()
            .any(|(_, of)| of.change == Change::Promoted)
    }
}

/// I2, and I4 as far as the log alone tells it.
pub(super) fn read<'a>(trace: &'a [Record], found: &mut Found) -> History<'a> {
    let mut history = History::default();
    for record in trace {
        match &record.what {
            What::Logged(of) => {
                let log = history.logs.entry(of.generation).or_default();
                if let Some((other, _)) = log.entries.insert(of.revision, (record, of)) {
                    let what = format!("revision {} is there twice", of.revision);
                    found.add("I2", &[other, record], what);
                }
            }
            What::Damaged { detail } => {
                found.add("I2", &[record], format!("the log cannot be read: {detail}"));
            }
            _ => {}
        }
    }
    let mut older: Option<&Log<'_>> = None;
    for log in history.logs.values() {
        whole(log, found);
        if let Some(older) = older {
            continues(older, log, found);
        }
        older = Some(log);
    }
    for log in history.logs.values_mut() {
        log.lives = lives(log, found);
    }
    history
}

/// No gaps, no command twice.
fn whole(log: &Log<'_>, found: &mut Found) {
    let mut last: Option<(&Record, u64)> = None;
    let mut done = BTreeMap::new();
    for (&revision, &(record, of)) in &log.entries {
        if let Some((before, _)) = last.filter(|(_, before)| before + 1 != revision) {
            found.add("I2", &[before, record], "the log has a gap".into());
        }
        last = Some((record, revision));
        if of.request_id.is_empty() {
            continue;
        }
        if let Some(first) = done.insert((&of.request_id, of.part), record) {
            let what = format!("{} was done twice", of.request_id);
            found.add("I1", &[first, record], what);
        }
    }
}

/// A newer history is the older one up to where it came back from.
fn continues(older: &Log<'_>, newer: &Log<'_>, found: &mut Found) {
    let restored = newer
        .entries
        .values()
        .find_map(|&(record, of)| match of.change {
            Change::Restored { revision }
                if !older.entries.contains_key(&of.revision)
                    || older.entries[&of.revision].1.digest != of.digest =>
            {
                Some((record, revision))
            }
            _ => None,
        });
    let last = older.entries.iter().next_back();
    let begins = newer.entries.values().next_back();
    let (Some((&last, &(ours, _))), Some(&(theirs, _))) = (last, begins) else {
        return;
    };
    // Without a restore it goes on where it was.
    let (record, up_to) = restored.unwrap_or((theirs, last));
    if restored.is_none() && !newer.entries.contains_key(&last) {
        found.add(
            "I6",
            &[ours, theirs],
            "a new generation lost history".into(),
        );
    }
    for (revision, &(theirs, of)) in newer.entries.range(..=up_to) {
        match older.entries.get(revision) {
            Some((_, ours)) if ours.digest == of.digest => {}
            Some((ours, _)) => found.add("I2", &[ours, theirs, record], "rewritten".into()),
            None => found.add("I2", &[theirs, record], "it was never there before".into()),
        }
    }
}

fn lives(log: &Log<'_>, found: &mut Found) -> BTreeMap<String, Life> {
    let mut lives: BTreeMap<String, Life> = BTreeMap::new();
    let entries: Vec<(&Record, &Logged)> = log.entries.values().copied().collect();
    let together = |a: &(&Record, &Logged), b: &(&Record, &Logged)| {
        (&a.1.rollout, a.0.at_ms, &a.1.actor) == (&b.1.rollout, b.0.at_ms, &b.1.actor)
    };
    for group in entries.chunk_by(together) {
        let Some((first, of)) = group.first().filter(|(_, of)| !of.rollout.is_empty()) else {
            continue;
        };
        if let Change::Created {
            stable: _,
            canary,
            salt,
            steps,
            warmup,
        } = &of.change
        {
            let life = Life {
                canary: canary.clone(),
                salt: salt.clone(),
                steps: steps.clone(),
                warmup: *warmup,
                ..Life::default()
            };
            if lives.insert(of.rollout.clone(), life).is_some() {
                found.add("I2", &[first], format!("{} was created twice", of.rollout));
            }
        }
        if let Some(life) = lives.get_mut(&of.rollout) {
            transition(life, group, found);
        }
    }
    lives
}

/// What one command or one look did to a rollout.
fn transition(life: &mut Life, group: &[(&Record, &Logged)], found: &mut Found) {
    let records: Vec<&Record> = group.iter().map(|(record, _)| *record).collect();
    if life.ended {
        found.add("I2", &records, "something happened after the end".into());
    }
    let before = life.present;
    let (mut raised_for, mut by_hand, mut promoted) = (false, false, false);
    for (record, of) in group {
        match &of.change {
            Change::StepEntered { step, warmup } => {
                let share = if *warmup {
                    Some(&life.warmup)
                } else {
                    life.steps.get(*step)
                };
                life.ceiling = share.copied().unwrap_or_default();
                raised_for = true;
            }
            Change::Resumed { step } => {
                life.ceiling = life.steps.get(*step).copied().unwrap_or(life.warmup);
                raised_for = true;
            }
            Change::SplitChanged { epoch, ranges } => {
                if *epoch != life.epoch + 1 {
                    let what = format!("epoch {epoch} after {}", life.epoch);
                    found.add("I2", &[record], what);
                }
                life.epoch = *epoch;
                let split = Split {
                    at_ms: record.at_ms,
                    revision: of.revision,
                    ranges: ranges.clone(),
                };
                life.present = split.ppm();
                by_hand |= of.actor != "serinus";
                life.splits.insert(*epoch, split);
            }
            Change::Paused { manual } => by_hand |= manual,
            Change::Promoted => {
                promoted = true;
                life.ended = true;
            }
            Change::RolledBack { .. } => {
                life.rolled_back_ms = Some(record.at_ms);
                life.ended = true;
            }
            _ => {}
        }
    }
    let highest = life.steps.iter().copied().max().unwrap_or_default();
    let present = life.present;
    if present > before && !(raised_for || by_hand || promoted) {
        found.add(
            "I4",
            &records,
            format!("raised from {before} to {present} ppm for nothing"),
        );
    }
    let ceiling = if by_hand { highest } else { life.ceiling };
    if present > before && present > ceiling.max(life.warmup) && !promoted {
        found.add(
            "I4",
            &records,
            format!("{present} ppm, and the step has {ceiling}"),
        );
    }
    if life.rolled_back_ms.is_some() && present > 0 {
        found.add("I5", &records, format!("rolled back with {present} ppm"));
    }
}

/// I1: what was acknowledged is in the log of that time.
pub(super) fn acknowledged(trace: &[Record], history: &History<'_>, found: &mut Found) {
    if history.is_empty() {
        return;
    }
    for (number, record) in trace.iter().enumerate() {
        let What::Acknowledged {
            generation,
            rollout,
            revision,
            request_id,
        } = &record.what
        else {
            continue;
        };
        let Some((&read, log)) = history.logs.range(*generation..).next() else {
            found.add(
                "I1",
                &[record],
                format!("no log of generation {generation}"),
            );
            continue;
        };
        let restored = log.entries.values().find_map(|(_, of)| match of.change {
            Change::Restored { revision } => Some(revision),
            _ => None,
        });
        let given_up = read > *generation && restored.is_some_and(|last| last < *revision);
        let rewound = trace[number..].iter().any(|later| {
            matches!(
                &later.what,
                What::Fault {
                    fault: Fault::Rewound,
                    ..
                }
            )
        });
        if given_up || rewound {
            continue;
        }
        match log.entries.get(revision) {
            Some((of, entry))
                if entry.rollout == *rollout && of.at_ms <= record.at_ms + CLOCK_MS => {}
            Some((of, _)) => {
                found.add("I1", &[record, of], format!("{request_id} is lost"));
            }
            None => found.add("I1", &[record], format!("{request_id} is lost")),
        }
    }
}

/// I11, I6 and I2: what a watcher was sent has no holes, and stays true.
pub(super) fn watched(trace: &[Record], history: &History<'_>, found: &mut Found) {
    let mut last: BTreeMap<u64, (&Record, u64)> = BTreeMap::new();
    let mut seen: BTreeMap<(u64, u64), (&Record, u64)> = BTreeMap::new();
    let mut forks = BTreeSet::new();
    let rewound = trace.iter().any(|of| {
        matches!(
            &of.what,
            What::Fault {
                fault: Fault::Rewound,
                ..
            }
        )
    });
    for record in trace {
        let What::Watched {
            watch,
            generation,
            revision,
            digest,
        } = &record.what
        else {
            continue;
        };
        if let Some((before, of)) = last.insert(*watch, (record, *revision))
            && of + 1 != *revision
        {
            found.add("I11", &[before, record], format!("{revision} after {of}"));
        }
        let key = (*generation, *revision);
        let first = *seen.entry(key).or_insert((record, *digest));
        if first.1 != *digest && !rewound && forks.insert(key) {
            found.add(
                "I6",
                &[first.0, record],
                format!("two histories at {revision}"),
            );
        }
        let Some(log) = history.logs.get(generation).filter(|_| !rewound) else {
            continue;
        };
        match log.entries.get(revision) {
            Some((_, of)) if of.digest == *digest => {}
            Some((of, _)) => {
                found.add("I2", &[record, of], format!("{revision} was rewritten"));
            }
            None => {
                found.add(
                    "I2",
                    &[record],
                    format!("{revision} was seen, and is not on disk"),
                );
            }
        }
    }
}
