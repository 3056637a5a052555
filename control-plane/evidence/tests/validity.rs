//! E-values have mean at most 1 under their null: by exact enumeration of everything that small slices can hold, for
//! one step after any history (so for any number of slices, by induction) and for whole short rollouts.

use proptest::prelude::*;
use serinus_evidence::margin::{self, Null};
use serinus_evidence::srm::SampleRatio;
use serinus_evidence::wealth::{PlainWealth, RestartWealth, TEMPERING};
use serinus_evidence::{Action, Engine, Guardrail, LabelSlice, Metric, Pair, Settings};

const ROUNDING: f64 = 1e-9;

/// The rates of canary and stable.
#[derive(Clone, Copy, Debug)]
struct Rates {
    canary: f64,
    stable: f64,
}

/// Trials of canary and stable in a slice.
#[derive(Clone, Copy, Debug)]
struct Trials {
    canary: u64,
    stable: u64,
}

fn binomial(x: u64, n: u64, p: f64) -> f64 {
    let ways = (0..x).fold(1.0, |ways, i| ways * (n - i) as f64 / (i + 1) as f64);
    let power = |base: f64, times: u64| (0..times).fold(1.0, |product, _| product * base);
    ways * power(p, x) * power(1.0 - p, n - x)
}

/// Every slice with these trials and its probability.
fn outcomes(trials: Trials, rates: Rates) -> Vec<(f64, Pair)> {
    let mut all = Vec::new();
    for x_canary in 0..=trials.canary {
        for x_stable in 0..=trials.stable {
            let probability = binomial(x_canary, trials.canary, rates.canary)
                * binomial(x_stable, trials.stable, rates.stable);
            let pair = Pair::new(x_canary, trials.canary, x_stable, trials.stable);
            all.push((probability, pair));
        }
    }
    all
}

/// The mean of what a monitor reads after each possible course of slices.
fn mean<M: Clone>(
    monitor: &M,
    slices: &[(Trials, Rates)],
    fold: &impl Fn(&mut M, Pair),
    read: &impl Fn(&M) -> f64,
) -> f64 {
    let Some(((trials, rates), rest)) = slices.split_first() else {
        return read(monitor).exp();
    };
    let each = outcomes(*trials, *rates).into_iter();
    each.map(|(probability, pair)| {
        let mut next = monitor.clone();
        fold(&mut next, pair);
        probability * mean(&next, rest, fold, read)
    })
    .sum()
}

fn trials() -> impl Strategy<Value = Trials> {
    (1u64..5, 1u64..5).prop_map(|(canary, stable)| Trials { canary, stable })
}

/// Bets of both kinds on a slice, by any guess of the stable rate.
#[derive(Clone, Copy, Debug)]
struct Bets {
    margin: f64,
    sign: f64,
    guess: f64,
    target: f64,
}

impl Bets {
    fn allowed(self) -> f64 {
        self.sign * self.margin
    }

    fn rollback(self, pair: Pair) -> [f64; 10] {
        let null = if self.sign > 0.0 {
            Null::AtMost
        } else {
            Null::AtLeast
        };
        margin::rollback_alternatives(self.guess + self.allowed(), self.sign)
            .map(|theta| margin::log_e_against(null, pair, self.allowed(), theta, self.guess))
    }

    fn promote(self, pair: Pair) -> [f64; 3] {
        let null = if self.sign > 0.0 {
            Null::AtLeast
        } else {
            Null::AtMost
        };
        margin::promote_alternatives(self.guess + self.allowed(), self.target)
            .map(|theta| margin::log_e_against(null, pair, self.allowed(), theta, self.guess))
    }

    /// Rates at the boundary of the null, or further inside it by `inside` (positive: towards a better canary).
    fn rates(self, stable: f64, inside: f64) -> Option<Rates> {
        let canary = stable + self.allowed() - self.sign * inside;
        let possible = (0.0..=1.0).contains(&(stable + self.allowed()));
        possible.then_some(Rates {
            canary: canary.clamp(0.0, 1.0),
            stable,
        })
    }
}

fn bets() -> impl Strategy<Value = Bets> {
    let sign = prop_oneof![Just(1.0), Just(-1.0)];
    (0.0..0.3f64, sign, 0.0..1.0f64, 0.0..1.0f64).prop_map(|(margin, sign, guess, target)| Bets {
        margin,
        sign,
        guess,
        target,
    })
}

