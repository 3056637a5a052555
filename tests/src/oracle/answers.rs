//! What users got: the variant that is theirs, and an answer.

use super::Found;
use super::history::{History, Life, Split};
use super::trace::{Asked, Fault, Held, Record, What};
use serinus_common::bucket;
use std::collections::BTreeMap;

/// Two looks at a sidecar that are further apart say little of what was in between.
const GAP_MS: u64 = 1_000;
/// Counts of a sidecar are this old at most when they are shown.
const COUNTED_MS: u64 = 2_000;
/// Longer than any call may take.
const SLOW_MS: u64 = 12_000;
/// A process that was killed or stopped is noticed.
const MARGIN_MS: u64 = 500;

/// Looks at one sidecar, in the order of time.
type Looks<'a> = Vec<(&'a Record, &'a Held)>;

fn looks(trace: &[Record]) -> BTreeMap<&str, Looks<'_>> {
    let mut all: BTreeMap<&str, Looks<'_>> = BTreeMap::new();
    for record in trace {
        if let What::Held(of) = &record.what {
            all.entry(&of.sidecar).or_default().push((record, of));
        }
    }
    all
}

/// The looks from one that was over before a time, to one that was begun after another.
fn between<'a, 'b>(
    looks: &'b Looks<'a>,
    from: u64,
    to: u64,
) -> Option<&'b [(&'a Record, &'a Held)]> {
    let before = looks.partition_point(|(record, _)| record.at_ms <= from);
    let after = looks.partition_point(|(record, _)| record.at_ms < to);
    looks.get(before.checked_sub(1)?..=after + 1)
}

/// I4, I5 and I7: nobody gets a canary whose buckets are not theirs, or that has no share.
pub(super) fn variants(trace: &[Record], history: &History<'_>, found: &mut Found) {
    let all = looks(trace);
    for record in trace {
        let What::Asked(asked) = &record.what else {
            continue;
        };
        let Some(window) = all
            .get(asked.sidecar.as_str())
            .and_then(|looks| between(looks, asked.sent_ms, record.at_ms))
        else {
            continue;
        };
        let [(first, held), .., (last, later)] = window else {
            continue;
        };
        let same = |of: &Held| {
            (of.fence[0], &of.rollout, of.epoch) == (held.fence[0], &held.rollout, held.epoch)
        };
        let known = asked.status == Some(200) && !asked.variant.is_empty();
        if !known || !same(later) || asked.variant == held.stable || asked.variant == later.stable {
            continue;
        }
        if window
            .iter()
            .all(|(_, of)| of.shares.values().all(|&ppm| ppm == 0))
        {
            let invariant = if held.ended { "I5" } else { "I4" };
            let what = format!("{} answered, and has no share", asked.variant);
            found.add(invariant, &[first, record, last], what);
            continue;
        }
        let life = history.life(held.fence[0], &held.rollout);
        let split = life.and_then(|life| Some((life, life.splits.get(&held.epoch)?)));
        if let Some((life, split)) = split
            && !owns(life, split, asked)
        {
            let what = format!("{} answered, and the bucket is not its own", asked.variant);
            found.add("I7", &[first, record, last], what);
        }
    }
}

fn owns(life: &Life, split: &Split, asked: &Asked) -> bool {
    let Some(key) = asked.key.as_ref().filter(|_| !life.salt.is_empty()) else {
        return true;
    };
    let bucket = bucket::hashed(&life.salt, key.as_bytes());
    asked.variant == life.canary
        && split
            .ranges
            .iter()
            .any(|&(start, end)| (start..end).contains(&bucket))
}

/// I7: nobody changes the variant while the split stands and nothing goes wrong.
pub(super) fn moves(trace: &[Record], found: &mut Found) {
    let all = looks(trace);
    let mut last: BTreeMap<(&str, &str), (&Record, &Asked)> = BTreeMap::new();
    for record in trace {
        let What::Asked(asked) = &record.what else {
            continue;
        };
        let Some(key) = asked.key.as_deref().filter(|_| asked.status == Some(200)) else {
            continue;
        };
        let before = last.insert((&asked.sidecar, key), (record, asked));
        let Some((before, old)) = before else {
            continue;
        };
        if old.variant == asked.variant || asked.sent_ms < before.at_ms {
            continue;
        }
        let steady = all
            .get(asked.sidecar.as_str())
            .and_then(|looks| between(looks, old.sent_ms, record.at_ms + COUNTED_MS))
            .is_some_and(is_steady);
        if steady {
            let what = format!("{key} went from {} to {}", old.variant, asked.variant);
            found.add("I7", &[before, record], what);
        }
    }
}

fn is_steady(window: &[(&Record, &Held)]) -> bool {
    let Some((_, first)) = window.first() else {
        return false;
    };
    let same = |of: &Held| {
        (
            of.incarnation,
            of.fence[0],
            &of.rollout,
            of.epoch,
            &of.shares,
            of.astray,
        ) == (
            first.incarnation,
            first.fence[0],
            &first.rollout,
            first.epoch,
            &first.shares,
            first.astray,
        ) && of.ready
            && of.stable == first.stable
    };
    window.iter().all(|(_, of)| same(of))
        && window
            .windows(2)
            .all(|pair| pair[1].0.at_ms - pair[0].0.at_ms <= GAP_MS)
}

/// When something was broken, by who it was.
struct Broken<'a>(BTreeMap<&'a str, Vec<(u64, u64)>>);

impl<'a> Broken<'a> {
    fn of(trace: &'a [Record]) -> Self {
        let mut spans: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
        for record in trace {
            let What::Fault { fault, who } = &record.what else {
                continue;
            };
            let spans = spans.entry(who).or_default();
            match fault {
                Fault::Killed | Fault::Stopped | Fault::Failing => {
                    spans.push((record.at_ms, u64::MAX));
                }
                Fault::Started | Fault::Continued | Fault::Well => {
                    if let Some(span) = spans.last_mut() {
                        span.1 = record.at_ms + MARGIN_MS;
                    }
                }
                Fault::Rewound => {}
            }
        }
        Self(spans)
    }

    fn is(&self, who: &str, from: u64, to: u64) -> bool {
        let spans = self.0.get(who).into_iter().flatten();
        spans
            .into_iter()
            .any(|&(begin, end)| begin <= to && from <= end)
    }
}

/// I14: whoever asks gets an answer, unless the sidecar itself or stable is broken.
pub(super) fn failures(trace: &[Record], history: &History<'_>, found: &mut Found) {
    let broken = Broken::of(trace);
    for record in trace {
        let What::Asked(asked) = &record.what else {
            continue;
        };
        let took = record.at_ms.saturating_sub(asked.sent_ms);
        if asked.status.is_some_and(|status| status < 500) && took < SLOW_MS {
            continue;
        }
        let excused = |who: &str| broken.is(who, asked.sent_ms, record.at_ms);
        let serving = excused("v1") || (history.promoted() && excused("v2"));
        if !(serving || excused(&asked.sidecar)) {
            let what = format!(
                "no answer from {}: {:?} after {took} ms",
                asked.sidecar, asked.status
            );
            found.add("I14", &[record], what);
        }
    }
}
