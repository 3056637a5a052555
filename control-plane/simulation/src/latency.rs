//! Latency: log-normal with a second, slower mode, counted in the buckets of a sketch.

use crate::draw::Draw;
use serinus_common::sketch::GAMMA;

/// Above so many requests per bucket it is cheaper to draw the buckets' counts than every request.
const REQUESTS_PER_BUCKET: u64 = 5;

/// Log-normal latency of which a share is slower by a factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Median in milliseconds, of the main mode.
    pub median_ms: f64,
    /// Standard deviation of the logarithm.
    pub sigma: f64,
    /// Share of the slower mode, 0..=1.
    pub tail_share: f64,
    /// How many times slower that is.
    pub tail_factor: f64,
}

impl Latency {
    /// Probability of at most `ms`, with every latency multiplied by `factor`.
    #[must_use]
    pub fn at_most(&self, ms: f64, factor: f64) -> f64 {
        let z = (ms / (self.median_ms * factor)).ln() / self.sigma;
        let slower = if self.tail_share > 0.0 {
            self.tail_share * normal_cdf(z - self.tail_factor.ln() / self.sigma)
        } else {
            0.0
        };
        (1.0 - self.tail_share) * normal_cdf(z) + slower
    }

    /// The latency in milliseconds that a fraction `q` stays below.
    #[must_use]
    pub fn quantile(&self, q: f64) -> f64 {
        let (mut low, mut high) = (SEARCHED_MS.0.ln(), SEARCHED_MS.1.ln());
        // 60 halvings exhaust the precision.
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if self.at_most(middle.exp(), 1.0) < q {
                low = middle;
            } else {
                high = middle;
            }
        }
        (0.5 * (low + high)).exp()
    }
}

/// Quantiles are searched within these latencies in milliseconds.
const SEARCHED_MS: (f64, f64) = (1e-6, 1e9);

/// The standard normal distribution function.
pub(crate) fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// The buckets that are told apart; what is outside is counted in the first or the last one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Upper edge of the first bucket in milliseconds.
    pub first_edge_ms: f64,
    /// What the sketch calls the first bucket.
    pub first_index: u16,
    /// How many there are.
    pub buckets: u16,
}

impl Grid {
    /// Buckets whose edges are exactly the sketch's, from about `lowest_ms` to about `highest_ms`.
    #[must_use]
    pub fn aligned(lowest_ms: f64, highest_ms: f64) -> Self {
        let index = |ms: f64| ((ms * 1e3).max(1.0).ln() / GAMMA.ln()).ceil().min(1100.0) as u16;
        let first_index = index(lowest_ms);
        Self {
            first_edge_ms: GAMMA.powi(i32::from(first_index)) / 1e3,
            first_index,
            buckets: index(highest_ms).saturating_sub(first_index) + 2,
        }
    }

    fn upper_edge_ms(self, bucket: u16) -> f64 {
        self.first_edge_ms * GAMMA.powi(i32::from(bucket))
    }
}

/// Draws the histograms of one variant.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    latency: Latency,
    grid: Grid,
    /// The distribution over the buckets at the factor it was made for.
    distribution: Option<(f64, Vec<f64>)>,
    counts: Vec<u64>,
}

impl Sampler {
    pub(crate) fn new(latency: Latency, grid: Grid) -> Self {
        Self {
            latency,
            grid,
            distribution: None,
            counts: vec![0; usize::from(grid.buckets)],
        }
    }

    /// The sparse histogram of `n` requests, every latency multiplied by `factor`.
    pub(crate) fn sample(&mut self, draw: &mut Draw, n: u64, factor: f64) -> Vec<(u16, u64)> {
        if n > REQUESTS_PER_BUCKET * u64::from(self.grid.buckets) {
            self.draw_buckets(draw, n, factor);
        } else {
            self.draw_requests(draw, n, factor);
        }
        let first = self.grid.first_index;
        let counts = self.counts.iter_mut().enumerate();
        counts
            .filter(|(_, count)| **count > 0)
            .map(|(bucket, count)| (first + bucket as u16, std::mem::take(count)))
            .collect()
    }

