//! The e-value of one slice against the null "canary rate = stable rate + margin", section 2 of the
//! design.
//!
//! It extends the 2x2 e-variable of Turner, Ly and Gruenwald (2024) by an affine margin. For every
//! stable rate its mean under the null is at most 1, so nothing is assumed about how the stable
//! rate moves between slices.

use crate::counts::{Sum, Sums};
use crate::logs::{clip_rate, ln_each, sqrt};

/// How far the boundary point and the stable alternative stay from 0 and 1.
const EDGE: f64 = 1e-9;
/// Log-odds tilts of the rollback alternatives.
pub const ROLLBACK_TILTS: [f64; 10] = [0.05, 0.085, 0.15, 0.25, 0.4, 0.7, 1.2, 2.0, 3.5, 6.0];
/// What each of [`ROLLBACK_TILTS`] multiplies the odds by, `exp(tilt)`: bets need no exponential per slice.
const ROLLBACK_FACTORS: [f64; 10] = [
    1.0512710963760241,
    1.0887170666983987,
    1.161834242728283,
    1.2840254166877414,
    1.4918246976412703,
    2.0137527074704766,
    3.3201169227365472,
    7.38905609893065,
    33.11545195869231,
    403.4287934927351,
];
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

/// The boundary points of the null that are hardest to tell from each alternative, and the alternatives: as the
/// ratios of probabilities that bets pay.
///
/// All bets on one slice are computed together because the logarithms, which are most of the work, then run side by
/// side.
struct Bets<const J: usize> {
    canary_event: [f64; J],
    canary_other: [f64; J],
    stable_event: [f64; J],
    stable_other: [f64; J],
    /// A bet that is impossible, or on the null's own side of the boundary, is not made: its ratios are 1.
    null: Option<Null>,
}

impl<const J: usize> Bets<J> {
    fn new(null: Option<Null>) -> Self {
        Self {
            canary_event: [1.0; J],
            canary_other: [1.0; J],
            stable_event: [1.0; J],
            stable_other: [1.0; J],
            null,
        }
    }

    fn place(&mut self, sums: Sums, margin: f64, alternatives: &[f64; J], stable_guess: f64) {
        let lowest = (-margin).max(0.0) + EDGE;
        let highest = (1.0 - margin).min(1.0) - EDGE;
        if !sums.has_both() || lowest > highest {
            return;
        }
        let (n_canary, n_stable) = (sums.canary.n, sums.stable.n);
        let share = n_canary / (n_canary + n_stable);
        let odds = n_canary / n_stable;
        for (index, &alternative) in alternatives.iter().enumerate() {
            let guess = share * (alternative - margin) + (1.0 - share) * stable_guess;
            let stable_null = guess.clamp(lowest, highest);
            let canary_null = stable_null + margin;
            let tilt = (alternative - canary_null) / (canary_null * (1.0 - canary_null));
            let stable_alternative = stable_null - odds * tilt * stable_null * (1.0 - stable_null);
            let possible = alternative > 0.0 && alternative < 1.0;
            let inside = stable_alternative > EDGE && stable_alternative < 1.0 - EDGE;
            let allowed = self
                .null
                .is_none_or(|null| null.allows(canary_null, alternative));
            if possible && inside && allowed {
                self.canary_event[index] = alternative / canary_null;
                self.canary_other[index] = (1.0 - alternative) / (1.0 - canary_null);
                self.stable_event[index] = stable_alternative / stable_null;
                self.stable_other[index] = (1.0 - stable_alternative) / (1.0 - stable_null);
            }
        }
    }

    fn log_e(&self, sums: Sums) -> [f64; J] {
        let canary = log_likelihood_ratios(sums.canary, self.canary_event, self.canary_other);
        let stable = log_likelihood_ratios(sums.stable, self.stable_event, self.stable_other);
        std::array::from_fn(|index| canary[index] + stable[index])
    }
}

