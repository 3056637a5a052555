//! Reading a relative latency guardrail.

use super::{Context, Reading};
use crate::assessment::{Missing, QuantileAssessment};
use crate::information::boundary_information;
use crate::latency::LatencyMonitor;
use crate::logs::exp;
use crate::missing::{Outlook, best_tilt};
use crate::quantile::{QuantileMonitor, expected_beyond, guess};
use crate::shown_latency::quantile_ms;

/// Reads all quantiles; the reading itself is about the one that decides: the worst one once the
/// guardrail is past `log_threshold_rollback`, else the one furthest from passing.
pub(crate) fn read_latency(
    monitor: &LatencyMonitor,
    log_threshold_rollback: f64,
    context: Context<'_>,
) -> Reading {
    let quantiles: Vec<QuantileAssessment> = monitor
        .quantiles()
        .iter()
        .map(|one| read_quantile(monitor, one, context))
        .collect();
    let log_e_rollback = monitor.log_e_rollback();
    let harmful = log_e_rollback >= log_threshold_rollback;
    let decisive = quantiles.iter().min_by(|a, b| {
        if harmful {
            b.log_e_rollback.total_cmp(&a.log_e_rollback)
        } else {
            a.log_e_promote.total_cmp(&b.log_e_promote)
        }
    });
    let latencies = context.latencies;
    Reading {
        canary_value: decisive.and_then(|one| one.canary_ms),
        stable_value: decisive.and_then(|one| one.stable_ms),
        difference: decisive.and_then(|one| one.ratio),
        interval: decisive.and_then(|one| one.interval),
        limit: decisive.map_or(1.0, |one| one.limit),
        n_canary: latencies.n_canary,
        n_stable: latencies.n_stable,
        events: None,
        log_e_rollback,
        log_e_promote: decisive
            .and(context.tolerance)
            .map_or(f64::NEG_INFINITY, |index| monitor.log_e_promote(index)),
        phi: decisive.map_or(1.0, |one| one.phi),
        missing: longest(&quantiles, context.log_threshold_promote),
        quantile: decisive.map(|one| one.quantile),
        quantiles,
        log_e_limit_alone: None,
        labels: None,
    }
}

fn read_quantile(
    monitor: &LatencyMonitor,
    one: &QuantileMonitor,
    context: Context<'_>,
) -> QuantileAssessment {
    let latencies = context.latencies;
    let (q, process) = (one.quantile(), one.process());
    let shown = |tail| quantile_ms(tail, q, latencies.log_gamma);
    let (canary_ms, stable_ms) = (shown(&latencies.canary), shown(&latencies.stable));
    let edge = latencies.history.above_quantile(q);
    QuantileAssessment {
        quantile: q,
        canary_ms,
        stable_ms: stable_ms.or_else(|| shown(&latencies.history)),
        ratio: canary_ms
            .zip(stable_ms)
            .map(|(canary, stable)| canary / stable),
        interval: one.ratio().interval(process.phi(), context.alpha),
        limit: exp(monitor.allowed().log_tolerated(edge)),
        log_e_rollback: process.log_e_rollback(),
        log_e_promote: context
            .tolerance
            .map_or(f64::NEG_INFINITY, |index| process.log_e_promote(index)),
        phi: process.phi(),
        missing: missing(monitor, one, context),
    }
}

fn missing(
    monitor: &LatencyMonitor,
    one: &QuantileMonitor,
    context: Context<'_>,
) -> Option<Missing> {
    let index = context.tolerance?;
    let latencies = context.latencies;
    let history = &latencies.history;
    if history.total() <= 0.0 {
        return None;
    }
    let threshold = history.threshold(one.quantile());
    let tolerance = *monitor.tolerances().get(index)?;
    let shift = monitor.allowed().promote_shift(threshold.bucket, tolerance);
    let total = latencies.canary.total();
    let beyond = threshold.shifted(shift as isize);
    let seen = latencies.canary.score(beyond) / total.max(1.0);
    let expected = expected_beyond(history, threshold, shift);
    let canary = seen.max(expected);
    let stable = guess(history, threshold);
    let share = context.traffic.share()?;
    let information = boundary_information(canary, stable, 0.0, share);
    let outlook = Outlook {
        bets: one.process().promote_bets(index)?,
        threshold: context.log_threshold_promote,
        information: if canary < stable { information } else { 0.0 },
        best_tilt: best_tilt(stable, expected, canary),
    };
    outlook.missing(context.traffic)
}

/// The longest wait of the quantiles that have not passed; none if one of them cannot be expected
/// to.
fn longest(quantiles: &[QuantileAssessment], threshold: f64) -> Option<Missing> {
    let mut longest: Option<Missing> = None;
    for one in quantiles.iter().filter(|one| one.log_e_promote < threshold) {
        let missing = one.missing?;
        if longest.is_none_or(|longest| missing.requests > longest.requests) {
            longest = Some(missing);
        }
    }
    longest
}
