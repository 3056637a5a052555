//! From a key to a variant.

use super::key::KeySource;
use serinus_common::allocation::Lookup;
use serinus_common::bucket::{BUCKETS, cluster, distinct_hash, hashed, modulo};

/// How keys become buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HashRule {
    /// With this salt.
    Xxh3(Box<str>),
    /// With this modulus.
    Modulo(u32),
}

/// Where keys are, how they become buckets, and who owns which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) key: KeySource,
    /// A request without the cookie that has the key is given one.
    pub(crate) sticky: bool,
    hash: HashRule,
    lookup: Lookup,
}

/// What the split says about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Position of the variant.
    pub(crate) variant: usize,
    /// Present with a key.
    pub(crate) user: Option<User>,
}

/// What is kept of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) cluster: u8,
    /// For counting distinct keys.
    pub(crate) hash: u64,
}

impl Split {
    pub(crate) fn new(key: KeySource, hash: HashRule, lookup: Lookup) -> Self {
        Self {
            key,
            sticky: false,
            hash,
            lookup,
        }
    }

    /// Without a usable key the bucket is drawn: `random` is uniform over all u32.
    pub(crate) fn choose(&self, key: Option<&[u8]>, random: impl FnOnce() -> u32) -> Choice {
        let bucket = key.and_then(|key| self.bucket(key));
        let user = key.filter(|_| bucket.is_some()).map(|key| User {
            cluster: cluster(key),
            hash: distinct_hash(key),
        });
        let drawn = || ((u64::from(random()) * u64::from(BUCKETS)) >> 32) as u32;
        Choice {
            variant: self.lookup.variant(bucket.unwrap_or_else(drawn)),
            user,
        }
    }

    fn bucket(&self, key: &[u8]) -> Option<u32> {
        match &self.hash {
            HashRule::Xxh3(salt) => Some(hashed(salt, key)),
            HashRule::Modulo(modulus) => modulo(*modulus, key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serinus_common::allocation::Allocation;
    use serinus_common::ppm::Ppm;

    fn split(hash: HashRule, ppm: u32) -> Split {
        let share = Ppm::new(ppm).unwrap();
        let allocation = Allocation::default().reallocate(&[("v2", share)]).unwrap();
        Split::new(KeySource::None, hash, Lookup::new(&allocation))
    }

    #[test]
    fn modulo_sends_20_to_the_canary_and_23_to_stable() {
        let split = split(HashRule::Modulo(10), 100_000);
        let of = |key: &[u8]| split.choose(Some(key), || u32::MAX);
        assert_eq!(of(b"20").variant, 1);
        assert_eq!(of(b"23").variant, 0);
        let no_number = of(b"ana");
        assert_eq!((no_number.variant, no_number.user), (0, None));
    }

    #[test]
    fn without_a_key_the_draw_decides() {
        let split = split(HashRule::Xxh3("s".into()), 250_000);
        let at = |fraction: f64| split.choose(None, || (fraction * f64::from(u32::MAX)) as u32);
        assert_eq!((at(0.0).variant, at(0.249).variant), (1, 1));
        assert_eq!((at(0.251).variant, at(1.0).variant), (0, 0));
    }

    proptest! {
        #[test]
        fn a_key_is_on_the_canary_exactly_when_its_bucket_is_below_the_share(key in "\\PC{1,40}", ppm in 0u32..=1_000_000) {
            let split = split(HashRule::Xxh3("salt".into()), ppm);
            let choice = split.choose(Some(key.as_bytes()), || unreachable!("there is a key"));
            prop_assert_eq!(choice.variant == 1, hashed("salt", key.as_bytes()) < ppm);
            prop_assert_eq!(choice.user.map(|user| user.cluster), Some(cluster(key.as_bytes())));
        }
    }
}
