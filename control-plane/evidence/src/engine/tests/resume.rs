//! A state that is saved and taken up again.

use super::*;
use crate::counts::{Assigned, Counts, LabelSlice};
use crate::random::Random;
use crate::{CLUSTERS, ClusterSlice, ClusterTotals};

/// Every number of the state, so that one that was left out of what is saved is missed here.
fn whole(engine: &Engine) -> String {
    format!("{engine:?}")
}

#[test]
fn an_engine_that_resumes_gives_the_same_bits_as_one_that_went_on() {
    let guardrails = vec![errors(0.01), latency(), limit(250.0), accuracy()];
    let mut random = Random(7);
    let mut below = |n: u64| (random.unit() * n as f64) as u64;
    let mut live = engine(guardrails.clone());
    let mut resumed = engine(guardrails.clone());
    for step in 0..900_u64 {
        let n = 20 + below(200);
        let of = |n: u64, errors: u64, bucket: u64| Arm {
            requests: n,
            errors,
            latency: vec![(400 + bucket as u16, n / 2), (500, n - n / 2)],
        };
        let requests = slice(
            1 + step / 300,
            of(n, below(3), below(90)),
            of(n * 2, below(4), below(90)),
        );
        let labels = LabelSlice {
            epoch: 1 + step / 300,
            seconds: 1.0,
            pair: Pair::new(n - below(9), n, 2 * n - below(9), 2 * n),
            assigned: Some(Assigned {
                canary: n + below(5),
                stable: 2 * n,
            }),
        };
        let mut totals = ClusterTotals::default();
        for h in 0..CLUSTERS {
            let n = (step + 1) * 10 + below(9);
            totals.canary[h] = Counts { x: below(3), n };
            totals.stable[h] = Counts {
                x: below(5),
                n: 2 * n,
            };
        }
        for engine in [&mut live, &mut resumed] {
            engine.fold_requests(&requests);
            engine.fold_labels(3, &labels);
            engine.fold_assignments(
                1 + step / 300,
                0.33,
                Assigned {
                    canary: n,
                    stable: 2 * n,
                },
            );
            if step % 10 == 0 {
                let share = Some(0.33);
                let epoch = 1 + step / 300;
                engine.fold_clusters(&ClusterSlice {
                    epoch,
                    share,
                    totals: totals.clone(),
                });
            }
        }
        if step % 100 == 37 {
            let bytes = resumed.save();
            assert!(bytes.len() <= 256 * 1024, "{} bytes", bytes.len());
            resumed = engine(guardrails.clone());
            assert!(resumed.resume(&bytes), "step {step}");
        }
        assert_eq!(whole(&live), whole(&resumed), "step {step}");
    }
}

#[test]
fn what_is_no_state_changes_nothing() {
    let mut live = engine(vec![errors(0.01), latency()]);
    fold(&mut live, 60, &slice(1, arm(250, 1), arm(250, 1)));
    let bytes = live.save();
    let before = whole(&live);
    for bad in [
        &bytes[..bytes.len() - 8],
        &[],
        &[&bytes[..], &[0; 8]].concat(),
    ] {
        assert!(!live.resume(bad));
        assert_eq!(whole(&live), before);
    }
    assert!(
        !engine(vec![errors(0.01)]).resume(&bytes),
        "other guardrails"
    );
}
