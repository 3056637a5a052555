//! The engine as a whole: rulings on verdicts, corrupt input, order of merging, size of the state.

use super::*;
use crate::assessment::{Harm, HarmCause, Verdict};
use crate::counts::{Arm, Pair};
use proptest::prelude::*;

mod resume;
mod size;
mod trust;

fn guardrail(metric: Metric) -> Guardrail {
    Guardrail {
        metric,
        on_breach: Action::Rollback,
        weight: None,
        required: true,
    }
}

fn errors(margin: f64) -> Guardrail {
    guardrail(Metric::ErrorRate { margin })
}

fn accuracy() -> Guardrail {
    let name = "accuracy".to_owned();
    guardrail(Metric::Labelled {
        name,
        higher_is_better: true,
        margin: 0.02,
    })
}

fn latency() -> Guardrail {
    guardrail(Metric::Latency {
        quantiles: vec![0.5, 0.95, 0.99],
        ratio: 1.1,
        slack_ms: 2.0,
    })
}

fn limit(limit_ms: f64) -> Guardrail {
    guardrail(Metric::LatencyLimit {
        quantile: 0.99,
        limit_ms,
    })
}

fn engine(guardrails: Vec<Guardrail>) -> Engine {
    Engine::new(Settings {
        tolerances: vec![10.0, 2.0, 1.0],
        ..Settings::new(guardrails)
    })
    .unwrap()
}

fn arm(requests: u64, errors: u64) -> Arm {
    Arm {
        requests,
        errors,
        latency: vec![(500, requests)],
    }
}

fn slice(epoch: u64, canary: Arm, stable: Arm) -> RequestSlice {
    RequestSlice {
        epoch,
        seconds: 1.0,
        canary,
        stable,
    }
}

fn fold(engine: &mut Engine, times: usize, slice: &RequestSlice) {
    (0..times).for_each(|_| engine.fold_requests(slice));
}

fn verdict(engine: &Engine, epoch: u64) -> Verdict {
    engine.assess(1.0, epoch, true).guardrails[0].verdict
}

#[test]
fn without_traffic_there_is_no_evidence() {
    let mut engine = engine(vec![errors(0.01), latency(), limit(250.0), accuracy()]);
    for _ in 0..500 {
        engine.fold_requests(&slice(1, Arm::default(), arm(500, 0)));
    }
    let assessment = engine.assess(10.0, 1, true);
    assert!(!assessment.required_safe && assessment.harmful.is_none());
    for guardrail in &assessment.guardrails {
        assert_eq!(guardrail.verdict, Verdict::NoEvidence);
        assert_eq!(guardrail.missing, None);
    }
}

#[test]
fn an_epoch_that_expects_both_needs_a_slice_of_its_own() {
    let mut engine = engine(vec![errors(0.01)]);
    fold(&mut engine, 60, &slice(1, arm(250, 1), arm(250, 1)));
    assert_eq!(verdict(&engine, 1), Verdict::Safe);
    assert_eq!(verdict(&engine, 2), Verdict::NoEvidence);
    assert_eq!(
        engine.assess(1.0, 2, false).guardrails[0].verdict,
        Verdict::Safe
    );
    fold(&mut engine, 1, &slice(2, arm(0, 0), arm(500, 1)));
    assert_eq!(verdict(&engine, 2), Verdict::NoEvidence);
    fold(&mut engine, 1, &slice(2, arm(10, 0), arm(490, 1)));
    assert_eq!(verdict(&engine, 2), Verdict::Safe);
    // A slice of the old epoch that closes late does not take it away.
    fold(&mut engine, 1, &slice(1, arm(10, 0), arm(490, 1)));
    assert_eq!(verdict(&engine, 2), Verdict::Safe);
}

#[test]
fn harm_comes_before_missing_evidence() {
    let mut engine = engine(vec![errors(0.01)]);
    fold(&mut engine, 60, &slice(1, arm(50, 10), arm(450, 2)));
    assert_eq!(verdict(&engine, 2), Verdict::Harmful);
}

