//! Reading a count metric.

use super::{Context, Reading};
use crate::assessment::Missing;
use crate::count::{CountMonitor, LARGEST_HARM};
use crate::labelled::LabelMonitor;
use crate::missing::{Outlook, best_tilt, towards_safe};

/// `tolerance` is the value that `context.tolerance` is the index of.
pub(crate) fn read_count(
    monitor: &CountMonitor,
    tolerance: Option<f64>,
    context: Context<'_>,
) -> Reading {
    let process = monitor.process();
    let total = monitor.total();
    let rates = monitor.difference().rates();
    let promote = |index| process.log_e_promote(index);
    Reading {
        canary_value: rates
            .map(|(canary, _)| canary)
            .or_else(|| total.canary.rate()),
        stable_value: rates
            .map(|(_, stable)| stable)
            .or_else(|| total.stable.rate()),
        difference: monitor.difference().estimate(),
        interval: monitor
            .difference()
            .interval(process.possible_phi(), context.alpha),
        limit: monitor.signed_margin(),
        n_canary: total.canary.n,
        n_stable: total.stable.n,
        events: Some((total.canary.x, total.stable.x)),
        log_e_rollback: process.log_e_rollback(),
        log_e_promote: context.tolerance.map_or(f64::NEG_INFINITY, promote),
        phi: process.phi(),
        missing: tolerance.and_then(|tolerance| missing(monitor, tolerance, context)),
        quantile: None,
        quantiles: Vec::new(),
        log_e_limit_alone: None,
        labels: None,
    }
}

/// Reads a labelled metric: while labels are too unlike in number, nothing is promoted on them and no wait is promised.
pub(crate) fn read_labels(
    monitor: &LabelMonitor,
    tolerance: Option<f64>,
    context: Context<'_>,
) -> Reading {
    let traffic = monitor.traffic();
    let mut reading = read_count(monitor.rate(), tolerance, Context { traffic, ..context });
    reading.labels = Some(monitor.read());
    if monitor.blocks() {
        reading.log_e_promote = f64::NEG_INFINITY;
        reading.missing = None;
    }
    reading
}

fn missing(monitor: &CountMonitor, tolerance: f64, context: Context<'_>) -> Option<Missing> {
    let harm = (monitor.signed_margin() * tolerance).clamp(-LARGEST_HARM, LARGEST_HARM);
    let sign = monitor.worse().sign();
    let seen = monitor.difference().beyond_noise(monitor.process().phi());
    // A better canary may not stay better.
    let difference = sign * (sign * seen).max(0.0);
    let share = context.traffic.share()?;
    let stable = monitor.stable_estimate();
    let outlook = Outlook {
        bets: monitor.process().promote_bets(context.tolerance?)?,
        threshold: context.log_threshold_promote,
        information: towards_safe(stable, difference, harm, share),
        best_tilt: best_tilt(stable + harm, stable, stable + difference),
    };
    outlook.missing(context.traffic)
}
