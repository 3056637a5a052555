//! One count metric: error rate, accuracy, conversion. Sections 2 and 6 of the design.

use crate::counts::{Counts, Pair};
use crate::interval::RiskDifference;
use crate::margin::{self, Null};
use crate::process::Process;
use crate::stable_rate::StableRate;

/// A step never asks to exclude more than this: no rate can differ by 1 or more.
pub(crate) const LARGEST_HARM: f64 = 0.99;

/// Which way a rate gets worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worse {
    /// Errors, wrong labels: a higher rate is worse.
    Higher,
    /// Correct labels, conversions: a lower rate is worse.
    Lower,
}

impl Worse {
    /// +1 if higher is worse, -1 if lower is.
    pub fn sign(self) -> f64 {
        match self {
            Self::Higher => 1.0,
            Self::Lower => -1.0,
        }
    }

    /// The nulls "within the margin" and "worse than the tolerance".
    fn nulls(self) -> (Null, Null) {
        match self {
            Self::Higher => (Null::AtMost, Null::AtLeast),
            Self::Lower => (Null::AtLeast, Null::AtMost),
        }
    }
}

/// Evidence on one rate, with an absolute margin.
#[derive(Clone, Debug)]
pub struct CountMonitor {
    worse: Worse,
    margin: f64,
    tolerances: Vec<f64>,
    stable: StableRate,
    process: Process,
    difference: RiskDifference,
    total: Pair,
}

crate::state::state!(CountMonitor { stable, process, difference, total } fixed { worse, margin, tolerances });

impl CountMonitor {
    /// No slice seen.
    ///
    /// `margin` is the tolerated worsening as a fraction, `tolerances` the multiples of it that
    /// steps ask to exclude, `baseline` the stable counts just before the rollout (zero if there
    /// are none).
    pub fn new(worse: Worse, margin: f64, tolerances: Vec<f64>, baseline: Counts) -> Self {
        Self {
            worse,
            margin,
            stable: StableRate::new(baseline),
            process: Process::new(tolerances.len()),
            tolerances,
            difference: RiskDifference::default(),
            total: Pair::default(),
        }
    }

    /// Like `new`, for slices whose noise is known before them.
    pub(crate) fn with_noise(
        worse: Worse,
        margin: f64,
        tolerances: Vec<f64>,
        baseline: Counts,
    ) -> Self {
        Self {
            process: Process::with_noise(tolerances.len()),
            ..Self::new(worse, margin, tolerances, baseline)
        }
    }

    /// Takes one slice and bets on it as section 2 of the design writes it. Where the guess of the stable rate is closer
    /// to 0 or 1 than the margin, such bets can be on the wrong side of the boundary; the engine leaves those out.
    pub fn fold(&mut self, pair: Pair) {
        self.bet(pair, (None, None), 1.0);
    }

    fn bet(&mut self, pair: Pair, nulls: (Option<Null>, Option<Null>), inflation: f64) {
        let guess = self.stable.guess();
        let sign = self.worse.sign();
        let (within, beyond) = nulls;
        let allowed = sign * self.margin;
        let alternatives = margin::rollback_alternatives(guess + allowed, sign);
        let bets = margin::log_e_each(within, pair, allowed, alternatives, guess);
        let tolerances = &self.tolerances;
        let promote = |index: usize| {
            let harm = (allowed * tolerances[index]).clamp(-LARGEST_HARM, LARGEST_HARM);
            let alternatives = margin::promote_alternatives(guess + harm, guess);
            margin::log_e_each(beyond, pair, harm, alternatives, guess)
        };
        self.process.fold_noisy(&bets, promote, pair, inflation);
        self.count(pair);
    }

    /// Takes one slice, betting only if enough of stable was seen before it to guess its rate. The noise of single arms
    /// may inflate its variance by `inflation`.
    pub(crate) fn fold_when_learnt(&mut self, pair: Pair, inflation: f64) {
        if self.stable.is_learnt() {
            let (within, beyond) = self.worse.nulls();
            self.bet(pair, (Some(within), Some(beyond)), inflation);
        } else {
            self.process.fold_neutral(pair);
            self.count(pair);
        }
    }

    /// The variance inflation between users, >= 1.
    pub(crate) fn know_users(&mut self, phi: f64) {
        self.process.know_phi(phi);
    }

    fn count(&mut self, pair: Pair) {
        self.stable.fold(pair.stable);
        self.difference.fold(pair);
        self.total.add(pair);
    }

    /// Wealth and dispersion.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The guess of the stable rate for the next slice, a fraction in 0..=1.
    pub fn stable_guess(&self) -> f64 {
        self.stable.guess()
    }

    /// The stable rate as far as it was seen, a fraction in 0..=1.
    pub(crate) fn stable_estimate(&self) -> f64 {
        self.stable.estimate()
    }

    /// The difference canary - stable and its interval.
    pub fn difference(&self) -> &RiskDifference {
        &self.difference
    }

    pub(crate) fn total(&self) -> Pair {
        self.total
    }

    pub(crate) fn worse(&self) -> Worse {
        self.worse
    }

    /// The margin with its sign: positive if higher is worse.
    pub(crate) fn signed_margin(&self) -> f64 {
        self.worse.sign() * self.margin
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(worse: Worse, slices: &[Pair]) -> CountMonitor {
        let mut monitor = CountMonitor::new(worse, 0.01, vec![1.0, 5.0], Counts { x: 50, n: 1000 });
        slices.iter().for_each(|pair| monitor.fold(*pair));
        monitor
    }

    #[test]
    fn higher_and_lower_are_mirror_images() {
        let wrong = vec![Pair::new(12, 100, 45, 900); 40];
        let right = vec![Pair::new(88, 100, 855, 900); 40];
        let mut lower =
            CountMonitor::new(Worse::Lower, 0.01, vec![1.0], Counts { x: 950, n: 1000 });
        right.iter().for_each(|pair| lower.fold(*pair));
        let higher = run(Worse::Higher, &wrong);
        assert!(higher.process().log_e_rollback() > 10.0);
        assert!(lower.process().log_e_rollback() > 10.0);
        assert!(higher.process().log_e_promote(0) < 0.0);
        assert!(lower.process().log_e_promote(0) < 0.0);
    }

    #[test]
    fn a_wider_tolerance_is_excluded_first() {
        let monitor = run(Worse::Higher, &[Pair::new(5, 100, 45, 900); 15]);
        let process = monitor.process();
        assert!(process.log_e_promote(1) > process.log_e_promote(0));
        assert!(process.log_e_promote(1) > 3.0);
    }

    #[test]
    fn a_margin_of_zero_never_promotes() {
        let mut monitor = CountMonitor::new(Worse::Higher, 0.0, vec![1.0], Counts::default());
        (0..200).for_each(|_| monitor.fold(Pair::new(0, 500, 50, 500)));
        assert!(monitor.process().log_e_promote(0) < 1e-9);
    }

    proptest! {
        #[test]
        fn evidence_is_never_nan(
            slices in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()), 1..20),
            margin in 0.0..1.0f64,
        ) {
            for worse in [Worse::Higher, Worse::Lower] {
                let mut monitor = CountMonitor::new(worse, margin, vec![1.0, 10.0], Counts::default());
                for (a, b, c, d) in &slices {
                    monitor.fold(Pair::new(*a.min(b), *b, *c.min(d), *d));
                }
                prop_assert!(monitor.process().log_e_rollback().is_finite());
                prop_assert!(!monitor.process().log_e_promote(0).is_nan());
                prop_assert!(monitor.process().phi() >= 1.0);
            }
        }
    }
}