#[test]
fn labels_are_judged_by_labels() {
    let mut engine = engine(vec![errors(0.01), accuracy()]);
    fold(&mut engine, 60, &slice(1, arm(250, 1), arm(250, 1)));
    assert_eq!(
        engine.assess(1.0, 1, true).guardrails[1].verdict,
        Verdict::NoEvidence
    );
    let labels = |canary| LabelSlice {
        epoch: 1,
        seconds: 1.0,
        pair: Pair::new(canary, 100, 92, 100),
        assigned: None,
    };
    (0..100).for_each(|_| engine.fold_labels(1, &labels(92)));
    let assessment = engine.assess(1.0, 1, true);
    assert_eq!(assessment.guardrails[1].verdict, Verdict::Safe);
    assert!(assessment.required_safe && assessment.required_safe_fully);
    assert_eq!(assessment.guardrails[1].limit, -0.02);
    (0..100).for_each(|_| engine.fold_labels(1, &labels(80)));
    let assessment = engine.assess(1.0, 1, true);
    assert_eq!(assessment.guardrails[1].verdict, Verdict::Harmful);
    assert_eq!(
        assessment.harmful,
        Some(Harm {
            cause: HarmCause::Guardrail,
            blamed: vec![1]
        })
    );
}

#[test]
fn labels_for_a_guardrail_without_labels_are_refused() {
    let mut engine = engine(vec![errors(0.01)]);
    engine.fold_labels(0, &LabelSlice::default());
    engine.fold_labels(7, &LabelSlice::default());
    assert_eq!(engine.assess(1.0, 1, true).refused_slices, 2);
}

#[test]
fn hold_guardrails_act_alone_and_do_not_roll_back() {
    let hold = Guardrail {
        on_breach: Action::Hold,
        ..errors(0.01)
    };
    let mut engine = engine(vec![hold, accuracy()]);
    fold(&mut engine, 60, &slice(1, arm(50, 5), arm(450, 2)));
    let assessment = engine.assess(1.0, 1, true);
    assert_eq!(assessment.guardrails[0].verdict, Verdict::Harmful);
    assert!((assessment.guardrails[0].log_threshold_rollback + ln(0.05)).abs() < 1e-12);
    assert_eq!(assessment.harmful, None);
    assert!(!assessment.required_safe);
}

/// Two guardrails, each short of its own threshold, whose average is past 1/alpha.
#[test]
fn the_average_can_be_harmful_and_blames_the_largest() {
    let mut engine = engine(vec![errors(0.008), errors(0.01)]);
    let mut found = false;
    for _ in 0..200 {
        fold(&mut engine, 1, &slice(1, arm(100, 2), arm(400, 2)));
        let assessment = engine.assess(1.0, 1, true);
        let Some(harm) = assessment.harmful else {
            continue;
        };
        if harm.cause == HarmCause::Average {
            assert_eq!(harm.blamed, vec![0]);
            assert_eq!(assessment.guardrails[0].verdict, Verdict::Harmful);
            assert_ne!(assessment.guardrails[1].verdict, Verdict::Harmful);
            found = true;
        }
        break;
    }
    assert!(found);
}

/// At this alpha the evidence of three slices is far from enough.
#[test]
fn gross_errors_are_harmful_within_three_runs() {
    let rails = vec![latency(), errors(0.01)];
    let mut engine = Engine::new(Settings {
        alpha: 1e-8,
        ..Settings::new(rails)
    })
    .unwrap();
    let dead = slice(1, arm(10, 10), arm(90, 1));
    fold(&mut engine, 2, &dead);
    assert_eq!(engine.assess(1.0, 1, true).harmful, None);
    fold(&mut engine, 1, &dead);
    let assessment = engine.assess(1.0, 1, true);
    let harm = Harm {
        cause: HarmCause::GrossErrors,
        blamed: vec![1],
    };
    assert_eq!(assessment.harmful, Some(harm));
    assert_eq!(assessment.guardrails[1].verdict, Verdict::Harmful);
}

/// Stable breaks the limit too: the canary is not to blame, and nothing is proven safe either.
#[test]
fn a_limit_that_stable_breaks_is_the_environments() {
    let mut engine = engine(vec![limit(10.0)]);
    fold(&mut engine, 60, &slice(1, arm(100, 0), arm(400, 0)));
    let assessment = engine.assess(1.0, 1, true);
    assert_eq!(assessment.harmful, None);
    assert_eq!(assessment.guardrails[0].verdict, Verdict::NeedMore);
    assert!(assessment.guardrails[0].environment_unhealthy);
}

