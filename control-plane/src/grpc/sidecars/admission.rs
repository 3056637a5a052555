//! How fast new streams are let in: a fleet that comes back all at once must not hold up those that are here.

use std::time::{Duration, Instant};

/// New streams per second for each core.
const PER_CORE: f64 = 500.0;

/// A bucket of tokens, one for each stream; pure, time comes in. It fills at a steady rate up to what comes in a second.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// For a machine with so many cores.
    pub(super) fn new(cores: usize, now: Instant) -> Self {
        let rate = PER_CORE * cores as f64;
        Self {
            rate,
            tokens: rate,
            filled: now,
        }
    }

    /// As if everybody had just come; for a century.
    #[cfg(test)]
    pub(super) fn empty(&mut self) {
        self.tokens = 0.0;
        self.filled += Duration::from_secs(100 * 365 * 86_400);
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long to stay away if there is none: long enough for everybody who was refused lately to be let in, `spread`
    /// (0..=1) of the way.
    pub(super) fn admit(&mut self, now: Instant, spread: f64) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.filled);
        self.tokens = (self.tokens + passed.as_secs_f64() * self.rate).min(self.rate);
        self.filled = self.filled.max(now);
        if self.tokens < 1.0 {
            return Err(Duration::from_millis(500) + Duration::from_secs(4).mul_f64(spread));
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_a_second_is_let_in_and_no_more() {
        let now = Instant::now();
        let mut bucket = Bucket::new(2, now);
        let admitted =
            |bucket: &mut Bucket, at| (0..5_000).filter(|_| bucket.admit(at, 0.0).is_ok()).count();
        assert_eq!(admitted(&mut bucket, now), 1_000);
        assert_eq!(admitted(&mut bucket, now + Duration::from_millis(100)), 100);
        assert_eq!(admitted(&mut bucket, now + Duration::from_secs(60)), 1_000);
        // A clock that stands still fills nothing.
        assert_eq!(admitted(&mut bucket, now), 0);
        let wait = |spread| bucket.admit(now, spread).unwrap_err();
        let mut wait = wait;
        assert_eq!(wait(0.0), Duration::from_millis(500));
        assert_eq!(wait(1.0), Duration::from_millis(4_500));
    }
}
