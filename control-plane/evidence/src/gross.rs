//! Gross failure, whatever the dispersion: at least half of the canary's requests fail while stable
//! is well.

use crate::counts::Pair;
use crate::flapping::StableBursts;
use crate::logs::ln;

/// A run of slices ends as soon as it holds this many canary requests.
const RUN_REQUESTS: u64 = 10;
const BAD_RUNS: u32 = 3;
/// Chance of a false alarm in a whole rollout, if stable's bursts hit the canary in proportion.
const ALPHA: f64 = 0.01;
/// What stable has not shown is taken to be half a burst.
const UNSEEN: f64 = 0.5;

/// Counts consecutive bad runs. Three make it trip, more if stable has such bursts itself; tripped it stays.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GrossErrors {
    run: Pair,
    runs: u64,
    bad_runs: u32,
    /// Log of the chance that stable's bursts made all of the consecutive bad runs.
    log_chance: f64,
    tripped: bool,
}

crate::state::state!(GrossErrors {
    run,
    runs,
    bad_runs,
    log_chance,
    tripped
});

impl GrossErrors {
    /// Takes one slice; `bursts` are those of stable up to and with this slice.
    pub(crate) fn fold(&mut self, pair: Pair, bursts: &StableBursts) {
        self.run.add(pair);
        if self.run.canary.n < RUN_REQUESTS {
            return;
        }
        let run = std::mem::take(&mut self.run);
        // Without stable requests a run compares nothing: it neither counts nor resets.
        let Some(stable_rate) = run.stable.rate() else {
            return;
        };
        self.runs += 1;
        let canary_fails = run.canary.x.saturating_mul(2) >= run.canary.n;
        if !canary_fails || stable_rate >= 0.1 {
            (self.bad_runs, self.log_chance) = (0, 0.0);
            return;
        }
        // A burst of half the run's requests would do.
        let (seen, among) = bursts.at_least(run.canary.n.div_ceil(2));
        let expected = (seen + UNSEEN) * run.canary.n as f64 / among.max(1.0);
        self.bad_runs += 1;
        self.log_chance += ln(expected.min(1.0));
        let by_bursts = ln(self.runs as f64) + self.log_chance;
        self.tripped |= self.bad_runs >= BAD_RUNS && by_bursts <= ln(ALPHA);
    }

    pub(crate) fn is_tripped(self) -> bool {
        self.tripped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Counts;

    fn tripped(slices: &[Pair]) -> bool {
        let (mut gross, mut bursts) = (GrossErrors::default(), StableBursts::default());
        for pair in slices {
            bursts.fold(pair.stable);
            gross.fold(*pair, &bursts);
        }
        gross.is_tripped()
    }

    #[test]
    fn bursts_that_stable_has_too_take_longer() {
        let (mut gross, mut bursts) = (GrossErrors::default(), StableBursts::default());
        for second in 0..600 {
            let x = if second % 4 == 0 { 90 } else { 0 };
            bursts.fold(Counts { x, n: 300 });
        }
        let mut until = |errors: u64| {
            (0..30).find(|_| {
                gross.fold(Pair::new(errors, 30, 20, 270), &bursts);
                gross.is_tripped()
            })
        };
        assert_eq!(until(1), None);
        let runs = until(30).unwrap();
        assert!((3..10).contains(&runs), "{runs}");
    }

    #[test]
    fn three_bad_runs_in_a_row() {
        let (bad, good) = (Pair::new(5, 10, 9, 100), Pair::new(4, 10, 9, 100));
        assert!(tripped(&[bad, bad, bad]));
        assert!(!tripped(&[bad, bad, good, bad, bad]));
        assert!(tripped(&[bad, bad, bad, good]));
    }

    #[test]
    fn an_outage_of_both_variants_is_not_the_canarys() {
        assert!(!tripped(&[Pair::new(10, 10, 10, 100); 9]));
    }

    #[test]
    fn small_slices_are_joined() {
        let small = Pair::new(4, 4, 0, 16);
        assert!(!tripped(&[small; 8]));
        assert!(tripped(&[small; 9]));
    }

    #[test]
    fn runs_without_stable_neither_count_nor_reset() {
        let (bad, alone) = (Pair::new(10, 10, 0, 100), Pair::new(10, 10, 0, 0));
        assert!(!tripped(&[alone; 9]));
        assert!(tripped(&[bad, alone, bad, bad]));
    }
}
