//! Random counts. Parameters outside a distribution's range are drawn as its nearest limit.

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Binomial, Distribution as _, Gamma, Poisson, StandardNormal};

/// The random source of one replica.
#[derive(Clone, Debug)]
pub(crate) struct Draw(SmallRng);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// Uniform in `low..high`.
    pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.random::<f64>()
    }

    /// Whether something of this probability happens.
    pub(crate) fn hits(&mut self, probability: f64) -> bool {
        self.0.random::<f64>() < probability
    }

    /// Standard normal.
    pub(crate) fn normal(&mut self) -> f64 {
        self.0.sample(StandardNormal)
    }

    /// Events of a Poisson process with this mean.
    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        Poisson::new(mean).map_or(0, |poisson| poisson.sample(&mut self.0) as u64)
    }

    /// Successes of `n` trials.
    pub(crate) fn binomial(&mut self, n: u64, probability: f64) -> u64 {
        if n == 0 {
            return 0;
        }
        let probability = probability.clamp(0.0, 1.0);
        Binomial::new(n, probability).map_or(0, |binomial| binomial.sample(&mut self.0))
    }

    /// The sum of `bursts` geometric sizes (each at least 1) of this mean.
    pub(crate) fn burst_total(&mut self, bursts: u64, mean_size: f64) -> u64 {
        if bursts == 0 {
            return 0;
        }
        // What exceeds 1 per burst is negative binomial: Poisson with a gamma mean.
        let mean = Gamma::new(bursts as f64, (mean_size - 1.0).max(0.0))
            .map_or(0.0, |gamma| gamma.sample(&mut self.0));
        bursts + self.poisson(mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u32 = 20_000;

    fn mean_and_variance(mut draw: impl FnMut(&mut Draw) -> f64) -> (f64, f64) {
        let mut source = Draw::new(7);
        let values: Vec<f64> = (0..DRAWS).map(|_| draw(&mut source)).collect();
        let mean = values.iter().sum::<f64>() / f64::from(DRAWS);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (mean, squares / f64::from(DRAWS - 1))
    }

    #[track_caller]
    fn near(actual: f64, expected: f64) {
        let far = (actual / expected - 1.0).abs();
        assert!(far < 0.05, "{actual} is not near {expected}");
    }

    #[test]
    fn counts_have_the_moments_of_their_distribution() {
        let (mean, variance) = mean_and_variance(|draw| draw.poisson(30.0) as f64);
        near(mean, 30.0);
        near(variance, 30.0);
        let (mean, variance) = mean_and_variance(|draw| draw.binomial(400, 0.02) as f64);
        near(mean, 8.0);
        near(variance, 7.84);
        // One burst of mean 15: 1 + geometric of mean 14, variance 14 * 15.
        let (mean, variance) = mean_and_variance(|draw| draw.burst_total(1, 15.0) as f64);
        near(mean, 15.0);
        near(variance, 210.0);
    }

    #[test]
    fn limits_of_the_parameters_are_no_accident() {
        let mut draw = Draw::new(1);
        assert_eq!(draw.poisson(0.0), 0);
        assert_eq!(draw.binomial(5, 1.5), 5);
        assert_eq!(draw.binomial(5, -1.0), 0);
        assert_eq!(draw.burst_total(0, 9.0), 0);
        assert_eq!(draw.burst_total(3, 1.0), 3);
    }
}
