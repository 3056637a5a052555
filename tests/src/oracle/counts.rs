//! What was counted: nothing twice, nothing made up, both variants together, and the same decisions from it.

use super::Found;
use super::history::History;
use super::trace::{Cell, Fault, Held, Record, What};
use std::collections::{BTreeMap, BTreeSet};

/// An ended epoch takes cells for as long as a call may take, and two reports.
const LATE_MS: u64 = 12_000;

/// I8: no more than users sent, and no more than sidecars counted.
pub(super) fn made_up(trace: &[Record], history: &History<'_>, found: &mut Found) {
    let is = |wanted: fn(&What) -> bool| trace.iter().any(|record| wanted(&record.what));
    let unseen = is(|what| matches!(what, What::Unseen));
    let asked = trace
        .iter()
        .filter(|record| matches!(record.what, What::Asked(_)));
    let asked = asked.count() as u64;
    let (mut all, mut shown) = (0, Vec::new());
    for record in trace {
        let What::Merged {
            rollout,
            stable,
            canary,
            ..
        } = &record.what
        else {
            continue;
        };
        all += stable + canary;
        shown.push(record);
        if let Some(counted) = counted(trace, rollout, history)
            && (*stable > counted.0 || *canary > counted.1)
        {
            let what = format!("more than the sidecars' {counted:?}");
            found.add("I8", &[record], what);
        }
    }
    if !unseen && all > asked {
        found.add(
            "I8",
            &shown,
            format!("{all} are counted, {asked} were sent"),
        );
    }
}

/// What the sidecars counted for stable and the canary, where that is all there was: none was restarted, and each holds
/// the rollout still.
fn counted(trace: &[Record], rollout: &str, history: &History<'_>) -> Option<(u64, u64)> {
    let mut last: BTreeMap<&str, &Held> = BTreeMap::new();
    for record in trace {
        let killed = matches!(
            &record.what,
            What::Fault {
                fault: Fault::Rewound,
                ..
            }
        );
        if killed {
            return None;
        }
        if let What::Held(of) = &record.what {
            let before = last.insert(&of.sidecar, of);
            if before.is_some_and(|before| before.incarnation != of.incarnation) {
                return None;
            }
        }
    }
    let canary = &history.latest(rollout)?.canary;
    let mut sum = (0, 0);
    for of in last.values() {
        if of.rollout != rollout || of.ended {
            return None;
        }
        sum.0 += of.counted.get(&of.stable).copied().unwrap_or_default();
        sum.1 += of.counted.get(canary).copied().unwrap_or_default();
    }
    (!last.is_empty()).then_some(sum)
}

/// Requests of stable, and of the canary: at least, at most.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    least: (u64, u64),
    most: (u64, u64),
}

/// I8 and I9: what is stored is what was reported, each report once and whole.
pub(super) fn reports(trace: &[Record], found: &mut Found) {
    let mut stored: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    let mut quarantined = false;
    let mut ended: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    for record in trace {
        match &record.what {
            What::Stored {
                sidecar,
                incarnation,
                seq,
            } => {
                let held = stored.entry((sidecar, *incarnation)).or_default();
                *held = (*held).max(*seq);
            }
            What::Logged(of) => {
                use super::trace::Change;
                match &of.change {
                    Change::SplitChanged { epoch, .. } => {
                        ended.insert((&of.rollout, epoch - 1), record.at_ms);
                    }
                    Change::Other { name } => quarantined |= name == "sidecar_quarantined",
                    _ => {}
                }
            }
            _ => {}
        }
    }
    let mut seen: BTreeMap<(&str, u64, u64), (&Record, &Vec<Cell>)> = BTreeMap::new();
    let mut sums: BTreeMap<&str, Bounds> = BTreeMap::new();
    let mut speak: BTreeSet<&str> = BTreeSet::new();
    for record in trace {
        let What::Reported {
            sidecar,
            incarnation,
            seq,
            cells,
            forged: false,
        } = &record.what
        else {
            continue;
        };
        speak.insert(sidecar);
        if let Some((first, before)) = seen.insert((sidecar, *incarnation, *seq), (record, cells)) {
            if before != cells {
                found.add("I8", &[first, record], "one number, two contents".into());
            }
            continue;
        }
        let sure = stored
            .get(&(sidecar.as_str(), *incarnation))
            .is_some_and(|&up_to| *seq <= up_to);
        for cell in cells {
            let of = sums.entry(&cell.rollout).or_default();
            let over = ended.get(&(cell.rollout.as_str(), cell.epoch));
            let late = over.is_some_and(|over| record.at_ms > over + LATE_MS / 2);
            of.most = (of.most.0 + cell.stable, of.most.1 + cell.canary);
            if sure && !late && !quarantined {
                of.least = (of.least.0 + cell.stable, of.least.1 + cell.canary);
            }
        }
    }
    let all_speak = trace.iter().all(|record| match &record.what {
        What::Held(of) => speak.contains(of.sidecar.as_str()) || of.counted.is_empty(),
        _ => true,
    });
    for record in trace {
        let What::Merged {
            rollout,
            stable,
            canary,
            open,
        } = &record.what
        else {
            continue;
        };
        let Some(of) = sums.get(rollout.as_str()).filter(|_| all_speak) else {
            continue;
        };
        let least = if *open { of.least } else { (0, 0) };
        let fits = [
            (least.0..=of.most.0).contains(stable),
            (least.1..=of.most.1).contains(canary),
        ];
        let what = format!("between {least:?} and {:?} were reported", of.most);
        match fits {
            [true, true] => {}
            [false, false] => found.add("I8", &[record], what),
            _ => found.add("I9", &[record], what),
        }
    }
}

/// I10.
pub(super) fn decisions(trace: &[Record], found: &mut Found) {
    for record in trace {
        if let What::Redecided {
            rollout,
            difference,
            ..
        } = &record.what
            && !difference.is_empty()
        {
            let what = format!("{rollout} is decided otherwise: {difference}");
            found.add("I10", &[record], what);
        }
    }
}
