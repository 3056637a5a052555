//! One kind of freeze: when it begins by a local clock, and how long it lasts.

use super::cron::Cron;
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan as _};

const DAY_MS: i64 = 86_400_000;
/// The 29th of February may be eight years away.
const HORIZON_DAYS: i32 = 8 * 366 + 2;

/// A freeze of a plan, ready to be asked. Moments are unix milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) cron: Cron,
    pub(super) duration_ms: i64,
    pub(super) zone: TimeZone,
}

impl Window {
    /// The last beginning that is not after a moment and whose window is not over by then.
    pub(super) fn begun(&self, now_ms: i64) -> Option<i64> {
        let oldest = now_ms.saturating_sub(self.duration_ms);
        let (first, last) = (self.day_of(oldest)?, self.day_of(now_ms)?);
        // A clock that was set forward or back may move a beginning over midnight.
        let mut day = last.checked_add(1.day()).ok()?;
        let end = first.checked_sub(1.day()).ok()?;
        while day >= end {
            let beginnings = self.on(day).into_iter();
            let last = beginnings.filter(|&at| at <= now_ms && at > oldest).max();
            if last.is_some() {
                return last;
            }
            day = day.yesterday().ok()?;
        }
        None
    }

    /// The first beginning after a moment; `None` if there is none for years.
    pub(super) fn next(&self, now_ms: i64) -> Option<i64> {
        let mut day = self.day_of(now_ms.saturating_sub(DAY_MS))?;
        for _ in 0..HORIZON_DAYS {
            let first = self.on(day).into_iter().filter(|&at| at > now_ms).min();
            if first.is_some() {
                return first;
            }
            day = day.tomorrow().ok()?;
        }
        None
    }

    fn day_of(&self, ms: i64) -> Option<Date> {
        let at = Timestamp::from_millisecond(ms).ok()?;
        Some(self.zone.to_datetime(at).date())
    }

    /// Every beginning on a local day. A local time that a clock skips begins where it skips it; one that comes twice
    /// begins twice: frozen too long is better than too short.
    fn on(&self, day: Date) -> Vec<i64> {
        if !self.cron.is_on(day) {
            return Vec::new();
        }
        let mut all = Vec::new();
        for time in self.cron.times() {
            let local = day.to_datetime(*time);
            let at = |offset: jiff::tz::Offset| offset.to_timestamp(local).ok();
            match self.zone.to_ambiguous_timestamp(local).offset() {
                AmbiguousOffset::Unambiguous { offset } => all.extend(at(offset)),
                AmbiguousOffset::Fold { before, after } => {
                    all.extend(at(before));
                    all.extend(at(after));
                }
                AmbiguousOffset::Gap { before, .. } => {
                    all.extend(at(before).and_then(|beyond| self.skipped_at(beyond)));
                }
            }
        }
        all.into_iter().map(Timestamp::as_millisecond).collect()
    }

    /// When the clock was set forward last, looking back from just after it.
    fn skipped_at(&self, beyond: Timestamp) -> Option<Timestamp> {
        let after = beyond.checked_add(1.second()).ok()?;
        let last = self.zone.preceding(after).next()?;
        Some(last.timestamp())
    }
}
