//! What makes the engine mistrust a comparison: a wrong share, users that differ, missing and late labels.

use super::*;
use crate::assessment::RatioEvidence;
use crate::clusters::{CLUSTERS, ClusterSlice};
use crate::counts::{Assigned, Counts};

fn assign(engine: &mut Engine, share: f64) {
    let assigned = Assigned {
        canary: 250,
        stable: 250,
    };
    (0..60).for_each(|_| engine.fold_assignments(1, share, assigned));
}

fn safe_engine(share: Option<f64>) -> Engine {
    let mut engine = engine(vec![errors(0.01)]);
    fold(&mut engine, 60, &slice(1, arm(250, 1), arm(250, 1)));
    if let Some(share) = share {
        assign(&mut engine, share);
    }
    engine
}

#[test]
fn a_wrong_share_blocks_promotion_only() {
    let right = safe_engine(Some(0.5)).assess(1.0, 1, true);
    assert!(right.required_safe && right.required_safe_fully);
    assert_eq!(right.sample_ratio.achieved, Some(0.5));
    let wrong = safe_engine(Some(0.4)).assess(1.0, 1, true);
    assert!(wrong.sample_ratio.mismatch, "{:?}", wrong.sample_ratio);
    assert!(!wrong.required_safe && !wrong.required_safe_fully);
    // What cannot be compared is not proven safe.
    assert_eq!(wrong.guardrails[0].verdict, Verdict::NeedMore);
    assert_eq!(wrong.guardrails[0].missing, None);
    let mut engine = engine(vec![errors(0.01)]);
    fold(&mut engine, 60, &slice(1, arm(250, 25), arm(250, 1)));
    assign(&mut engine, 0.4);
    let bad = engine.assess(1.0, 1, true);
    assert!(bad.sample_ratio.mismatch && bad.harmful.is_some());
}

/// A canary that answers slowly has fewer judged requests, and as many assigned ones as it should.
#[test]
fn assignments_are_held_against_the_share_whatever_was_judged() {
    let assigned = |canary, stable| Assigned { canary, stable };
    let mut slow = engine(vec![errors(0.01)]);
    for second in 0..60 {
        let judged = if second < 3 { 0 } else { 250 };
        slow.fold_requests(&slice(1, arm(judged, judged / 250), arm(250, 1)));
        slow.fold_assignments(1, 0.5, assigned(250, 250));
    }
    let right = slow.assess(1.0, 1, true).sample_ratio;
    assert!(!right.mismatch, "{right:?}");
    assert_eq!(right.achieved, Some(0.5));
    let mut wrong = safe_engine(None);
    assign(&mut wrong, 0.4);
    let assessment = wrong.assess(1.0, 1, true);
    assert!(assessment.sample_ratio.mismatch && !assessment.required_safe);
    wrong.fold_assignments(1, 0.4, assigned(u64::MAX, 1));
    let after = wrong.assess(1.0, 1, true);
    assert_eq!(after.refused_slices, 1);
    assert_eq!(after.sample_ratio, assessment.sample_ratio);
}

#[test]
fn an_unknown_share_blocks_nothing() {
    let assessment = safe_engine(None).assess(1.0, 1, true);
    assert_eq!(assessment.sample_ratio.evidence, RatioEvidence::Unknown);
    assert!(assessment.required_safe);
}

/// In every cluster `n` requests per variant; in one of eight clusters each request of both variants fails.
fn users_that_fail(n: u64) -> ClusterSlice {
    let mut slice = ClusterSlice {
        epoch: 1,
        share: Some(0.5),
        ..ClusterSlice::default()
    };
    for h in 0..CLUSTERS {
        let x = if h % 8 == 0 { n } else { 0 };
        slice.totals.canary[h] = Counts { x, n };
        slice.totals.stable[h] = Counts { x, n };
    }
    slice
}

