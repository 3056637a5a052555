//! Reading an absolute latency limit.

use super::{Context, Reading};
use crate::assessment::Missing;
use crate::information::bernoulli_divergence;
use crate::limit::LimitMonitor;
use crate::missing::{Outlook, best_tilt};
use crate::shown_latency::quantile_ms;

pub(crate) fn read_limit(monitor: &LimitMonitor, context: Context<'_>) -> Reading {
    let latencies = context.latencies;
    let shown = |tail| quantile_ms(tail, monitor.quantile(), latencies.log_gamma);
    let (canary_ms, stable_ms) = (shown(&latencies.canary), shown(&latencies.stable));
    Reading {
        canary_value: canary_ms,
        stable_value: stable_ms.or_else(|| shown(&latencies.history)),
        difference: canary_ms
            .zip(stable_ms)
            .map(|(canary, stable)| canary / stable),
        interval: None,
        limit: monitor.limit_ms(),
        n_canary: latencies.n_canary,
        n_stable: latencies.n_stable,
        events: None,
        log_e_rollback: monitor.log_e_rollback(),
        log_e_promote: monitor.log_e_promote(),
        phi: monitor.phi(),
        missing: missing(monitor, context),
        quantile: Some(monitor.quantile()),
        quantiles: Vec::new(),
        log_e_limit_alone: Some(monitor.log_e_absolute()),
        labels: None,
    }
}

fn missing(monitor: &LimitMonitor, context: Context<'_>) -> Option<Missing> {
    let share = context.traffic.share()?;
    let (canary, allowed) = (monitor.canary_rate()?.max(1e-6), monitor.allowed_rate());
    let information = if canary < allowed {
        bernoulli_divergence(canary, allowed)
    } else {
        0.0
    };
    let outlook = Outlook {
        bets: monitor.promote_bets()?,
        threshold: context.log_threshold_promote,
        information: share * information,
        best_tilt: best_tilt(allowed, monitor.target(), canary),
    };
    outlook.missing(context.traffic)
}
