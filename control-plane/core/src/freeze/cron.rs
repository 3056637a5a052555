//! When a freeze begins: five fields of numbers, names, ranges, lists and steps. Strict: what two cron programs read
//! differently is refused.

use jiff::civil::{Date, Time};

/// More beginnings a day are no windows.
const MOST_A_DAY: usize = 24;

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// One field of the text.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    field("minute", 0, 59, &[]),
    field("hour", 0, 23, &[]),
    field("day of the month", 1, 31, &[]),
    field("month", 1, 12, &MONTHS),
    // 7 is Sunday too.
    field("weekday", 0, 7, &WEEKDAYS),
];

const fn field(name: &'static str, least: u32, most: u32, names: &'static [&'static str]) -> Field {
    Field {
        name,
        least,
        most,
        names,
    }
}

/// Days and times of local clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    times: Vec<Time>,
    days: u64,
    months: u64,
    weekdays: u64,
}

impl Cron {
    /// Reads the five fields.
    ///
    /// # Errors
    /// What is wrong, and the correct form.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = parts.as_slice() else {
            return Err(format!(
                "has {} fields; write five: minute, hour, day of the month, month, weekday, such as \"0 18 * * FRI\"",
                parts.len()
            ));
        };
        let mut sets = [0; 5];
        let all = [minutes, hours, days, months, weekdays];
        for ((set, field), part) in sets.iter_mut().zip(&FIELDS).zip(all) {
            *set = field.read(part)?;
        }
        let [minutes, hours, days_set, months, mut weekdays_set] = sets;
        if weekdays_set & (1 << 7) != 0 {
            weekdays_set |= 1;
        }
        if !days.starts_with('*') && !weekdays.starts_with('*') {
            return Err(
                "names a day of the month and a weekday, which cron programs read differently; write * for one of them"
                    .to_owned(),
            );
        }
        let times = times(minutes, hours);
        if times.len() > MOST_A_DAY {
            return Err(format!(
                "begins {} times a day; at most {MOST_A_DAY}: name the beginning of the window, such as \"0 18 * * FRI\", and how long it lasts as duration",
                times.len()
            ));
        }
        Ok(Self {
            times,
            days: days_set,
            months,
            weekdays: weekdays_set,
        })
    }

    /// Whether windows begin on this day.
    pub(super) fn is_on(&self, date: Date) -> bool {
        let has = |set: u64, number: i8| u32::try_from(number).is_ok_and(|n| set >> n & 1 == 1);
        has(self.months, date.month())
            && has(self.days, date.day())
            && has(self.weekdays, date.weekday().to_sunday_zero_offset())
    }

    /// At which times, ascending.
    pub(super) fn times(&self) -> &[Time] {
        &self.times
    }
}

fn times(minutes: u64, hours: u64) -> Vec<Time> {
    let mut times = Vec::new();
    for hour in 0..24i8 {
        for minute in 0..60i8 {
            if hours >> hour & 1 == 1
                && minutes >> minute & 1 == 1
                && let Ok(time) = Time::new(hour, minute, 0, 0)
            {
                times.push(time);
            }
        }
    }
    times
}

impl Field {
    /// The numbers that a list names, as a set of bits.
    fn read(&self, text: &str) -> Result<u64, String> {
        text.split(',').try_fold(0, |set, part| {
            let of = self.part(part);
            of.map(|more| set | more)
                .map_err(|why| format!("{}: \"{}\" {why}", self.name, shortened(part)))
        })
    }

