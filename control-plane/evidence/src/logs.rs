//! Logarithms and log-odds from `libm`, so that every machine gets the same bits.

pub(crate) use libm::{exp, log as ln, log1p, sqrt};

/// Rates are kept this far from 0 and 1 before their log-odds are taken.
const RATE_FLOOR: f64 = 1e-6;

/// ln 2 in two parts, the first with enough zeros at its end that its multiples are exact.
const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// Log-odds of a rate strictly between 0 and 1.
pub(crate) fn logit(p: f64) -> f64 {
    ln(p) - log1p(-p)
}

/// The rate that has the given log-odds.
pub(crate) fn expit(x: f64) -> f64 {
    1.0 / (1.0 + exp(-x))
}

/// The rate, moved into `[1e-6, 1 - 1e-6]`.
pub(crate) fn clip_rate(p: f64) -> f64 {
    p.clamp(RATE_FLOOR, 1.0 - RATE_FLOOR)
}

/// [`ln`] of several numbers, the same bits, in less time: without branches the compiler works on several at once.
pub(crate) fn ln_each<const N: usize>(values: [f64; N]) -> [f64; N] {
    let normal = f64::MIN_POSITIVE..f64::INFINITY;
    // Without `all`, which would branch at each.
    let normal = values
        .iter()
        .fold(true, |all, value| all & normal.contains(value));
    if normal {
        values.map(ln_of_normal)
    } else {
        values.map(ln)
    }
}

/// The natural logarithm of a positive, normal, finite number by the method of FreeBSD's `e_log.c`, step by step as
/// `libm` does it, so that the bits agree: x = 2^k (1 + f), and an odd polynomial in s = f / (2 + f) for log(1 + f).
#[inline(always)]
#[expect(
    clippy::excessive_precision,
    reason = "the constants as they are published"
)]
fn ln_of_normal(x: f64) -> f64 {
    const SQRT_HALF_HIGH: u32 = 0x3fe6_a09e;
    const ONE_HIGH: u32 = 0x3ff0_0000;
    const EVEN: [f64; 3] = [
        3.999999999940941908e-01,
        2.222219843214978396e-01,
        1.531383769920937332e-01,
    ];
    const ODD: [f64; 4] = [
        6.666666666666735130e-01,
        2.857142874366239149e-01,
        1.818357216161805012e-01,
        1.479819860511658591e-01,
    ];
    let bits = x.to_bits();
    let high = ((bits >> 32) as u32).wrapping_add(ONE_HIGH - SQRT_HALF_HIGH);
    let exponent = f64::from((high >> 20) as i32 - 0x3ff);
    let reduced = u64::from((high & 0x000f_ffff) + SQRT_HALF_HIGH) << 32 | (bits & 0xffff_ffff);
    let f = f64::from_bits(reduced) - 1.0;
    let half_square = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w * (EVEN[0] + w * (EVEN[1] + w * EVEN[2]));
    let odd = z * (ODD[0] + w * (ODD[1] + w * (ODD[2] + w * ODD[3])));
    s * (half_square + (odd + even)) + exponent * LN2_LOW - half_square + f + exponent * LN2_HIGH
}

/// `log(exp(a) + exp(b))` without overflow.
pub(crate) fn log_add_exp(a: f64, b: f64) -> f64 {
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    // Below exp(-40) the smaller term is lost in rounding.
    if high - low > 40.0 || low == f64::NEG_INFINITY {
        return high;
    }
    high + log1p(exp(low - high))
}

/// `log(mean(exp(values)))`, negative infinity if every value is (or there is none).
pub(crate) fn log_mean_exp(values: &[f64]) -> f64 {
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if highest == f64::NEG_INFINITY {
        return highest;
    }
    let sum: f64 = values.iter().map(|value| exp(value - highest)).sum();
    highest + ln(sum / values.len() as f64)
}

/// `log(sum(weight * exp(value)))` over pairs `(weight, value)` with weights >= 0.
pub(crate) fn log_weighted_sum(terms: &[(f64, f64)]) -> f64 {
    terms
        .iter()
        .filter(|(weight, _)| *weight > 0.0)
        .map(|(weight, value)| ln(*weight) + value)
        .fold(f64::NEG_INFINITY, log_add_exp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sums_survive_infinities() {
        let nothing = f64::NEG_INFINITY;
        assert_eq!(log_add_exp(nothing, nothing), nothing);
        assert_eq!(log_add_exp(nothing, -3.0), -3.0);
        assert_eq!(log_mean_exp(&[nothing, nothing]), nothing);
        assert_eq!(log_mean_exp(&[]), nothing);
        assert_eq!(log_weighted_sum(&[]), nothing);
    }

    #[test]
    fn sums_are_what_they_say() {
        assert!((log_add_exp(ln(2.0), ln(3.0)) - ln(5.0)).abs() < 1e-15);
        assert!((log_add_exp(700.0, 710.0) - (710.0 + log1p(exp(-10.0)))).abs() < 1e-12);
        assert!((log_mean_exp(&[ln(1.0), ln(2.0), ln(6.0)]) - ln(3.0)).abs() < 1e-15);
        let sum = log_weighted_sum(&[(0.25, ln(4.0)), (0.75, ln(8.0)), (0.0, 900.0)]);
        assert!((sum - ln(7.0)).abs() < 1e-15);
    }

    proptest! {
        #[test]
        fn logarithms_side_by_side_have_the_same_bits(bits in prop::array::uniform8(any::<u64>())) {
            let values = bits.map(f64::from_bits);
            for (one, each) in values.map(ln).into_iter().zip(ln_each(values)) {
                prop_assert_eq!(one.to_bits(), each.to_bits());
            }
            let near = bits.map(|bits| 0.5 + (bits >> 11) as f64 / (1u64 << 53) as f64);
            for (one, each) in near.map(ln).into_iter().zip(ln_each(near)) {
                prop_assert_eq!(one.to_bits(), each.to_bits());
            }
        }
    }

    #[test]
    fn logarithms_of_special_numbers_have_the_same_bits() {
        let values = [
            1.0,
            0.5,
            2.0,
            f64::MIN_POSITIVE,
            f64::MAX,
            1.0 + f64::EPSILON,
        ];
        assert_eq!(
            values.map(ln).map(f64::to_bits),
            ln_each(values).map(f64::to_bits)
        );
        let special = [0.0, -1.0, f64::INFINITY, f64::NAN, 5e-324, -0.0];
        assert_eq!(
            special.map(ln).map(f64::to_bits),
            ln_each(special).map(f64::to_bits)
        );
    }

    #[test]
    fn log_odds_invert() {
        for p in [1e-6, 0.01, 0.5, 0.999] {
            assert!((expit(logit(p)) - p).abs() < 1e-15);
        }
        assert_eq!(clip_rate(-1.0), 1e-6);
        assert_eq!(clip_rate(2.0), 1.0 - 1e-6);
    }
}
