//! When to look again if nothing comes in.

use super::{Approval, Gate, Phase, Rollout, terms};

/// The first moment after `now_ms` at which time alone may change something, in unix milliseconds; `None` if that never
/// happens. What depends on reports is not in it: they bring their own look.
#[must_use]
pub fn next_wakeup(rollout: &Rollout, now_ms: u64) -> Option<u64> {
    if rollout.is_terminal() {
        return None;
    }
    let plan = &rollout.plan;
    let after = |since: u64, ms: Option<u64>| ms.map(|ms| since.saturating_add(ms));
    let step = (rollout.phase() == Phase::Step).then(|| terms::min_duration_ms(plan, rollout.step));
    let warmup = terms::warmup_ms(plan).filter(|_| rollout.warmup);
    let deadlines = [
        after(rollout.step_entered_ms, warmup),
        after(rollout.step_entered_ms, step),
        rollout.bake_until_ms,
        match rollout.approval {
            Approval::Waiting { deadline_ms } => Some(deadline_ms),
            Approval::None | Approval::Given => None,
        },
        match rollout.gate {
            Gate::Waiting { deadline_ms, .. } => Some(deadline_ms),
            Gate::None | Gate::Approved | Gate::Denied { .. } => None,
        },
        after(rollout.duration_from_ms, terms::max_duration_ms(plan)),
        rollout.frozen.map(|frozen| frozen.until_ms),
    ];
    deadlines
        .into_iter()
        .flatten()
        .filter(|&deadline| deadline > now_ms)
        .min()
}
