//! Are labels as frequent for the canary as for stable? A canary whose wrong predictions never get a label must not win
//! by silence: section 8 of the design.
//!
//! If the labelled shares differ by `d`, the predictions behind that difference can move the measured rate by at most
//! about `d` over the labelled share. So what is tolerated is the part of it that moves the rate by no more than the
//! guardrail's own margin: `margin` times stable's labelled share. Evidence that the shares differ by more, in either
//! direction, blocks promotion.
//!
//! Slices are sealed early once 95 % of both variants' labels are in. Beyond that a labelled share says more about the
//! moment of sealing than about the variant, so the variant that is held to have more counts up to 95 % only. This can
//! only lower the evidence.

use crate::assessment::LabelRateAssessment;
use crate::counts::{Counts, LabelSlice, Pair, Sum, Sums};
use crate::dispersion::Dispersion;
use crate::interval::RiskDifference;
use crate::logs::{ln, log_mean_exp};
use crate::margin::{self, Null};
use crate::process::rollback_level;
use crate::stable_rate::StableRate;
use crate::wealth::RestartWealth;

/// Labels are complete from this share on, as far as sealing can tell.
const COMPLETE: f64 = 0.95;

/// Evidence against "the labelled shares differ by no more than tolerated".
#[derive(Clone, Debug)]
pub(crate) struct LabelRate {
    margin: f64,
    stable: StableRate,
    /// Without burn-in: a canary that fails the check only waits.
    more: RestartWealth<10>,
    fewer: RestartWealth<10>,
    dispersion: Dispersion,
    difference: RiskDifference,
}

crate::state::state!(LabelRate { stable, more, fewer, dispersion, difference } fixed { margin });

impl LabelRate {
    /// `margin` is that of the guardrail whose labels these are.
    pub(crate) fn new(margin: f64) -> Self {
        Self {
            margin,
            stable: StableRate::new(Counts::default()),
            more: RestartWealth::new([false; 10]),
            fewer: RestartWealth::new([false; 10]),
            dispersion: Dispersion::default(),
            difference: RiskDifference::default(),
        }
    }

    /// Takes one slice. If the assigned requests are unknown, or fewer than labels, it says nothing.
    pub(crate) fn fold(&mut self, slice: &LabelSlice) {
        let Some(pair) = labelled_of_assigned(slice) else {
            return;
        };
        let guess = self.stable.guess();
        let tolerated = self.tolerated();
        if self.stable.is_learnt() {
            let (canary, stable) = (Sum::from(pair.canary), Sum::from(pair.stable));
            let bets = |null, sums: Sums, sign: f64| {
                margin::rollback_alternatives(guess + sign * tolerated, sign)
                    .map(|theta| margin::log_e_against(null, sums, sign * tolerated, theta, guess))
            };
            let more = Sums {
                canary: at_most_complete(canary),
                stable,
            };
            let fewer = Sums {
                canary,
                stable: at_most_complete(stable),
            };
            self.more.fold(&bets(Null::AtMost, more, 1.0));
            self.fewer.fold(&bets(Null::AtLeast, fewer, -1.0));
        }
        self.dispersion.fold(pair);
        self.stable.fold(pair.stable);
        self.difference.fold(pair);
    }

    fn tolerated(&self) -> f64 {
        self.margin * self.stable.guess()
    }

    /// The e-values of both directions average.
    fn log_e(&self) -> f64 {
        let level = rollback_level(self.dispersion.phi());
        log_mean_exp(&[self.more.log_e(level), self.fewer.log_e(level)])
    }

    /// Promotion waits while the evidence is past half of its threshold on the log scale, as it does for the rollback
    /// evidence: a silent canary gathers evidence for itself as fast as against itself.
    pub(crate) fn blocks(&self, alpha: f64) -> bool {
        self.log_e() >= -0.5 * ln(alpha)
    }

    /// None before the first slice with both variants.
    pub(crate) fn read(&self, alpha: f64) -> Option<LabelRateAssessment> {
        let (canary, stable) = self.difference.rates()?;
        let phi = self.dispersion.phi();
        let (log_e, log_threshold) = (self.log_e(), -ln(alpha));
        Some(LabelRateAssessment {
            canary,
            stable,
            interval: self.difference.interval(phi, alpha),
            tolerated: self.tolerated(),
            log_e,
            log_threshold,
            phi,
            differs: log_e >= log_threshold,
            blocks: self.blocks(alpha),
        })
    }
}

fn at_most_complete(labelled: Sum) -> Sum {
    Sum {
        x: labelled.x.min(COMPLETE * labelled.n),
        ..labelled
    }
}

fn labelled_of_assigned(slice: &LabelSlice) -> Option<Pair> {
    let assigned = slice.assigned?;
    let pair = Pair::new(
        slice.pair.canary.n,
        assigned.canary,
        slice.pair.stable.n,
        assigned.stable,
    );
    pair.is_plausible().then_some(pair)
}

#[cfg(test)]
mod tests;