/// An engine with one labelled guardrail that knows enough of stable to bet.
fn learnt(higher_is_better: bool, margin: f64, kappa: f64, stable: (u64, u64)) -> Engine {
    let metric = Metric::Labelled {
        name: "outcome".to_owned(),
        higher_is_better,
        margin,
    };
    let guardrail = Guardrail {
        metric,
        on_breach: Action::Rollback,
        weight: None,
        required: true,
    };
    let settings = Settings {
        tolerances: vec![1.0, kappa],
        ..Settings::new(vec![guardrail])
    };
    let mut engine = Engine::new(settings).expect("valid settings");
    fold_labels(&mut engine, Pair::new(0, 0, stable.0, stable.1));
    engine
}

fn fold_labels(engine: &mut Engine, pair: Pair) {
    let slice = LabelSlice {
        epoch: 1,
        seconds: 1.0,
        pair,
        assigned: None,
    };
    engine.fold_labels(0, &slice);
}

fn any_pair() -> impl Strategy<Value = Pair> {
    (1u64..60, 1u64..60, 0.0..=1.0f64, 0.0..=1.0f64).prop_map(|(canary, stable, a, b)| {
        let part = |n: u64, share: f64| (n as f64 * share) as u64;
        Pair::new(part(canary, a), canary, part(stable, b), stable)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// After any history, over restarts and the burn-in, capped: the rollback wealth is expected to fall or stay.
    #[test]
    fn rollback_wealth_is_expected_to_fall_within_the_margin(
        bets in bets(), history in prop::collection::vec(any_pair(), 0..25),
        next in trials(), stable in 0.0..=1.0f64, inside in 0.0..0.5f64, muted in any::<bool>(),
    ) {
        let Some(rates) = bets.rates(stable, inside * inside) else { return Ok(()); };
        let mut wealth = RestartWealth::new([muted; 10]);
        history.iter().for_each(|pair| wealth.fold(&bets.rollback(*pair)));
        let fold = |wealth: &mut RestartWealth<10>, pair| wealth.fold(&bets.rollback(pair));
        let expected = mean(&wealth, &[(next, rates)], &fold, &|wealth| wealth.log_e(0));
        let now = wealth.log_e(0).exp();
        prop_assert!(expected <= now * (1.0 + ROUNDING), "{expected} {now}");
    }

    #[test]
    fn promotion_wealth_is_expected_to_fall_beyond_the_tolerance(
        bets in bets(), history in prop::collection::vec(any_pair(), 0..25),
        next in trials(), stable in 0.0..=1.0f64, beyond in 0.0..0.5f64,
    ) {
        let Some(rates) = bets.rates(stable, -beyond * beyond) else { return Ok(()); };
        let mut wealth = PlainWealth::default();
        history.iter().for_each(|pair| wealth.fold(&bets.promote(*pair)));
        let fold = |wealth: &mut PlainWealth<3>, pair| wealth.fold(&bets.promote(pair));
        let expected = mean(&wealth, &[(next, rates)], &fold, &|wealth| wealth.log_e(0));
        let now = wealth.log_e(0).exp();
        prop_assert!(expected <= now * (1.0 + ROUNDING), "{expected} {now}");
    }

    /// Against an absolute rate, both ways.
    #[test]
    fn wealth_against_a_limit_is_expected_to_fall(
        limit in 0.001..0.6f64, history in prop::collection::vec(any_pair(), 0..25),
        n in 1u64..12, part in 0.0..=1.0f64, target in 0.0..1.0f64,
    ) {
        let rollback = |pair: Pair| margin::rollback_alternatives(limit, 1.0)
            .map(|theta| margin::log_e_limit(pair.canary, limit, theta));
        let promote = |pair: Pair| margin::promote_alternatives(limit, target * limit)
            .map(|theta| margin::log_e_limit(pair.canary, limit, theta));
        let (mut worse, mut better) = (RestartWealth::new([false; 10]), PlainWealth::default());
        for pair in &history {
            worse.fold(&rollback(*pair));
            better.fold(&promote(*pair));
        }
        let trials = Trials { canary: n, stable: 0 };
        let keeps = Rates { canary: limit * part, stable: 0.0 };
        let expected = mean(&worse, &[(trials, keeps)], &|wealth, pair| wealth.fold(&rollback(pair)), &|wealth| wealth.log_e(0));
        prop_assert!(expected <= worse.log_e(0).exp() * (1.0 + ROUNDING));
        let breaks = Rates { canary: limit + (1.0 - limit) * part, stable: 0.0 };
        let expected = mean(&better, &[(trials, breaks)], &|wealth, pair| wealth.fold(&promote(pair)), &|wealth| wealth.log_e(0));
        prop_assert!(expected <= better.log_e(0).exp() * (1.0 + ROUNDING));
    }

    /// Tempered wealth is at most the root of the wealth itself, whatever happened: so reading any level, chosen from
    /// any data, cannot make false alarms more frequent.
    #[test]
    fn tempering_only_lowers(
        bets in bets(), history in prop::collection::vec(any_pair(), 1..60),
    ) {
        let (mut worse, mut better) = (RestartWealth::new([false; 10]), PlainWealth::default());
        for pair in &history {
            worse.fold(&bets.rollback(*pair));
            better.fold(&bets.promote(*pair));
        }
        for (level, temper) in TEMPERING.into_iter().enumerate() {
            prop_assert!(worse.log_e(level) <= worse.log_e(0) / temper + ROUNDING);
            prop_assert!(better.log_e(level) <= better.log_e(0) / temper + ROUNDING);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whole rollouts of four slices as the engine folds them, with a stable rate that jumps between slices.
    #[test]
    fn short_rollouts_have_mean_evidence_of_at_most_one(
        margin in 0.0..0.3f64, higher_is_better in any::<bool>(),
        stable in prop::array::uniform4(0.0..=1.0f64), inside in 0.0..0.4f64,
        sizes in prop::array::uniform4((1u64..3, 1u64..3)), kappa in 1.0..4.0f64,
        before in (0u64..=100, 100u64..200),
    ) {
        let sign = if higher_is_better { -1.0 } else { 1.0 };
        let engine = learnt(higher_is_better, margin, kappa, before);
        let slices = |harm: f64, inside: f64| -> Vec<(Trials, Rates)> {
            let slice = |((canary, n_stable), stable): ((u64, u64), f64)| {
                // Where the boundary is beyond 0 or 1, stable is moved so that it is possible.
                let from = if sign > 0.0 { 0.0 } else { harm };
                let stable: f64 = from + stable * (1.0 - harm);
                let rate = (stable + sign * (harm - inside)).clamp(0.0, 1.0);
                (Trials { canary, stable: n_stable }, Rates { canary: rate, stable })
            };
            sizes.into_iter().zip(stable).map(slice).collect()
        };
        let fold = |engine: &mut Engine, pair| fold_labels(engine, pair);
        let read = |engine: &Engine, kappa| engine.assess(kappa, 1, false).guardrails.remove(0);
        let rollback = |engine: &Engine| read(engine, 1.0).log_e_rollback;
        for inside in [0.0, inside] {
            let expected = mean(&engine, &slices(margin, inside), &fold, &rollback);
            prop_assert!(expected <= 1.0 + ROUNDING, "rollback: {expected}");
        }
        for kappa in [1.0, kappa] {
            let harm = (margin * kappa).min(0.99);
            let promote = |engine: &Engine| read(engine, kappa).log_e_promote;
            for beyond in [0.0, inside] {
                let expected = mean(&engine, &slices(harm, -beyond), &fold, &promote);
                prop_assert!(expected <= 1.0 + ROUNDING, "promote: {expected}");
            }
        }
    }

    /// The share asked, over slices of any size and of different shares: the mean is 1 and tempered less.
    #[test]
    fn the_sample_ratio_has_mean_one_under_the_share_asked(
        slices in prop::collection::vec((1u64..9, 0.01..0.99f64), 1..4), phi in 1.0..20.0f64,
    ) {
        fn mean(ratio: &SampleRatio, slices: &[(u64, f64)], phi: f64) -> f64 {
            let Some(((n, share), rest)) = slices.split_first() else {
                return ratio.log_e_tempered(phi).exp();
            };
            let each = (0..=*n).map(|canary| {
                let mut next = ratio.clone();
                next.fold(canary, n - canary, *share);
                binomial(canary, *n, *share) * mean(&next, rest, phi)
            });
            each.sum()
        }
        let exact = mean(&SampleRatio::default(), &slices, 1.0);
        prop_assert!((exact - 1.0).abs() < ROUNDING, "{exact}");
        prop_assert!(mean(&SampleRatio::default(), &slices, phi) <= 1.0 + ROUNDING);
    }
}
