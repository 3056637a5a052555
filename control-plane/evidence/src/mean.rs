//! A guardrail on the mean of a score: quality, cost, tokens. Section 7 of the design.

use crate::contrast::Contrast;
use crate::counts::MeanSlice;
use crate::dispersion::Dispersion;
use crate::interval::{RHO, is_enough, normal_mixture_radius};
use crate::logs::sqrt;
use crate::numeric::{FEWEST, Moments, NumericMonitor};
use crate::process::rollback_level;
use crate::traffic::Traffic;
use crate::wealth::{TEMPERING, level_for};

/// The difference of means, weighted over slices as differences of rates are.
#[derive(Clone, Copy, Debug, Default)]
struct MeanDifference {
    sum: Contrast,
    canary: f64,
}

crate::state::state!(MeanDifference { sum, canary });

impl MeanDifference {
    fn fold(&mut self, contrast: Contrast, canary_mean: f64) {
        self.sum.add(contrast);
        self.canary += canary_mean * contrast.weight;
    }

    fn estimate(&self) -> Option<f64> {
        (self.sum.weight > 0.0).then(|| self.sum.difference / self.sum.weight)
    }

    fn radius(&self, phi: f64, alpha: f64) -> Option<f64> {
        is_enough(self.sum.variance)
            .then(|| normal_mixture_radius(phi * self.sum.variance, RHO, alpha) / self.sum.weight)
    }

    /// The estimate, moved towards 0 by one standard error.
    fn beyond_noise(&self, phi: f64) -> f64 {
        let Some(estimate) = self.estimate() else {
            return 0.0;
        };
        let noise = sqrt(phi * self.sum.variance) / self.sum.weight;
        (estimate.abs() - noise).max(0.0).copysign(estimate)
    }
}

/// Evidence on the mean of a score.
///
/// Slices with fewer than 30 values of either variant are joined with the next ones of their epoch: the central limit
/// theorem is asked to hold within a slice.
#[derive(Clone, Debug)]
pub(crate) struct MeanMonitor {
    sign: f64,
    margin: f64,
    evidence: NumericMonitor,
    open: Option<(u64, Moments, Moments)>,
    /// What scores are measured in, so that sums of squares neither vanish nor overflow: their standard deviation in
    /// the first slice.
    unit: Option<f64>,
    dispersion: Dispersion,
    difference: MeanDifference,
    /// Of the canary and of stable, in the newest slice.
    variances: (f64, f64),
    values: (f64, f64),
    traffic: Traffic,
}

crate::state::state!(MeanMonitor { evidence, open, unit, dispersion, difference, variances, values, traffic } fixed { sign, margin });

impl MeanMonitor {
    /// No slice seen. `margin` is the tolerated worsening in units of the score.
    pub(crate) fn new(higher_is_better: bool, margin: f64, tolerances: Vec<f64>) -> Self {
        let sign = if higher_is_better { -1.0 } else { 1.0 };
        let before = Moments::default();
        Self {
            sign,
            margin,
            evidence: NumericMonitor::new(sign, margin, tolerances, before),
            open: None,
            unit: None,
            dispersion: Dispersion::default(),
            difference: MeanDifference::default(),
            variances: (0.0, 0.0),
            values: (0.0, 0.0),
            traffic: Traffic::default(),
        }
    }

    /// Takes one slice. A rest that is too small when its epoch is over is given up, of both variants alike.
    pub(crate) fn fold(&mut self, slice: &MeanSlice) {
        self.values.0 += slice.canary.n;
        self.values.1 += slice.stable.n;
        self.traffic
            .fold(slice.epoch, slice.seconds, slice.trials());
        let (canary, stable) = match self.open.take() {
            Some((epoch, canary, stable)) if epoch == slice.epoch => {
                (canary.plus(slice.canary), stable.plus(slice.stable))
            }
            Some(newer) if newer.0 > slice.epoch => {
                self.open = Some(newer);
                return;
            }
            _ => (slice.canary, slice.stable),
        };
        if canary.n >= FEWEST && stable.n >= FEWEST {
            self.close(canary, stable);
        } else {
            self.open = Some((slice.epoch, canary, stable));
        }
    }

