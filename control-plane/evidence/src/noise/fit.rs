//! Which laws of wandering agree with what stable and the contrast did.
//!
//! The likelihood is that of squared differences of neighbouring blocks at dyadic scales (Haar wavelets), which are nearly
//! independent across scales, over a grid of laws. The answer is an upper quantile of the posterior.

use super::pairs::Moments;
use super::{SCALES, block_seconds};
use crate::logs::{exp, ln, log_add_exp};

type Scales = [Option<Moments>; SCALES];

/// Correlation times in seconds, 1 to 64.
const TIMES: usize = 7;
/// Variances of the log error rate, 0.01 to 1.28; each is twice the one before.
const VARIANCES: usize = 8;
const LEAST_VARIANCE: f64 = 0.01;

/// Prior chance that the error rate does not wander at all.
const PRIOR_CALM: f64 = 0.5;
/// The parts of stable's variance that may be the arm's own, as steps of the grid of variances down (all, a quarter, an
/// eighth, nothing), with their prior chances.
const DOWN: [(Option<usize>, f64); PARTS] =
    [(Some(0), 0.7), (Some(2), 0.1), (Some(3), 0.1), (None, 0.1)];
const PARTS: usize = 4;
/// The contrast's likelihood is taken to this power: its blocks hold few errors, and those of a wandering rate are skewed.
const CONTRAST_POWER: f64 = 0.5;

/// Chance that the law is worse than what is answered, once stable is known for ten minutes, and at the beginning.
const UPPER: f64 = 0.2;
const UPPER_UNKNOWN: f64 = 0.1;
const KNOWN_AFTER_S: f64 = 600.0;

/// Laws compared: none, or a time, a variance and the part that is the arm's own.
const LAWS: usize = 1 + TIMES * VARIANCES * PARTS;

/// The expected squared difference of neighbouring blocks per law, in units of the variance.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    differences: [[f64; SCALES]; TIMES],
}

crate::state::state!(Fit { differences });

impl Fit {
    pub(super) fn new() -> Self {
        let mut differences = [[0.0; SCALES]; TIMES];
        for (time, scales) in differences.iter_mut().enumerate() {
            for (index, difference) in scales.iter_mut().enumerate() {
                *difference = 2.0 * allan(block_seconds(index) / correlation_time(time));
            }
        }
        Self { differences }
    }

    /// What wandering adds to the relative variance of an arm's long-run mean, times the length of that mean: `2 s^2 tau`
    /// in seconds. An upper quantile, given what `seconds` of stable taught.
    pub(super) fn intensity(&self, stable: &Scales, contrast: &Scales, seconds: f64) -> f64 {
        let own = self.likelihoods(stable);
        let apart = self.likelihoods(contrast);
        let together = likelihood(contrast, &[0.0; SCALES], 0.0);
        let mut laws = [(0.0, 0.0); LAWS];
        laws[0].1 = ln(PRIOR_CALM) + likelihood(stable, &[0.0; SCALES], 0.0);
        let each = ln((1.0 - PRIOR_CALM) / (TIMES * VARIANCES) as f64);
        for (index, parts) in laws[1..].chunks_exact_mut(PARTS).enumerate() {
            let (time, variance) = (index / VARIANCES, index % VARIANCES);
            for (part, (down, prior)) in parts.iter_mut().zip(DOWN) {
                let at = down.and_then(|steps| variance.checked_sub(steps));
                let moved = at.map_or(together, |at| apart[time][at]);
                let intensity = at.map_or(0.0, |at| intensity_of(time, at));
                *part = (intensity, ln(prior) + CONTRAST_POWER * (moved - together));
            }
            share_out(parts, each + own[time][variance]);
        }
        let known = (seconds / KNOWN_AFTER_S).min(1.0);
        upper(&mut laws, UPPER_UNKNOWN + (UPPER - UPPER_UNKNOWN) * known)
    }

    fn likelihoods(&self, scales: &Scales) -> [[f64; VARIANCES]; TIMES] {
        let mut each = [[0.0; VARIANCES]; TIMES];
        for (row, differences) in each.iter_mut().zip(&self.differences) {
            for (index, log) in row.iter_mut().enumerate() {
                *log = likelihood(scales, differences, variance_of(index));
            }
        }
        each
    }
}

