//! How much evidence is missing until a guardrail can be expected to be SAFE, section 10 of the
//! design.

use crate::assessment::Missing;
use crate::information::boundary_information;
use crate::logs::ln;
use crate::traffic::Traffic;
use crate::wealth::CAP;

/// Longer than this is "not to be expected".
const MOST_UNITS: f64 = 1e12;

/// What the remaining evidence depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outlook {
    /// Log wealth of the best promotion bet, and the variance inflation by which its growth is
    /// divided.
    pub(crate) best: (f64, f64),
    /// The level to reach, `log(1 / beta)`.
    pub(crate) threshold: f64,
    /// Best growth, nats per unit of either variant.
    pub(crate) information: f64,
}

impl Outlook {
    /// Further units of both variants together; none if the canary seems to be beyond what is
    /// tolerated.
    pub(crate) fn missing(&self, traffic: &Traffic) -> Option<Missing> {
        let (best, temper) = self.best;
        if self.information.is_nan() || self.information <= 0.0 {
            return None;
        }
        // The wealth is a mean over three bets: the best one must reach three times the threshold.
        let nats = temper * (self.threshold + ln(3.0) - best).max(0.0);
        let capped = (nats / CAP).ceil() * traffic.per_slice();
        let requests = (nats / self.information).max(capped);
        let seconds = traffic.per_second().map(|rate| requests / rate);
        (requests < MOST_UNITS).then_some(Missing { requests, seconds })
    }
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
            best: (best, phi),
            threshold: ln(20.0),
            information,
        }
    }

    #[test]
    fn it_is_the_planning_formula() {
        let information = towards_safe(0.01, 0.0, 0.01, 0.1);
        let missing = outlook(0.0, 1.0, information).missing(&traffic()).unwrap();
        let planned = (ln(20.0) + ln(3.0)) / information;
        assert!((missing.requests - planned).abs() < 1e-6);
        assert!((missing.seconds.unwrap() - planned / 1000.0).abs() < 1e-6);
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