/// Every request of both variants takes the same time: nothing is slower, and that can be proven.
#[test]
fn a_constant_latency_becomes_safe() {
    let mut engine = engine(vec![latency()]);
    fold(&mut engine, 60, &slice(1, arm(50, 0), arm(450, 0)));
    let assessment = engine.assess(1.0, 1, true);
    assert_eq!(
        assessment.guardrails[0].verdict,
        Verdict::Safe,
        "{assessment:#?}"
    );
    assert_eq!(assessment.guardrails[0].difference, Some(1.0));
}

#[test]
fn a_spent_budget_is_said() {
    let budget = Some(30.0);
    let settings = Settings {
        extra_errors_budget: budget,
        ..Settings::new(vec![errors(0.5)])
    };
    let mut engine = Engine::new(settings).unwrap();
    fold(&mut engine, 100, &slice(1, arm(100, 3), arm(400, 4)));
    let assessment = engine.assess(1.0, 1, true);
    assert!(assessment.budget_spent && assessment.harmful.is_none());
    assert!((assessment.extra_errors.sum - 200.0).abs() < 1e-9);
}

#[test]
fn a_step_tolerance_asks_for_less() {
    let mut engine = engine(vec![errors(0.005)]);
    fold(&mut engine, 6, &slice(1, arm(50, 0), arm(450, 2)));
    assert_eq!(
        engine.assess(10.0, 1, true).guardrails[0].verdict,
        Verdict::Safe
    );
    let assessment = engine.assess(1.0, 1, true);
    assert_eq!(assessment.guardrails[0].verdict, Verdict::NeedMore);
    assert!(assessment.guardrails[0].missing.unwrap().requests > 500.0);
    assert!(!engine.assess(10.0, 1, true).required_safe_fully);
    for unknown in [f64::NAN, 0.0, -1.0] {
        assert_eq!(
            engine.assess(unknown, 1, true).guardrails[0].verdict,
            Verdict::NeedMore
        );
    }
}

#[test]
fn a_slower_canary_is_harmful_and_its_values_are_shown() {
    let baseline = Some(Arm {
        requests: 6000,
        errors: 30,
        latency: (0..200).map(|i| (450 + i, 30)).collect(),
    });
    let settings = Settings {
        baseline,
        ..Settings::new(vec![latency(), limit(1000.0)])
    };
    let mut engine = Engine::new(settings).unwrap();
    let requests = |shift: u16, each: u64| Arm {
        requests: 200 * each,
        errors: 0,
        latency: (0..200).map(|i| (450 + shift + i, each)).collect(),
    };
    fold(&mut engine, 60, &slice(1, requests(30, 1), requests(0, 9)));
    let assessment = engine.assess(1.0, 1, true);
    let shown = &assessment.guardrails[0];
    assert_eq!(shown.verdict, Verdict::Harmful);
    let (stable, canary) = (shown.stable_value.unwrap(), shown.canary_value.unwrap());
    assert!((canary / stable - shown.difference.unwrap()).abs() < 1e-12);
    let (low, high) = shown.interval.unwrap();
    assert!(
        low <= canary / stable && canary / stable <= high && low > shown.limit,
        "{shown:?}"
    );
    assert_eq!(shown.quantiles.len(), 3);
    assert_eq!((shown.n_canary, shown.n_stable), (12_000, 108_000));
    assert_eq!(assessment.guardrails[1].verdict, Verdict::Safe);
}

/// The short answer is the long one's.
fn assert_stands(assessment: &Assessment, standing: Standing) {
    let shown = assessment.guardrails.iter().map(|one| one.verdict);
    assert!(shown.eq(standing.verdicts));
    assert_eq!(assessment.harmful, standing.harmful);
    assert_eq!(assessment.required_safe, standing.required_safe);
    assert_eq!(assessment.leaning_harmful, standing.leaning_harmful);
    for (one, log_e) in [
        (assessment.log_e_rollback, standing.log_e_rollback),
        (
            assessment.extra_errors.charged,
            standing.extra_errors.charged,
        ),
    ] {
        assert_eq!(one.to_bits(), log_e.to_bits());
    }
}

