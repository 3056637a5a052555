use super::*;

const S: u64 = 1000;

fn assignment(keep: bool) -> v1::Assignment {
    v1::Assignment {
        shares: vec![v1::Share {
            ppm: 1,
            ..v1::Share::default()
        }],
        lease: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        grace: Some(prost_types::Duration {
            seconds: 900,
            nanos: 0,
        }),
        on_expiry: if keep { 2 } else { 1 },
        ..v1::Assignment::default()
    }
}

fn at(lease: &mut Lease, now_ms: u64) -> Standing {
    lease.tick(now_ms, 30 * S);
    lease.standing(now_ms)
}

#[test]
fn the_ladder_goes_down_to_stable() {
    let mut lease = Lease::new(&assignment(false), 0);
    assert_eq!(at(&mut lease, 59_999), Standing::Fresh);
    assert_eq!(at(&mut lease, 60 * S), Standing::Frozen);
    assert_eq!(at(&mut lease, 989_999), Standing::Frozen);
    assert_eq!(at(&mut lease, 990 * S), Standing::Reverting(1_000_000));
    assert_eq!(at(&mut lease, 1005 * S), Standing::Reverting(750_000));
    assert_eq!(at(&mut lease, 1050 * S), Standing::Reverting(0));
    assert_eq!(at(&mut lease, u64::MAX), Standing::Reverting(0));
}

#[test]
fn a_long_sleep_goes_straight_down() {
    let mut lease = Lease::new(&assignment(false), 0);
    assert_eq!(at(&mut lease, 5000 * S), Standing::Reverting(0));
}

#[test]
fn keep_stays_frozen() {
    let mut lease = Lease::new(&assignment(true), 0);
    assert_eq!(at(&mut lease, 100_000 * S), Standing::Frozen);
    lease.renew(100_000 * S, None);
    assert_eq!(at(&mut lease, 100_001 * S), Standing::Fresh);
}

#[test]
fn contact_thaws_but_does_not_raise_again() {
    let mut lease = Lease::new(&assignment(false), 0);
    assert_eq!(at(&mut lease, 500 * S), Standing::Frozen);
    lease.renew(500 * S, None);
    assert_eq!(at(&mut lease, 559 * S), Standing::Fresh);
    assert_eq!(at(&mut lease, 1500 * S), Standing::Reverting(833_334));
    lease.renew(1501 * S, None);
    assert_eq!(at(&mut lease, 1600 * S), Standing::Reverting(0));
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut young = Lease::restored(&assignment(false), 0, 50 * S, false);
    assert_eq!(at(&mut young, 9 * S), Standing::Fresh);
    assert_eq!(at(&mut young, 10 * S), Standing::Frozen);
    let mut old = Lease::restored(&assignment(true), 0, 960 * S, false);
    assert_eq!(at(&mut old, 0), Standing::Reverting(0));
    let mut reverted = Lease::restored(&assignment(false), 0, 0, true);
    assert_eq!(at(&mut reverted, 0), Standing::Reverting(0));
}

#[test]
fn without_canary_traffic_nothing_expires() {
    let plain = v1::Assignment::default();
    let mut lease = Lease::restored(&plain, 0, u64::MAX, true);
    assert_eq!(at(&mut lease, u64::MAX), Standing::Unleased);
}
