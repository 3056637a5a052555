//! Gross failure, whatever the dispersion: at least half of the canary's requests fail while stable
//! is well.

use crate::counts::Pair;

/// A run of slices ends as soon as it holds this many canary requests.
const RUN_REQUESTS: u64 = 10;
const BAD_RUNS: u32 = 3;

/// Counts consecutive bad runs. Three make it trip, and tripped it stays.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GrossErrors {
    run: Pair,
    bad_runs: u32,
    tripped: bool,
}

impl GrossErrors {
    pub(crate) fn fold(&mut self, pair: Pair) {
        self.run.add(pair);
        if self.run.canary.n < RUN_REQUESTS {
            return;
        }
        let run = std::mem::take(&mut self.run);
        // Without stable requests a run compares nothing: it neither counts nor resets.
        let Some(stable_rate) = run.stable.rate() else {
            return;
        };
        let canary_fails = run.canary.x.saturating_mul(2) >= run.canary.n;
        self.bad_runs = if canary_fails && stable_rate < 0.1 {
            self.bad_runs + 1
        } else {
            0
        };
        self.tripped |= self.bad_runs >= BAD_RUNS;
    }

    pub(crate) fn is_tripped(self) -> bool {
        self.tripped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tripped(slices: &[Pair]) -> bool {
        let mut gross = GrossErrors::default();
        slices.iter().for_each(|pair| gross.fold(*pair));
        gross.is_tripped()
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
