use super::tests::{anything, assignment, follow, rolled_back, share};
use super::*;
use proptest::prelude::*;

const ROLLOUTS: [&str; 3] = ["a", "b", "c"];

/// One thing that can happen.
#[derive(Clone, Debug)]
enum Step {
    Offer { revision: u64 },
    Latch { rollout: usize },
    Heartbeat { revision: u64 },
    Remove,
    Wait { ms: u64 },
    Restart { down_ms: u64 },
}

/// The history of the control plane: revision i always is the same assignment.
fn history(revision: u64) -> v1::Assignment {
    let rollout = ROLLOUTS[(revision / 8) as usize % ROLLOUTS.len()];
    match revision % 8 {
        7 => rolled_back(rollout, revision),
        step => assignment(rollout, revision, (step as u32 * 7919) % 9 * 50_000),
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1u64..40).prop_map(|revision| Step::Offer { revision }),
        1 => (0usize..3).prop_map(|rollout| Step::Latch { rollout }),
        3 => (1u64..40).prop_map(|revision| Step::Heartbeat { revision }),
        1 => Just(Step::Remove),
        4 => (0u64..700_000).prop_map(|ms| Step::Wait { ms }),
        1 => (0u64..2_000_000).prop_map(|down_ms| Step::Restart { down_ms }),
    ]
}

fn heartbeat(revision: u64) -> v1::LeaseRef {
    let assignment = history(revision);
    v1::LeaseRef {
        model: assignment.model,
        rollout: assignment.rollout,
        fence: assignment.fence,
        lease: None,
    }
}

/// Does one step; returns the time after it and whether it could raise (an accepted offer, or a removal's end).
fn act(follow: &mut Follow, step: &Step, now_ms: u64) -> u64 {
    let mut now = now_ms;
    match step {
        Step::Offer { revision } => {
            follow.offer(history(*revision), now, &anything);
        }
        Step::Latch { rollout } => {
            follow.latch(ROLLOUTS[*rollout], "");
        }
        Step::Heartbeat { revision } => follow.renew(&heartbeat(*revision), now),
        Step::Remove => {
            follow.remove("m");
        }
        Step::Wait { ms } => now += ms,
        Step::Restart { down_ms } => {
            let saved = follow.save(now);
            let mut next = super::tests::follow();
            // The new process has another clock.
            now = 5;
            next.restore(&saved, now, *down_ms);
            *follow = next;
        }
    }
    follow.tick(now);
    now
}

proptest! {
    #[test]
    fn any_order_ends_with_the_highest_fence(mut revisions in prop::collection::vec(1u64..40, 1..30), seed in prop::collection::vec(any::<prop::sample::Index>(), 30)) {
        let mut shuffled = follow();
        for index in &seed {
            shuffled.offer(history(*index.get(&revisions)), 0, &anything);
        }
        for revision in &revisions {
            shuffled.offer(history(*revision), 0, &anything);
        }
        revisions.sort_unstable();
        revisions.dedup();
        let mut ordered = follow();
        for revision in &revisions {
            ordered.offer(history(*revision), 0, &anything);
        }
        prop_assert_eq!(shuffled.in_force("m", 0), ordered.in_force("m", 0));
        prop_assert_eq!(shuffled.held(0), ordered.held(0));
        let highest = revisions.last().unwrap();
        prop_assert_eq!(shuffled.held(0)[0].fence.unwrap().revision, *highest);
    }

    #[test]
    fn a_latched_rollout_never_serves_again(steps in prop::collection::vec(step(), 1..60)) {
        let mut follow = follow();
        let mut now = 0;
        let mut stopped = std::collections::BTreeSet::new();
        for step in &steps {
            now = act(&mut follow, step, now);
            match step {
                Step::Latch { rollout } => { stopped.insert(ROLLOUTS[*rollout].to_owned()); }
                Step::Offer { revision } if history(*revision).rolled_back => { stopped.insert(history(*revision).rollout); }
                _ => {}
            }
            if let Some(held) = follow.in_force("m", now) && stopped.contains(&held.assignment.rollout) {
                prop_assert!(held.latched);
                prop_assert_eq!(share(&follow, now), 0);
            }
        }
    }

    #[test]
    fn only_a_newer_decision_raises(steps in prop::collection::vec(step(), 1..60)) {
        let mut follow = follow();
        let mut now = 0;
        for step in &steps {
            let before = share(&follow, now);
            let held = follow.held(now).first().and_then(|held| held.fence);
            now = act(&mut follow, step, now);
            let after = share(&follow, now);
            let newer = matches!(step, Step::Offer { revision } if held.is_none_or(|held| *revision > held.revision));
            prop_assert!(after <= before || newer, "{:?} raised {} to {}", step, before, after);
        }
    }

    #[test]
    fn lowering_is_what_it_says(steps in prop::collection::vec(step(), 1..40), revision in 1u64..40) {
        let mut follow = follow();
        let mut now = 0;
        for step in &steps {
            now = act(&mut follow, step, now);
        }
        let before = share(&follow, now);
        if follow.only_lowers(&history(revision), now) {
            follow.offer(history(revision), now, &anything);
            prop_assert!(share(&follow, now) <= before);
        }
    }
}
