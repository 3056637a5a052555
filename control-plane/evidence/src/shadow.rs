//! Shadow mode: the same requests go to both variants, so each request is its own control. Section 11 of the design.

use crate::contrast::Contrast;
use crate::counts::{Counts, ShadowSlice, Sum};
use crate::dispersion::Dispersion;
use crate::margin;
use crate::process::{rollback_level, rollback_wealth};
use crate::stable_rate::StableRate;
use crate::traffic::Traffic;
use crate::wealth::{PlainWealth, RestartWealth, TEMPERING, level_for};

/// The canary is bet to disagree at this part of the limit, if what was seen does not suggest less.
const MODEST: f64 = 0.8;

/// One rate against a fixed one: rollback wealth and the noise of the rate over time.
#[derive(Clone, Debug)]
struct OneSample {
    null: f64,
    worse: RestartWealth<10>,
    dispersion: Dispersion,
    total: Counts,
}

crate::state::state!(OneSample { worse, dispersion, total } fixed { null });

impl OneSample {
    fn new(null: f64) -> Self {
        Self {
            null,
            worse: rollback_wealth(),
            dispersion: Dispersion::default(),
            total: Counts::default(),
        }
    }

    fn fold(&mut self, counts: Counts) {
        let null = self.null;
        let bets = margin::rollback_alternatives(null, 1.0)
            .map(|theta| margin::log_e_limit(counts, null, theta));
        self.worse.fold(&bets);
        self.dispersion.fold_contrast(Contrast {
            difference: counts.x as f64,
            weight: counts.n as f64,
            variance: Sum::from(counts).variance(),
        });
        self.total.add(counts);
    }

    fn phi(&self) -> f64 {
        self.dispersion.phi()
    }

    fn log_e(&self) -> f64 {
        self.worse.log_e(rollback_level(self.phi()))
    }
}

/// Do canary and stable give the same answer, but for a tolerated part?
#[derive(Clone, Debug)]
pub struct Agreement {
    disagreement: OneSample,
    promote: PlainWealth<3>,
    expected: StableRate,
    traffic: Traffic,
}

crate::state::state!(Agreement {
    disagreement,
    promote,
    expected,
    traffic
});

impl Agreement {
    /// No pair seen. `limit` is the tolerated part of pairs that disagree, between 0 and 1.
    pub fn new(limit: f64) -> Self {
        Self {
            disagreement: OneSample::new(limit),
            promote: PlainWealth::default(),
            expected: StableRate::new(Counts::default()),
            traffic: Traffic::default(),
        }
    }

    /// Takes one slice of compared pairs.
    pub fn fold(&mut self, slice: &ShadowSlice) {
        let (pairs, limit) = (slice.pairs, self.limit());
        let better = margin::promote_alternatives(limit, self.target())
            .map(|theta| margin::log_e_limit(pairs, limit, theta));
        self.promote.fold(&better);
        self.disagreement.fold(pairs);
        self.expected.fold(pairs);
        self.traffic.fold_one(slice.epoch, slice.seconds, pairs.n);
    }

    /// The rate of disagreement that is bet on.
    pub(crate) fn target(&self) -> f64 {
        self.expected.guess().min(MODEST * self.limit())
    }

    /// The tolerated part of pairs that disagree.
    pub fn limit(&self) -> f64 {
        self.disagreement.null
    }

    /// Log evidence against "at most the limit disagrees". Finite.
    pub fn log_e_rollback(&self) -> f64 {
        self.disagreement.log_e()
    }

    /// Log evidence against "the limit or more disagrees"; negative infinity above every tempering level.
    pub fn log_e_promote(&self) -> f64 {
        level_for(self.phi()).map_or(f64::NEG_INFINITY, |level| self.promote.log_e(level))
    }

    /// Log wealth of each promotion bet and the variance inflation it was divided by.
    pub(crate) fn promote_bets(&self) -> Option<([f64; 3], f64)> {
        let level = level_for(self.phi())?;
        Some((self.promote.bets(level), TEMPERING[level]))
    }

    /// Measured variance inflation of the rate of disagreement over time, >= 1.
    pub fn phi(&self) -> f64 {
        self.disagreement.phi()
    }

    /// Disagreements among pairs.
    pub fn total(&self) -> Counts {
        self.disagreement.total
    }

    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }
}

/// With labels: is it the canary that is wrong where exactly one of the two is? (McNemar.)
///
/// Pairs in which both are right or both are wrong say nothing about which is better, and are left out; this is far
/// stronger than a comparison of two samples.
#[derive(Clone, Debug)]
pub struct Discordance(OneSample);

impl Default for Discordance {
    fn default() -> Self {
        Self(OneSample::new(0.5))
    }
}

impl Discordance {
    /// Takes one slice: pairs where only the canary was wrong, and pairs where only stable was. Counts that cannot be
    /// true say nothing.
    pub fn fold(&mut self, only_canary: u64, only_stable: u64) {
        let counts = Counts {
            x: only_canary,
            n: only_canary.saturating_add(only_stable),
        };
        if counts.is_plausible() {
            self.0.fold(counts);
        }
    }

    /// Log evidence against "where one of the two is wrong, it is the canary at most half of the time". Finite.
    pub fn log_e_rollback(&self) -> f64 {
        self.0.log_e()
    }

    /// Measured variance inflation, >= 1.
    pub fn phi(&self) -> f64 {
        self.0.phi()
    }

    /// Pairs where only the canary was wrong, among those where one of the two was.
    pub fn total(&self) -> Counts {
        self.0.total
    }
}

#[cfg(test)]
mod tests;
