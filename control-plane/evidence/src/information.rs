//! How fast evidence can grow at best: nats per trial, sections 9 and 10 of the design.

use crate::logs::ln;

const EDGE: f64 = 1e-9;

/// Kullback-Leibler divergence between Bernoulli rates, in nats.
pub fn bernoulli_divergence(p: f64, q: f64) -> f64 {
    let p = p.clamp(1e-12, 1.0 - 1e-12);
    let q = q.clamp(1e-12, 1.0 - 1e-12);
    p * ln(p / q) + (1.0 - p) * ln((1.0 - p) / (1.0 - q))
}

/// `min over p of w KL(canary || p + margin) + (1 - w) KL(stable || p)`, nats per trial of either
/// variant.
///
/// It bounds the growth of any test of the boundary `p_C = p_S + margin` when the true rates are
/// `canary` and `stable` and the canary gets the share `w` of the trials.
pub fn boundary_information(canary: f64, stable: f64, margin: f64, share: f64) -> f64 {
    let (lowest, highest) = ((-margin).max(0.0) + EDGE, (1.0 - margin).min(1.0) - EDGE);
    if lowest > highest {
        return 0.0;
    }
    let ends = (canary - margin, stable);
    let mut low = ends.0.min(ends.1).clamp(lowest, highest);
    let mut high = ends.0.max(ends.1).clamp(lowest, highest);
    let slope = |truth: f64, p: f64| (1.0 - truth) / (1.0 - p) - truth / p;
    // The objective is convex in p, so its slope has one zero; 100 halvings exhaust the precision.
    for _ in 0..100 {
        let p = 0.5 * (low + high);
        if share * slope(canary, p + margin) + (1.0 - share) * slope(stable, p) < 0.0 {
            low = p;
        } else {
            high = p;
        }
    }
    let p = 0.5 * (low + high);
    share * bernoulli_divergence(canary, p + margin)
        + (1.0 - share) * bernoulli_divergence(stable, p)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_boundary_point_is_closer(
            canary in 0.001..0.999f64, stable in 0.001..0.999f64,
            margin in -0.2..0.2f64, share in 0.01..0.99f64, point in 0.0..1.0f64,
        ) {
            let lowest = (-margin).max(0.0) + EDGE;
            let highest = (1.0 - margin).min(1.0) - EDGE;
            let p = lowest + point * (highest - lowest);
            let there = share * bernoulli_divergence(canary, p + margin)
                + (1.0 - share) * bernoulli_divergence(stable, p);
            let best = boundary_information(canary, stable, margin, share);
            prop_assert!(best <= there + 1e-12);
            prop_assert!(best >= -1e-12);
        }
    }

    #[test]
    fn on_the_boundary_there_is_nothing_to_learn() {
        assert!(boundary_information(0.03, 0.01, 0.02, 0.3) < 1e-15);
    }

    #[test]
    fn small_effects_follow_the_quadratic_formula() {
        let (p, share, effect) = (0.1, 0.3, 0.001);
        let quadratic = share * (1.0 - share) * effect * effect / (2.0 * p * (1.0 - p));
        let exact = boundary_information(p, p, effect, share);
        assert!(
            (exact / quadratic - 1.0).abs() < 0.02,
            "{exact} {quadratic}"
        );
    }
}
