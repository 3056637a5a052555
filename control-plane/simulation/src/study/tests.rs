use super::*;
use crate::latency::Latency;
use crate::reference::reference_plan;
use crate::scenario::Scenario;
use serinus_core::plan;
use std::path::Path;

const PLAN: &str = "
model: recommender
stable: {name: v1, endpoints: [http://127.0.0.1:9001]}
canary: {name: v2, endpoints: [http://127.0.0.1:9002]}
warmup: {duration: 60s, share: 0.02}
steps:
  - {split: {v2: 0.1, v1: 0.9}}
  - {split: {v2: 0.5, v1: 0.5}, approval: {timeout: 24h, then: hold}}
  - {split: {v2: 1.0}}
guardrails:
  - {metric: error_rate, margin: 0.01}
  - {metric: latency, quantiles: [0.5, 0.99], ratio: 1.2, slack: 2ms}
  - {metric: latency, quantile: 0.99, limit: 250ms}
  - {metric: accuracy, margin: 0.03, label_window: 10m}
";

fn traffic(rate: f64) -> Traffic {
    let latency = Latency {
        median_ms: 40.0,
        sigma: 0.47,
        tail_share: 0.0,
        tail_factor: 1.0,
    };
    Traffic {
        rate,
        errors: 0.005,
        latency,
        labels: vec![LabelTraffic {
            name: "accuracy".to_owned(),
            rate: 0.9,
        }],
        label_delay_s: 60.0,
        label_fraction: 1.0,
        users: None,
    }
}

fn completed(text: &str) -> v1::Plan {
    plan::complete(plan::parse(text).expect("no mistakes"), None).expect("complete")
}

fn study(rate: f64) -> Study {
    Study::new(completed(PLAN), &traffic(rate), &[1.0, 4.0], None).expect("can be simulated")
}

fn tally(study: &Study, case: usize, replicas: usize) -> Tally {
    let outcomes: Vec<_> = (0..replicas)
        .map(|replica| study.replica(case, replica, 1).expect("settings"))
        .collect();
    Tally::of(&outcomes)
}

#[test]
fn every_guardrail_has_its_cases_in_its_own_unit() {
    let study = study(200.0);
    let of = |case: &Case| (case.canary, case.shift);
    let at = |guardrail, margins| Canary::Worse { guardrail, margins };
    let cases: Vec<_> = study.cases().iter().map(of).collect();
    assert_eq!(cases.len(), 10);
    assert_eq!(cases[0].0, Canary::Equal);
    assert_eq!(cases[2], (at(0, 4.0), Shift::Rate(0.04)));
    // p99 is 119 ms: of it the slack of 2 ms is less than the ratio allows.
    assert_eq!(cases[3], (at(1, 1.0), Shift::Latency(1.2)));
    let Shift::Latency(factor) = cases[5].1 else {
        panic!("{:?}", cases[5])
    };
    assert!(
        (factor * traffic(1.0).latency.quantile(0.99) - 250.0).abs() < 1e-6,
        "{factor}"
    );
    assert_eq!(cases[7], (at(3, 1.0), Shift::Rate(-0.03)));
    assert_eq!(cases[9].0, Canary::Dead);
}

#[test]
fn what_cannot_be_is_skipped_with_the_reason() {
    let mut slow = traffic(200.0);
    slow.latency.median_ms = 100.0;
    let study = Study::new(completed(PLAN), &slow, &[1.0], None).expect("can be simulated");
    assert_eq!(study.cases().len(), 5);
    assert!(
        study.skipped()[0].contains("stable itself exceeds 250 ms at p99"),
        "{:?}",
        study.skipped()
    );
    assert_eq!(
        study.forecast().to_full_s,
        f64::INFINITY,
        "a limit that stable breaks is never proven"
    );
}

/// An equal canary is promoted after about the time of the forecast, a dead one is rolled back within seconds; the
/// approval of the second step does not hold it up.
#[test]
fn equal_and_dead_canaries_end_as_they_should() {
    let study = study(300.0);
    let equal = tally(&study, 0, 4);
    assert_eq!((equal.promoted(), equal.rolled_back()), (4, 0));
    let (took_s, expected_s) = (
        equal.promoted_s().expect("promoted"),
        study.forecast().to_full_s,
    );
    assert!(
        (0.4..1.6).contains(&(took_s / expected_s)),
        "{took_s} {expected_s}"
    );
    let dead = tally(&study, 9, 8);
    assert_eq!(dead.rolled_back(), 8);
    assert!(
        dead.rollback_s().is_some_and(|seconds| seconds <= 6.0),
        "{dead:?}"
    );
    assert_eq!(dead.causes().len(), 1, "{dead:?}");
}

#[test]
fn labels_count_when_the_control_plane_would_seal_them() {
    let plan = completed(PLAN);
    let sealing = |delay_s, fraction| {
        let traffic = Traffic {
            label_delay_s: delay_s,
            label_fraction: fraction,
            ..traffic(1.0)
        };
        let sealed = traffic.sealing(&plan, "accuracy");
        (sealed.delay_s, sealed.fraction)
    };
    assert_eq!(sealing(60.0, 1.0), (60.0, 1.0), "all there");
    assert_eq!(sealing(60.0, 0.5), (600.0, 0.5), "at the end of the window");
    assert_eq!(sealing(601.0, 1.0), (600.0, 0.0), "too late");
}

/// One request a second and a margin of one point: hours, as the design says.
#[test]
fn low_traffic_takes_hours() {
    let text = PLAN
        .replace("limit: 250ms", "limit: 10s")
        .replace("margin: 0.03", "margin: 0.01");
    let study =
        Study::new(completed(&text), &traffic(1.0), &[1.0], None).expect("can be simulated");
    let slowest = study.forecast().slowest.expect("a guardrail");
    assert_eq!(
        (slowest.guardrail, slowest.share, slowest.tolerance),
        (3, 0.5, 1.0)
    );
    // (ln 20 + ln 3) * 2 * 0.9 * 0.1 / (0.25 * 0.01^2), and a minute for the labels.
    assert!(
        (slowest.seconds / 29_537.0 - 1.0).abs() < 0.05,
        "{}",
        slowest.seconds
    );
    assert!(study.forecast().to_full_s > slowest.seconds);
}

#[test]
fn two_canaries_are_refused() {
    let mut plan = completed(PLAN);
    plan.canaries.push(plan.canaries[0].clone());
    let error = Study::new(plan, &traffic(1.0), &[1.0], None).expect_err("two canaries");
    assert!(error.to_string().contains("2 canaries"), "{error}");
}

/// The study and the bench drive the same thing: the same plan and world end alike.
#[test]
fn the_study_agrees_with_the_bench() {
    let fields = r#"{"name": "b02", "truth": "bad", "stable": {"err": 0.01}, "canary": {"err": 0.03},
                     "margins": {"err": 0.005, "lat_ratio": 1.25}}"#;
    let scenario = Scenario::parse(fields, Path::new("b02.json")).expect("valid");
    let plan = reference_plan(&scenario).expect("a plan");
    let latency = Latency {
        median_ms: 100.0,
        sigma: 0.5,
        tail_share: 0.0,
        tail_factor: 1.0,
    };
    let traffic = Traffic {
        errors: 0.01,
        latency,
        labels: Vec::new(),
        ..traffic(300.0)
    };
    let study = Study::new(plan.clone(), &traffic, &[4.0], Some(3600.0)).expect("can be simulated");
    let ours = tally(&study, 1, 40);
    let setup = Setup::new(plan, &[]).expect("no labels");
    let options = Options {
        horizon_s: 3600.0,
        history: true,
        users: None,
    };
    let bench: Vec<_> = (0..40)
        .map(|replica| {
            let trial = Trial::new(&setup, &scenario.spec(), options, seed("b02", replica, 0));
            trial.expect("settings").run()
        })
        .collect();
    let bench = Tally::of(&bench);
    assert_eq!((ours.rolled_back(), bench.rolled_back()), (40, 40));
    let (ours, bench) = (
        ours.rollback_s().expect("all"),
        bench.rollback_s().expect("all"),
    );
    // The median of forty has a standard error of about a tenth.
    assert!((ours / bench - 1.0).abs() < 0.4, "{ours} {bench}");
}
