//! The event log: whether it is whole, and what it has told lately.

use super::facts::Log;
use super::finding::Finding;
use super::finding::Severity::{Note, Problem, Warning};
use crate::view::number;
use serinus_proto::v1::event::Kind;
use std::collections::BTreeMap;

const LATELY_MS: u64 = 3600 * 1000;
/// A sidecar that goes so often within the hour does not hold its stream.
const FLAPPING: usize = 5;

pub(super) fn examine(log: &Log, now_ms: u64, findings: &mut Vec<Finding>) {
    let about = "event log";
    if let Some(why) = &log.broken {
        findings.push(Finding::new(
            Problem,
            "LOG_UNREADABLE",
            about,
            format!("it could not be read to its end: {why}"),
            "stop the control plane and run `serinus store verify`; `store repair` says what can be saved",
        ));
    }
    let mut before = log.after;
    for event in &log.events {
        if event.revision != before + 1 {
            findings.push(Finding::new(
                Problem,
                "LOG_HOLE",
                about,
                format!("revision {} follows {before}", event.revision),
                "stop the control plane and run `serinus store verify`",
            ));
        }
        before = event.revision;
    }
    lately(log, now_ms, findings);
}

fn lately(log: &Log, now_ms: u64, findings: &mut Vec<Finding>) {
    let mut lost: BTreeMap<&str, usize> = BTreeMap::new();
    let mut opened: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for event in &log.events {
        let at = event.time.as_ref().map_or(0, number::unix_ms);
        if now_ms.saturating_sub(at) > LATELY_MS {
            continue;
        }
        match &event.kind {
            Some(Kind::SidecarLost(of)) => *lost.entry(&of.sidecar).or_default() += 1,
            Some(Kind::BreakerChanged(of)) if of.open => {
                *opened.entry((&event.model, &of.variant)).or_default() += 1;
            }
            Some(Kind::Restored(of)) => findings.push(Finding::new(
                Note,
                "RESTORED",
                "store",
                format!("came back within the last hour, as generation {}: {}", of.generation, of.detail),
                "see that rollouts and models are as they should be; those that were active are HELD(RESTORED)",
            )),
            _ => {}
        }
    }
    for (sidecar, times) in lost.into_iter().filter(|(_, times)| *times >= FLAPPING) {
        findings.push(Finding::new(
            Warning,
            "FLAPPING",
            format!("sidecar {sidecar}"),
            format!("was lost {times} times within the hour"),
            "see whether it restarts over and over, and what cuts its connection (a proxy's idle limit, for one)",
        ));
    }
    for ((model, variant), times) in opened {
        findings.push(Finding::new(
            Warning,
            "BREAKER_OPENED",
            format!("model {model}, variant {variant}"),
            format!("breakers opened {times} times within the hour"),
            "look at that variant's model server: it failed several calls in a row",
        ));
    }
}
