//! When to stop using a canary, and when to try it again. Pure: time is passed in.
//!
//! It opens after a run of failures, or when more than a share of the last second's requests failed. While it is open,
//! one real request per unix second goes to the canary as a probe, and after a good probe the next one may follow at
//! once. Three good probes in a row close it: a canary that still fails half of its requests (which is what opens it)
//! passes three in one case of eight, and then opens it again within a few requests; one that fails one in a hundred
//! passes at the first try in 97 % of cases. Waiting a second between good probes would only delay the recovery.

/// When it opens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Failures in a row.
    pub consecutive: u32,
    /// Share of failures, 0..=1, of at least [`MIN_REQUESTS`] requests within a second.
    pub error_ratio: f64,
}

/// Below this many requests within a second the share of failures says nothing.
pub const MIN_REQUESTS: u32 = 10;

/// Good probes in a row that close it.
pub const PROBES_TO_CLOSE: u32 = 3;

/// After this long without a probe, a request that stable could not answer instead may be one.
const LAST_RESORT_MS: u64 = 5000;

const SLOTS: usize = 10;
const SLOT_MS: u64 = 100;

impl Thresholds {
    /// For a sidecar that has lost its control plane: half of both.
    #[must_use]
    pub fn halved(self) -> Self {
        Self {
            consecutive: self.consecutive.div_ceil(2).max(1),
            error_ratio: self.error_ratio / 2.0,
        }
    }
}

/// What to do with a request that is meant for the canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Send it to the canary.
    Pass,
    /// Send it to the canary to see whether it works again.
    Probe,
    /// Send it to stable; it counts for neither.
    Divert,
}

/// What a result changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The canary is not used any more.
    Opened,
    /// The canary is used again.
    Closed,
}

