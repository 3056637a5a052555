use super::*;
use crate::route::split::User;
use crate::table::{Held, ModelSpec, Table};
use serinus_common::class::Class;
use serinus_common::distinct::Distinct;
use std::sync::Arc;

fn route(rollout: &str, epoch: u64) -> Arc<Route> {
    let variant = |name: &str| v1::Variant {
        name: name.into(),
        endpoints: vec!["http://127.0.0.1:1".into()],
        ..Default::default()
    };
    let spec = ModelSpec {
        name: "m".into(),
        stable_name: "v1".into(),
        stable: vec!["http://127.0.0.1:1".into()],
        ..ModelSpec::default()
    };
    let held = Held {
        assignment: v1::Assignment {
            model: "m".into(),
            rollout: rollout.into(),
            epoch,
            variants: vec![variant("v1"), variant("v2")],
            ..Default::default()
        },
        latched: false,
        canary_scale_ppm: 1_000_000,
        frozen: false,
    };
    let table = Table::compile(&[spec], &[held], None).unwrap();
    Arc::clone(&table.routes()[0])
}

const ROLLOUT: &str = "0198c0de-0000-7000-8000-000000000001";

fn user(n: u8) -> Option<User> {
    let hash = serinus_common::bucket::distinct_hash(&[n]);
    Some(User { cluster: n, hash })
}

#[test]
fn cells_are_of_the_second_in_which_a_request_ends() {
    let meters = Meters::new(100);
    let epoch = meters.epoch(&route(ROLLOUT, 1));
    epoch.count(1, |live| live.assigned(user(1)));
    meters.at(101);
    epoch.count(1, |live| live.ended(Class::Model, 1000, user(1)));
    meters.at(102);
    let (open, cells, portions) = meters.take();
    assert_eq!(open, 102);
    let seconds: Vec<_> = cells.iter().map(|cell| cell.second).collect();
    assert_eq!(seconds, [100, 101]);
    assert_eq!(cells[0].variants[1].assigned, 1);
    assert_eq!(cells[1].variants[1].model, 1);
    assert_eq!(cells[1].variants[1].latency.as_ref().unwrap().counts, [1]);
    // Both variants always travel together.
    assert!(cells.iter().all(|cell| cell.variants.len() == 2));
    assert_eq!(cells[1].variants[0].variant, "v1");
    assert_eq!(portions.len(), 4);
    meters.at(103);
    assert!(meters.take().1.is_empty(), "an idle second has no cell");
}

#[test]
fn a_late_request_is_counted_in_its_own_epoch() {
    let meters = Meters::new(100);
    let old = meters.epoch(&route(ROLLOUT, 1));
    let new = meters.epoch(&route(ROLLOUT, 2));
    old.count(1, |live| live.assigned(None));
    new.count(0, |live| live.assigned(None));
    meters.at(101);
    meters.keys();
    old.count(1, |live| live.ended(Class::Ok, 5, None));
    meters.at(102);
    let (_, cells, _) = meters.take();
    let late = cells.iter().find(|cell| cell.second == 101).unwrap();
    assert_eq!((late.epoch, late.variants[1].ok), (1, 1));
    drop(old);
    meters.keys();
    let epochs = meters.epochs.borrow().len();
    assert_eq!(epochs, 1, "an epoch that is over is forgotten");
}

#[test]
fn without_a_rollout_stable_alone_is_reported_when_it_answered() {
    let meters = Meters::new(7);
    let epoch = meters.epoch(&route("", 0));
    epoch.count(0, |live| live.assigned(user(3)));
    meters.at(8);
    let (_, cells, portions) = meters.take();
    assert!(cells.is_empty());
    assert_eq!(portions[0].tally.assigned, 1);
    for variant in [0, 1] {
        epoch.count(variant, |live| live.ended(Class::Model, 1000, user(3)));
    }
    meters.at(9);
    let (_, cells, _) = meters.take();
    let [cell] = cells.as_slice() else {
        panic!("{cells:?}")
    };
    assert_eq!((cell.model.as_str(), cell.second), ("m", 8));
    assert_eq!((cell.rollout.as_str(), cell.epoch), ("", 0));
    let [stable] = cell.variants.as_slice() else {
        panic!("{cell:?}")
    };
    assert_eq!((stable.variant.as_str(), stable.model), ("v1", 1));
    assert_eq!(stable.latency.as_ref().unwrap().counts, [1]);
    assert!(meters.keys().is_empty(), "nobody needs to be known");
}

#[test]
fn keys_are_cumulative_and_sent_when_they_changed() {
    let meters = Meters::new(7);
    let epoch = meters.epoch(&route(ROLLOUT, 1));
    for n in 0..10 {
        epoch.count(1, |live| {
            live.assigned(user(n));
            live.ended(if n < 3 { Class::Model } else { Class::Ok }, 9, user(n));
        });
    }
    epoch.count(1, |live| live.ended(Class::Cancelled, 9, user(50)));
    let keys = meters.keys();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].variant, "v2");
    assert_eq!(keys[0].cluster_requests.iter().sum::<u64>(), 10);
    assert_eq!(keys[0].cluster_errors[..4], [1, 1, 1, 0]);
    let distinct = Distinct::from_registers(&keys[0].registers).unwrap();
    assert_eq!(distinct.estimate(), 10);
    assert!(meters.keys().is_empty());
    epoch.count(1, |live| live.assigned(user(11)));
    assert_eq!(meters.keys()[0].cluster_requests.iter().sum::<u64>(), 10);
}

#[test]
fn whom_a_young_epoch_met_is_told_every_second() {
    let meters = Meters::new(7);
    let epoch = meters.epoch(&route(ROLLOUT, 1));
    let mut told = 0;
    for second in 0..60 {
        epoch.count(1, |live| live.assigned(user(second)));
        told += meters.young_keys().len();
    }
    assert_eq!(told, 30);
    assert_eq!(meters.keys().len(), 1, "the rest follows with everybody's");
}

#[test]
fn the_gauge_of_requests_in_flight_returns_to_zero() {
    let meters = Meters::new(7);
    let epoch = meters.epoch(&route(ROLLOUT, 1));
    epoch.count(0, Live::started);
    meters.at(8);
    meters.at(9);
    epoch.count(0, Live::stopped);
    meters.at(10);
    let (_, _, portions) = meters.take();
    let stable: Vec<_> = portions.iter().filter(|p| p.variant == "v1").collect();
    let gauge: Vec<_> = stable.iter().map(|p| p.in_flight).collect();
    assert_eq!(gauge, [1, 1, 0]);
}
