//! From evidence to verdicts: which guardrails are harmful, alone, on average, or by gross failure.

use super::Engine;
use crate::assessment::{Harm, HarmCause, Standing, Verdict};
use crate::logs::{ln, log_weighted_sum};
use crate::monitor::Monitor;

pub(super) fn stand(engine: &Engine, tolerance: f64, epoch: u64, expects_both: bool) -> Standing {
    let log_threshold = -ln(engine.alpha);
    let each: Vec<f64> = engine
        .monitors
        .iter()
        .map(Monitor::log_e_rollback)
        .collect();
    let log_e_rollback = average(&engine.monitors, &each);
    let harmful = harm(engine, &each, log_e_rollback >= log_threshold);
    let epoch_compared = !expects_both || engine.compared_epoch == Some(epoch);
    let promote = -ln(engine.beta);
    let (asked, full) = (
        engine.tolerances.index_for(tolerance),
        engine.tolerances.index_for(1.0),
    );
    let may_promote = engine.may_promote();
    let mut required_safe = true;
    let mut required_safe_fully = true;
    let mut verdicts = Vec::with_capacity(engine.monitors.len());
    for (index, monitor) in engine.monitors.iter().enumerate() {
        let blamed = harmful
            .as_ref()
            .is_some_and(|harm| harm.blamed.contains(&index));
        let is_harmful = blamed || each[index] >= monitor.log_threshold_rollback(engine.alpha);
        let compared = monitor.is_compared() && epoch_compared;
        let proven =
            |tolerance| may_promote && compared && monitor.log_e_promote(tolerance) >= promote;
        let verdict = match (is_harmful, compared, proven(asked)) {
            (true, _, _) => Verdict::Harmful,
            (_, false, _) => Verdict::NoEvidence,
            (_, _, true) => Verdict::Safe,
            _ => Verdict::NeedMore,
        };
        required_safe &= verdict == Verdict::Safe || !monitor.is_required();
        required_safe_fully &= (!is_harmful && proven(full)) || !monitor.is_required();
        verdicts.push(verdict);
    }
    let extra_errors = engine.extra_errors();
    Standing {
        verdicts,
        log_e_rollback,
        log_threshold,
        harmful,
        leaning_harmful: log_e_rollback >= 0.5 * log_threshold,
        required_safe,
        required_safe_fully,
        extra_errors,
        budget_spent: extra_errors.spent,
    }
}

/// Log of the weighted average evidence of the rollback guardrails. E-values average under any
/// dependence.
fn average(monitors: &[Monitor], each: &[f64]) -> f64 {
    let mut unspent = 1.0;
    let mut terms = Vec::with_capacity(monitors.len() + 1);
    for (monitor, log_e) in monitors.iter().zip(each) {
        unspent -= monitor.weight();
        terms.push((monitor.weight(), *log_e));
    }
    // Weight that no guardrail has is wealth that is never bet.
    terms.push((if unspent > 1e-9 { unspent } else { 0.0 }, 0.0));
    log_weighted_sum(&terms)
}

fn harm(engine: &Engine, each: &[f64], average_harmful: bool) -> Option<Harm> {
    let rollback = || {
        let monitors = engine.monitors.iter().zip(each).enumerate();
        monitors.filter(|(_, (monitor, _))| monitor.rolls_back())
    };
    let alone: Vec<usize> = rollback()
        .filter(|(_, (monitor, log_e))| **log_e >= monitor.log_threshold_rollback(engine.alpha))
        .map(|(index, _)| index)
        .collect();
    if !alone.is_empty() {
        return Some(Harm {
            cause: HarmCause::Guardrail,
            blamed: alone,
        });
    }
    if average_harmful {
        let weighted = |(monitor, log_e): (&Monitor, &f64)| ln(monitor.weight()) + log_e;
        let largest = rollback().max_by(|(_, a), (_, b)| weighted(*a).total_cmp(&weighted(*b)));
        let blamed = largest.map(|(index, _)| index).into_iter().collect();
        return Some(Harm {
            cause: HarmCause::Average,
            blamed,
        });
    }
    let cause = if engine.gross.is_tripped() {
        HarmCause::GrossErrors
    } else if engine.flapping.is_tripped() {
        HarmCause::Flapping
    } else {
        return None;
    };
    let measures_errors = |index: &usize| engine.monitors[*index].measures_errors();
    let blamed = (0..engine.monitors.len()).filter(measures_errors).collect();
    Some(Harm { cause, blamed })
}
