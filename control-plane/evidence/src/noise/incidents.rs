//! Which moments of stable are incidents and not its own noise.

use crate::counts::Sum;

/// A block with this many times the usual rate is an incident: if that hit the canary alone, it would be a
/// reason to roll back and no noise to be tolerated.
const TIMES_USUAL: f64 = 5.0;
/// Fewer events are never an incident.
const FEWEST_EVENTS: f64 = 10.0;
const KEPT: usize = 64;
const FEWEST_KEPT: usize = 4;

/// The usual error rate: the median over the last 64 blocks, which half an hour of incidents cannot move.
#[derive(Clone, Debug)]
pub(super) struct UsualRate {
    rates: [f64; KEPT],
    kept: usize,
    next: usize,
    median: Option<f64>,
}

crate::state::state!(UsualRate {
    rates,
    kept,
    next,
    median
});

impl Default for UsualRate {
    fn default() -> Self {
        Self {
            rates: [0.0; KEPT],
            kept: 0,
            next: 0,
            median: None,
        }
    }
}

impl UsualRate {
    pub(super) fn add(&mut self, block: Sum) {
        if block.n <= 0.0 {
            return;
        }
        self.rates[self.next] = block.x / block.n;
        self.next = (self.next + 1) % KEPT;
        self.kept = (self.kept + 1).min(KEPT);
        let mut sorted = self.rates;
        let known = &mut sorted[..self.kept];
        known.sort_by(f64::total_cmp);
        self.median = (self.kept >= FEWEST_KEPT).then(|| known[self.kept / 2]);
    }

    /// Whether the block's rate is beyond what noise does.
    pub(super) fn is_incident(&self, block: Sum) -> bool {
        let beyond = |usual: f64| block.x > TIMES_USUAL * usual * block.n;
        block.x > FEWEST_EVENTS && self.median.is_some_and(beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_incidents_do_not_move_the_usual_rate() {
        let mut usual = UsualRate::default();
        let incident = Sum {
            x: 900.0,
            n: 4800.0,
        };
        assert!(!usual.is_incident(incident));
        for block in 0..200 {
            let x = if block % 10 < 4 { 900.0 } else { 24.0 };
            usual.add(Sum { x, n: 4800.0 });
        }
        assert!(usual.is_incident(incident));
        assert!(!usual.is_incident(Sum {
            x: 100.0,
            n: 4800.0
        }));
        assert!(!usual.is_incident(Sum { x: 9.0, n: 10.0 }));
    }
}
