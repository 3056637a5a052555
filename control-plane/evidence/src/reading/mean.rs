//! Reading the mean of a score.

use super::{Context, Reading};
use crate::assessment::Missing;
use crate::mean::MeanMonitor;
use crate::missing::Outlook;

/// `tolerance` is the value that `context.tolerance` is the index of.
pub(crate) fn read_mean(
    monitor: &MeanMonitor,
    tolerance: Option<f64>,
    context: Context<'_>,
) -> Reading {
    let means = monitor.means();
    let (n_canary, n_stable) = monitor.values();
    Reading {
        canary_value: means.map(|(canary, _)| canary),
        stable_value: means.map(|(_, stable)| stable),
        events: None,
        difference: monitor.estimate(),
        interval: monitor.interval(context.alpha),
        limit: monitor.signed_margin(),
        n_canary,
        n_stable,
        log_e_rollback: monitor.log_e_rollback(),
        log_e_promote: context
            .tolerance
            .map_or(f64::NEG_INFINITY, |index| monitor.log_e_promote(index)),
        phi: monitor.phi(),
        missing: tolerance.and_then(|tolerance| missing(monitor, tolerance, context)),
        quantile: None,
        quantiles: Vec::new(),
        log_e_limit_alone: None,
        labels: None,
    }
}

fn missing(monitor: &MeanMonitor, tolerance: f64, context: Context<'_>) -> Option<Missing> {
    let share = monitor.traffic().share()?;
    let (best_tilt, information) = monitor.outlook(tolerance, share)?;
    let outlook = Outlook {
        bets: monitor.promote_bets(context.tolerance?)?,
        threshold: context.log_threshold_promote,
        information,
        best_tilt,
    };
    outlook.missing(monitor.traffic())
}
