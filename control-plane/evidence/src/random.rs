//! Seeded numbers for tests: SplitMix64 (Steele, Lea and Flood, 2014).

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn hits(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// How many of `n` happen.
    pub(crate) fn count(&mut self, n: u64, probability: f64) -> u64 {
        (0..n).map(|_| u64::from(self.hits(probability))).sum()
    }

    /// About standard normal.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}
