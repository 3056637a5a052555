//! From when on another plan would have had other traffic.

use super::{Moment, Passage, WhatIf};
use crate::plan::view;
use serinus_proto::v1;
use v1::event::Kind;

/// Two moments this close are the same.
const SAME_MS: u64 = 1500;

/// The first share, or the first moment of leaving it, that differs; unix milliseconds. Waits that are no evidence
/// (approvals, requests per step) are not known here and make it earlier.
pub(super) fn differ_from(
    recorded: &v1::Plan,
    plan: &v1::Plan,
    found: &WhatIf,
    passages: &[Passage],
) -> Option<u64> {
    let canary = view::canary(recorded)?.name.as_str();
    let end = end(passages);
    let splits = splits(passages, canary, end);
    let harm = found.rolled_back.as_ref().map(|found| found.moment.at_ms);
    let mut planned = shares(plan).into_iter();
    for (at, &(at_ms, share)) in splits.iter().enumerate() {
        let (asked, step) = planned.next()?;
        if (asked - share).abs() > 1e-9 {
            return Some(at_ms);
        }
        let next = splits.get(at + 1).map(|&(next_ms, _)| next_ms);
        if next.is_none() && matches!(end, Some((_, true))) {
            // Promoted: its bake went on under the same split.
            return harm;
        }
        let did = next.or_else(|| end.map(|(end_ms, _)| end_ms));
        let leaves = leaves(plan, found, step, at_ms);
        let would = [harm, leaves].into_iter().flatten().min();
        match (would, did) {
            (Some(would), Some(did)) if would.abs_diff(did) <= SAME_MS => {}
            (would, did) => return would.into_iter().chain(did).min(),
        }
    }
    None
}

/// When it ended, and whether it was promoted.
fn end(passages: &[Passage]) -> Option<(u64, bool)> {
    passages
        .iter()
        .find_map(|passage| match passage.event.kind {
            Some(Kind::Promoted(_)) => Some((passage.at_ms, true)),
            Some(Kind::RolledBack(_)) => Some((passage.at_ms, false)),
            _ => None,
        })
}

/// Every split that was asked for before the end: when, and the canary's share.
fn splits(passages: &[Passage], canary: &str, end: Option<(u64, bool)>) -> Vec<(u64, f64)> {
    let split = |passage: &Passage| match &passage.event.kind {
        Some(Kind::SplitChanged(changed)) => {
            let share = changed.split.get(canary).copied();
            Some((passage.at_ms, share.unwrap_or(0.0)))
        }
        _ => None,
    };
    let before = |&(at_ms, _): &(u64, f64)| end.is_none_or(|(end_ms, _)| at_ms < end_ms);
    passages.iter().filter_map(split).filter(before).collect()
}

/// What the plan asks for, in order: the warm-up's share, then those of its steps.
fn shares(plan: &v1::Plan) -> Vec<(f64, Option<usize>)> {
    let warmup = view::warmup(plan).filter(|(duration, _)| !duration.is_zero());
    let mut all: Vec<(f64, Option<usize>)> = warmup
        .map(|(_, share)| (share.fraction(), None))
        .into_iter()
        .collect();
    for step in 0..plan.steps.len() {
        let sum: u32 = view::targets(plan, step)
            .iter()
            .map(|(_, share)| share.get())
            .sum();
        let share = f64::from(sum) / 1e6;
        // Where a step gives what the warm-up gave, the split does not change.
        match all.last_mut() {
            Some((last, of @ None)) if (*last - share).abs() < 1e-9 => *of = Some(step),
            _ => all.push((share, Some(step))),
        }
    }
    all
}

/// When the plan would have left a step that was entered then; the warm-up if it is no step.
fn leaves(plan: &v1::Plan, found: &WhatIf, step: Option<usize>, entered_ms: u64) -> Option<u64> {
    let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(0);
    let Some(step) = step else {
        let (duration, _) = view::warmup(plan)?;
        return Some(entered_ms.saturating_add(ms(duration)));
    };
    let Moment { at_ms, .. } = found.steps.get(step)?.safe?;
    Some(at_ms.max(entered_ms.saturating_add(ms(view::min_duration(plan, step)))))
}
