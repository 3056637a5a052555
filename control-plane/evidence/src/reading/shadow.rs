//! Reading the agreement of shadowed answers.

use super::{Context, Reading};
use crate::assessment::Missing;
use crate::information::bernoulli_divergence;
use crate::missing::{Outlook, best_tilt};
use crate::shadow::Agreement;

/// Pairs count as the canary's trials: stable's answer is what they are compared with.
pub(crate) fn read_agreement(monitor: &Agreement, context: Context<'_>) -> Reading {
    let total = monitor.total();
    Reading {
        canary_value: total.rate(),
        stable_value: None,
        events: None,
        difference: None,
        interval: None,
        limit: monitor.limit(),
        n_canary: total.n,
        n_stable: 0,
        log_e_rollback: monitor.log_e_rollback(),
        log_e_promote: monitor.log_e_promote(),
        phi: monitor.phi(),
        missing: missing(monitor, context),
        quantile: None,
        quantiles: Vec::new(),
        log_e_limit_alone: None,
        labels: None,
    }
}

fn missing(monitor: &Agreement, context: Context<'_>) -> Option<Missing> {
    let (seen, limit) = (monitor.total().rate()?.max(1e-6), monitor.limit());
    let outlook = Outlook {
        bets: monitor.promote_bets()?,
        threshold: context.log_threshold_promote,
        information: if seen < limit {
            bernoulli_divergence(seen, limit)
        } else {
            0.0
        },
        best_tilt: best_tilt(limit, monitor.target(), seen),
    };
    outlook.missing(monitor.traffic())
}