    fn draw_requests(&mut self, draw: &mut Draw, n: u64, factor: f64) {
        let Latency {
            median_ms,
            sigma,
            tail_share,
            tail_factor,
        } = self.latency;
        let buckets_per_nat = 1.0 / GAMMA.ln();
        let centre = (median_ms * factor / self.grid.first_edge_ms).ln() * buckets_per_nat;
        let slower = centre + tail_factor.ln() * buckets_per_nat;
        let last = f64::from(self.grid.buckets - 1);
        for _ in 0..n {
            let slow = tail_share > 0.0 && draw.hits(tail_share);
            let centre = if slow { slower } else { centre };
            let position = centre + sigma * buckets_per_nat * draw.normal();
            self.counts[position.ceil().clamp(0.0, last) as usize] += 1;
        }
    }

    /// The multinomial as a chain of binomials.
    fn draw_buckets(&mut self, draw: &mut Draw, n: u64, factor: f64) {
        let (mut left, mut mass) = (n, 1.0);
        let distribution = distribution(&mut self.distribution, &self.latency, self.grid, factor);
        for (count, &probability) in self.counts.iter_mut().zip(distribution) {
            if left == 0 {
                return;
            }
            let share = if mass > 0.0 { probability / mass } else { 1.0 };
            *count = draw.binomial(left, share);
            left -= *count;
            mass -= probability;
        }
        // Rounding may leave a request or two that belong to the last bucket.
        if let Some(last) = self.counts.last_mut() {
            *last += left;
        }
    }
}

fn distribution<'a>(
    known: &'a mut Option<(f64, Vec<f64>)>,
    latency: &Latency,
    grid: Grid,
    factor: f64,
) -> &'a [f64] {
    let fits = known.take().filter(|(of, _)| *of == factor);
    let (_, distribution) = known.insert(fits.unwrap_or_else(|| {
        let mut below = 0.0;
        let probability = |bucket: u16| {
            let edge = grid.upper_edge_ms(bucket);
            let up_to = if bucket + 1 == grid.buckets {
                1.0
            } else {
                latency.at_most(edge, factor)
            };
            up_to - std::mem::replace(&mut below, up_to)
        };
        (factor, (0..grid.buckets).map(probability).collect())
    }));
    distribution
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENCY: Latency = Latency {
        median_ms: 100.0,
        sigma: 0.5,
        tail_share: 0.1,
        tail_factor: 3.0,
    };

    fn cumulative(counts: &[(u16, u64)], up_to: u16, n: u64) -> f64 {
        let below = counts.iter().filter(|(bucket, _)| *bucket <= up_to);
        below.map(|(_, count)| count).sum::<u64>() as f64 / n as f64
    }

    /// Both ways of drawing follow the distribution function.
    #[test]
    fn histograms_follow_the_distribution() {
        let grid = Grid::aligned(20.0, 1200.0);
        let mut sampler = Sampler::new(LATENCY, grid);
        let mut draw = Draw::new(3);
        let n = 400_000;
        let at_once = sampler.sample(&mut draw, n, 1.2);
        let mut one_by_one = vec![0; usize::from(u16::MAX)];
        for _ in 0..n / 500 {
            for (bucket, count) in sampler.sample(&mut draw, 500, 1.2) {
                one_by_one[usize::from(bucket)] += count;
            }
        }
        let one_by_one: Vec<(u16, u64)> = (0..).zip(one_by_one).collect();
        for bucket in (grid.first_index..grid.first_index + grid.buckets - 1).step_by(9) {
            let edge = grid.upper_edge_ms(bucket - grid.first_index);
            let expected = LATENCY.at_most(edge, 1.2);
            for counts in [&at_once, &one_by_one] {
                let actual = cumulative(counts, bucket, n);
                assert!(
                    (actual - expected).abs() < 0.004,
                    "{edge} ms: {actual} {expected}"
                );
            }
        }
    }

    #[test]
    fn quantiles_are_the_inverse() {
        for q in [0.01, 0.5, 0.99] {
            assert!((LATENCY.at_most(LATENCY.quantile(q), 1.0) - q).abs() < 1e-9);
        }
    }

    #[test]
    fn no_request_is_lost() {
        let mut sampler = Sampler::new(LATENCY, Grid::aligned(80.0, 120.0));
        let mut draw = Draw::new(4);
        for n in [0, 1, 37, 5000] {
            let total: u64 = sampler
                .sample(&mut draw, n, 1.0)
                .iter()
                .map(|(_, count)| count)
                .sum();
            assert_eq!(total, n);
        }
    }

    #[test]
    fn aligned_edges_are_the_sketchs() {
        let grid = Grid::aligned(35.0, 900.0);
        let edge = serinus_common::sketch::upper_edge(grid.first_index + 7) / 1e3;
        assert!((grid.upper_edge_ms(7) / edge - 1.0).abs() < 1e-12);
    }
}
