//! The e-value of one slice against the null "canary rate = stable rate + margin", section 2 of the
//! design.
//!
//! It extends the 2x2 e-variable of Turner, Ly and Gruenwald (2024) by an affine margin. For every
//! stable rate its mean under the null is at most 1, so nothing is assumed about how the stable
//! rate moves between slices.

use crate::counts::{Sum, Sums};
use crate::logs::{clip_rate, expit, ln, logit};

/// How far the boundary point and the stable alternative stay from 0 and 1.
const EDGE: f64 = 1e-9;
/// Log-odds tilts of the rollback alternatives.
pub const ROLLBACK_TILTS: [f64; 10] = [0.05, 0.085, 0.15, 0.25, 0.4, 0.7, 1.2, 2.0, 3.5, 6.0];
/// Tilts of the promotion alternatives, as multiples of the predicted distance to the boundary.
pub const PROMOTE_TILTS: [f64; 3] = [0.5, 1.0, 2.0];

/// The set of canary rates `p_C` that an e-value tests, relative to `p_S + margin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Null {
    /// `p_C <= p_S + margin`; the alternative lies above.
    AtMost,
    /// `p_C >= p_S + margin`; the alternative lies below.
    AtLeast,
}

impl Null {
    fn allows(self, boundary: f64, alternative: f64) -> bool {
        match self {
            Self::AtMost => alternative > boundary,
            Self::AtLeast => alternative < boundary,
        }
    }
}

/// The boundary point of the null that is hardest to tell from the alternative, and the alternative
/// itself.
struct Bet {
    canary_null: f64,
    canary_alternative: f64,
    stable_null: f64,
    stable_alternative: f64,
}

impl Bet {
    fn new(sums: Sums, margin: f64, alternative: f64, stable_guess: f64) -> Option<Self> {
        let possible = alternative > 0.0 && alternative < 1.0;
        if !sums.has_both() || !possible {
            return None;
        }
        let (n_canary, n_stable) = (sums.canary.n, sums.stable.n);
        let share = n_canary / (n_canary + n_stable);
        let lowest = (-margin).max(0.0) + EDGE;
        let highest = (1.0 - margin).min(1.0) - EDGE;
        if lowest > highest {
            return None;
        }
        let guess = share * (alternative - margin) + (1.0 - share) * stable_guess;
        let stable_null = guess.clamp(lowest, highest);
        let canary_null = stable_null + margin;
        let tilt = (alternative - canary_null) / (canary_null * (1.0 - canary_null));
        let stable_alternative =
            stable_null - n_canary / n_stable * tilt * stable_null * (1.0 - stable_null);
        let inside = stable_alternative > EDGE && stable_alternative < 1.0 - EDGE;
        inside.then_some(Self {
            canary_null,
            canary_alternative: alternative,
            stable_null,
            stable_alternative,
        })
    }

    fn log_e(&self, sums: Sums) -> f64 {
        log_likelihood_ratio(sums.canary, self.canary_alternative, self.canary_null)
            + log_likelihood_ratio(sums.stable, self.stable_alternative, self.stable_null)
    }
}

fn log_likelihood_ratio(sum: Sum, alternative: f64, null: f64) -> f64 {
    let Sum { x, n } = sum;
    x * ln(alternative / null) + (n - x) * ln((1.0 - alternative) / (1.0 - null))
}

/// Log e-value of one slice at the boundary `p_C = p_S + margin`.
///
/// `alternative` is the canary rate bet on: above `stable_guess + margin` it tests
/// [`Null::AtMost`], below it [`Null::AtLeast`]. Both it and `stable_guess` must be known before
/// the slice. A wrong guess costs power, never validity. Values between 0 and 1 keep it valid: by
/// convexity they only lower the mean of the e-value. Degenerate inputs give 0 (an e-value of 1).
pub fn log_e(sums: impl Into<Sums>, margin: f64, alternative: f64, stable_guess: f64) -> f64 {
    let sums = sums.into();
    Bet::new(sums, margin, alternative, stable_guess).map_or(0.0, |bet| bet.log_e(sums))
}

/// [`log_e`], but 0 where the alternative lies on the null's own side of the boundary.
///
/// That happens when a predicted rate is at the edge of its range, or when a predicted alternative
/// is no better than the null. The e-value would then prove the opposite of what it is read as. Without a null it is
/// [`log_e`] itself.
pub fn log_e_against(
    null: impl Into<Option<Null>>,
    sums: impl Into<Sums>,
    margin: f64,
    alternative: f64,
    stable_guess: f64,
) -> f64 {
    let (sums, null) = (sums.into(), null.into());
    Bet::new(sums, margin, alternative, stable_guess)
        .filter(|bet| null.is_none_or(|null| null.allows(bet.canary_null, alternative)))
        .map_or(0.0, |bet| bet.log_e(sums))
}

/// Log e-value of one variant against an absolute rate `limit` (a service level objective).
///
/// `alternative > limit` tests "the rate is at most `limit`", `alternative < limit` the other way.
pub fn log_e_limit(sum: impl Into<Sum>, limit: f64, alternative: f64) -> f64 {
    log_likelihood_ratio(sum.into(), alternative, limit)
}

/// The alternatives bet on against the boundary rate: its log-odds moved by `sign` times each
/// rollback tilt.
pub fn rollback_alternatives(boundary: f64, sign: f64) -> [f64; 10] {
    let centre = logit(clip_rate(boundary));
    ROLLBACK_TILTS.map(|tilt| expit(centre + sign * tilt))
}

/// The alternatives bet on when the canary is expected at `target`: on the way from the boundary
/// and beyond it.
pub fn promote_alternatives(boundary: f64, target: f64) -> [f64; 3] {
    let centre = logit(clip_rate(boundary));
    let distance = logit(clip_rate(target)) - centre;
    PROMOTE_TILTS.map(|tilt| expit(centre + tilt * distance))
}

#[cfg(test)]
mod tests;
