//! Rollback wealth whose slices are divided by a variance inflation known before them.
//!
//! [`RestartWealth`](crate::wealth::RestartWealth) is kept at several inflations because the right one is measured
//! afterwards, and it is one for all slices. Here each slice has its own, which may depend on its sizes and on everything
//! before it, but not on its outcomes. An e-value to a power of at most 1 is an e-value, so this is an e-process too.

use crate::logs::{ln, log_add_exp, log_mean_exp};
use crate::state::{State, Tape};
use crate::wealth::{BURN_IN, CAP, RESTART_EVERY, cash_after, start_weight};

/// Wealth against "not harmful" for `J` bets, restarted like the one that is measured.
#[derive(Clone, Debug)]
pub(crate) struct TemperedWealth<const J: usize> {
    slices: u64,
    opportunities: u64,
    muted: [bool; J],
    log: [f64; J],
}

impl<const J: usize> State for TemperedWealth<J> {
    fn walk(&mut self, tape: &mut Tape) {
        self.slices.walk(tape);
        self.opportunities.walk(tape);
        self.log.walk(tape);
    }
}

impl<const J: usize> TemperedWealth<J> {
    /// No slice seen. Bets marked in `muted` stay out during the burn-in.
    pub(crate) fn new(muted: [bool; J]) -> Self {
        Self {
            slices: 0,
            opportunities: 0,
            muted,
            log: [f64::NEG_INFINITY; J],
        }
    }

    /// Multiplies in the log e-values of one slice, each divided by `inflation` (>= 1) and then capped, so that the
    /// cap is no harder on strong evidence because there is noise.
    pub(crate) fn fold(&mut self, log_e: &[f64; J], inflation: f64) {
        if self.slices.is_multiple_of(RESTART_EVERY) {
            self.opportunities += 1;
            let weight = ln(start_weight(self.opportunities));
            self.log
                .iter_mut()
                .for_each(|log| *log = log_add_exp(*log, weight));
        }
        self.slices += 1;
        let burning = self.slices <= BURN_IN;
        for ((log, gain), muted) in self.log.iter_mut().zip(log_e).zip(self.muted) {
            if !(burning && muted) {
                *log += (gain / inflation).min(CAP);
            }
        }
    }

    /// Log wealth.
    pub(crate) fn log_e(&self) -> f64 {
        if self.opportunities == 0 {
            return 0.0;
        }
        log_add_exp(log_mean_exp(&self.log), ln(cash_after(self.opportunities)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wealth::RestartWealth;
    use proptest::prelude::*;

    proptest! {
        /// Without noise it is the wealth at the level without inflation.
        #[test]
        fn at_inflation_one_it_is_the_plain_wealth(gains in prop::collection::vec(-3.0..3.0f64, 1..80)) {
            let muted = [true, false];
            let (mut plain, mut tempered) = (RestartWealth::new(muted), TemperedWealth::new(muted));
            for gain in gains {
                plain.fold(&[gain, 2.0 * gain]);
                tempered.fold(&[gain, 2.0 * gain], 1.0);
            }
            prop_assert!((plain.log_e(0) - tempered.log_e()).abs() < 1e-9);
        }

        /// Power means: at a constant inflation phi the wealth is at most the plain wealth to the power 1/phi, whatever the
        /// slices were (as far as no cap acts).
        #[test]
        fn no_inflation_raises_the_evidence(
            gains in prop::collection::vec(-2.5..2.5f64, 1..80),
            inflation in 1.0..50.0f64,
        ) {
            let (mut plain, mut tempered) = (TemperedWealth::new([false; 2]), TemperedWealth::new([false; 2]));
            for gain in gains {
                plain.fold(&[gain, -0.5 * gain], 1.0);
                tempered.fold(&[gain, -0.5 * gain], inflation);
            }
            prop_assert!(tempered.log_e() <= plain.log_e() / inflation + 1e-9);
        }
    }

    /// Exact: fair bets on all outcomes of 6 coin tosses, the inflation changing with what came before.
    #[test]
    fn its_mean_is_at_most_one_whatever_inflation_the_past_chooses() {
        let mut mean = 0.0;
        for outcomes in 0..64u32 {
            let mut wealth = TemperedWealth::new([false]);
            for toss in 0..6 {
                let won_before = (outcomes & ((1 << toss) - 1)).count_ones();
                let gain = if outcomes >> toss & 1 == 1 { 1.5 } else { 0.5 };
                wealth.fold(&[ln(gain)], 1.0 + f64::from(won_before));
            }
            mean += crate::logs::exp(wealth.log_e()) / 64.0;
        }
        assert!(mean <= 1.0 && mean > 0.9, "{mean}");
    }
}
