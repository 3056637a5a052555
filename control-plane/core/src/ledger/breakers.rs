//! Bad cells: seconds in which the fleet's breakers say that the canary is dead while stable is well.

use super::cells::Pair;
use serinus_proto::stored::v1 as stored;
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
    /// Unix second, by the sidecars' clocks.
    pub second: u64,
    /// Unix second in which it was judged, by our own clock.
    pub judged: u64,
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
    /// Sidecars that sent the canary traffic lately, as of the last judged second.
    lately: u32,
    /// The same before a restart, which forgot who they were. It counts for a few seconds from the first one on: one
    /// sidecar that reports before the others must not be taken for the only one.
    before: Option<(u32, Option<u64>)>,
}

impl Breakers {
    /// Adds what one source counted in one second.
    pub fn absorb(&mut self, source: u64, second: u64, pair: &Pair) {
        let second = second.max(self.judged_before);
        if let Some((_, first)) = &mut self.before {
            first.get_or_insert(second);
        }
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

    /// Judges every second before `closed_before`. Says whether one was bad.
    pub fn close(&mut self, closed_before: u64, now_s: u64) -> bool {
        let seconds: Vec<u64> = self
            .seen
            .range(self.judged_before..closed_before)
            .map(|(&s, _)| s)
            .collect();
        let known = self.bad.len();
        for second in seconds {
            let lately = self.lately(second);
            self.lately = self.known(second, lately.len());
            self.bad.extend(self.judge(second, now_s, &lately));
        }
        let found = self.bad.len() > known;
        self.judged_before = self.judged_before.max(closed_before);
        self.seen = self
            .seen
            .split_off(&self.judged_before.saturating_sub(RECENT));
        self.bad.retain(|cell| cell.judged + MEMORY >= now_s);
        found
    }

    /// The bad cells that were judged in the 60 s before `now_s`, oldest first. They are kept by our own clock: with
    /// the sidecars' clocks a minute behind it, none would be known when the third one comes.
    pub fn bad_cells(&self, now_s: u64) -> impl Iterator<Item = &BadCell> {
        self.bad
            .iter()
            .filter(move |cell| cell.judged + MEMORY >= now_s)
    }

    /// The bad cells, and how many sidecars sent the canary traffic lately, for the disk. Seconds that are not judged
    /// yet are not kept: a crash loses about two of them.
    #[must_use]
    pub fn to_stored(&self) -> (Vec<stored::BadCell>, u32) {
        let of = |cell: &BadCell| stored::BadCell {
            second: cell.second,
            judged: cell.judged,
            open: cell.open,
            with_canary: cell.with_canary,
            openings: cell.openings,
            failed_probes: cell.failed_probes,
            stable_error_rate: cell.stable_error_rate,
        };
        (self.bad.iter().map(of).collect(), self.lately)
    }

    /// Takes back what [`Breakers::to_stored`] gave.
    pub fn restore(&mut self, cells: &[stored::BadCell], lately: u32) {
        let of = |cell: &stored::BadCell| BadCell {
            second: cell.second,
            judged: cell.judged,
            open: cell.open,
            with_canary: cell.with_canary,
            openings: cell.openings,
            failed_probes: cell.failed_probes,
            stable_error_rate: cell.stable_error_rate,
        };
        self.bad = cells.iter().map(of).collect();
        self.lately = lately;
        self.before = (lately > 0).then_some((lately, None));
    }

    /// The sidecars that sent the canary traffic in the last 5 s, and what they counted.
    fn lately(&self, second: u64) -> BTreeMap<u64, Seen> {
        let mut lately: BTreeMap<u64, Seen> = BTreeMap::new();
        for (_, sources) in self.seen.range(second.saturating_sub(RECENT - 1)..=second) {
            for (&source, seen) in sources {
                let sum = lately.entry(source).or_default();
                sum.canary += seen.canary;
                sum.stable += seen.stable;
                sum.stable_errors += seen.stable_errors;
            }
        }
        lately.retain(|_, seen| seen.canary > 0);
        lately
    }

    /// How many they are, at least as many as before a restart.
    fn known(&self, second: u64, counted: usize) -> u32 {
        let counted = count(counted);
        match self.before {
            Some((before, Some(first))) if second < first + RECENT => counted.max(before),
            _ => counted,
        }
    }

    /// Bad if on at least half of the sidecars that sent the canary traffic in the last 5 s (at least 2, or all if
    /// there are fewer) a breaker opened or a probe failed, while stable failed less than 10 % on them.
    fn judge(&self, second: u64, now_s: u64, lately: &BTreeMap<u64, Seen>) -> Option<BadCell> {
        let here = self.seen.get(&second)?;
        let mut cell = BadCell {
            second,
            judged: now_s,
            with_canary: self.known(second, lately.len()),
            ..BadCell::default()
        };
        let (mut stable, mut stable_errors) = (0u64, 0u64);
        for (source, seen) in here
            .iter()
            .filter(|(_, seen)| seen.openings + seen.failed_probes > 0)
        {
            let Some(sum) = lately.get(source) else {
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
        breakers.close(101, 102);
        breakers.bad_cells(102).count()
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
        assert!(breakers.close(101, 102));
        assert_eq!(breakers.bad_cells(162).count(), 1);
        assert_eq!(breakers.bad_cells(163).count(), 0);
        assert!(!breakers.close(162, 163));
        assert!(breakers.to_stored().0.is_empty());
    }

    #[test]
    fn clocks_that_are_behind_hide_nothing() {
        let mut breakers = Breakers::default();
        for second in 100..103 {
            breakers.absorb(1, second, &pair(1, 0, 0));
            breakers.close(second + 1, second + 86_400);
        }
        let seconds: Vec<u64> = breakers
            .bad_cells(103 + 86_400)
            .map(|cell| cell.second)
            .collect();
        assert_eq!(seconds, [100, 101, 102]);
    }

    #[test]
    fn one_of_many_is_not_taken_for_the_only_one_after_a_restart() {
        let mut before = Breakers::default();
        for source in 0..3 {
            before.absorb(source, 100, &pair(0, 0, 0));
        }
        assert!(!before.close(101, 102));
        let (cells, lately) = before.to_stored();
        let mut after = Breakers::default();
        after.restore(&cells, lately);
        after.absorb(0, 105, &pair(1, 0, 0));
        assert!(!after.close(106, 107), "one of three");
        after.absorb(0, 110, &pair(1, 0, 0));
        assert!(after.close(111, 112), "the others are gone");
    }

    #[test]
    fn a_restart_forgets_no_bad_cell() {
        let mut before = Breakers::default();
        before.absorb(1, 100, &pair(1, 2, 0));
        before.close(101, 102);
        let mut after = Breakers::default();
        let (cells, lately) = before.to_stored();
        after.restore(&cells, lately);
        assert!(after.bad_cells(110).eq(before.bad_cells(110)));
        assert_eq!(after.bad_cells(110).count(), 1);
    }
}
