//! How much evidence is missing until a guardrail can be expected to be SAFE, section 10 of the
//! design.

use crate::assessment::Missing;
use crate::information::boundary_information;
use crate::logs::{clip_rate, ln, log_mean_exp, logit};
use crate::margin::PROMOTE_TILTS;
use crate::traffic::Traffic;
use crate::wealth::CAP;

/// Longer than this is "not to be expected".
const MOST_UNITS: f64 = 1e12;
/// Halvings of the interval in which the growth that is needed lies.
const HALVINGS: u32 = 10;
/// Evidence is a random walk whose variance is twice its growth. The median of the time at which such a walk with `b`
/// nats to go arrives is `b / (b + 0.95)` times the mean, within 1 % (inverse Gaussian distribution).
const LUCK: f64 = 0.95;

/// What the remaining evidence depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outlook {
    /// Log wealth of each promotion bet, and the variance inflation by which its growth is divided.
    pub(crate) bets: ([f64; 3], f64),
    /// The level to reach, `log(1 / beta)`.
    pub(crate) threshold: f64,
    /// Best growth, nats per unit of either variant.
    pub(crate) information: f64,
    /// The tilt that would grow best, in units of [`PROMOTE_TILTS`]: 1 if the canary is where it was expected, less if
    /// it is nearer to the boundary.
    pub(crate) best_tilt: f64,
}

impl Outlook {
    /// Further units of both variants together, in the median; none if the canary seems to be beyond what is tolerated.
    pub(crate) fn missing(&self, traffic: &Traffic) -> Option<Missing> {
        let (bets, temper) = self.bets;
        if self.information.is_nan() || self.information <= 0.0 {
            return None;
        }
        let growth = self.needed_growth()?;
        let nats = (self.threshold - log_mean_exp(&bets)).max(0.0);
        let expected = temper * growth / self.information * (nats / (nats + LUCK));
        let capped = (temper * nats / CAP).ceil() * traffic.per_slice();
        let requests = expected.max(capped);
        let seconds = traffic.per_second().map(|rate| requests / rate);
        (requests < MOST_UNITS).then_some(Missing {
            requests,
            seconds,
            noise: temper,
        })
    }

    /// How much the best bet must grow for the mean over the bets to reach the threshold; none if every bet shrinks.
    ///
    /// A bet at `r` times the best tilt grows `2 r - r^2` times as fast (the quadratic approximation of its growth).
    fn needed_growth(&self) -> Option<f64> {
        let (bets, _) = self.bets;
        let rates = PROMOTE_TILTS.map(|tilt| {
            let relative = tilt / self.best_tilt;
            relative * (2.0 - relative)
        });
        let after = |growth: f64| {
            let mut grown = bets;
            for (log, rate) in grown.iter_mut().zip(rates) {
                *log += rate * growth;
            }
            log_mean_exp(&grown)
        };
        let all = bets.len() as f64;
        // One bet alone gets there with this much growth.
        let alone = |(log, rate): (&f64, f64)| (self.threshold + ln(all) - log) / rate;
        let mut most = bets
            .iter()
            .zip(rates)
            .filter(|(_, rate)| *rate > 0.0)
            .map(alone)
            .filter(|growth| growth.is_finite())
            .fold(f64::INFINITY, f64::min)
            .max(0.0);
        if most.is_infinite() {
            return None;
        }
        let mut least = 0.0;
        for _ in 0..HALVINGS {
            let middle = 0.5 * (least + most);
            if after(middle) < self.threshold {
                least = middle;
            } else {
                most = middle;
            }
        }
        Some(most)
    }
}

/// The tilt that would grow best for a canary at rate `canary`, if bets run from `boundary` towards `target`.
pub(crate) fn best_tilt(boundary: f64, target: f64, canary: f64) -> f64 {
    let place = |rate| logit(clip_rate(rate));
    let boundary = place(boundary);
    (place(canary) - boundary) / (place(target) - boundary)
}

