use super::*;
use crate::bucket;
use proptest::prelude::*;

fn ppm(share: u32) -> Ppm {
    Ppm::new(share).unwrap()
}

fn one(share: u32) -> Allocation {
    Allocation::default()
        .reallocate(&[("v2", ppm(share))])
        .unwrap()
}

#[test]
fn one_canary_owns_the_lowest_buckets() {
    let lookup = Lookup::new(&one(100_000));
    assert_eq!(lookup.variant(0), 1);
    assert_eq!(lookup.variant(99_999), 1);
    assert_eq!(lookup.variant(100_000), 0);
    assert_eq!(lookup.variant(999_999), 0);
}

#[test]
fn one_in_ten_by_modulo_takes_the_zeros() {
    let lookup = Lookup::new(&one(100_000));
    let variant = |key: &str| lookup.variant(bucket::modulo(10, key.as_bytes()).unwrap());
    assert_eq!(variant("20"), 1);
    assert_eq!(variant("23"), 0);
}

#[test]
fn nothing_and_everything() {
    let none = Lookup::new(&one(0));
    let all = Lookup::new(&one(1_000_000));
    for bucket in [0, 1, 499_999, 999_999] {
        assert_eq!(none.variant(bucket), 0);
        assert_eq!(all.variant(bucket), 1);
    }
}

#[test]
fn overlapping_ranges_are_refused() {
    let owned = |name: &str, start, end| Owned {
        variant: name.into(),
        ranges: vec![Range { start, end }],
    };
    assert!(Allocation::from_owned(vec![owned("a", 0, 10), owned("b", 9, 20)]).is_err());
    assert!(Allocation::from_owned(vec![owned("a", 5, 5)]).is_err());
    assert!(Allocation::from_owned(vec![owned("a", 0, 1_000_001)]).is_err());
    assert!(Allocation::from_owned(vec![owned("a", 0, 10), owned("b", 10, 20)]).is_ok());
}

#[test]
fn shares_above_the_whole_are_refused() {
    let over = Allocation::default().reallocate(&[("a", ppm(600_000)), ("b", ppm(600_000))]);
    assert_eq!(over, Err(AllocationError::AboveOne(1_200_000)));
}

/// Shares of three canaries that sum to at most the whole.
fn shares() -> impl Strategy<Value = [u32; 3]> {
    (0..=1_000_000u32, 0..=1_000_000u32, 0..=1_000_000u32).prop_map(|(a, b, c)| {
        let mut cuts = [a, b, c];
        cuts.sort_unstable();
        [cuts[0], cuts[1] - cuts[0], cuts[2] - cuts[1]]
    })
}

fn targets(shares: [u32; 3]) -> [(&'static str, Ppm); 3] {
    [
        ("a", ppm(shares[0])),
        ("b", ppm(shares[1])),
        ("c", ppm(shares[2])),
    ]
}

proptest! {
    #[test]
    fn shares_are_exact_and_disjoint(steps in prop::collection::vec(shares(), 1..6)) {
        let mut allocation = Allocation::default();
        for step in steps {
            allocation = allocation.reallocate(&targets(step)).unwrap();
            for (owned, share) in allocation.canaries().iter().zip(step) {
                prop_assert_eq!(owned.size(), share);
            }
            prop_assert!(Allocation::from_owned(allocation.canaries().to_vec()).is_ok());
        }
    }

    #[test]
    fn a_ramp_never_moves_a_user_back(mut ramp in prop::collection::vec(0..=1_000_000u32, 1..8), buckets in prop::collection::vec(0..1_000_000u32, 50)) {
        ramp.sort_unstable();
        let mut allocation = Allocation::default();
        let mut before = Lookup::new(&allocation);
        for share in ramp {
            allocation = allocation.reallocate(&[("v2", ppm(share))]).unwrap();
            let after = Lookup::new(&allocation);
            for &bucket in &buckets {
                prop_assert!(after.variant(bucket) >= before.variant(bucket));
            }
            before = after;
        }
    }

    #[test]
    fn canaries_do_not_disturb_each_other(first in shares(), grown in 0..=1_000_000u32, buckets in prop::collection::vec(0..1_000_000u32, 50)) {
        // Only "b" changes, into room that stable has: nobody on "a" or "c" moves.
        let before = Allocation::default().reallocate(&targets(first)).unwrap();
        let room = 1_000_000 - first[0] - first[2];
        let second = [first[0], grown.min(room), first[2]];
        let after = before.reallocate(&targets(second)).unwrap();
        for bucket in buckets {
            let (old, new) = (before.owner(bucket), after.owner(bucket));
            if matches!(old, Some(0 | 2)) || matches!(new, Some(0 | 2)) {
                prop_assert_eq!(old, new);
            }
        }
    }

    #[test]
    fn moves_are_the_fewest(first in shares(), second in shares()) {
        let before = Allocation::default().reallocate(&targets(first)).unwrap();
        let after = before.reallocate(&targets(second)).unwrap();
        for (position, (old, new)) in before.canaries().iter().zip(after.canaries()).enumerate() {
            let kept: u32 = overlap(&old.ranges, &new.ranges);
            prop_assert_eq!(kept, first[position].min(second[position]));
        }
    }

    #[test]
    fn lookup_agrees_with_the_ranges(first in shares(), second in shares(), buckets in prop::collection::vec(0..1_000_000u32, 100)) {
        let allocation = Allocation::default().reallocate(&targets(first)).unwrap().reallocate(&targets(second)).unwrap();
        let lookup = Lookup::new(&allocation);
        for bucket in buckets {
            prop_assert_eq!(lookup.variant(bucket), allocation.owner(bucket).map_or(0, |owner| owner + 1));
        }
    }

    #[test]
    fn the_achieved_split_is_within_sampling_error(share in 0..=1_000_000u32, salt in "[a-z0-9]{1,12}") {
        let lookup = Lookup::new(&one(share));
        let n = 4000u32;
        let hits = (0..n).filter(|user| lookup.variant(bucket::hashed(&salt, format!("user-{user}").as_bytes())) == 1).count();
        let p = f64::from(share) / 1e6;
        let error = 5.0 * (p * (1.0 - p) * f64::from(n)).sqrt() + 1e-9;
        prop_assert!((hits as f64 - p * f64::from(n)).abs() <= error, "{} of {} at {}", hits, n, p);
    }
}

fn overlap(a: &[Range], b: &[Range]) -> u32 {
    let mut sum = 0;
    for x in a {
        for y in b {
            sum += x.end.min(y.end).saturating_sub(x.start.max(y.start));
        }
    }
    sum
}