    fn part(&self, text: &str) -> Result<u64, String> {
        let (range, step) = match text.split_once('/') {
            None => (text, 1),
            Some((range, step)) => {
                let step = step
                    .parse()
                    .ok()
                    .filter(|step| (1..=self.most).contains(step));
                let step = step.ok_or_else(|| format!("has no step from 1 to {}", self.most))?;
                if range != "*" && !range.contains('-') {
                    return Err(
                        "has a step of one number; write such as */15 or 0-30/15".to_owned()
                    );
                }
                (range, step)
            }
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.least, self.most),
            None => {
                let number = self.number(range)?;
                (number, number)
            }
            Some((first, last)) => (self.number(first)?, self.number(last)?),
        };
        if first > last {
            return Err("falls; ranges rise, so write it as a list of two".to_owned());
        }
        let numbers = (first..=last).step_by(step as usize);
        Ok(numbers.fold(0, |set, number| set | 1 << number))
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let digits =
            !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        let named = || {
            let position = self
                .names
                .iter()
                .position(|name| name.eq_ignore_ascii_case(text))?;
            let position = u32::try_from(position).ok()?;
            // Months count from 1, weekdays from 0.
            Some(position + self.least)
        };
        let number = number.or_else(named);
        let known = number.filter(|number| (self.least..=self.most).contains(number));
        known.ok_or_else(|| {
            let names = match self.names {
                [first, .., last] => format!(" or {first} to {last}"),
                _ => String::new(),
            };
            format!("is no number from {} to {}{names}", self.least, self.most)
        })
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(20).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{date, time};
    use proptest::prelude::*;

    #[test]
    fn fields_are_numbers_names_ranges_lists_and_steps() {
        let cron = Cron::parse("0 18 * * FRI").unwrap();
        assert_eq!(cron.times(), [time(18, 0, 0, 0)]);
        assert!(cron.is_on(date(2026, 12, 4)) && !cron.is_on(date(2026, 12, 5)));
        let cron = Cron::parse("5-20/15,50 0,12 24-26 dec *").unwrap();
        let minutes = [5, 20, 50].map(|minute| time(0, minute, 0, 0));
        assert_eq!(cron.times()[..3], minutes);
        assert_eq!(cron.times().len(), 6);
        assert!(cron.is_on(date(2026, 12, 24)) && !cron.is_on(date(2026, 11, 24)));
        let sundays = ["0 0 * * 0", "0 0 * * 7", "0 0 * * sun"];
        for text in sundays {
            let cron = Cron::parse(text).unwrap();
            assert!(
                cron.is_on(date(2026, 12, 6)) && !cron.is_on(date(2026, 12, 7)),
                "{text}"
            );
        }
        let weekdays = Cron::parse("0 */6 * * MON-FRI").unwrap();
        assert_eq!(weekdays.times().len(), 4);
    }

    #[test]
    fn every_mistake_says_what_would_be_right() {
        let mistake = |text: &str| Cron::parse(text).unwrap_err();
        assert!(mistake("").starts_with("has 0 fields; write five"));
        assert!(mistake("@weekly").starts_with("has 1 fields"));
        assert!(mistake("0 0 18 * * FRI").starts_with("has 6 fields"));
        assert_eq!(
            mistake("60 0 * * *"),
            "minute: \"60\" is no number from 0 to 59"
        );
        assert_eq!(
            mistake("0 0 * * FRY"),
            "weekday: \"FRY\" is no number from 0 to 7 or SUN to SAT"
        );
        assert!(mistake("0 0 0 * *").starts_with("day of the month: \"0\""));
        assert!(mistake("0 0 * * FRI-MON").contains("falls; ranges rise"));
        assert!(mistake("0 5/2 * * *").contains("step of one number"));
        assert!(mistake("*/0 0 * * *").contains("has no step from 1 to 59"));
        assert!(mistake("+1 0 * * *").contains("is no number"));
        assert!(mistake("0 0 L * *").contains("is no number from 1 to 31"));
        assert!(mistake("0 0 1 * MON").contains("cron programs read differently"));
        assert!(mistake("* * * * *").starts_with("begins 1440 times a day"));
        assert!(mistake("0, 0 * * *").starts_with("minute: \"\" is no number"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9*,/a-zA-Z -]{0,40}") {
            let _ = Cron::parse(&text);
        }
    }
}