/// Nats per unit against "worse than stable by `harm` or more" (signed), if the canary really
/// differs by `difference`; 0 if that is no better than `harm` itself.
pub(crate) fn towards_safe(stable: f64, difference: f64, harm: f64, share: f64) -> f64 {
    let inside = |rate: f64| rate.clamp(1e-6, 1.0 - 1e-6);
    let beyond = if harm >= 0.0 {
        difference >= harm
    } else {
        difference <= harm
    };
    if beyond {
        return 0.0;
    }
    boundary_information(inside(stable + difference), inside(stable), harm, share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Pair;

    fn traffic() -> Traffic {
        let mut traffic = Traffic::default();
        traffic.fold(1, 1.0, Pair::new(0, 100, 0, 900));
        traffic
    }

    fn outlook(best: f64, phi: f64, information: f64) -> Outlook {
        Outlook {
            bets: ([best; 3], phi),
            threshold: ln(20.0),
            information,
            best_tilt: 1.0,
        }
    }

    /// The planning formula takes the mean time of one of three bets; the median of all three is shorter.
    #[test]
    fn it_is_close_to_the_planning_formula() {
        let information = towards_safe(0.01, 0.0, 0.01, 0.1);
        let missing = outlook(0.0, 1.0, information).missing(&traffic()).unwrap();
        let planned = (ln(20.0) + ln(3.0)) / information;
        let part = missing.requests / planned;
        assert!((0.6..0.8).contains(&part), "{part}");
        assert!((missing.seconds.unwrap() - missing.requests / 1000.0).abs() < 1e-6);
    }

    /// The bets in a row, each leading in turn: the one that grows must carry the mean to the threshold.
    #[test]
    fn the_growth_needed_is_that_of_the_mean_over_the_bets() {
        for bets in [
            [0.0, 0.0, 0.0],
            [2.0, 0.0, -9.0],
            [-5.0, 1.0, 2.9],
            [-50.0, -50.0, 3.5],
        ] {
            for best_tilt in [0.3, 0.6, 1.0, 2.0] {
                let mut outlook = outlook(0.0, 1.0, 1.0);
                (outlook.bets.0, outlook.best_tilt) = (bets, best_tilt);
                let growth = outlook.needed_growth().unwrap();
                let grown: Vec<f64> = bets
                    .iter()
                    .zip(PROMOTE_TILTS)
                    .map(|(log, tilt)| {
                        let r = tilt / best_tilt;
                        log + growth * (2.0 * r - r * r)
                    })
                    .collect();
                let reached = log_mean_exp(&grown);
                assert!(
                    (reached - ln(20.0)).abs() < 0.02,
                    "{bets:?} {best_tilt}: {reached}"
                );
            }
        }
    }

    #[test]
    fn where_every_bet_loses_nothing_is_promised() {
        let mut outlook = outlook(0.0, 1.0, 1e-4);
        for best_tilt in [0.2, 0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
            outlook.best_tilt = best_tilt;
            assert_eq!(outlook.missing(&traffic()), None, "{best_tilt}");
        }
    }

    #[test]
    fn noise_makes_it_longer_and_evidence_shorter() {
        let requests = |best, phi| {
            outlook(best, phi, 1e-4)
                .missing(&traffic())
                .unwrap()
                .requests
        };
        assert!(requests(0.0, 4.0) > 3.9 * requests(0.0, 1.0));
        assert!(requests(2.0, 1.0) < requests(0.0, 1.0));
        assert_eq!(
            outlook(0.0, 4.0, 1e-4).missing(&traffic()).unwrap().noise,
            4.0
        );
    }

    #[test]
    fn a_canary_beyond_the_tolerance_never_gets_there() {
        assert_eq!(towards_safe(0.01, 0.02, 0.01, 0.1), 0.0);
        assert_eq!(towards_safe(0.9, -0.02, -0.01, 0.1), 0.0);
        assert_eq!(outlook(0.0, 1.0, 0.0).missing(&traffic()), None);
    }

    #[test]
    fn one_slice_cannot_give_everything() {
        let missing = outlook(0.0, 1.0, 100.0).missing(&traffic()).unwrap();
        assert!((missing.requests - 2000.0).abs() < 1e-9);
    }
}
