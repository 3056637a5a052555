//! The margin e-process of one comparison: rollback wealth, promotion wealth per tolerance, and the
//! dispersion that says how much of either to believe.

use crate::counts::Sums;
use crate::dispersion::Dispersion;
use crate::margin::ROLLBACK_TILTS;
use crate::tempered::TemperedWealth;
use crate::wealth::{PlainWealth, RestartWealth, TEMPERING, level_for};

/// Rollback tilts below this stay out during the burn-in.
const SMALLEST_UNMUTED: f64 = 1.2;

/// Which of the standard tilts stay out during the burn-in.
fn muted() -> [bool; 10] {
    ROLLBACK_TILTS.map(|tilt| tilt < SMALLEST_UNMUTED)
}

/// Rollback wealth over the standard tilts.
pub(crate) fn rollback_wealth() -> RestartWealth<10> {
    RestartWealth::new(muted())
}

/// The level at which rollback wealth is read: above the highest it is read at the highest, because
/// muting it would let a dead canary live for ever.
pub(crate) fn rollback_level(phi: f64) -> usize {
    level_for(phi).unwrap_or(TEMPERING.len() - 1)
}

/// Wealth and dispersion of one comparison of counts.
#[derive(Clone, Debug)]
pub struct Process {
    rollback: RestartWealth<10>,
    /// The same bets under the noise that stable shows, if anyone tells it.
    noisy: Option<TemperedWealth<10>>,
    promote: Vec<PlainWealth<3>>,
    dispersion: Dispersion,
    phi: f64,
    /// Inflation that is known from elsewhere.
    known_phi: f64,
    /// What the noise of single arms may have made of the newest slice.
    inflation: f64,
}

crate::state::state!(Process { rollback, dispersion, phi, known_phi, inflation } each { noisy, promote });

impl Process {
    /// No slice seen; promotion wealth for `tolerances` step tolerances.
    pub fn new(tolerances: usize) -> Self {
        Self {
            rollback: rollback_wealth(),
            noisy: None,
            promote: vec![PlainWealth::default(); tolerances],
            dispersion: Dispersion::default(),
            phi: 1.0,
            known_phi: 1.0,
            inflation: 1.0,
        }
    }

    /// Like `new`, for slices whose noise is known before them ([`Process::fold_noisy`]).
    pub(crate) fn with_noise(tolerances: usize) -> Self {
        Self {
            noisy: Some(TemperedWealth::new(muted())),
            ..Self::new(tolerances)
        }
    }

    /// Takes one slice in which the noise of single arms may inflate the variance by `inflation` (>= 1) over long times.
    pub(crate) fn fold_noisy(
        &mut self,
        rollback: &[f64; 10],
        promote: impl Fn(usize) -> [f64; 3],
        sums: impl Into<Sums>,
        inflation: f64,
    ) {
        if let Some(noisy) = &mut self.noisy {
            noisy.fold(rollback, inflation);
            self.inflation = inflation;
        }
        self.fold(rollback, promote, sums);
    }

    /// Takes one slice: the log e-values of the rollback bets, those of the promotion bets per
    /// tolerance index, and the compared sums.
    pub fn fold(
        &mut self,
        rollback: &[f64; 10],
        promote: impl Fn(usize) -> [f64; 3],
        sums: impl Into<Sums>,
    ) {
        self.rollback.fold(rollback);
        for (index, wealth) in self.promote.iter_mut().enumerate() {
            wealth.fold(&promote(index));
        }
        self.dispersion.fold(sums);
        self.phi = self.dispersion.phi();
    }

    /// What is known otherwise about the variance inflation: it is no more than this.
    pub(crate) fn limit_phi(&mut self, phi: f64) {
        self.phi = self.phi.min(phi);
    }

    /// What is known otherwise about the variance inflation: it is at least this.
    pub(crate) fn know_phi(&mut self, phi: f64) {
        self.known_phi = phi.max(1.0);
    }

    /// Takes one slice without betting on it: it only teaches the dispersion.
    pub fn fold_neutral(&mut self, sums: impl Into<Sums>) {
        self.fold_noisy(&[0.0; 10], |_| [0.0; 3], sums, 1.0);
    }

    /// Variance inflation, >= 1.
    pub fn phi(&self) -> f64 {
        self.phi.max(self.known_phi)
    }

    /// The variance inflation that an interval for people must allow for: also the noise that is possible by what is known
    /// of stable.
    pub(crate) fn possible_phi(&self) -> f64 {
        self.phi().max(self.inflation)
    }

    /// Log wealth against "within the margin". Finite. Both the spread measured between the arms and the noise known
    /// from stable must leave it.
    pub fn log_e_rollback(&self) -> f64 {
        let measured = self.rollback.log_e(rollback_level(self.phi()));
        let noisy = self.noisy.as_ref().map(TemperedWealth::log_e);
        noisy.map_or(measured, |noisy| measured.min(noisy))
    }

    /// Log wealth against "worse than the tolerance with this index". Negative infinity if there is
    /// no such tolerance, or if the dispersion is above every tempering level.
    pub fn log_e_promote(&self, tolerance: usize) -> f64 {
        match (self.promote.get(tolerance), level_for(self.phi())) {
            (Some(wealth), Some(level)) => wealth.log_e(level),
            _ => f64::NEG_INFINITY,
        }
    }

    /// Log wealth of each promotion bet and the variance inflation it was divided by.
    pub(crate) fn promote_bets(&self, tolerance: usize) -> Option<([f64; 3], f64)> {
        let level = level_for(self.phi())?;
        let wealth = self.promote.get(tolerance)?;
        Some((wealth.bets(level), TEMPERING[level]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Pair;

    /// Total failure after two blips: the dispersion is absurd, and the canary must still be
    /// called.
    #[test]
    fn dispersion_above_every_level_blocks_promotion_but_not_rollback() {
        let mut process = Process::new(1);
        for slice in 0..200u64 {
            let errors = if slice % 20 < 10 { 0 } else { 50 };
            process.fold(&[2.5; 10], |_| [2.5; 3], Pair::new(errors, 50, 1, 450));
        }
        assert!(process.phi() > 32.0, "{}", process.phi());
        assert_eq!(process.log_e_promote(0), f64::NEG_INFINITY);
        // 200 slices of 2.5 nats, divided by 32, less the prior of the mixture.
        assert!((10.0..15.7).contains(&process.log_e_rollback()));
    }

    #[test]
    fn an_unknown_tolerance_never_promotes() {
        assert_eq!(Process::new(1).log_e_promote(1), f64::NEG_INFINITY);
    }
}
