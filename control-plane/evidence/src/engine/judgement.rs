//! Verdicts with everything that is shown beside them.

use super::{Engine, standing};
use crate::assessment::Assessment;
use crate::logs::ln;
use crate::monitor::{Thresholds, judge};
use crate::reading::{Context, Reading};

pub(super) fn assess(
    engine: &Engine,
    tolerance: f64,
    epoch: u64,
    expects_both: bool,
) -> Assessment {
    let standing = standing::stand(engine, tolerance, epoch, expects_both);
    let may_promote = engine.may_promote();
    let guardrails = engine
        .monitors
        .iter()
        .zip(&standing.verdicts)
        .zip(read_all(engine, tolerance))
        .map(|((monitor, verdict), mut reading)| {
            if !may_promote {
                reading.log_e_promote = f64::NEG_INFINITY;
                reading.missing = None;
            }
            let thresholds = Thresholds {
                rollback: monitor.log_threshold_rollback(engine.alpha),
                promote: -ln(engine.beta),
            };
            judge(reading, *verdict, thresholds)
        })
        .collect();
    Assessment {
        guardrails,
        log_e_rollback: standing.log_e_rollback,
        log_threshold: standing.log_threshold,
        harmful: standing.harmful,
        leaning_harmful: standing.leaning_harmful,
        required_safe: standing.required_safe,
        required_safe_fully: standing.required_safe_fully,
        extra_errors: standing.extra_errors,
        budget_spent: standing.budget_spent,
        score_drift: engine.score_drift(),
        sample_ratio: engine.ratio.read(),
        phi_users: engine.clusters.phi(),
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
