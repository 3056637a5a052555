use super::*;
use v1::ack_result::Outcome;

pub(super) fn follow() -> Follow {
    Follow::new(["m".to_owned()], 0)
}

/// An assignment of rollout `rollout` that gives v2 `ppm`.
pub(crate) fn assignment(rollout: &str, revision: u64, ppm: u32) -> v1::Assignment {
    let variant = |name: &str, port: u16| v1::Variant {
        name: name.into(),
        endpoints: vec![format!("http://127.0.0.1:{port}")],
        ..Default::default()
    };
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let share = v1::Share {
        variant: "v2".into(),
        ppm,
        ranges: vec![v1::BucketRange { start: 0, end: ppm }],
    };
    v1::Assignment {
        model: "m".into(),
        rollout: rollout.into(),
        fence: Some(v1::Fence {
            generation: 1,
            term: 1,
            revision,
        }),
        epoch: revision,
        variants: vec![variant("v1", 9001), variant("v2", 9002)],
        shares: if ppm > 0 { vec![share] } else { Vec::new() },
        lease: seconds(60),
        grace: seconds(900),
        on_expiry: 1,
        ceiling_ppm: 1_000_000,
        digest: revision * 31 + u64::from(ppm),
        ..v1::Assignment::default()
    }
}

pub(super) fn rolled_back(rollout: &str, revision: u64) -> v1::Assignment {
    v1::Assignment {
        rolled_back: true,
        lease: None,
        ..assignment(rollout, revision, 0)
    }
}

pub(super) fn anything(_: &InForce) -> Result<(), Vec<String>> {
    Ok(())
}

/// The canary's share in force, ppm.
pub(super) fn share(follow: &Follow, now_ms: u64) -> u32 {
    follow.in_force("m", now_ms).map_or(0, |held| {
        assert!(!held.latched || held.assignment.shares.is_empty());
        let assigned: u32 = held.assignment.shares.iter().map(|share| share.ppm).sum();
        (u64::from(assigned) * u64::from(held.standing.scale_ppm()) / 1_000_000) as u32
    })
}

fn applied(result: &v1::AckResult) -> bool {
    result.outcome() == Outcome::Applied
}

#[test]
fn a_greater_fence_is_taken_and_a_smaller_one_is_stale() {
    let mut follow = follow();
    assert!(applied(&follow.offer(
        assignment("r", 5, 100_000),
        0,
        &anything
    )));
    let late = follow.offer(assignment("r", 4, 500_000), 0, &anything);
    assert!(!applied(&late) && late.stale_fence);
    assert_eq!(late.fence.unwrap().revision, 5);
    assert!(
        late.detail.contains("1.1.4 is older than 1.1.5"),
        "{}",
        late.detail
    );
    assert_eq!(share(&follow, 0), 100_000);
    let mut restored = assignment("r", 1, 50_000);
    restored.fence.as_mut().unwrap().generation = 2;
    assert!(applied(&follow.offer(restored, 0, &anything)));
    assert_eq!(share(&follow, 0), 50_000);
}

#[test]
fn an_equal_fence_renews_or_diverges() {
    let mut follow = follow();
    follow.offer(assignment("r", 5, 100_000), 0, &anything);
    assert_eq!(
        follow.in_force("m", 70_000).unwrap().standing,
        Standing::Frozen
    );
    assert!(applied(&follow.offer(
        assignment("r", 5, 100_000),
        70_000,
        &anything
    )));
    assert_eq!(
        follow.in_force("m", 70_000).unwrap().standing,
        Standing::Fresh
    );
    let other = follow.offer(assignment("r", 5, 200_000), 70_000, &anything);
    assert!(!applied(&other) && !other.stale_fence);
    assert!(other.detail.contains("DIVERGED"), "{}", other.detail);
    assert_eq!(share(&follow, 70_000), 100_000);
}

#[test]
fn heartbeats_renew_only_the_same_instruction() {
    let mut follow = follow();
    follow.offer(assignment("r", 5, 100_000), 0, &anything);
    let mut lease = v1::LeaseRef {
        model: "m".into(),
        rollout: "r".into(),
        fence: Some(v1::Fence {
            generation: 1,
            term: 1,
            revision: 4,
        }),
        lease: None,
    };
    follow.renew(&lease, 70_000);
    assert_eq!(
        follow.in_force("m", 70_000).unwrap().standing,
        Standing::Frozen
    );
    lease.fence.as_mut().unwrap().revision = 5;
    follow.renew(&lease, 70_000);
    assert_eq!(
        follow.in_force("m", 70_000).unwrap().standing,
        Standing::Fresh
    );
}

#[test]
fn what_breaks_a_rule_is_refused_with_words() {
    type Change = fn(&mut v1::Assignment);
    let cases: [(Change, &str); 5] = [
        (|a| a.fence = None, "no fence"),
        (
            |a| a.ceiling_ppm = 50_000,
            "above the plan's highest step of 50000 ppm",
        ),
        (|a| a.shares[0].ppm = 1, "has 1 ppm but owns 100000 buckets"),
        (|a| a.shares.push(a.shares[0].clone()), "is there twice"),
        (|a| a.model = "x".into(), "no [[model]] named x"),
    ];
    let mut follow = follow();
    follow.offer(assignment("r", 1, 10_000), 0, &anything);
    for (change, words) in cases {
        let mut bad = assignment("r", 9, 100_000);
        change(&mut bad);
        let result = follow.offer(bad, 0, &anything);
        assert!(
            !applied(&result) && result.detail.contains(words),
            "{words}: {}",
            result.detail
        );
        assert_eq!(share(&follow, 0), 10_000);
    }
    let refuse = |_: &InForce| Err(vec!["bad key".to_owned()]);
    let result = follow.offer(assignment("r", 9, 100_000), 0, &refuse);
    assert!(!applied(&result) && result.detail == "bad key");
}

