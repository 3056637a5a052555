//! Bad cells: seconds in which the fleet's breakers say that the canary is dead while stable is well.

use super::cells::Pair;
use std::collections::BTreeMap;

/// How far back a sidecar counts as one that sent the canary traffic, in seconds.
const RECENT: u64 = 5;
/// How long bad cells are remembered, in seconds.
const MEMORY: u64 = 60;
/// Stable must fail less than this on the sidecars concerned.
const STABLE_ERRORS: f64 = 0.10;

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    canary: u64,
    stable: u64,
    stable_errors: u64,
    openings: u64,
    failed_probes: u64,
}

/// What the breakers said in one bad cell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BadCell {
    /// Unix second.
    pub second: u64,
    /// Sidecars whose breaker opened or whose probe failed.
    pub open: u32,
    /// Sidecars that sent the canary traffic lately.
    pub with_canary: u32,
    /// Openings on them.
    pub openings: u64,
    /// Failed probes on them.
    pub failed_probes: u64,
    /// Stable's error rate on them, 0..=1.
    pub stable_error_rate: f64,
}

/// Follows the breakers of one rollout's canary.
#[derive(Clone, Debug, Default)]
pub struct Breakers {
    /// Second -> source -> counts.
    seen: BTreeMap<u64, BTreeMap<u64, Seen>>,
    judged_before: u64,
    bad: Vec<BadCell>,
}

impl Breakers {
    /// Adds what one source counted in one second.
    pub fn absorb(&mut self, source: u64, second: u64, pair: &Pair) {
        let second = second.max(self.judged_before);
        let seen = self
            .seen
            .entry(second)
            .or_default()
            .entry(source)
            .or_default();
        seen.canary += pair.canary.requests();
        seen.stable += pair.stable.requests();
        seen.stable_errors += pair.stable.errors();
        seen.openings += pair.canary.breaker_openings;
        seen.failed_probes += pair.canary.failed_probes;
    }

    /// Judges every second before `closed_before`.
    pub fn close(&mut self, closed_before: u64) {
        let seconds: Vec<u64> = self
            .seen
            .range(self.judged_before..closed_before)
            .map(|(&s, _)| s)
            .collect();
        for second in seconds {
            self.bad.extend(self.judge(second));
        }
        self.judged_before = self.judged_before.max(closed_before);
        self.seen = self
            .seen
            .split_off(&self.judged_before.saturating_sub(RECENT));
        let oldest = self.judged_before.saturating_sub(MEMORY);
        self.bad.retain(|cell| cell.second >= oldest);
    }

    /// The bad cells of the 60 s before `now_s`, oldest first.
    pub fn bad_cells(&self, now_s: u64) -> impl Iterator<Item = &BadCell> {
        self.bad
            .iter()
            .filter(move |cell| cell.second + MEMORY >= now_s)
    }

    /// Bad if on at least half of the sidecars that sent the canary traffic in the last 5 s (at least 2, or all if
    /// there are fewer) a breaker opened or a probe failed, while stable failed less than 10 % on them.
    fn judge(&self, second: u64) -> Option<BadCell> {
        let here = self.seen.get(&second)?;
        let mut recent: BTreeMap<u64, Seen> = BTreeMap::new();
        for (_, sources) in self.seen.range(second.saturating_sub(RECENT - 1)..=second) {
            for (&source, seen) in sources {
                let sum = recent.entry(source).or_default();
                sum.canary += seen.canary;
                sum.stable += seen.stable;
                sum.stable_errors += seen.stable_errors;
            }
        }
        recent.retain(|_, seen| seen.canary > 0);
        let mut cell = BadCell {
            second,
            with_canary: count(recent.len()),
            ..BadCell::default()
        };
        let (mut stable, mut stable_errors) = (0u64, 0u64);
        for (source, seen) in here
            .iter()
            .filter(|(_, seen)| seen.openings + seen.failed_probes > 0)
        {
            let Some(sum) = recent.get(source) else {
                continue;
            };
            cell.open += 1;
            cell.openings += seen.openings;
            cell.failed_probes += seen.failed_probes;
            stable += sum.stable;
            stable_errors += sum.stable_errors;
        }
        cell.stable_error_rate = if stable == 0 {
            0.0
        } else {
            stable_errors as f64 / stable as f64
        };
        let needed = cell.with_canary.div_ceil(2).max(2).min(cell.with_canary);
        let bad = cell.open > 0 && cell.open >= needed && cell.stable_error_rate < STABLE_ERRORS;
        bad.then_some(cell)
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_common::class::Class;

    fn pair(openings: u64, probes: u64, stable_errors: u64) -> Pair {
        let mut pair = Pair::default();
        pair.canary.classes[Class::Model as usize] = 10;
        pair.canary.breaker_openings = openings;
        pair.canary.failed_probes = probes;
        pair.stable.classes[Class::Ok as usize] = 100 - stable_errors;
        pair.stable.classes[Class::Model as usize] = stable_errors;
        pair
    }

    fn bad(per_source: &[Pair]) -> usize {
        let mut breakers = Breakers::default();
        for (source, pair) in per_source.iter().enumerate() {
            breakers.absorb(source as u64, 100, pair);
        }
        breakers.close(101);
        breakers.bad_cells(101).count()
    }

    #[test]
    fn half_of_the_sidecars_make_a_cell_bad() {
        assert_eq!(bad(&[pair(1, 0, 0), pair(1, 0, 0), pair(0, 0, 0)]), 1);
        assert_eq!(bad(&[pair(1, 0, 0), pair(0, 0, 0), pair(0, 0, 0)]), 0);
        assert_eq!(bad(&[pair(0, 1, 0)]), 1, "the only one is enough");
        assert_eq!(bad(&[pair(1, 0, 0), pair(0, 0, 0)]), 0, "one of two is not");
    }

    #[test]
    fn an_outage_of_both_is_not() {
        assert_eq!(bad(&[pair(1, 0, 50), pair(1, 0, 50)]), 0);
    }

    #[test]
    fn bad_cells_are_forgotten_after_a_minute() {
        let mut breakers = Breakers::default();
        breakers.absorb(1, 100, &pair(1, 0, 0));
        breakers.close(101);
        assert_eq!(breakers.bad_cells(160).count(), 1);
        assert_eq!(breakers.bad_cells(161).count(), 0);
    }
}
