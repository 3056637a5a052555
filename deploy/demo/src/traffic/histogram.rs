//! Latencies in logarithmic buckets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Each doubling is cut into this many buckets: a bucket is at most 1/32 wide, so its middle is at most 1.6 % off.
const PER_DOUBLING: u64 = 32;
const BITS: u32 = PER_DOUBLING.trailing_zeros();

/// A count of latencies in microseconds; it grows with the largest one, to at most about 1900 buckets.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum_us: u64,
    max_us: u64,
}

/// Latencies in milliseconds; all are 0 if there were none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencySummary {
    /// How many were measured.
    pub count: u64,
    /// Their mean.
    pub mean_ms: f64,
    /// The median, within 2 %.
    pub p50_ms: f64,
    /// The 0.95 quantile, within 2 %.
    pub p95_ms: f64,
    /// The 0.99 quantile, within 2 %.
    pub p99_ms: f64,
    /// The largest.
    pub max_ms: f64,
}

impl Histogram {
    pub(super) fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let bucket = bucket(us);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
        self.max_us = self.max_us.max(us);
    }

    pub(super) fn summary(&self) -> LatencySummary {
        if self.count == 0 {
            return LatencySummary::default();
        }
        LatencySummary {
            count: self.count,
            mean_ms: self.sum_us as f64 / self.count as f64 / 1e3,
            p50_ms: self.quantile_ms(0.5),
            p95_ms: self.quantile_ms(0.95),
            p99_ms: self.quantile_ms(0.99),
            max_ms: self.max_us as f64 / 1e3,
        }
    }

    fn quantile_ms(&self, q: f64) -> f64 {
        let rank = ((self.count as f64 * q).ceil() as u64).max(1);
        let mut below = 0;
        let found = self.buckets.iter().position(|n| {
            below += n;
            below >= rank
        });
        found.map_or(0.0, |bucket| middle(bucket).min(self.max_us as f64) / 1e3)
    }
}

/// Values below 32 have buckets of their own; above, the bucket is the exponent and the next five bits.
fn bucket(us: u64) -> usize {
    if us < PER_DOUBLING {
        return us as usize;
    }
    let shift = us.ilog2() - BITS;
    (u64::from(shift) * PER_DOUBLING + (us >> shift)) as usize
}

fn middle(bucket: usize) -> f64 {
    let bucket = bucket as u64;
    if bucket < 2 * PER_DOUBLING {
        return bucket as f64;
    }
    let shift = bucket / PER_DOUBLING - 1;
    let low = (bucket - shift * PER_DOUBLING) as f64;
    (low + 0.5) * 2_f64.powi(shift as i32)
}

#[cfg(test)]
mod tests;
