//! What sidecars held: ever newer, never more than the log gave, never again what was rolled back, in bounded queues.

use super::history::History;
use super::trace::{Fault, Fence, Held, Record, What};
use super::{CLOCK_MS, Found};
use std::collections::{BTreeMap, BTreeSet};

/// Reports that are unsent, and sent and not stored: 120 of each.
const WAITING: u64 = 240;

/// I3 and I6: what a sidecar accepts is ever newer.
pub(super) fn fences(trace: &[Record], found: &mut Found) {
    let mut last: BTreeMap<(&str, &str), (&Record, Fence)> = BTreeMap::new();
    let mut held: BTreeMap<&str, (&Record, &Held)> = BTreeMap::new();
    for record in trace {
        let (key, fence) = match &record.what {
            What::Held(of) => {
                if let Some((before, old)) = held.insert(&of.sidecar, (record, of))
                    && old.fence == of.fence
                    && (&old.rollout, old.epoch) != (&of.rollout, of.epoch)
                {
                    let what = "two contents under one fence".to_owned();
                    found.add("I3", &[before, record], what);
                }
                ((of.sidecar.as_str(), ""), of.fence)
            }
            What::Applied {
                sidecar,
                model,
                fence,
            } => ((sidecar.as_str(), model.as_str()), *fence),
            _ => continue,
        };
        if let Some((before, old)) = last.insert(key, (record, fence))
            && fence < old
        {
            let deposed = fence[..2] < old[..2];
            let invariant = if deposed { "I6" } else { "I3" };
            let what = format!("{} went from {old:?} to {fence:?}", key.0);
            found.add(invariant, &[before, record], what);
        }
    }
}

/// I4 and I5: a share in force is of a split in the log, and is none once the rollout was rolled back there.
pub(super) fn shares(trace: &[Record], history: &History<'_>, found: &mut Found) {
    let mut ended: BTreeMap<(&str, &str), &Record> = BTreeMap::new();
    let mut told = BTreeSet::new();
    let mut rewound = false;
    for record in trace {
        let of = match &record.what {
            What::Held(of) => of,
            What::Fault {
                fault: Fault::Rewound,
                ..
            } => {
                rewound = true;
                continue;
            }
            _ => continue,
        };
        let present: u32 = of.shares.values().sum();
        let key = (of.sidecar.as_str(), of.rollout.as_str());
        if present > 0
            && let Some(end) = ended.get(&key)
        {
            if told.insert((key, u64::MAX)) {
                found.add(
                    "I5",
                    &[end, record],
                    format!("{} serves it again", of.sidecar),
                );
            }
        } else if of.ended && !of.rollout.is_empty() {
            ended.entry(key).or_insert(record);
        }
        if present == 0 || rewound || history.is_empty() {
            continue;
        }
        if let Some(wrong) = unfounded(record, of, present, history)
            && told.insert((key, of.epoch))
        {
            found.add("I4", &[record], wrong);
        }
    }
}

fn unfounded(record: &Record, of: &Held, present: u32, history: &History<'_>) -> Option<String> {
    let life = history.life(of.fence[0], &of.rollout);
    let Some(split) = life.and_then(|life| life.splits.get(&of.epoch)) else {
        return Some(format!(
            "epoch {} of {} is not in the log",
            of.epoch, of.rollout
        ));
    };
    if present > split.ppm() {
        return Some(format!(
            "{present} ppm are in force, the log gives {}",
            split.ppm()
        ));
    }
    if split.at_ms > record.at_ms + CLOCK_MS || split.revision > of.fence[2] {
        return Some("in force before it was decided".to_owned());
    }
    None
}

/// I12.
pub(super) fn bounds(trace: &[Record], found: &mut Found) {
    for record in trace {
        if let What::Held(of) = &record.what
            && of.waiting > WAITING
        {
            found.add("I12", &[record], format!("{} reports wait", of.waiting));
        }
    }
}
