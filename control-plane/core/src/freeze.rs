//! Freezes: when nothing moves forward. What a plan says is computed here, for the look that records it; a replay takes
//! what was recorded, so that it does not depend on the rules of time zones, which change.
//!
//! The rules are those that were built in: nothing is read from the machine, and the CLI and the control plane of a
//! version know the same zones.

mod cron;
mod window;

use crate::plan::std_duration;
use cron::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use serinus_proto::v1;
use window::Window;

/// Windows that follow each other are joined up to so many; what lies beyond is looked at when its time comes.
const MOST_JOINED: usize = 200;
/// What cannot be read any more freezes for so long at a time.
const UNREADABLE_MS: u64 = 3_600_000;
const YEAR_MS: u64 = 366 * 86_400_000;
/// 2028-01-01T00:00:00Z: the beginning of a year that has every day.
const A_YEAR_MS: u64 = 1_830_297_600_000;

/// All freezes of a plan.
#[derive(Clone, Debug, Default)]
pub struct Freezes {
    windows: Vec<Window>,
    unreadable: bool,
    /// The last answer, for the time that it is good for.
    known: Option<(u64, Freezing)>,
}

/// Whether it is frozen at a moment. Times are unix milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freezing {
    /// Frozen at least until then.
    pub until_ms: Option<u64>,
    /// Nothing changes before then; `None`: for years.
    pub changes_ms: Option<u64>,
}

impl Freezes {
    /// Of a complete plan. A freeze that cannot be read, such as one in a zone that is not known here, freezes always:
    /// whoever wrote it wanted to be kept from moving.
    #[must_use]
    pub fn of(plan: &v1::Plan) -> Self {
        let read = plan.freeze.iter().map(window);
        let windows: Vec<Option<Window>> = read.map(Result::ok).collect();
        Self {
            unreadable: windows.iter().any(Option::is_none),
            windows: windows.into_iter().flatten().collect(),
            known: None,
        }
    }

    /// Until when it is frozen now, if it is. Asked again and again, it remembers.
    pub fn until(&mut self, now_ms: u64) -> Option<u64> {
        let good = self.known.filter(|(since_ms, of)| {
            *since_ms <= now_ms && of.changes_ms.is_none_or(|changes_ms| now_ms < changes_ms)
        });
        let of = good.map_or_else(|| self.at(now_ms), |(_, of)| of);
        if good.is_none() {
            self.known = Some((now_ms, of));
        }
        of.until_ms
    }

    /// Whether it is frozen at a moment, and until when that stays so.
    #[must_use]
    pub fn at(&self, now_ms: u64) -> Freezing {
        if self.unreadable {
            let until_ms = Some((now_ms / UNREADABLE_MS + 1) * UNREADABLE_MS);
            return Freezing {
                until_ms,
                changes_ms: until_ms,
            };
        }
        let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let mut until = now;
        for _ in 0..MOST_JOINED {
            let ends = self.windows.iter().filter_map(|window| {
                let begun = window.begun(until)?;
                Some(begun.saturating_add(window.duration_ms))
            });
            match ends.max().filter(|&end| end > until) {
                Some(end) => until = end,
                None => break,
            }
        }
        if until > now {
            let until_ms = u64::try_from(until).ok();
            return Freezing {
                until_ms,
                changes_ms: until_ms,
            };
        }
        let next = self.windows.iter().filter_map(|window| window.next(now));
        Freezing {
            until_ms: None,
            changes_ms: next.min().and_then(|next| u64::try_from(next).ok()),
        }
    }

    /// Whether there is any time in a year at which it is not frozen.
    fn ever_open(&self) -> bool {
        let mut at_ms = A_YEAR_MS;
        while at_ms < A_YEAR_MS + YEAR_MS {
            match self.at(at_ms).until_ms {
                Some(until_ms) => at_ms = until_ms,
                None => return true,
            }
        }
        false
    }
}

/// What is wrong with one field of a freeze.
pub(crate) struct Wrong {
    pub(crate) field: &'static str,
    pub(crate) message: String,
}

fn window(freeze: &v1::Freeze) -> Result<Window, Wrong> {
    let cron = Cron::parse(&freeze.cron).map_err(|message| Wrong {
        field: "cron",
        message,
    })?;
    let known = TimeZoneDatabase::bundled();
    // The default, which not every plan that is asked about has yet.
    let name = match freeze.time_zone.as_str() {
        "" => "UTC",
        name => name,
    };
    let zone = known.get(name).map_err(|_| Wrong {
        field: "time_zone",
        message: unknown_zone(&freeze.time_zone, &known),
    })?;
    let duration = std_duration(freeze.duration.as_ref());
    Ok(Window {
        cron,
        duration_ms: i64::try_from(duration.as_millis()).unwrap_or(i64::MAX),
        zone,
    })
}

/// What is wrong with a freeze by itself; durations are checked where all durations are.
pub(crate) fn check(freeze: &v1::Freeze) -> Result<(), Wrong> {
    let window = window(freeze)?;
    let from = i64::try_from(A_YEAR_MS).unwrap_or_default();
    if window.next(from).is_none() {
        return Err(Wrong {
            field: "cron",
            message: "never comes: there is no such day".to_owned(),
        });
    }
    Ok(())
}

/// Whether the freezes of a plan leave any time to move at all.
pub(crate) fn leave_time(freezes: &[v1::Freeze]) -> bool {
    let plan = v1::Plan {
        freeze: freezes.to_vec(),
        ..v1::Plan::default()
    };
    Freezes::of(&plan).ever_open()
}

fn unknown_zone(name: &str, known: &TimeZoneDatabase) -> String {
    let lower = |text: &str| text.to_lowercase();
    let names: Vec<String> = known.available().map(|name| name.to_string()).collect();
    let lowered: Vec<String> = names.iter().map(|name| lower(name)).collect();
    let nearest = crate::plan::nearest(&lower(name), lowered.iter().map(String::as_str));
    let hint = nearest
        .and_then(|near| names.iter().find(|name| lower(name) == near))
        .map_or_else(
            || "write a name of the IANA database, such as Europe/Berlin or UTC".to_owned(),
            |near| format!("did you mean {near}?"),
        );
    let shown: String = name.chars().take(60).collect();
    format!("{shown} is no known time zone; {hint}")
}

/// A moment as people read it: `2026-12-07 07:00 UTC`.
#[must_use]
pub fn moment(ms: u64) -> String {
    let at = i64::try_from(ms).ok();
    let at = at.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(String::new, |at| {
        at.strftime("%Y-%m-%d %H:%M UTC").to_string()
    })
}

/// What the freezes of a plan mean from now on, in lines for a person.
#[must_use]
pub fn outlook(plan: &v1::Plan, now_ms: u64) -> Vec<String> {
    let one = |freeze: &v1::Freeze| {
        let alone = v1::Plan {
            freeze: vec![freeze.clone()],
            ..v1::Plan::default()
        };
        let freezes = Freezes::of(&alone);
        let now = freezes.at(now_ms);
        if let Some(until_ms) = now.until_ms {
            return Some(format!("freeze: now, until {}", moment(until_ms)));
        }
        let begins_ms = now.changes_ms?;
        let until_ms = freezes.at(begins_ms).until_ms?;
        let (begins, until) = (moment(begins_ms), moment(until_ms));
        Some(format!(
            "freeze: next from {begins} until {until} ({})",
            freeze.time_zone
        ))
    };
    plan.freeze.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests;
