use super::*;
use crate::view::fixture;

fn text(stored: Option<&Stored>) -> String {
    let rollout = fixture::rollout();
    let decision = rollout.decision.clone().unwrap();
    why(&rollout, &decision, stored, Options::default())
}

#[test]
fn everything_behind_the_present_assessment() {
    let expected = "\
recommender  v1 -> v2   CANARY step 2/4   rollout r-1
decision  WAIT: accuracy needs about 9,000 more labels, about 6 min; then 50%
          present assessment, 2026-09-21T14:15:34.000Z, step 2, tolerance (kappa) 2, epoch 17, 1,321 slices, engine 1

error rate   SAFE   rolls back when broken; needed to move on
  requests      stable 1,067 of 222,360, canary 385 of 74,120
  value         stable 0.48%, canary 0.52%
  difference    +0.04pp [-0.10, +0.19], limit +0.25pp
  proof of harm log e 0.31 of 4.09 (1.36 of 59.7)
  proof of safe log e 3.20 of 3.00 (24.5 of 20.0)
  phi           1.02 (variance against independent requests)
  so            proven not worse than the step's tolerance
";
    let shown = text(None);
    assert!(shown.starts_with(expected), "{shown}");
    assert!(
        shown
            .contains("  missing       about 9,000 more labels, about 6m00s at the present rate\n")
    );
    assert!(shown.ends_with(
        "\nall rollback guardrails together   log e 0.12 of 3.00 (1.13 of 20.0)\n\
         extra errors   3 counted, at least 0 proven, budget 50\n"
    ));
}

#[test]
fn noise_that_holds_a_proof_back_is_named() {
    let mut rollout = fixture::rollout();
    let mut shown = |phi: f64, log_e_promote: f64| {
        let decision = rollout.decision.as_mut().unwrap();
        decision.guardrails[2].phi = phi;
        decision.guardrails[2].log_e_promote = log_e_promote;
        let decision = decision.clone();
        why(&rollout, &decision, None, Options::default())
    };
    assert!(shown(1.4, 1.0).contains("neither is proven yet\n"));
    assert!(shown(5.2, 1.0).contains("proven yet; the counts scatter 5.2 times as much"));
    assert!(
        shown(40.0, f64::NEG_INFINITY)
            .contains("scatter 40 times as much as chance alone prove nothing")
    );
}

#[test]
fn a_guardrail_that_is_blamed_for_all_is_not_called_proven_alone() {
    let rollout = fixture::rollout();
    let mut decision = rollout.decision.clone().unwrap();
    decision.guardrails[0].set_verdict(v1::Verdict::Harmful);
    let shown = why(&rollout, &decision, None, Options::default());
    assert!(shown.contains("proven worse together with"), "{shown}");
}

#[test]
fn a_stored_decision_names_its_event() {
    let stored = Stored {
        revision: 12,
        what: "HELD(NO_TRAFFIC)".into(),
    };
    assert!(text(Some(&stored)).contains("          revision 12: HELD(NO_TRAFFIC), 2026-"));
}

#[test]
fn breakers_are_part_of_the_proof() {
    let rollout = fixture::rollout();
    let decision = v1::Decision {
        breakers: Some(v1::BreakerEvidence {
            bad_cells: vec![10, 11, 12],
            sidecars_open: 2,
            sidecars_with_canary: 3,
            stable_error_rate: 0.004,
            openings: 4,
            failed_probes: 6,
        }),
        ..Default::default()
    };
    let shown = why(&rollout, &decision, None, Options::default());
    assert!(
        shown.ends_with(
            "breakers\n  open          on 2 of 3 sidecars with canary traffic; stable's error rate there 0.40%\n  \
             bad cells     10, 11, 12 (unix seconds)\n  since         4 openings, 6 failed probes\n"
        ),
        "{shown}"
    );
    assert!(!shown.contains("kappa"), "no decision, no step: {shown}");
}

#[test]
fn the_split_and_users_who_differ_stand_with_the_evidence() {
    let rollout = fixture::rollout();
    let mut decision = rollout.decision.clone().unwrap();
    decision.sample_ratio = Some(v1::SampleRatio {
        mismatch: true,
        asked: 0.25,
        got: 0.31,
        evidence: 7.5,
        threshold: 5.0,
        by_keys: true,
    });
    decision.phi_users = Some(2.25);
    let shown = why(&rollout, &decision, None, Options::default());
    assert!(shown.contains(
        "traffic split   25.00% asked, 31.00% got; t 7.50 of 5.00 over 64 clusters of keys: the comparison is not \
         trusted\nusers differ   their errors scatter 2.25 times as much as chance alone"
    ), "{shown}");
}
