//! How fast any test could be: `log(1/alpha)` over the information that arrives, section 9 of the decision engine's
//! design.

use crate::scenario::{Scenario, StableFields};

const ALPHA: f64 = 0.05;
/// The canary's share that the bound is for.
const SHARE: f64 = 0.05;
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// Lower bound, in seconds, on the expected time until a canary that is always bad is found, at a share of 5 % and by
/// the metric that shows it soonest; infinite if no metric does.
#[must_use]
pub fn oracle_seconds(scenario: &Scenario) -> f64 {
    let (stable, canary) = (&scenario.stable, &scenario.canary_fields());
    let margins = &scenario.margins;
    let mut found = vec![(information(canary.err, stable.err, margins.err), 0.0)];
    if let (Some(canary), Some(stable)) = (canary.acc, stable.acc) {
        let of_label = information(1.0 - canary, 1.0 - stable, margins.acc);
        found.push((of_label * scenario.label_fraction, scenario.label_delay));
    }
    if let (Some(canary), Some(stable)) = (canary.conv, stable.conv) {
        found.push((information(1.0 - canary, 1.0 - stable, margins.conv), 0.0));
    }
    let shape = |of: &StableFields| (of.lat_ms, of.tail, of.sigma);
    if shape(canary) != shape(stable) {
        found.push((latency_information(stable, canary, margins.lat_ratio), 0.0));
    }
    let seconds = |(nats, delay_s): (f64, f64)| {
        (nats > 1e-12).then(|| delay_s - ALPHA.ln() / (scenario.rate * nats))
    };
    found
        .into_iter()
        .filter_map(seconds)
        .fold(f64::INFINITY, f64::min)
}

/// Kullback-Leibler divergence of Bernoulli distributions in nats.
fn divergence(p: f64, q: f64) -> f64 {
    let inside = |p: f64| p.clamp(1e-12, 1.0 - 1e-12);
    let (p, q) = (inside(p), inside(q));
    p * (p / q).ln() + (1.0 - p) * ((1.0 - p) / (1.0 - q)).ln()
}

/// Nats per request against "the canary's rate is at most stable's plus the margin".
fn information(canary: f64, stable: f64, margin: f64) -> f64 {
    if canary <= stable + margin {
        return 0.0;
    }
    let (lowest, highest) = (stable.max(1e-9), (canary - margin).min(1.0 - 1e-9));
    let at =
        |p: f64| SHARE * divergence(canary, p + margin) + (1.0 - SHARE) * divergence(stable, p);
    minimum(at, lowest, highest)
}

/// The least value of a convex function, by golden section.
fn minimum(at: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    while high - low > 1e-11 {
        let (left, right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
        if at(left) < at(right) {
            high = right
        } else {
            low = left
        }
        if left >= right {
            break;
        }
    }
    at(0.5 * (low + high))
}

/// Densities of log latency relative to stable's median.
struct Axis;

impl Axis {
    const LOWEST: f64 = -4.0;
    const STEP: f64 = 0.002;
    const POINTS: usize = 6001;

    fn density(of: &StableFields, stable_ms: f64, shift: f64) -> Vec<f64> {
        let centre = (of.lat_ms / stable_ms).ln() + shift;
        let [slow, factor] = of.tail;
        let normal = |x: f64, centre: f64| {
            let z = (x - centre) / of.sigma;
            (-0.5 * z * z).exp() / (of.sigma * (2.0 * std::f64::consts::PI).sqrt())
        };
        let at = |x: f64| {
            let main = (1.0 - slow) * normal(x, centre);
            if slow > 0.0 {
                main + slow * normal(x, centre + factor.ln())
            } else {
                main
            }
        };
        (0..Self::POINTS)
            .map(|point| at(Self::LOWEST + Self::STEP * point as f64))
            .collect()
    }

    fn divergence(p: &[f64], q: &[f64]) -> f64 {
        let term = |(p, q): (&f64, &f64)| p * ((p + 1e-300) / (q + 1e-300)).ln();
        p.iter().zip(q).map(term).sum::<f64>() * Self::STEP
    }
}

/// Nats per request for one who knows the shapes: the nearest pair in which both variants are stable's shape moved by
/// any amount, and the canary's by up to `ratio` more.
fn latency_information(stable: &StableFields, canary: &StableFields, ratio: f64) -> f64 {
    let density = |of, shift| Axis::density(of, stable.lat_ms, shift);
    let (is_canary, is_stable) = (density(canary, 0.0), density(stable, 0.0));
    let mut least = f64::INFINITY;
    for moved in (0..64).map(|step| -0.05 + 1.05 * f64::from(step) / 63.0) {
        let of_stable = Axis::divergence(&is_stable, &density(stable, moved));
        for slower in (0..5).map(|step| ratio.ln() * f64::from(step) / 4.0) {
            let of_canary = Axis::divergence(&is_canary, &density(stable, moved + slower));
            least = least.min(SHARE * of_canary + (1.0 - SHARE) * of_stable);
        }
    }
    least.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[track_caller]
    fn check(fields: &str, expected: f64) {
        let text = format!(r#"{{"name": "b", "truth": "bad", {fields}}}"#);
        let scenario = Scenario::parse(&text, Path::new("b.json")).expect("valid");
        let seconds = oracle_seconds(&scenario);
        assert!(
            (seconds / expected - 1.0).abs() < 0.01,
            "{seconds} is not {expected}"
        );
    }

    /// Values of the reference.
    #[test]
    fn bounds_of_known_scenarios() {
        check(
            r#""rate": 300, "stable": {"err": 0.001}, "canary": {"err": 0.005}, "margins": {"err": 0.001}"#,
            131.0,
        );
        check(r#""canary": {"err": 1.0}"#, 0.055);
        check(r#""canary": {"tail": [0.02, 5.0]}"#, 6.382);
        check(
            r#""rate": 1000, "stable": {"conv": 0.1}, "canary": {"conv": 0.095}, "margins": {"conv": 0.001}"#,
            695.0,
        );
        check(
            r#""stable": {"acc": 0.92}, "canary": {"acc": 0.9}, "label_delay": 600, "label_fraction": 0.5"#,
            1309.0,
        );
    }

    #[test]
    fn what_no_metric_shows_is_never_found() {
        let scenario = Scenario::parse(r#"{"name": "b", "truth": "bad"}"#, Path::new("b.json"));
        assert_eq!(oracle_seconds(&scenario.expect("valid")), f64::INFINITY);
    }
}