#[test]
fn a_latch_and_a_rollback_are_for_ever() {
    let mut follow = follow();
    follow.offer(assignment("r", 5, 100_000), 0, &anything);
    assert!(follow.latch("r", ""));
    assert!(!follow.latch("r", "v2"));
    assert_eq!(share(&follow, 0), 0);
    assert!(follow.held(0)[0].latched);
    let raced = follow.offer(assignment("r", 6, 500_000), 0, &anything);
    assert!(applied(&raced) && raced.detail.contains("latched"));
    assert_eq!(share(&follow, 0), 0);
    follow.offer(assignment("next", 7, 500_000), 0, &anything);
    assert_eq!(share(&follow, 0), 500_000);
    // A rollback that arrives late still stops its rollout.
    let late = follow.offer(rolled_back("next", 6), 0, &anything);
    assert!(late.stale_fence);
    assert_eq!(share(&follow, 0), 0);
}

#[test]
fn a_latch_of_one_canary_leaves_the_other() {
    let mut follow = follow();
    let mut two = assignment("r", 5, 100_000);
    two.variants.push(v1::Variant {
        name: "v3".into(),
        ..two.variants[1].clone()
    });
    two.shares.push(v1::Share {
        variant: "v3".into(),
        ppm: 50_000,
        ranges: vec![v1::BucketRange {
            start: 100_000,
            end: 150_000,
        }],
    });
    two.allow_override_header = true;
    let rule = |variant: &str| v1::TargetingRule {
        variant: variant.into(),
        ..Default::default()
    };
    two.targeting = vec![rule("v1"), rule("v2"), rule("v3")];
    follow.offer(two, 0, &anything);
    assert!(follow.latch("r", "v2"));
    let held = follow.in_force("m", 0).unwrap();
    assert!(!held.latched && !held.assignment.allow_override_header);
    assert_eq!(held.assignment.shares.len(), 1);
    assert_eq!(held.assignment.targeting, [rule("v1"), rule("v3")]);
    assert_eq!(share(&follow, 0), 50_000);
    follow.latch("r", "v3");
    let held = follow.in_force("m", 0).unwrap();
    assert!(held.latched && held.assignment.targeting.is_empty());
}

#[test]
fn a_reverted_share_needs_a_newer_decision() {
    let mut follow = follow();
    follow.offer(assignment("r", 5, 100_000), 0, &anything);
    follow.tick(2_000_000);
    assert_eq!(share(&follow, 2_000_000), 0);
    assert!(follow.held(2_000_000)[0].lease_expired);
    follow.offer(assignment("r", 5, 100_000), 2_000_000, &anything);
    assert_eq!(share(&follow, 2_000_000), 0, "contact alone");
    let mut restarted = assignment("r", 5, 100_000);
    restarted.fence.as_mut().unwrap().term = 2;
    assert!(applied(&follow.offer(restarted, 2_000_000, &anything)));
    assert_eq!(
        share(&follow, 2_000_000),
        0,
        "the same decision after a restart of the control plane"
    );
    let mut newer = assignment("r", 6, 100_000);
    newer.fence.as_mut().unwrap().term = 2;
    follow.offer(newer, 2_000_000, &anything);
    assert_eq!(share(&follow, 2_000_000), 100_000);
}

#[test]
fn a_removed_model_keeps_its_fence() {
    let mut follow = follow();
    follow.offer(assignment("r", 5, 100_000), 0, &anything);
    assert!(follow.remove("m") && !follow.remove("m"));
    assert!(follow.in_force("m", 0).is_none());
    assert!(
        follow
            .offer(assignment("r", 4, 100_000), 0, &anything)
            .stale_fence
    );
    assert!(applied(&follow.offer(
        assignment("r", 5, 100_000),
        0,
        &anything
    )));
}

#[test]
fn lowering_is_told_from_raising() {
    let mut follow = follow();
    assert!(!follow.only_lowers(&assignment("r", 1, 1000), 0));
    follow.offer(assignment("r", 1, 100_000), 0, &anything);
    assert!(follow.only_lowers(&assignment("r", 2, 100_000), 0));
    assert!(follow.only_lowers(&assignment("r", 2, 50_000), 0));
    assert!(follow.only_lowers(&rolled_back("r", 2), 0));
    assert!(!follow.only_lowers(&assignment("r", 2, 100_001), 0));
    assert!(!follow.only_lowers(&assignment("q", 2, 1), 0));
    let mut promoted = assignment("r", 2, 0);
    promoted.variants.remove(0);
    assert!(!follow.only_lowers(&promoted, 0));
    follow.tick(2_000_000);
    assert!(!follow.only_lowers(&assignment("r", 2, 1), 2_000_000));
}

#[test]
fn what_is_saved_is_restored_with_its_age() {
    let mut before = follow();
    before.offer(assignment("r", 5, 100_000), 0, &anything);
    before.latch("old", "");
    let saved = before.save(30_000);
    let mut after = follow();
    after.restore(&saved, 7, 20_000);
    assert_eq!(after.in_force("m", 7).unwrap().standing, Standing::Fresh);
    assert_eq!(
        after.in_force("m", 10_007).unwrap().standing,
        Standing::Frozen
    );
    assert!(
        after
            .offer(assignment("r", 4, 100_000), 7, &anything)
            .stale_fence
    );
    after.offer(assignment("old", 9, 100_000), 7, &anything);
    assert_eq!(share(&after, 7), 0);
}