/// `x ln(event) + (n - x) ln(other)` for each pair of ratios.
fn log_likelihood_ratios<const J: usize>(sum: Sum, event: [f64; J], other: [f64; J]) -> [f64; J] {
    let Sum { x, n } = sum;
    let others = ln_each(other);
    if x == 0.0 {
        return others.map(|other| n * other);
    }
    let events = ln_each(event);
    std::array::from_fn(|index| x * events[index] + (n - x) * others[index])
}

/// Log e-value of one slice at the boundary `p_C = p_S + margin`.
///
/// `alternative` is the canary rate bet on: above `stable_guess + margin` it tests
/// [`Null::AtMost`], below it [`Null::AtLeast`]. Both it and `stable_guess` must be known before
/// the slice. A wrong guess costs power, never validity. Values between 0 and 1 keep it valid: by
/// convexity they only lower the mean of the e-value. Degenerate inputs give 0 (an e-value of 1).
pub fn log_e(sums: impl Into<Sums>, margin: f64, alternative: f64, stable_guess: f64) -> f64 {
    bet_on(None, sums.into(), margin, [alternative], stable_guess)[0]
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
    log_e_each(null, sums, margin, [alternative], stable_guess)[0]
}

/// [`log_e_against`] for several alternatives at once.
pub fn log_e_each<const J: usize>(
    null: impl Into<Option<Null>>,
    sums: impl Into<Sums>,
    margin: f64,
    alternatives: [f64; J],
    stable_guess: f64,
) -> [f64; J] {
    bet_on(null.into(), sums.into(), margin, alternatives, stable_guess)
}

fn bet_on<const J: usize>(
    null: Option<Null>,
    sums: Sums,
    margin: f64,
    alternatives: [f64; J],
    stable_guess: f64,
) -> [f64; J] {
    let mut bets = Bets::new(null);
    bets.place(sums, margin, &alternatives, stable_guess);
    bets.log_e(sums)
}

/// Log e-value of one variant against an absolute rate `limit` (a service level objective).
///
/// `alternative > limit` tests "the rate is at most `limit`", `alternative < limit` the other way.
pub fn log_e_limit(sum: impl Into<Sum>, limit: f64, alternative: f64) -> f64 {
    log_e_limit_each(sum, limit, [alternative])[0]
}

/// [`log_e_limit`] for several alternatives at once.
pub fn log_e_limit_each<const J: usize>(
    sum: impl Into<Sum>,
    limit: f64,
    alternatives: [f64; J],
) -> [f64; J] {
    let event = alternatives.map(|alternative| alternative / limit);
    let other = alternatives.map(|alternative| (1.0 - alternative) / (1.0 - limit));
    log_likelihood_ratios(sum.into(), event, other)
}

/// The alternatives bet on against the boundary rate: its log-odds moved by `sign` times each
/// rollback tilt.
pub fn rollback_alternatives(boundary: f64, sign: f64) -> [f64; 10] {
    let odds = odds(clip_rate(boundary));
    ROLLBACK_FACTORS.map(|factor| {
        rate(if sign >= 0.0 {
            odds * factor
        } else {
            odds / factor
        })
    })
}

/// The alternatives bet on when the canary is expected at `target`: on the way from the boundary
/// and beyond it, the log-odds of the boundary moved by [`PROMOTE_TILTS`] times the distance.
pub fn promote_alternatives(boundary: f64, target: f64) -> [f64; 3] {
    let (boundary, target) = (odds(clip_rate(boundary)), odds(clip_rate(target)));
    let odds = [
        sqrt(boundary * target),
        target,
        target * (target / boundary),
    ];
    odds.map(rate)
}

fn odds(rate: f64) -> f64 {
    rate / (1.0 - rate)
}

fn rate(odds: f64) -> f64 {
    odds / (1.0 + odds)
}

#[cfg(test)]
mod tests;
