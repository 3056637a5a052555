//! The audit log: what people did, each entry sealed together with the one before it. An entry is the record of the
//! event that a command led to first, in the log itself; so there is no command without an entry, and no entry without
//! a command.

use prost::Message as _;
use serinus_proto::stored::v1::LogRecord;
use serinus_proto::v1;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// Where the chain of entries has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Of the last entry; 0 before the first.
    pub number: u64,
    /// Its seal, 32 bytes; empty before the first.
    pub seal: Vec<u8>,
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Broken {
    /// It is none.
    #[error("it cannot be decoded: {0}")]
    Unreadable(String),
    /// It says nothing of who did it.
    #[error("it is no entry of the audit log")]
    NoEntry,
    /// Something of it was changed after it was written.
    #[error("it is not what was written: its seal does not fit")]
    Changed,
    /// The one before it is not the one that was there when it was written.
    #[error("it does not follow entry {0}")]
    Unlinked(u64),
    /// There are entries missing.
    #[error("entries {first} to {last} are missing before it")]
    Missing {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
}

impl Head {
    /// Makes a record the next entry of the log. It may not be changed after that.
    pub fn seal(&mut self, record: &mut LogRecord, audit: v1::Audit) {
        self.number += 1;
        record.audit = Some(v1::Audit {
            number: self.number,
            previous: std::mem::take(&mut self.seal),
            seal: Vec::new(),
            ..audit
        });
        self.seal = seal(record);
        if let Some(audit) = &mut record.audit {
            audit.seal.clone_from(&self.seal);
        }
    }

    /// Goes on to an entry. Entries up to `base` may be missing: they were removed with old rollouts, on purpose.
    ///
    /// # Errors
    /// See [`Broken`]; a record that is no entry is passed over.
    pub fn follow(&mut self, record: &LogRecord, base: &Self) -> Result<(), Broken> {
        let Some(audit) = &record.audit else {
            return Ok(());
        };
        check(record)?;
        let last = audit.number.saturating_sub(1);
        if audit.number <= self.number {
            return Err(Broken::Unlinked(self.number));
        }
        if last != self.number && last > base.number {
            return Err(Broken::Missing {
                first: self.number.max(base.number) + 1,
                last,
            });
        }
        for known in [&*self, base] {
            if last == known.number && audit.previous != known.seal {
                return Err(Broken::Unlinked(known.number));
            }
        }
        *self = Self {
            number: audit.number,
            seal: audit.seal.clone(),
        };
        Ok(())
    }
}

/// Whether a record is still what was sealed; whether it follows the one before it is [`Head::follow`]'s to say.
///
/// # Errors
/// See [`Broken`].
pub fn check(record: &LogRecord) -> Result<(), Broken> {
    let audit = record.audit.as_ref().ok_or(Broken::NoEntry)?;
    let mut sealed = record.clone();
    if let Some(audit) = &mut sealed.audit {
        audit.seal.clear();
    }
    match audit.seal == seal(&sealed) {
        true => Ok(()),
        false => Err(Broken::Changed),
    }
}

/// Reads an entry as it was sent.
///
/// # Errors
/// [`Broken::Unreadable`].
pub fn read(bytes: &[u8]) -> Result<LogRecord, Broken> {
    LogRecord::decode(bytes).map_err(|error| Broken::Unreadable(error.to_string()))
}

/// Of a record without its seal; it has the seal of the one before in it.
fn seal(record: &LogRecord) -> Vec<u8> {
    Sha256::digest(record.encode_to_vec()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(revision: u64) -> LogRecord {
        LogRecord {
            event: Some(v1::Event {
                revision,
                actor: "ana".into(),
                reason: "why".into(),
                ..v1::Event::default()
            }),
            ..LogRecord::default()
        }
    }

    /// Three entries with something else in between.
    fn log() -> Vec<LogRecord> {
        let mut head = Head::default();
        let mut records: Vec<_> = (1..=5).map(record).collect();
        for at in [0, 2, 4] {
            let audit = v1::Audit {
                caller: "ana".into(),
                from: "10.0.0.7:1".into(),
                ..v1::Audit::default()
            };
            head.seal(&mut records[at], audit);
        }
        records
    }

    fn followed(records: &[LogRecord], base: &Head) -> Result<Head, Broken> {
        let mut head = Head::default();
        for record in records {
            head.follow(record, base)?;
        }
        Ok(head)
    }

    fn none() -> Head {
        Head::default()
    }

    #[test]
    fn a_whole_log_is_whole() {
        let head = followed(&log(), &none()).unwrap();
        assert_eq!((head.number, head.seal.len()), (3, 32));
    }

    #[test]
    fn every_changed_byte_of_an_entry_is_found() {
        let good = log();
        let bytes = good[2].encode_to_vec();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                // What cannot be read any more is found as well.
                let Ok(read) = read(&changed) else { continue };
                if read == good[2] {
                    continue;
                }
                let mut records = good.clone();
                records[2] = read;
                let found = followed(&records, &none());
                assert!(found.is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn what_is_missing_or_moved_is_named() {
        let mut missing = log();
        missing.remove(2);
        assert_eq!(
            followed(&missing, &none()),
            Err(Broken::Missing { first: 2, last: 2 })
        );
        // Retention has removed it, and kept the one before.
        let removed = followed(&log()[..3], &none()).unwrap();
        assert_eq!(followed(&missing, &removed).unwrap().number, 3);
        assert_eq!(followed(&log()[3..], &removed).unwrap().number, 3);
        let another = Head {
            seal: vec![7; 32],
            ..removed
        };
        assert_eq!(followed(&missing, &another), Err(Broken::Unlinked(2)));
        assert_eq!(
            followed(&log()[2..], &none()),
            Err(Broken::Missing { first: 1, last: 1 })
        );
        let mut swapped = log();
        swapped.swap(0, 2);
        assert!(followed(&swapped, &none()).is_err());
        let mut rewritten = log();
        let mut head = followed(&rewritten[..2], &none()).unwrap();
        let audit = rewritten[2].audit.clone().unwrap();
        let forged = v1::Audit {
            caller: "bob".into(),
            ..audit
        };
        head.seal(&mut rewritten[2], forged);
        assert_eq!(followed(&rewritten, &none()), Err(Broken::Unlinked(2)));
    }
}
