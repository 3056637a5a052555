//! Wandering error rates and flapping canaries through the whole engine.

use serinus_evidence::{
    Action, Arm, Counts, Engine, Guardrail, HarmCause, Metric, RequestSlice, Settings,
};

/// A plan with the error rate alone, and stable's seconds before it.
fn engine(stable_history: Vec<Counts>) -> Engine {
    let guardrail = Guardrail {
        metric: Metric::ErrorRate { margin: 0.0025 },
        on_breach: Action::Rollback,
        weight: None,
        required: true,
    };
    let settings = Settings {
        stable_history,
        ..Settings::new(vec![guardrail])
    };
    Engine::new(settings).expect("the settings are valid")
}

fn slice(canary: (u64, u64), stable: (u64, u64)) -> RequestSlice {
    let arm = |(errors, requests)| Arm {
        requests,
        errors,
        latency: Vec::new(),
    };
    RequestSlice {
        epoch: 1,
        seconds: 1.0,
        canary: arm(canary),
        stable: arm(stable),
    }
}

/// When and why the canary is harmful, if it makes so many errors of 30 requests in each second.
fn harmful(history: Vec<Counts>, errors: impl Fn(u64) -> u64) -> Option<(u64, HarmCause)> {
    let mut engine = engine(history);
    (0..240).find_map(|second| {
        engine.fold_requests(&slice((errors(second), 30), (1 + second % 2, 270)));
        let harm = engine.assess(1.0, 1, true).harmful?;
        Some((second + 1, harm.cause))
    })
}

fn calm() -> Vec<Counts> {
    (0..600)
        .map(|s| Counts {
            x: 1 + s % 2,
            n: 270,
        })
        .collect()
}

/// Twenty seconds low, twenty seconds high, the same mean.
fn wandering() -> Vec<Counts> {
    let level = |s: u64| if (s / 20).is_multiple_of(2) { 0 } else { 3 };
    (0..600)
        .map(|s| Counts {
            x: level(s),
            n: 270,
        })
        .collect()
}

/// A canary that is worse for a minute is harmful beside a calm stable, and noise beside a wandering one.
#[test]
fn the_same_canary_is_worse_or_noisy_by_what_stable_does() {
    let spell = |second: u64| u64::from((30..90).contains(&second) && !second.is_multiple_of(3));
    let found = harmful(calm(), spell).expect("harmful");
    assert!(found.0 < 90, "{found:?}");
    assert_eq!(harmful(wandering(), spell), None);
}

#[test]
fn a_dead_canary_is_called_in_any_noise() {
    for history in [calm(), wandering(), Vec::new()] {
        let (second, _) = harmful(history, |_| 30).expect("harmful");
        assert!(second <= 5, "{second}");
    }
}

#[test]
fn one_second_in_ten_is_called_in_any_noise() {
    for history in [calm(), wandering()] {
        let flaps = |second: u64| if second % 10 == 9 { 30 } else { 0 };
        let (second, _) = harmful(history, flaps).expect("harmful");
        assert!(second <= 60, "{second}");
    }
}

#[test]
fn two_blips_then_dead_is_called_at_once() {
    let errors = |second: u64| {
        if second == 100 || second == 115 || second >= 130 {
            30
        } else {
            0
        }
    };
    let (second, _) = harmful(calm(), errors).expect("harmful");
    assert!((101..=135).contains(&second), "{second}");
}
