//! From readings to verdicts: which guardrails are harmful, alone, on average, or by gross failure.

use super::Engine;
use crate::assessment::{Assessment, Harm, HarmCause, Verdict};
use crate::logs::{ln, log_weighted_sum};
use crate::monitor::{Monitor, judge};
use crate::reading::{Context, Reading};

pub(super) fn assess(
    engine: &Engine,
    tolerance: f64,
    epoch: u64,
    expects_both: bool,
) -> Assessment {
    let readings = read_all(engine, tolerance);
    let log_threshold = -ln(engine.alpha);
    let log_e_rollback = average(&engine.monitors, &readings);
    let harmful = harm(engine, &readings, log_e_rollback >= log_threshold);
    let epoch_compared = !expects_both || engine.compared_epoch == Some(epoch);
    let promote = -ln(engine.beta);
    let mut required_safe_fully = true;
    let full = engine.tolerances.index_for(1.0);
    let guardrails: Vec<_> = engine
        .monitors
        .iter()
        .zip(readings)
        .enumerate()
        .map(|(index, (monitor, reading))| {
            let alone = monitor.log_threshold_rollback(engine.alpha);
            let blamed = harmful
                .as_ref()
                .is_some_and(|harm| harm.blamed.contains(&index));
            let is_harmful = blamed || reading.log_e_rollback >= alone;
            let compared = monitor.is_compared() && epoch_compared;
            let fully_safe = !is_harmful && compared && monitor.log_e_promote(full) >= promote;
            required_safe_fully &= fully_safe || !monitor.is_required();
            judge(reading, is_harmful, compared, alone, promote)
        })
        .collect();
    let required_safe = guardrails
        .iter()
        .zip(&engine.monitors)
        .all(|(one, monitor)| one.verdict == Verdict::Safe || !monitor.is_required());
    let extra_errors = engine.budget.read(engine.alpha);
    Assessment {
        guardrails,
        log_e_rollback,
        log_threshold,
        harmful,
        leaning_harmful: log_e_rollback >= 0.5 * log_threshold,
        required_safe,
        required_safe_fully,
        extra_errors,
        budget_spent: extra_errors.spent,
        slices: engine.slices,
        refused_slices: engine.refused_slices,
    }
}

fn read_all(engine: &Engine, tolerance: f64) -> Vec<Reading> {
    let latencies = engine.latencies();
    let context = Context {
        alpha: engine.alpha,
        log_threshold_promote: -ln(engine.beta),
        tolerance: engine.tolerances.index_for(tolerance),
        traffic: &engine.traffic,
        latencies: &latencies,
    };
    engine
        .monitors
        .iter()
        .map(|monitor| monitor.read(context, &engine.tolerances))
        .collect()
}

/// Log of the weighted average evidence of the rollback guardrails. E-values average under any
/// dependence.
fn average(monitors: &[Monitor], readings: &[Reading]) -> f64 {
    let mut unspent = 1.0;
    let mut terms = Vec::with_capacity(monitors.len() + 1);
    for (monitor, reading) in monitors.iter().zip(readings) {
        unspent -= monitor.weight();
        terms.push((monitor.weight(), reading.log_e_rollback));
    }
    // Weight that no guardrail has is wealth that is never bet.
    terms.push((if unspent > 1e-9 { unspent } else { 0.0 }, 0.0));
    log_weighted_sum(&terms)
}

fn harm(engine: &Engine, readings: &[Reading], average_harmful: bool) -> Option<Harm> {
    let rollback = || {
        engine
            .monitors
            .iter()
            .zip(readings)
            .enumerate()
            .filter(|(_, (monitor, _))| monitor.rolls_back())
    };
    let alone: Vec<usize> = rollback()
        .filter(|(_, (monitor, reading))| {
            reading.log_e_rollback >= monitor.log_threshold_rollback(engine.alpha)
        })
        .map(|(index, _)| index)
        .collect();
    if !alone.is_empty() {
        return Some(Harm {
            cause: HarmCause::Guardrail,
            blamed: alone,
        });
    }
    if average_harmful {
        let weighted =
            |monitor: &Monitor, reading: &Reading| ln(monitor.weight()) + reading.log_e_rollback;
        let largest =
            rollback().max_by(|(_, a), (_, b)| weighted(a.0, a.1).total_cmp(&weighted(b.0, b.1)));
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
