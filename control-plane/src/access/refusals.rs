//! The calls that were refused lately: counted, logged as far as that does not fill the log, and the newest kept for
//! those who may see them. Nothing of them goes to the disk: strangers must not be able to fill it.

use crate::metrics::DENIED;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Kept in memory.
const KEPT: usize = 1000;
/// Log lines of one second.
const LOGGED: u32 = 20;

/// A call that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub time: SystemTime,
    /// Who, as far as that is known; empty for strangers.
    pub caller: String,
    /// From where; empty within the process.
    pub from: String,
    /// Full name of the call.
    pub method: String,
    /// Why, one word for metrics.
    pub why: &'static str,
    /// Why, for people.
    pub message: String,
}

/// The newest of them.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    kept: VecDeque<Refusal>,
    total: u64,
    /// Begin of the second that is counted, and the lines in it.
    second: Option<Instant>,
    lines: u32,
    unlogged: u64,
}

impl Refusals {
    /// Takes one.
    pub fn add(&self, refusal: Refusal) {
        metrics::counter!(DENIED, "why" => refusal.why).increment(1);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unlogged = state.may_log(Instant::now());
        if let Some(unlogged) = unlogged {
            let Refusal {
                caller,
                from,
                method,
                why,
                message,
                ..
            } = &refusal;
            tracing::warn!(
                %caller, %from, %method, why, %message, unlogged, "call refused"
            );
        }
        state.total += 1;
        if state.kept.len() == KEPT {
            state.kept.pop_front();
        }
        state.kept.push_back(refusal);
    }

    /// The newest ones, oldest first, and how many there were since the start.
    #[must_use]
    pub fn all(&self) -> (Vec<Refusal>, u64) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (state.kept.iter().cloned().collect(), state.total)
    }
}

impl State {
    /// Whether the next one is logged; then, how many were not since the last one that was.
    fn may_log(&mut self, now: Instant) -> Option<u64> {
        let new = |begin| now.saturating_duration_since(begin) >= Duration::from_secs(1);
        if self.second.is_none_or(new) {
            (self.second, self.lines) = (Some(now), 0);
        }
        if self.lines >= LOGGED {
            self.unlogged += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(n: usize) -> Refusal {
        Refusal {
            time: SystemTime::UNIX_EPOCH,
            caller: n.to_string(),
            from: String::new(),
            method: String::new(),
            why: "test",
            message: String::new(),
        }
    }

    #[test]
    fn the_newest_are_kept_and_all_are_counted() {
        let refusals = Refusals::default();
        for n in 0..KEPT + 5 {
            refusals.add(refusal(n));
        }
        let (kept, total) = refusals.all();
        assert_eq!((kept.len(), total), (KEPT, KEPT as u64 + 5));
        assert_eq!(kept[0].caller, "5");
    }

    #[test]
    fn a_flood_is_logged_in_part_and_says_so() {
        let mut state = State::default();
        let now = Instant::now();
        let logged = (0..100).filter(|_| state.may_log(now).is_some()).count();
        assert_eq!(logged, LOGGED as usize);
        let later = now + Duration::from_secs(1);
        assert_eq!(state.may_log(later), Some(100 - u64::from(LOGGED)));
        assert_eq!(state.may_log(later), Some(0));
    }
}
