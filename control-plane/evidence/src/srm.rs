//! Sample-ratio mismatch: do the variants get the traffic that the split says? Section 6 of the
//! design.

use crate::logs::{expit, ln, log_mean_exp, logit};

/// Log-odds by which the achieved share may differ from the asked one, in either direction.
const TILTS: [f64; 7] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];
const BETS: usize = 2 * TILTS.len();

/// Likelihood ratios of "the share is not what was asked" over slices whose shares are known.
#[derive(Clone, Debug, Default)]
pub struct SampleRatio {
    log: [f64; BETS],
    /// What bets pay at the share last asked: it changes seldom.
    pay: Option<Pay>,
}

crate::state::state!(SampleRatio { log, pay });

/// Per bet the log likelihood ratio of a unit of the canary, and of one of stable.
#[derive(Clone, Copy, Debug, Default)]
struct Pay {
    share: f64,
    canary: [f64; BETS],
    stable: [f64; BETS],
}

crate::state::state!(Pay {
    share,
    canary,
    stable
});

impl Pay {
    fn at(share: f64) -> Self {
        let (mut canary, mut stable) = ([0.0; BETS], [0.0; BETS]);
        let tilts = TILTS.iter().flat_map(|tilt| [-tilt, *tilt]);
        for (bet, tilt) in tilts.enumerate() {
            let alternative = expit(logit(share) + tilt);
            canary[bet] = ln(alternative / share);
            stable[bet] = ln((1.0 - alternative) / (1.0 - share));
        }
        Self {
            share,
            canary,
            stable,
        }
    }
}

impl SampleRatio {
    /// Takes one slice: units that went to the canary and to stable, and the share (0..1,
    /// exclusive) asked for the canary. A share at its edge says nothing.
    pub fn fold(&mut self, canary: u64, stable: u64, share: f64) {
        if !(share > 0.0 && share < 1.0) {
            return;
        }
        let pay = match self.pay {
            Some(pay) if pay.share == share => pay,
            _ => Pay::at(share),
        };
        self.pay = Some(pay);
        for (bet, log) in self.log.iter_mut().enumerate() {
            *log += canary as f64 * pay.canary[bet] + stable as f64 * pay.stable[bet];
        }
    }

    /// Log e-value against "every unit went to the canary with the probability asked".
    pub fn log_e(&self) -> f64 {
        log_mean_exp(&self.log)
    }

    /// [`Self::log_e`] if the variance of the units is `phi >= 1` times that of independent ones. It is at most
    /// `log_e() / phi` (power means), so no choice of `phi`, from whatever data, can make false alarms more frequent.
    pub fn log_e_tempered(&self, phi: f64) -> f64 {
        log_mean_exp(&self.log.map(|log| log / phi))
    }
}

/// The closed form for a constant share with a `Dirichlet(k w, k (1 - w))` prior (Lindon and Malek,
/// 2022). It uses the log-gamma of `libm`.
pub fn dirichlet_log_e(canary: u64, stable: u64, share: f64, k: f64) -> f64 {
    let log_beta = |a: f64, b: f64| libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b);
    let (a, b) = (k * share, k * (1.0 - share));
    let (n_canary, n_stable) = (canary as f64, stable as f64);
    log_beta(a + n_canary, b + n_stable)
        - log_beta(a, b)
        - n_canary * ln(share)
        - n_stable * ln(1.0 - share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_asked_share_is_no_mismatch_and_another_one_is() {
        let mut right = SampleRatio::default();
        let mut wrong = SampleRatio::default();
        for _ in 0..200 {
            right.fold(10, 90, 0.1);
            wrong.fold(20, 80, 0.1);
        }
        assert!(right.log_e() < 0.0);
        assert!(wrong.log_e() > 7.0);
        assert!(dirichlet_log_e(2000, 18_000, 0.1, 100.0) < 0.0);
        assert!(dirichlet_log_e(4000, 16_000, 0.1, 100.0) > 7.0);
    }

    #[test]
    fn a_share_at_its_edge_says_nothing() {
        let mut ratio = SampleRatio::default();
        ratio.fold(5, 5, 0.0);
        ratio.fold(5, 5, f64::NAN);
        assert_eq!(ratio.log_e(), 0.0);
    }
}
