//! Where the randomness of a replica comes from.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The seed of one replica: of the world's name, the replica's number and the seed of the whole run. It depends on
/// nothing else, so neither the order of scenarios nor the number of threads changes a result.
#[must_use]
pub fn seed(name: &str, replica: usize, run: u64) -> u64 {
    let of_world = xxh3_64_with_seed(name.as_bytes(), run);
    xxh3_64_with_seed(&(replica as u64).to_le_bytes(), of_world)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_names_a_replica_changes_its_seed() {
        let of = seed("n01", 7, 1);
        assert_eq!(of, seed("n01", 7, 1));
        for other in [seed("n02", 7, 1), seed("n01", 8, 1), seed("n01", 7, 2)] {
            assert_ne!(of, other);
        }
    }
}
