//! I13: once faults are over, everybody holds what they should, and no rollout is stuck.

use super::Found;
use super::trace::{Fault, Record, What};
use std::collections::BTreeMap;

/// A rollout that is decided about was looked at within this long.
const DECIDED_MS: u64 = 60_000;
/// It is over, or waits for somebody.
const AT_REST: [&str; 6] = [
    "PROMOTED",
    "ROLLED_BACK",
    "CANCELLED",
    "PAUSED",
    "HELD",
    "QUEUED",
];

/// Who is neither dead nor stopped holds what the control plane wants; every rollout is over, waits, or is decided about.
pub(super) fn liveness(trace: &[Record], found: &mut Found) {
    let mut down: BTreeMap<&str, bool> = BTreeMap::new();
    for record in trace {
        if let What::Fault { fault, who } = &record.what {
            let is_down = matches!(fault, Fault::Killed | Fault::Stopped);
            let is_up = matches!(fault, Fault::Started | Fault::Continued);
            if is_down || is_up {
                down.insert(who, is_down);
            }
        }
    }
    let is_down = |who: &str| down.get(who) == Some(&true);
    if is_down("control-plane") {
        return;
    }
    for record in trace {
        match &record.what {
            What::Left {
                rollout,
                state,
                decided_ms,
            } => {
                let rests = AT_REST.contains(&state.as_str());
                if !rests && record.at_ms.saturating_sub(*decided_ms) > DECIDED_MS {
                    found.add(
                        "I13",
                        &[record],
                        format!("nothing is decided about {rollout}"),
                    );
                }
            }
            What::Follows {
                sidecar,
                connected,
                current,
            } if !(is_down(sidecar) || (*connected && *current)) => {
                found.add("I13", &[record], format!("{sidecar} is left behind"));
            }
            _ => {}
        }
    }
}
