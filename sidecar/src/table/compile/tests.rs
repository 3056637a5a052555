use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const ROLLOUT: &str = "0198c0de-0000-7000-8000-000000000001";

fn spec() -> ModelSpec {
    ModelSpec {
        name: "m".into(),
        stable_name: "v1".into(),
        stable: vec!["http://127.0.0.1:1".into()],
        ..ModelSpec::default()
    }
}

fn assignment(ppm: u32) -> v1::Assignment {
    let targets = [("v2", Ppm::new(ppm).unwrap())];
    let allocation = Allocation::default().reallocate(&targets).unwrap();
    let mut canary = named("v2");
    canary.endpoints = vec!["http://127.0.0.1:2".into()];
    v1::Assignment {
        model: "m".into(),
        rollout: ROLLOUT.into(),
        epoch: 3,
        variants: vec![named("v1"), canary],
        shares: allocation.canaries().iter().map(to_share).collect(),
        ..Default::default()
    }
}

fn held(ppm: u32) -> Held {
    Held {
        assignment: assignment(ppm),
        latched: false,
        canary_scale_ppm: 1_000_000,
        frozen: false,
    }
}

fn shares(table: &Table) -> Vec<u32> {
    table.routes()[0]
        .variants
        .iter()
        .map(|v| v.share_ppm)
        .collect()
}

fn canary_keys(table: &Table) -> Vec<u32> {
    let split = &table.routes()[0].split;
    let keys = (0..2000u32).filter(|key| {
        let choice = split.choose(Some(format!("user-{key}").as_bytes()), || 0);
        choice.variant == 1
    });
    keys.collect()
}

#[test]
fn the_file_alone_serves_stable() {
    let table = Table::compile(&[spec()], &[], None).unwrap();
    let route = &table.routes()[0];
    assert_eq!((route.rollout.as_str(), route.epoch), ("", 0));
    assert_eq!(shares(&table), [1_000_000]);
    assert_eq!(
        route.variants[0].endpoints[0].to_string(),
        "http://127.0.0.1:1"
    );
    assert_eq!(table.issuer(), 0);
}

#[test]
fn a_static_split_needs_no_control_plane() {
    let mut spec = spec();
    spec.endpoints
        .insert("v2".into(), vec!["http://127.0.0.1:2".into()]);
    spec.split = Some(StaticSplit {
        shares: BTreeMap::from([("v2".into(), 0.1)]),
        key: "header:x-user-id".into(),
        salt: "s".into(),
        sticky: false,
        targeting: Vec::new(),
    });
    let table = Table::compile(&[spec.clone()], &[], None).unwrap();
    assert_eq!(shares(&table), [900_000, 100_000]);
    assert_eq!(table.routes()[0].rollout, "");
    spec.split
        .as_mut()
        .unwrap()
        .shares
        .insert("v2".into(), 10.0);
    let errors = Table::compile(&[spec], &[], None).unwrap_err();
    assert!(
        errors[0].contains("split.v2") && errors[0].contains("write 0.1"),
        "{errors:?}"
    );
}

#[test]
fn an_assignment_overrules_the_file_but_not_its_endpoints() {
    let mut spec = spec();
    let table = Table::compile(&[spec.clone()], &[held(100_000)], None).unwrap();
    let url = |table: &Table, at: usize| table.routes()[0].variants[at].endpoints[0].to_string();
    assert_eq!(shares(&table), [900_000, 100_000]);
    assert_eq!(table.routes()[0].epoch, 3);
    assert_eq!(url(&table, 1), "http://127.0.0.1:2");
    spec.endpoints
        .insert("v2".into(), vec!["http://127.0.0.1:3".into()]);
    let table = Table::compile(&[spec], &[held(100_000)], None).unwrap();
    assert_eq!(url(&table, 1), "http://127.0.0.1:3");
}