fn correlation_time(index: usize) -> f64 {
    (1u64 << index) as f64
}

fn variance_of(index: usize) -> f64 {
    LEAST_VARIANCE * (1u64 << index) as f64
}

fn intensity_of(time: usize, variance: usize) -> f64 {
    2.0 * variance_of(variance) * correlation_time(time)
}

/// Allan variance of an Ornstein-Uhlenbeck process of variance 1 over blocks of `ratio` correlation times: half of the mean
/// squared difference of neighbouring block means.
fn allan(ratio: f64) -> f64 {
    let decay = exp(-ratio);
    let part = 1.0 - decay;
    (2.0 * (ratio - part) - part * part) / (ratio * ratio)
}

fn likelihood(scales: &Scales, differences: &[f64; SCALES], variance: f64) -> f64 {
    let of = |(moments, difference): (&Option<Moments>, &f64)| {
        moments.map_or(0.0, |moments| {
            let expected = moments.counting + variance * difference;
            -0.5 * moments.pairs * (ln(expected) + moments.square / expected)
        })
    };
    scales.iter().zip(differences).map(of).sum()
}

/// Makes the parts share `log`, the likelihood of their law by stable alone: the contrast says how much of stable's
/// wandering is the arm's own, and never that there is more of it. A canary that is bad in bursts must not excuse itself.
fn share_out(parts: &mut [(f64, f64)], log: f64) {
    let all = parts
        .iter()
        .map(|part| part.1)
        .fold(f64::NEG_INFINITY, log_add_exp);
    parts.iter_mut().for_each(|part| part.1 += log - all);
}

/// The intensity that is exceeded with the given posterior chance.
fn upper(laws: &mut [(f64, f64); LAWS], chance: f64) -> f64 {
    let highest = laws
        .iter()
        .map(|law| law.1)
        .fold(f64::NEG_INFINITY, f64::max);
    let mut total = 0.0;
    for law in laws.iter_mut() {
        law.1 = exp(law.1 - highest);
        total += law.1;
    }
    laws.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut beyond = 0.0;
    for (intensity, likelihood) in laws.iter() {
        beyond += likelihood;
        if beyond > chance * total {
            return *intensity;
        }
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What scales see of a law with two errors a second.
    fn seen(variance: f64, time: f64) -> Scales {
        std::array::from_fn(|index| {
            let counting = 1.0 / block_seconds(index);
            let square = counting + 2.0 * variance * allan(block_seconds(index) / time);
            Some(Moments {
                pairs: 600.0 / block_seconds(index) / 1.5,
                square,
                counting,
            })
        })
    }

    #[test]
    fn the_allan_variance_has_its_limits() {
        // A random walk at first, uncorrelated in the end.
        assert!((allan(0.01) - 2.0 / 3.0 * 0.01).abs() < 1e-4);
        assert!((allan(1000.0) * 1000.0 - 2.0).abs() < 0.01);
    }

    #[test]
    fn calm_traffic_has_no_intensity() {
        assert_eq!(
            Fit::new().intensity(&seen(0.0, 1.0), &[None; SCALES], 600.0),
            0.0
        );
    }

    #[test]
    fn the_law_is_found() {
        let fit = Fit::new();
        for time in [1.0, 8.0, 16.0, 64.0] {
            for variance in [0.08, 0.32, 0.64] {
                let found = fit.intensity(&seen(variance, time), &[None; SCALES], 600.0);
                let ratio = found / (2.0 * variance * time);
                assert!((0.5..=4.0).contains(&ratio), "{variance} {time}: {found}");
            }
        }
    }

    #[test]
    fn a_contrast_at_rest_refutes_it_and_one_that_moves_does_not() {
        let fit = Fit::new();
        let stable = seen(0.32, 16.0);
        let alone = fit.intensity(&stable, &[None; SCALES], 600.0);
        assert_eq!(fit.intensity(&stable, &seen(0.0, 1.0), 600.0), 0.0);
        assert!(fit.intensity(&stable, &stable, 600.0) >= 0.5 * alone);
    }

    #[test]
    fn without_knowledge_some_wandering_is_feared() {
        let unknown = Fit::new().intensity(&[None; SCALES], &[None; SCALES], 0.0);
        assert!((2.0..40.0).contains(&unknown), "{unknown}");
    }
}
