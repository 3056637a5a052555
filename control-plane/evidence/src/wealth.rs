//! Wealth: slice e-values multiplied up, mixed over effect sizes and over the start of a
//! regression.
//!
//! Each wealth is kept at several tempering levels (log e divided by a variance inflation), because
//! the level to read is only known afterwards. Reading any level, chosen from any data, cannot
//! raise the error above alpha.

use crate::logs::{ln, log_add_exp, log_mean_exp};
use crate::state::{State, Tape};

/// The variance inflations by which log e-values are divided.
pub const TEMPERING: [f64; 11] = [1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.3, 16.0, 22.6, 32.0];
/// The most log evidence that one slice may add, so that a blip of one slice cannot decide.
pub const CAP: f64 = 2.5;
/// Slices during which muted bets do not bet, because the dispersion is not learnt yet.
pub const BURN_IN: u64 = 8;
/// Slices between two opportunities for a regression to start.
pub const RESTART_EVERY: u64 = 10;

/// The index of the smallest tempering level at or above `phi`; none above the highest.
pub fn level_for(phi: f64) -> Option<usize> {
    TEMPERING
        .iter()
        .position(|level| *level >= phi * (1.0 - 1e-12))
}

/// Prior weight of "the regression starts at opportunity k", k = 1, 2, ... The weights sum to 1.
pub fn start_weight(opportunity: u64) -> f64 {
    let k = opportunity as f64;
    if opportunity <= 1 {
        0.5
    } else {
        0.5 / (k * (k - 1.0))
    }
}

/// Prior weight not yet bet after opportunity k: the sum of all later start weights.
pub fn cash_after(opportunity: u64) -> f64 {
    0.5 / opportunity as f64
}

/// Wealth against "not harmful", a mixture of products started at each restart opportunity, for `J`
/// bets.
///
/// A regression that begins late costs a few nats of prior, instead of first having to win back
/// what was lost while the canary was healthy.
#[derive(Clone, Debug)]
pub struct RestartWealth<const J: usize> {
    slices: u64,
    opportunities: u64,
    muted: [bool; J],
    log: [[f64; J]; TEMPERING.len()],
}

impl<const J: usize> State for RestartWealth<J> {
    fn walk(&mut self, tape: &mut Tape) {
        self.slices.walk(tape);
        self.opportunities.walk(tape);
        self.log.walk(tape);
    }
}

impl<const J: usize> RestartWealth<J> {
    /// No slice seen. Bets marked in `muted` stay out during the burn-in.
    pub fn new(muted: [bool; J]) -> Self {
        let log = [[f64::NEG_INFINITY; J]; TEMPERING.len()];
        Self {
            slices: 0,
            opportunities: 0,
            muted,
            log,
        }
    }

    /// Multiplies in the log e-values of one slice, each capped at [`CAP`].
    pub fn fold(&mut self, log_e: &[f64; J]) {
        if self.slices.is_multiple_of(RESTART_EVERY) {
            self.opportunities += 1;
            let weight = ln(start_weight(self.opportunities));
            self.log
                .iter_mut()
                .flatten()
                .for_each(|log| *log = log_add_exp(*log, weight));
        }
        self.slices += 1;
        let burning = self.slices <= BURN_IN;
        let mut gain = [0.0; J];
        for ((gain, log_e), muted) in gain.iter_mut().zip(log_e).zip(&self.muted) {
            *gain = if burning && *muted {
                0.0
            } else {
                log_e.min(CAP)
            };
        }
        for (logs, temper) in self.log.iter_mut().zip(TEMPERING) {
            logs.iter_mut()
                .zip(gain)
                .for_each(|(log, gain)| *log += gain / temper);
        }
    }

    /// Log wealth at a tempering level (an index into [`TEMPERING`]).
    pub fn log_e(&self, level: usize) -> f64 {
        if self.opportunities == 0 {
            return 0.0;
        }
        log_add_exp(
            log_mean_exp(&self.log[level]),
            ln(cash_after(self.opportunities)),
        )
    }
}

/// Wealth against "harmful": a plain product, mixed over `J` bets.
#[derive(Clone, Debug)]
pub struct PlainWealth<const J: usize> {
    log: [[f64; J]; TEMPERING.len()],
}

impl<const J: usize> State for PlainWealth<J> {
    fn walk(&mut self, tape: &mut Tape) {
        self.log.walk(tape);
    }
}

impl<const J: usize> Default for PlainWealth<J> {
    fn default() -> Self {
        Self {
            log: [[0.0; J]; TEMPERING.len()],
        }
    }
}

impl<const J: usize> PlainWealth<J> {
    /// Multiplies in the log e-values of one slice, each capped at [`CAP`].
    pub fn fold(&mut self, log_e: &[f64; J]) {
        for (logs, temper) in self.log.iter_mut().zip(TEMPERING) {
            logs.iter_mut()
                .zip(log_e)
                .for_each(|(log, log_e)| *log += log_e.min(CAP) / temper);
        }
    }

    /// Log wealth at a tempering level (an index into [`TEMPERING`]).
    pub fn log_e(&self, level: usize) -> f64 {
        log_mean_exp(&self.log[level])
    }

    /// Log wealth of each bet at a tempering level.
    pub fn bets(&self, level: usize) -> [f64; J] {
        self.log[level]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::exp;
    use proptest::prelude::*;

    #[test]
    fn start_weights_and_cash_are_a_distribution() {
        let mut started = 0.0;
        for opportunity in 1..=1000 {
            started += start_weight(opportunity);
            assert!((started + cash_after(opportunity) - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn neutral_slices_leave_the_wealth_at_one() {
        let mut wealth = RestartWealth::new([false, true]);
        for _ in 0..500 {
            wealth.fold(&[0.0, 0.0]);
            assert!(wealth.log_e(0).abs() < 1e-12);
            assert!(wealth.log_e(10).abs() < 1e-12);
        }
    }

    proptest! {
        /// The recursion equals the sum over all starts written out.
        #[test]
        fn restarts_are_a_mixture_over_starts(gains in prop::collection::vec(-3.0..3.0f64, 1..60)) {
            let mut wealth = RestartWealth::new([false]);
            gains.iter().for_each(|gain| wealth.fold(&[*gain]));
            let mut sum = 0.0;
            let mut opportunity = 0;
            for start in (0..gains.len()).step_by(10) {
                opportunity += 1;
                let product: f64 = gains[start..].iter().map(|gain| gain.min(CAP) / 2.0).sum();
                sum += start_weight(opportunity) * exp(product);
            }
            sum += cash_after(opportunity);
            prop_assert!((wealth.log_e(2) - ln(sum)).abs() < 1e-9);
        }
    }

    #[test]
    fn muted_bets_wait_for_the_burn_in() {
        let mut wealth = RestartWealth::new([true]);
        (0..BURN_IN).for_each(|_| wealth.fold(&[2.0]));
        assert!(wealth.log_e(0).abs() < 1e-12);
        wealth.fold(&[2.0]);
        assert!(wealth.log_e(0) > 1.0);
    }

    #[test]
    fn levels_round_up() {
        assert_eq!(level_for(1.0), Some(0));
        assert_eq!(level_for(1.4), Some(1));
        assert_eq!(level_for(1.41), Some(2));
        assert_eq!(level_for(32.0), Some(10));
        assert_eq!(level_for(32.1), None);
        assert_eq!(level_for(f64::NAN), None);
    }
}