    fn close(&mut self, canary: Moments, stable: Moments) {
        self.evidence.fold(canary, stable);
        self.variances = (canary.variance().max(0.0), stable.variance().max(0.0));
        let unit = *self.unit.get_or_insert_with(|| {
            let finest = 1e-9 * stable.mean().abs().max(self.margin).max(1e-6);
            sqrt(self.variances.1).max(finest)
        });
        let n = canary.n + stable.n;
        let (to_canary, to_stable) = (stable.n / n, canary.n / n);
        let weight = canary.n * stable.n / n;
        let contrast = Contrast {
            difference: weight * (canary.mean() - stable.mean()) / unit,
            weight,
            variance: (to_canary * to_canary * canary.n * self.variances.0
                + to_stable * to_stable * stable.n * self.variances.1)
                / (unit * unit),
        };
        self.dispersion.fold_contrast(contrast);
        self.difference.fold(contrast, canary.mean());
    }

    /// Whether some slice had enough values of both variants.
    pub(crate) fn is_compared(&self) -> bool {
        self.unit.is_some()
    }

    pub(crate) fn phi(&self) -> f64 {
        self.dispersion.phi()
    }

    pub(crate) fn log_e_rollback(&self) -> f64 {
        self.evidence.log_e_rollback(rollback_level(self.phi()))
    }

    /// Negative infinity if there is no such tolerance, or above every tempering level.
    pub(crate) fn log_e_promote(&self, tolerance: usize) -> f64 {
        level_for(self.phi()).map_or(f64::NEG_INFINITY, |level| {
            self.evidence.log_e_promote(tolerance, level)
        })
    }

    /// Log wealth of each promotion bet and the variance inflation it was divided by.
    pub(crate) fn promote_bets(&self, tolerance: usize) -> Option<([f64; 3], f64)> {
        let level = level_for(self.phi())?;
        let bets = self.evidence.promote_bets(tolerance, level)?;
        Some((bets, TEMPERING[level]))
    }

    /// If things stay as they are: the distance that is left to "worse by `tolerance` margins" as a part of that
    /// tolerance, and the nats per value of either variant against it if the canary gets `share` of the values. None if
    /// nothing is left.
    pub(crate) fn outlook(&self, tolerance: f64, share: f64) -> Option<(f64, f64)> {
        // A better canary may not stay better.
        let seen = self.unit? * self.difference.beyond_noise(self.phi());
        let boundary = self.margin * tolerance;
        let distance = boundary - (self.sign * seen).max(0.0);
        let (of_canary, of_stable) = self.variances;
        let noise = of_canary.max(of_stable) / share + of_stable / (1.0 - share);
        let information = distance * distance / (2.0 * noise.max(f64::MIN_POSITIVE));
        (distance > 0.0).then(|| (distance / boundary, information))
    }

    /// The means of canary and stable, weighted alike over slices.
    pub(crate) fn means(&self) -> Option<(f64, f64)> {
        let unit = self.unit?;
        let canary = self.difference.canary / self.difference.sum.weight;
        let difference = unit * self.difference.estimate()?;
        Some((canary, canary - difference))
    }

    /// Canary - stable.
    pub(crate) fn estimate(&self) -> Option<f64> {
        Some(self.unit? * self.difference.estimate()?)
    }

    pub(crate) fn interval(&self, alpha: f64) -> Option<(f64, f64)> {
        let (unit, estimate) = (self.unit?, self.estimate()?);
        let radius = unit * self.difference.radius(self.phi(), alpha)?;
        Some((estimate - radius, estimate + radius))
    }

    /// Values seen of canary and stable.
    pub(crate) fn values(&self) -> (u64, u64) {
        (self.values.0 as u64, self.values.1 as u64)
    }

    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The margin with its sign: negative if higher is better.
    pub(crate) fn signed_margin(&self) -> f64 {
        self.sign * self.margin
    }
}

#[cfg(test)]
mod tests;