#[test]
fn users_that_differ_temper_the_error_rate_and_the_budget() {
    let mut engine = safe_engine(Some(0.5));
    let before = engine.assess(1.0, 1, true);
    assert_eq!(before.phi_users, 1.0);
    engine.fold_clusters(&users_that_fail(20));
    let after = engine.assess(1.0, 1, true);
    assert!(
        (15.0..25.0).contains(&after.phi_users),
        "{}",
        after.phi_users
    );
    assert_eq!(after.guardrails[0].phi, after.phi_users);
    assert!(after.guardrails[0].log_e_promote < before.guardrails[0].log_e_promote / 5.0);
    assert!(after.extra_errors.lower < before.extra_errors.lower);
    assert_eq!(after.guardrails[0].verdict, Verdict::NeedMore);
    engine.fold_clusters(&users_that_fail(60));
    let blocked = engine.assess(1.0, 1, true);
    assert_eq!(blocked.guardrails[0].log_e_promote, f64::NEG_INFINITY);
    assert!(blocked.guardrails[0].log_e_rollback.is_finite());
}

#[test]
fn users_that_differ_do_not_hide_a_dead_canary() {
    let mut engine = safe_engine(Some(0.5));
    engine.fold_clusters(&users_that_fail(1000));
    fold(&mut engine, 3, &slice(1, arm(250, 250), arm(250, 1)));
    assert!(engine.assess(1.0, 1, true).harmful.is_some());
}

fn labels(canary: (u64, u64), stable: (u64, u64), assigned: u64) -> LabelSlice {
    LabelSlice {
        epoch: 1,
        seconds: 1.0,
        pair: Pair::new(canary.0, canary.1, stable.0, stable.1),
        assigned: Some(Assigned {
            canary: assigned,
            stable: assigned,
        }),
    }
}

#[test]
fn missing_labels_block_promotion_until_they_come() {
    let mut engine = engine(vec![errors(0.01), accuracy()]);
    fold(&mut engine, 60, &slice(1, arm(250, 1), arm(250, 1)));
    (0..60).for_each(|_| engine.fold_labels(1, &labels((85, 85), (92, 100), 100)));
    let silent = engine.assess(1.0, 1, true);
    let shown = &silent.guardrails[1];
    assert_eq!(shown.verdict, Verdict::NeedMore);
    assert_eq!(
        (shown.log_e_promote, shown.missing),
        (f64::NEG_INFINITY, None)
    );
    let rate = shown.labels.unwrap().rate.unwrap();
    assert!(rate.differs && rate.blocks);
    assert!((rate.canary - 0.85).abs() < 1e-9 && (rate.stable - 1.0).abs() < 1e-9);
    assert!(!silent.required_safe && !silent.required_safe_fully && silent.harmful.is_none());
}

#[test]
fn late_labels_reopen_a_safe_verdict_without_changing_it() {
    let mut engine = engine(vec![errors(0.01), accuracy()]);
    fold(&mut engine, 60, &slice(1, arm(250, 1), arm(250, 1)));
    (0..60).for_each(|_| engine.fold_labels(1, &labels((92, 100), (92, 100), 100)));
    let before = engine.assess(1.0, 1, true);
    assert_eq!(before.guardrails[1].labels.unwrap().late, None);
    (0..60).for_each(|_| engine.fold_late_labels(1, &labels((60, 100), (92, 100), 100)));
    let after = engine.assess(1.0, 1, true);
    assert!(after.guardrails[1].labels.unwrap().late.unwrap().reopened);
    assert_eq!(after.guardrails[1].verdict, Verdict::Safe);
    assert_eq!(
        after.log_e_rollback.to_bits(),
        before.log_e_rollback.to_bits()
    );
    assert!(after.required_safe && after.harmful.is_none());
    engine.fold_late_labels(0, &LabelSlice::default());
    assert_eq!(engine.assess(1.0, 1, true).refused_slices, 1);
}