/// The breaker of one canary.
#[derive(Clone, Debug)]
pub struct Breaker {
    thresholds: Thresholds,
    run: u32,
    window: [Slot; SLOTS],
    open: Option<Open>,
    openings: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    tick: u64,
    requests: u32,
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    last_probe_ms: u64,
    probed_second: Option<u64>,
    good: u32,
    next_at_once: bool,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            run: 0,
            window: [Slot::default(); SLOTS],
            open: None,
            openings: 0,
        }
    }

    /// Changes the thresholds from now on.
    pub fn set_thresholds(&mut self, thresholds: Thresholds) {
        self.thresholds = thresholds;
    }

    /// Whether the canary is not used.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// How often it has opened.
    #[must_use]
    pub fn openings(&self) -> u64 {
        self.openings
    }

    /// What to do with a request; `rescuable`: stable can answer it if the canary fails.
    pub fn admit(&mut self, now_ms: u64, rescuable: bool) -> Admission {
        let Some(open) = &mut self.open else {
            return Admission::Pass;
        };
        let second = now_ms / 1000;
        let due = open.next_at_once || open.probed_second.is_none_or(|last| last < second);
        let allowed = rescuable || now_ms >= open.last_probe_ms.saturating_add(LAST_RESORT_MS);
        if !(due && allowed) {
            return Admission::Divert;
        }
        open.last_probe_ms = now_ms;
        open.probed_second = Some(second);
        open.next_at_once = false;
        Admission::Probe
    }

    /// Books the result of a request that was sent to the canary. While the breaker is open only probes count: whatever
    /// else comes back was sent before it opened.
    pub fn record(&mut self, now_ms: u64, probe: bool, failed: bool) -> Option<Change> {
        match &mut self.open {
            Some(open) if probe => {
                open.good = if failed { 0 } else { open.good + 1 };
                open.next_at_once = !failed;
                (open.good >= PROBES_TO_CLOSE).then(|| self.close())
            }
            Some(_) => None,
            None => self.count(now_ms, failed).then(|| self.trip(now_ms)),
        }
    }

    fn count(&mut self, now_ms: u64, failed: bool) -> bool {
        let tick = now_ms / SLOT_MS;
        let slot = &mut self.window[(tick % SLOTS as u64) as usize];
        if slot.tick != tick {
            *slot = Slot {
                tick,
                ..Slot::default()
            };
        }
        slot.requests = slot.requests.saturating_add(1);
        if !failed {
            self.run = 0;
            return false;
        }
        slot.failures = slot.failures.saturating_add(1);
        self.run = self.run.saturating_add(1);
        self.run >= self.thresholds.consecutive || self.over_ratio(tick)
    }

    fn over_ratio(&self, tick: u64) -> bool {
        let recent = self
            .window
            .iter()
            .filter(|slot| slot.tick + SLOTS as u64 > tick);
        let (requests, failures) = recent.fold((0u32, 0u32), |(r, f), slot| {
            (
                r.saturating_add(slot.requests),
                f.saturating_add(slot.failures),
            )
        });
        requests >= MIN_REQUESTS
            && f64::from(failures) > self.thresholds.error_ratio * f64::from(requests)
    }

    fn trip(&mut self, now_ms: u64) -> Change {
        self.openings += 1;
        self.open = Some(Open {
            last_probe_ms: now_ms,
            // The failure that opened it tells as much as a probe would in this second.
            probed_second: Some(now_ms / 1000),
            good: 0,
            next_at_once: false,
        });
        Change::Opened
    }

    fn close(&mut self) -> Change {
        self.open = None;
        self.run = 0;
        self.window = [Slot::default(); SLOTS];
        Change::Closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T0: u64 = 1_700_000_000_000;

    fn breaker() -> Breaker {
        Breaker::new(Thresholds {
            consecutive: 5,
            error_ratio: 0.5,
        })
    }

    fn opened() -> Breaker {
        let mut b = breaker();
        (0..4).for_each(|_| assert_eq!(b.record(T0, false, true), None));
        assert_eq!(b.record(T0, false, true), Some(Change::Opened));
        b
    }

    #[test]
    fn a_run_of_failures_opens_it_and_a_success_breaks_the_run() {
        let mut b = breaker();
        for _ in 0..4 {
            b.record(T0, false, true);
        }
        b.record(T0, false, false);
        assert_eq!(b.record(T0, false, true), None);
        assert!(opened().is_open());
    }

    #[test]
    fn a_share_of_failures_within_a_second_opens_it() {
        let mut b = breaker();
        let mut changes = Vec::new();
        for i in 0..12u64 {
            // Two of three fail, never five in a row.
            changes.push(b.record(T0 + i * 50, false, i % 3 != 0));
        }
        let at = changes.iter().position(Option::is_some);
        assert_eq!(at, Some(10), "the tenth request is a success at i = 9");
    }

    #[test]
    fn failures_of_an_earlier_second_are_forgotten() {
        let mut b = breaker();
        for i in 0..40u64 {
            // One a 200 ms: at most five within a second.
            assert_eq!(b.record(T0 + i * 200, false, i % 3 != 0), None);
        }
    }

    #[test]
    fn open_it_probes_once_a_second_and_closes_after_three_good_ones() {
        let mut b = opened();
        assert_eq!(b.admit(T0 + 999, true), Admission::Divert);
        assert_eq!(b.admit(T0 + 1000, true), Admission::Probe);
        assert_eq!(b.admit(T0 + 1001, true), Admission::Divert);
        assert_eq!(b.record(T0 + 1002, true, true), None);
        assert_eq!(b.admit(T0 + 1003, true), Admission::Divert);
        for i in 0..3u64 {
            assert_eq!(b.admit(T0 + 2000 + i, true), Admission::Probe);
            let change = b.record(T0 + 2000 + i, true, false);
            assert_eq!(change, (i == 2).then_some(Change::Closed));
        }
        assert_eq!(b.admit(T0 + 2003, true), Admission::Pass);
        assert_eq!(b.openings(), 1);
    }

    #[test]
    fn what_was_sent_before_it_opened_does_not_close_it() {
        let mut b = opened();
        for _ in 0..10 {
            assert_eq!(b.record(T0 + 10, false, false), None);
        }
        assert!(b.is_open());
    }

    #[test]
    fn requests_that_cannot_be_rescued_probe_only_as_a_last_resort() {
        let mut b = opened();
        assert_eq!(b.admit(T0 + 1500, false), Admission::Divert);
        assert_eq!(b.admit(T0 + 5000, false), Admission::Probe);
        assert_eq!(b.admit(T0 + 6000, false), Admission::Divert);
        assert_eq!(b.admit(T0 + 6000, true), Admission::Probe);
    }

    #[test]
    fn a_frozen_sidecar_is_twice_as_strict() {
        let halved = Thresholds {
            consecutive: 5,
            error_ratio: 0.5,
        }
        .halved();
        assert_eq!((halved.consecutive, halved.error_ratio), (3, 0.25));
        let one = Thresholds {
            consecutive: 1,
            error_ratio: 0.5,
        };
        assert_eq!(one.halved().consecutive, 1);
    }

    proptest! {
        #[test]
        fn successes_alone_never_open_it(gaps in prop::collection::vec(0u64..500, 0..200)) {
            let mut b = breaker();
            let mut now = T0;
            for gap in gaps {
                now += gap;
                prop_assert_eq!(b.record(now, false, false), None);
                prop_assert_eq!(b.admit(now, true), Admission::Pass);
            }
        }

        #[test]
        fn a_dead_canary_gets_at_most_one_probe_a_second(gaps in prop::collection::vec(0u64..300, 1..300)) {
            let mut b = opened();
            let mut now = T0;
            let mut last = None;
            for gap in gaps {
                now += gap;
                if b.admit(now, true) == Admission::Probe {
                    prop_assert_ne!(last, Some(now / 1000));
                    last = Some(now / 1000);
                    b.record(now, true, true);
                }
            }
            prop_assert!(b.is_open());
            // Every second after the opening that had a request had its probe.
            prop_assert!(now / 1000 == T0 / 1000 || last == Some(now / 1000));
        }

        #[test]
        fn any_sequence_keeps_openings_and_state_in_step(steps in prop::collection::vec((0u64..400, any::<bool>()), 0..400)) {
            let mut b = breaker();
            let (mut now, mut opened, mut closed) = (T0, 0u64, 0u64);
            for (gap, failed) in steps {
                now += gap;
                let probe = match b.admit(now, true) {
                    Admission::Divert => continue,
                    admission => admission == Admission::Probe,
                };
                match b.record(now, probe, failed) {
                    Some(Change::Opened) => opened += 1,
                    Some(Change::Closed) => closed += 1,
                    None => {}
                }
            }
            prop_assert_eq!(b.openings(), opened);
            prop_assert_eq!(opened - closed, u64::from(b.is_open()));
        }
    }
}
