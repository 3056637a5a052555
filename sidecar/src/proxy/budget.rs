//! How many calls stable may answer in the place of the canary, so that a failing canary cannot double stable's load.
//! Pure: time is passed in.
//!
//! Every request of the model earns a fifth of a rescue, and ten a second come for nothing, so that rescues add at most
//! a fifth to the model's calls in the long run, and a quiet model is never refused one. At first, and whenever nothing
//! was rescued for a while, there are as many as a variant may have calls in flight: a canary that hangs loses all of
//! those at once, before its breaker can know. Probes through an open breaker are few and
//! need no budget; diverted requests are no rescues.

const PER_REQUEST: f64 = 0.2;
const PER_SECOND: f64 = 10.0;

/// Rescues that may still be made.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    left: f64,
    most: f64,
    last_ms: u64,
}

impl Budget {
    /// `most`: calls that a variant may have in flight.
    pub(crate) fn new(now_ms: u64, most: usize) -> Self {
        let most = (most as f64).max(PER_SECOND);
        Self {
            left: most,
            most,
            last_ms: now_ms,
        }
    }

    /// A request came.
    #[inline]
    pub(crate) fn earn(&mut self) {
        self.left = (self.left + PER_REQUEST).min(self.most);
    }

    /// Whether one more rescue may be made; if so, it is paid for.
    pub(crate) fn spend(&mut self, now_ms: u64) -> bool {
        self.left = self.at(now_ms);
        self.last_ms = self.last_ms.max(now_ms);
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }

    /// Whether [`spend`](Self::spend) would say yes.
    pub(crate) fn suffices(&self, now_ms: u64) -> bool {
        self.at(now_ms) >= 1.0
    }

    fn at(&self, now_ms: u64) -> f64 {
        let elapsed = now_ms.saturating_sub(self.last_ms) as f64 / 1000.0;
        (self.left + elapsed * PER_SECOND).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_calls_in_flight_can_be_lost_and_then_ten_a_second() {
        let mut budget = Budget::new(0, 30);
        let in_second = |budget: &mut Budget, ms| (0..50).filter(|_| budget.spend(ms)).count();
        assert_eq!(in_second(&mut budget, 0), 30);
        assert_eq!(in_second(&mut budget, 1000), 10);
    }

    proptest! {
        #[test]
        fn rescues_stay_within_a_fifth_and_the_floor(gaps in prop::collection::vec(0u64..20, 1..2000), most in 1usize..500) {
            let mut budget = Budget::new(0, most);
            let (mut now, mut rescues) = (0, 0.0);
            for &gap in &gaps {
                now += gap;
                budget.earn();
                let suffices = budget.suffices(now);
                let spent = budget.spend(now);
                prop_assert_eq!(suffices, spent);
                rescues += f64::from(u8::from(spent));
            }
            let allowed = most.max(10) as f64 + 0.2 * gaps.len() as f64 + 10.0 * now as f64 / 1000.0;
            prop_assert!(rescues <= allowed + 1e-6, "{rescues} of {allowed}");
        }
    }
}
