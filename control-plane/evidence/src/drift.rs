//! Do the canary's scores have another distribution than stable's? Section 11 of the design.
//!
//! A new model is supposed to differ, so this never rolls back: it says that the shape changed and, with the population
//! stability index, by how much.

use crate::assessment::DriftAssessment;
use crate::counts::{Counts, Pair, ScoreSlice, Sums};
use crate::dispersion::Dispersion;
use crate::histogram::{Histogram, Tail, Threshold};
use crate::logs::{ln, log_mean_exp};
use crate::margin::{self, Null};
use crate::process::{rollback_level, rollback_wealth};
use crate::stable_rate::DISCOUNT;
use crate::wealth::RestartWealth;

/// Thresholds, at stable's deciles.
const DECILES: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
/// With fewer stable scores the deciles are unknown.
const FEWEST: f64 = 100.0;
/// Added to each cell of the stability index, so that an empty one does not make it infinite.
const HALF: f64 = 0.5;

/// More or fewer scores of the canary than of stable beyond one threshold.
#[derive(Clone, Debug)]
struct Decile {
    more: RestartWealth<10>,
    fewer: RestartWealth<10>,
    dispersion: Dispersion,
}

crate::state::state!(Decile {
    more,
    fewer,
    dispersion
});

impl Decile {
    fn new() -> Self {
        Self {
            more: rollback_wealth(),
            fewer: rollback_wealth(),
            dispersion: Dispersion::default(),
        }
    }

    fn fold(&mut self, sums: Sums, guess: f64) {
        let bets = |null, sign| {
            margin::rollback_alternatives(guess, sign)
                .map(|theta| margin::log_e_against(null, sums, 0.0, theta, guess))
        };
        self.more.fold(&bets(Null::AtMost, 1.0));
        self.fewer.fold(&bets(Null::AtLeast, -1.0));
        self.dispersion.fold(sums);
    }

    fn log_e(&self) -> f64 {
        let level = rollback_level(self.dispersion.phi());
        log_mean_exp(&[self.more.log_e(level), self.fewer.log_e(level)])
    }
}

/// Evidence that the shape of the scores changed.
#[derive(Clone, Debug)]
pub struct ScoreDrift {
    history: Histogram,
    deciles: Vec<Decile>,
    /// Scores of canary and stable between the deciles, weighted alike over slices.
    cells: [(f64, f64); DECILES.len() + 1],
    total: Pair,
}

crate::state::state!(ScoreDrift { history, cells, total } each { deciles });

impl Default for ScoreDrift {
    fn default() -> Self {
        Self {
            history: Histogram::default(),
            deciles: DECILES.map(|_| Decile::new()).to_vec(),
            cells: [(0.0, 0.0); DECILES.len() + 1],
            total: Pair::default(),
        }
    }
}

impl ScoreDrift {
    /// Takes one slice of scores; until stable's deciles are known it only learns them.
    pub fn fold(&mut self, slice: &ScoreSlice) {
        let canary = Histogram::from_sparse(&slice.canary).tail();
        let stable = Histogram::from_sparse(&slice.stable);
        let stable_tail = stable.tail();
        let history = self.history.tail();
        if history.total() >= FEWEST {
            self.compare(&history, &canary, &stable_tail);
        }
        self.history.discount_and_add(DISCOUNT, &stable, 1.0);
        let count = |tail: &Tail| Counts {
            x: 0,
            n: tail.total() as u64,
        };
        self.total.add(Pair {
            canary: count(&canary),
            stable: count(&stable_tail),
        });
    }

    fn compare(&mut self, history: &Tail, canary: &Tail, stable: &Tail) {
        let thresholds = DECILES.map(|decile| history.threshold(decile));
        for (decile, threshold) in self.deciles.iter_mut().zip(thresholds) {
            let sums = Sums {
                canary: canary.sum(threshold),
                stable: stable.sum(threshold),
            };
            let guess = (history.score(threshold) + HALF) / (history.total() + 20.0);
            decile.fold(sums, guess);
        }
        let n = canary.total() + stable.total();
        if canary.total() <= 0.0 || stable.total() <= 0.0 {
            return;
        }
        let (to_canary, to_stable) = (stable.total() / n, canary.total() / n);
        let (of_canary, of_stable) = (between(canary, &thresholds), between(stable, &thresholds));
        for (cell, (canary, stable)) in self.cells.iter_mut().zip(of_canary.zip(of_stable)) {
            cell.0 += to_canary * canary;
            cell.1 += to_stable * stable;
        }
    }

    /// Log evidence against "the same distribution in every slice". Finite.
    pub fn log_e(&self) -> f64 {
        let each: Vec<f64> = self.deciles.iter().map(Decile::log_e).collect();
        log_mean_exp(&each)
    }

    /// The population stability index `sum (c - s) ln(c / s)` over the cells between the deciles: a size, not a test.
    /// Below 0.1 is usually called small, above 0.25 large. None before anything was compared.
    pub fn stability_index(&self) -> Option<f64> {
        let sum = |pick: fn(&(f64, f64)) -> f64| {
            self.cells.iter().map(|cell| pick(cell) + HALF).sum::<f64>()
        };
        let (canary, stable) = (sum(|cell| cell.0), sum(|cell| cell.1));
        let empty = HALF * self.cells.len() as f64;
        let index = self.cells.iter().map(|cell| {
            let (c, s) = ((cell.0 + HALF) / canary, (cell.1 + HALF) / stable);
            (c - s) * ln(c / s)
        });
        (stable > empty).then(|| index.sum())
    }

    pub(crate) fn read(&self, alpha: f64, blocking: bool) -> DriftAssessment {
        let (log_e, log_threshold) = (self.log_e(), -ln(alpha));
        let changed = log_e >= log_threshold;
        DriftAssessment {
            changed,
            blocks: changed && blocking,
            log_e,
            log_threshold,
            stability_index: self.stability_index(),
            n_canary: self.total.canary.n,
            n_stable: self.total.stable.n,
        }
    }
}

/// The scores between successive thresholds, lowest first.
fn between<'a>(tail: &'a Tail, thresholds: &'a [Threshold]) -> impl Iterator<Item = f64> + 'a {
    let beyond = |at: usize| match at {
        0 => tail.total(),
        at => thresholds.get(at - 1).map_or(0.0, |one| tail.score(*one)),
    };
    (0..=thresholds.len()).map(move |cell| (beyond(cell) - beyond(cell + 1)).max(0.0))
}

#[cfg(test)]
mod tests;
