//! How often stable has bursts of errors, by their size.

use crate::counts::Counts;
use crate::logs::sqrt;

/// Sizes of bursts, about 1.4 apart.
const SIZES: [f64; 20] = [
    3.0, 4.0, 6.0, 8.0, 11.0, 16.0, 23.0, 32.0, 45.0, 64.0, 90.0, 128.0, 181.0, 256.0, 362.0,
    512.0, 724.0, 1024.0, 2048.0, 4096.0,
];
/// Standard deviations above its mean up to which a slice of stable is ordinary.
const ORDINARY: f64 = 2.0;
/// The rate starts at half an error in a hundred requests.
const PRIOR: (f64, f64) = (0.5, 100.0);

/// Bursts of stable: in history and in the slices of the rollout.
#[derive(Clone, Debug, Default)]
pub(crate) struct StableBursts {
    requests: f64,
    errors: f64,
    of_size: [f64; SIZES.len()],
}

crate::state::state!(StableBursts {
    requests,
    errors,
    of_size
});

impl StableBursts {
    /// Takes the stable requests of one second or slice. Errors beyond the ordinary are as many bursts of each
    /// size as they could hold.
    pub(crate) fn fold(&mut self, counts: Counts) {
        let (errors, requests) = (counts.x as f64, counts.n as f64);
        let mean = self.rate() * requests;
        let excess = errors - mean - ORDINARY * sqrt(mean);
        for (count, size) in self.of_size.iter_mut().zip(SIZES) {
            if excess < size {
                break;
            }
            *count += (excess / size).floor();
        }
        self.requests += requests;
        self.errors += errors;
    }

    /// Stable's error rate, a fraction.
    pub(super) fn rate(&self) -> f64 {
        (self.errors + PRIOR.0) / (self.requests + PRIOR.1)
    }

    /// Bursts of at least about so many errors, and the requests among which they came.
    pub(crate) fn at_least(&self, errors: u64) -> (f64, f64) {
        let size = SIZES.iter().rposition(|size| *size <= errors as f64);
        (self.of_size[size.unwrap_or(0)], self.requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_counted_by_size_and_ordinary_errors_are_not() {
        let mut bursts = StableBursts::default();
        for second in 0..600u64 {
            let burst = if second % 100 == 99 { 30 } else { 0 };
            bursts.fold(Counts {
                x: 1 + second % 3 + burst,
                n: 300,
            });
        }
        let (small, requests) = bursts.at_least(3);
        assert_eq!(requests, 180_000.0);
        assert!((36.0..60.0).contains(&small), "{small}");
        assert_eq!(bursts.at_least(17).0, 6.0);
        assert_eq!(bursts.at_least(40).0, 0.0);
    }
}