fn assert_sane(engine: &Engine) {
    for tolerance in [10.0, 1.0] {
        let assessment = engine.assess(tolerance, 1, true);
        assert_stands(&assessment, engine.stand(tolerance, 1, true));
        assert!(assessment.log_e_rollback.is_finite());
        assert!(!assessment.extra_errors.sum.is_nan() && !assessment.extra_errors.lower.is_nan());
        for guardrail in &assessment.guardrails {
            assert!(guardrail.log_e_rollback.is_finite());
            assert!(guardrail.log_e_promote < f64::INFINITY && !guardrail.log_e_promote.is_nan());
            assert!(guardrail.phi >= 1.0 && guardrail.phi.is_finite());
            assert!(guardrail.interval.is_none_or(|(low, high)| low <= high));
            assert!(guardrail.difference.is_none_or(f64::is_finite));
        }
    }
}

#[test]
fn corrupt_slices_are_refused_and_never_safe() {
    let mut engine = engine(vec![errors(0.01), latency(), limit(250.0)]);
    let full = arm(u64::MAX, 0);
    for _ in 0..200 {
        engine.fold_requests(&slice(1, full.clone(), full.clone()));
        engine.fold_requests(&slice(1, arm(100, 0), arm(u64::from(u32::MAX), 0)));
        engine.fold_requests(&slice(1, arm(100, 101), arm(400, 1)));
        engine.fold_requests(&RequestSlice {
            seconds: f64::NAN,
            ..slice(1, arm(0, 0), arm(0, 0))
        });
    }
    let assessment = engine.assess(10.0, 1, true);
    assert_eq!((assessment.slices, assessment.refused_slices), (200, 600));
    assert!(
        assessment
            .guardrails
            .iter()
            .all(|one| one.verdict == Verdict::NoEvidence)
    );
    assert_sane(&engine);
}

fn any_arm() -> impl Strategy<Value = Arm> {
    let count = || prop_oneof![0..50u64, 0..5000u64, 0..u64::from(u32::MAX), any::<u64>()];
    let bucket = prop_oneof![400..600u16, any::<u16>()];
    (
        count(),
        count(),
        prop::collection::vec((bucket, count()), 0..6),
    )
        .prop_map(|(requests, errors, latency)| Arm {
            requests,
            errors,
            latency,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn nothing_makes_it_panic_or_show_nan(
        arms in prop::collection::vec((any_arm(), any_arm(), any::<f64>()), 1..12),
    ) {
        let mut engine = engine(vec![errors(0.01), latency(), limit(250.0), accuracy()]);
        for (canary, stable, seconds) in arms {
            let pair = Pair::new(canary.errors, canary.requests, stable.errors, stable.requests);
            engine.fold_labels(3, &LabelSlice { epoch: 1, seconds, pair, assigned: None });
            engine.fold_requests(&RequestSlice { seconds, ..slice(1, canary, stable) });
            assert_sane(&engine);
        }
    }

    /// Cells of several sidecars may be summed in any order and grouping.
    #[test]
    fn parts_in_any_order_give_the_same_evidence(
        parts in prop::collection::vec(
            (0..40u64, 0..3u64, prop::collection::vec((480..520u16, 0..5u64), 0..5)), 4..9),
        turn in 0..8usize,
    ) {
        let merged = |order: &mut dyn Iterator<Item = usize>| {
            let mut total = Arm::default();
            for index in order {
                let (requests, errors, latency) = &parts[index % parts.len()];
                let mut part = Arm { requests: requests + errors, errors: *errors, ..Arm::default() };
                part.merge(&Arm { latency: latency.clone(), ..Arm::default() });
                total.merge(&part);
            }
            total
        };
        let forward = merged(&mut (0..parts.len()));
        let turned = merged(&mut (turn..turn + parts.len()).rev());
        let run = |part: &Arm| {
            let mut engine = engine(vec![errors(0.01), latency(), limit(250.0)]);
            fold(&mut engine, 5, &slice(1, part.clone(), arm(400, 2)));
            format!("{:?}", engine.assess(1.0, 1, true))
        };
        prop_assert_eq!(run(&forward), run(&turned));
    }
}
