//! Clocks for leases: suspended time counts, and nothing depends on the wall clock while the process lives.

use super::saved;
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds of a clock that never goes back and counts suspended time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clock").field(&self.now_ms()).finish()
    }
}

impl Clock {
    /// The machine's time since boot, suspended time included.
    #[must_use]
    pub fn boot_time() -> Self {
        Self::from_fn(boot_ms)
    }

    /// Any other clock, e.g. one that a test moves.
    pub fn from_fn(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    /// Its milliseconds now.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        (self.0)()
    }
}

/// Unix milliseconds.
#[must_use]
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}

/// `CLOCK_BOOTTIME`: what the wall clock is set to does not change it, and it goes on while the machine is suspended.
fn boot_ms() -> u64 {
    let since = clock_gettime(ClockId::Boottime);
    let milliseconds = since.tv_sec.saturating_mul(1000) + since.tv_nsec / 1_000_000;
    u64::try_from(milliseconds).unwrap_or(0)
}

/// When something is written, in a form that another process can compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Unix milliseconds.
    pub wall_ms: u64,
    /// Which boot; empty where the system does not say.
    pub boot_id: String,
    /// Milliseconds since that boot.
    pub boot_ms: u64,
}

impl Stamp {
    /// Now, on this machine.
    #[must_use]
    pub fn now() -> Self {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self {
            wall_ms: wall_ms(),
            boot_id: boot_id.trim().to_owned(),
            boot_ms: boot_ms(),
        }
    }

    /// Puts it on what is saved.
    #[must_use]
    pub fn sign(self, state: saved::State) -> saved::State {
        saved::State {
            wall_ms: self.wall_ms,
            boot_id: self.boot_id,
            boot_ms: self.boot_ms,
            ..state
        }
    }

    /// Time since something was saved, ms: the longer of the wall clock's and, within one boot, the boot clock's. A
    /// wall clock that went back across a boot says nothing: as old as can be.
    #[must_use]
    pub fn elapsed_since(&self, state: &saved::State) -> u64 {
        let wall = self.wall_ms.checked_sub(state.wall_ms);
        let same_boot = !self.boot_id.is_empty() && self.boot_id == state.boot_id;
        let boot = if same_boot {
            self.boot_ms.checked_sub(state.boot_ms)
        } else {
            None
        };
        match (wall, boot) {
            (Some(wall), Some(boot)) => wall.max(boot),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(wall_ms: u64, boot_id: &str, boot_ms: u64) -> Stamp {
        Stamp {
            wall_ms,
            boot_id: boot_id.into(),
            boot_ms,
        }
    }

    #[test]
    fn the_older_age_counts() {
        let saved = stamp(1000, "a", 500).sign(saved::State::default());
        assert_eq!(stamp(1200, "a", 900).elapsed_since(&saved), 400);
        assert_eq!(stamp(9000, "a", 900).elapsed_since(&saved), 8000);
        assert_eq!(stamp(0, "a", 900).elapsed_since(&saved), 400);
        assert_eq!(stamp(1200, "b", 900).elapsed_since(&saved), 200);
        assert_eq!(stamp(0, "b", 900).elapsed_since(&saved), u64::MAX);
        assert_eq!(stamp(0, "", 900).elapsed_since(&saved), u64::MAX);
    }

    #[test]
    fn the_machine_has_a_clock() {
        let clock = Clock::boot_time();
        let before = clock.now_ms();
        assert!(clock.now_ms() >= before);
        // The kernel's own word for the same clock, to a hundredth of a second.
        let text = fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = text.split_whitespace().next().unwrap().parse().unwrap();
        let later = clock.now_ms() as f64;
        assert!((before as f64 - 20.0..=later + 20.0).contains(&(uptime * 1000.0)));
        assert!(wall_ms() > 1_600_000_000_000);
    }
}
