//! Whether the entries are those that were written, all of them.

use serinus_core::audit::Head;
use serinus_proto::stored::v1::LogRecord;
use serinus_proto::v1;
use std::str::FromStr;

/// An entry that somebody has noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    number: u64,
    /// The beginning of its seal, hexadecimal, at least 16 digits.
    seal: String,
}

impl FromStr for Known {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(number, seal)| {
            let legal = seal.len() >= 16 && seal.bytes().all(|c| c.is_ascii_hexdigit());
            let seal = legal.then(|| seal.to_ascii_lowercase())?;
            let number = number.parse().ok()?;
            Some(Self { number, seal })
        });
        parsed.ok_or_else(|| {
            "write NUMBER:SEAL as the last line of `serinus audit` has it, at least 16 digits of the seal".to_owned()
        })
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Chain {
    first: u64,
    head: Head,
    /// What is wrong, and with which entry.
    pub(super) broken: Option<String>,
}

impl Chain {
    /// Follows the entries. `partial`: they do not begin with the first one.
    pub(super) fn check(
        records: &[LogRecord],
        partial: bool,
        end: &v1::AuditEnd,
        known: Option<&Known>,
    ) -> Self {
        let first = records.first().and_then(|record| record.audit.as_ref());
        let mut base = Head {
            number: end.base_number,
            seal: end.base_seal.clone(),
        };
        if let Some(first) = first.filter(|_| partial) {
            base = Head {
                number: first.number.saturating_sub(1),
                seal: first.previous.clone(),
            };
        }
        let mut chain = Self {
            first: first.map_or(0, |first| first.number),
            head: Head::default(),
            broken: None,
        };
        let mut noted = known.is_none();
        for record in records {
            let audit = record.audit.clone().unwrap_or_default();
            if let Err(broken) = chain.head.follow(record, &base) {
                let revision = record.event.as_ref().map_or(0, |event| event.revision);
                chain.broken = Some(format!(
                    "entry {} (event {revision}): {broken}",
                    audit.number
                ));
                return chain;
            }
            let matches = |known: &Known| {
                known.number == audit.number && hex(&audit.seal).starts_with(&known.seal)
            };
            noted |= known.is_some_and(matches);
        }
        if let Some(known) = known.filter(|_| !noted) {
            chain.broken = Some(format!(
                "entry {} is not there as it was noted: the log was cut off or rewritten",
                known.number
            ));
        }
        chain
    }

    /// The last entry, to be noted.
    pub(super) fn last(&self) -> String {
        format!("{}:{}", self.head.number, hex(&self.head.seal))
    }

    pub(super) fn said(&self) -> String {
        if self.head.number == 0 {
            return "nothing was done yet".to_owned();
        }
        format!(
            "entries {} to {} are as they were written; note the last one, {}",
            self.first,
            self.head.number,
            self.last()
        )
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Vec<LogRecord> {
        let mut head = Head::default();
        let entry = |revision| {
            let mut record = LogRecord {
                event: Some(v1::Event {
                    revision,
                    ..v1::Event::default()
                }),
                ..LogRecord::default()
            };
            let audit = v1::Audit {
                caller: "ana".into(),
                ..v1::Audit::default()
            };
            head.seal(&mut record, audit);
            record
        };
        [3, 5, 9].map(entry).to_vec()
    }

    fn check(records: &[LogRecord], known: Option<&str>) -> Chain {
        let known = known.map(|known| known.parse().unwrap());
        Chain::check(records, false, &v1::AuditEnd::default(), known.as_ref())
    }

    #[test]
    fn a_whole_log_is_told_from_a_changed_one() {
        let whole = check(&log(), None);
        assert_eq!(whole.broken, None);
        assert!(
            whole.said().starts_with("entries 1 to 3"),
            "{}",
            whole.said()
        );
        let mut changed = log();
        changed[1].event.as_mut().unwrap().reason = "nothing".into();
        let broken = check(&changed, None).broken.unwrap();
        assert!(
            broken.starts_with("entry 2 (event 5): it is not what was written"),
            "{broken}"
        );
        let later = Chain::check(&log()[1..], true, &v1::AuditEnd::default(), None);
        assert_eq!((later.broken, later.first), (None, 2));
    }

    #[test]
    fn what_was_noted_has_to_be_there() {
        let noted = check(&log(), None).last();
        assert_eq!(check(&log(), Some(&noted)).broken, None);
        let cut = check(&log()[..2], Some(&noted)).broken.unwrap();
        assert!(cut.contains("entry 3"), "{cut}");
        assert!("3:12".parse::<Known>().is_err() && "x".parse::<Known>().is_err());
    }
}
