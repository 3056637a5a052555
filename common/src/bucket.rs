//! From a key to its bucket and its cluster. Anyone can recompute both:
//! `xxhash.xxh3_64_intdigest((salt + ":" + key).encode()) % 1000000`.

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// Buckets are 0..BUCKETS.
pub const BUCKETS: u32 = 1_000_000;

/// Clusters are 0..CLUSTERS: the unit for the variance between users.
pub const CLUSTERS: u8 = 64;

/// `xxh3_64(salt + ":" + key) mod 1,000,000`.
#[must_use]
pub fn hashed(salt: &str, key: &[u8]) -> u32 {
    (joined_hash(salt.as_bytes(), key) % u64::from(BUCKETS)) as u32
}

/// For an integer key k: `(k mod modulus) * 1,000,000 / modulus`, with the mathematical (never negative) remainder.
/// `None` where the key is no integer or the modulus is 0 or does not divide 1,000,000.
#[must_use]
pub fn modulo(modulus: u32, key: &[u8]) -> Option<u32> {
    if modulus == 0 || !BUCKETS.is_multiple_of(modulus) {
        return None;
    }
    let key: i128 = std::str::from_utf8(key).ok()?.trim().parse().ok()?;
    let rest = u32::try_from(key.rem_euclid(i128::from(modulus))).ok()?;
    Some(rest * (BUCKETS / modulus))
}

/// `xxh3_64("cluster:" + key) mod 64`, independent of the salt.
#[must_use]
pub fn cluster(key: &[u8]) -> u8 {
    (joined_hash(b"cluster", key) % u64::from(CLUSTERS)) as u8
}

/// Hash of a key for counting distinct ones, independent of bucket and cluster.
#[must_use]
pub fn distinct_hash(key: &[u8]) -> u64 {
    joined_hash(b"distinct", key)
}

fn joined_hash(prefix: &[u8], key: &[u8]) -> u64 {
    let mut short = [0u8; 256];
    let len = prefix.len() + 1 + key.len();
    if let Some(buffer) = short.get_mut(..len) {
        buffer[..prefix.len()].copy_from_slice(prefix);
        buffer[prefix.len()] = b':';
        buffer[prefix.len() + 1..].copy_from_slice(key);
        return xxh3_64(buffer);
    }
    let mut long = Xxh3Default::new();
    long.update(prefix);
    long.update(b":");
    long.update(key);
    long.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        // Computed with Python's xxhash.
        for (salt, key, bucket, cluster_of) in VECTORS {
            assert_eq!(hashed(salt, key.as_bytes()), *bucket, "{salt}:{key}");
            assert_eq!(cluster(key.as_bytes()), *cluster_of, "{key}");
        }
    }

    const VECTORS: &[(&str, &str, u32, u8)] = &[
        ("s", "user-1", 929_407, 27),
        ("s", "user-2", 540_371, 29),
        ("", "x", 463_925, 1),
        ("0198c0de-0000-7000-8000-000000000001", "ana", 327_760, 27),
        (
            "salt",
            "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
            57_824,
            59,
        ),
        ("ümlaut", "ключ", 114_980, 27),
    ];

    #[test]
    fn modulo_follows_the_last_digit() {
        assert_eq!(modulo(10, b"20"), Some(0));
        assert_eq!(modulo(10, b"23"), Some(300_000));
        assert_eq!(modulo(10, b"-1"), Some(900_000));
        assert_eq!(modulo(10, b"x"), None);
        assert_eq!(modulo(0, b"1"), None);
        assert_eq!(modulo(3, b"1"), None);
    }

    #[test]
    fn long_keys_hash_like_short_ones() {
        let key = "k".repeat(1000);
        let whole = format!("salt:{key}");
        assert_eq!(
            hashed("salt", key.as_bytes()),
            (xxh3_64(whole.as_bytes()) % 1_000_000) as u32
        );
    }
}