#[test]
fn the_files_rewrite_wins_over_the_plans() {
    let mut held = held(1);
    let versions = ["1", "2"].map(|version| v1::Rewrite {
        version: version.into(),
        ..Default::default()
    });
    for (variant, rewrite) in held.assignment.variants.iter_mut().zip(versions) {
        variant.rewrite = Some(rewrite);
    }
    let mut spec = spec();
    let renamed = |table: &Table, at: usize| {
        let rewrite = table.routes()[0].variants[at].rewrite.as_ref().unwrap();
        rewrite.path("POST", "/v2/models/m/infer").unwrap()
    };
    let table = Table::compile(&[spec.clone()], &[held.clone()], None).unwrap();
    assert!(table.routes()[0].rewrites_bodies);
    assert_eq!(renamed(&table, 0), "/v2/models/m/versions/1/infer");
    assert_eq!(renamed(&table, 1), "/v2/models/m/versions/2/infer");
    let local = crate::rewrite::Spec {
        model: Some("local".into()),
        ..Default::default()
    };
    spec.rewrites.insert("v1".into(), local);
    let table = Table::compile(&[spec.clone()], &[held.clone()], None).unwrap();
    assert_eq!(renamed(&table, 0), "/v2/models/local/infer");
    assert_eq!(renamed(&table, 1), "/v2/models/m/versions/2/infer");
    // The floor has it too.
    let floor = Table::compile(&[spec], &[], None).unwrap();
    assert_eq!(renamed(&floor, 0), "/v2/models/local/infer");
    held.assignment.variants[1].rewrite = Some(v1::Rewrite::default());
    let errors = Table::compile(&[self::spec()], &[held], None).unwrap_err();
    assert!(errors[0].starts_with("model m: variant v2: rewrite: names nothing"));
}

#[test]
fn a_latched_canary_gets_nothing_and_cannot_be_asked_for() {
    let latched = Held {
        latched: true,
        ..held(500_000)
    };
    let mut rolled_back = held(500_000);
    rolled_back.assignment.rolled_back = true;
    for held in [latched, rolled_back] {
        let table = Table::compile(&[spec()], &[held], None).unwrap();
        assert_eq!(shares(&table), [1_000_000, 0]);
        assert!(!table.routes()[0].variants[1].allowed);
        assert!(canary_keys(&table).is_empty());
    }
}

#[test]
fn a_frozen_sidecar_has_half_the_thresholds() {
    let frozen = Held {
        frozen: true,
        ..held(1)
    };
    let table = Table::compile(&[spec()], &[frozen], None).unwrap();
    let thresholds = table.routes()[0].policy.thresholds;
    assert_eq!((thresholds.consecutive, thresholds.error_ratio), (3, 0.25));
}

#[test]
fn every_mistake_is_reported() {
    let mut bad = held(1);
    bad.assignment.rollout = "x".into();
    bad.assignment.shares[0].variant = "v9".into();
    bad.assignment.variants[1].endpoints.clear();
    bad.assignment.bucketing = Some(v1::Bucketing {
        key: "body".into(),
        hash: v1::bucketing::Hash::Modulo as i32,
        modulus: 7,
        ..Default::default()
    });
    let rule = |variant: &str, text: &str| v1::TargetingRule {
        variant: variant.into(),
        place: Some(v1::targeting_rule::Place::Header("x-beta".into())),
        test: Some(v1::targeting_rule::Test::Regex(text.into())),
    };
    bad.assignment.targeting = vec![rule("v2", "^1"), rule("v9", "^1"), rule("v2", "(")];
    let errors = Table::compile(&[spec()], &[bad], None).unwrap_err();
    let all = errors.join("\n");
    for part in [
        "no UUID",
        "\"v9\"",
        "endpoints.v2",
        "bucketing.key",
        "bucketing.modulus",
        "targeting[1]: variant",
        "targeting[2]: regex: no regular expression",
    ] {
        assert!(all.contains(part), "{part} in {all}");
    }
    assert!(errors.iter().all(|e| e.starts_with("model m: ")));
}

#[test]
fn overlapping_and_foreign_buckets_are_refused() {
    let mut bad = held(10);
    bad.assignment.shares[0]
        .ranges
        .push(v1::BucketRange { start: 5, end: 20 });
    assert!(Table::compile(&[spec()], &[bad], None).is_err());
    let mut none = held(10);
    none.assignment.variants.clear();
    assert!(Table::compile(&[spec()], &[none], None).is_err());
}

proptest! {
    #[test]
    fn shrinking_only_moves_users_to_stable(ppm in 0u32..=1_000_000, a in 0u32..=1_000_000, b in 0u32..=1_000_000) {
        let (low, high) = (a.min(b), a.max(b));
        let at = |scale| {
            let held = Held { canary_scale_ppm: scale, ..held(ppm) };
            canary_keys(&Table::compile(&[spec()], &[held], None).unwrap())
        };
        let (few, many) = (at(low), at(high));
        prop_assert!(few.iter().all(|key| many.contains(key)));
        prop_assert!(at(0).is_empty());
    }
}
