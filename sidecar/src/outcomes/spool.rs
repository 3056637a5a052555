//! Outcomes on disk until the control plane has them: a bounded queue of segment files.
//!
//! What was read is forgotten only when it is released, and after a restart everything that is still on disk is read
//! again; the control plane removes duplicates.

use super::record;
use serinus_proto::v1;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use thiserror::Error;

const SEGMENT_BYTES: u64 = 4 << 20;
const READ_BYTES: usize = 1 << 20;

/// Why outcomes are not taken.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// The bound is reached.
    #[error(
        "the outcome spool is full ({used} of {limit} bytes): the control plane does not take outcomes fast enough, or cannot be reached; send again later"
    )]
    Full {
        /// Bytes on disk.
        used: u64,
        /// `outcomes.spool_bytes`.
        limit: u64,
    },
    /// The disk refuses.
    #[error("the outcome spool cannot be written: {0}")]
    Io(#[from] io::Error),
    /// The thread that writes is gone.
    #[error("the outcome spool is closed: the sidecar is stopping")]
    Closed,
}

/// Outcomes in the order of their arrival, and where they end.
#[derive(Debug, Default)]
pub struct Batch {
    /// The outcomes.
    pub items: Vec<v1::Outcome>,
    end: u64,
    segment: u64,
}

impl Batch {
    /// Whether there was nothing to read, not even something damaged to go past.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.segment == 0
    }
}

#[derive(Debug)]
struct Segment {
    number: u64,
    path: PathBuf,
    file: File,
    /// Length of its good records.
    len: u64,
    /// Length of those that are known to be on disk.
    synced: u64,
}

/// The queue.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    limit: u64,
    segments: VecDeque<Segment>,
    /// In the oldest segment: everything before it is released.
    released: u64,
    next_number: u64,
}

impl Spool {
    /// Opens or makes the queue in a directory, at most `limit` bytes long. Bytes that are no records, such as a half
    /// written end, are dropped; the second value says how many.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(directory: &Path, limit: u64) -> io::Result<(Self, u64)> {
        fs::create_dir_all(directory)?;
        let mut spool = Self {
            directory: directory.to_owned(),
            limit,
            segments: VecDeque::new(),
            released: 0,
            next_number: 1,
        };
        let mut dropped = 0;
        for number in numbers(directory)? {
            spool.next_number = number + 1;
            let mut segment = spool.segment(number)?;
            let found = segment.file.metadata()?.len();
            segment.len = good_length(&segment.file)?;
            segment.synced = segment.len;
            if segment.len < found {
                dropped += found - segment.len;
                segment.file.set_len(segment.len)?;
            }
            if segment.len == 0 {
                fs::remove_file(&segment.path)?;
            } else {
                spool.segments.push_back(segment);
            }
        }
        Ok((spool, dropped))
    }

    fn segment(&self, number: u64) -> io::Result<Segment> {
        let path = self.directory.join(format!("{number:016}.outcomes"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        Ok(Segment {
            number,
            path,
            file,
            len: 0,
            synced: 0,
        })
    }

    /// Bytes that wait to be released.
    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        let all: u64 = self.segments.iter().map(|segment| segment.len).sum();
        all - self.released
    }

    /// Writes outcomes; they are on disk after the next [`Spool::sync`]. All or none.
    ///
    /// # Errors
    /// [`SpoolError::Full`] or what the system says.
    pub fn append(&mut self, items: &[v1::Outcome]) -> Result<(), SpoolError> {
        let mut bytes = Vec::new();
        items
            .iter()
            .for_each(|item| record::write(&mut bytes, item));
        let used = self.segments.iter().map(|segment| segment.len).sum();
        if used + bytes.len() as u64 > self.limit {
            return Err(SpoolError::Full {
                used,
                limit: self.limit,
            });
        }
        if self
            .segments
            .back()
            .is_none_or(|last| last.len >= SEGMENT_BYTES)
        {
            self.roll()?;
        }
        if let Some(last) = self.segments.back_mut() {
            last.file.write_all_at(&bytes, last.len)?;
            last.len += bytes.len() as u64;
        }
        Ok(())
    }

    fn roll(&mut self) -> io::Result<()> {
        self.sync()?;
        let segment = self.segment(self.next_number)?;
        File::open(&self.directory)?.sync_all()?;
        self.next_number += 1;
        self.segments.push_back(segment);
        Ok(())
    }

    /// Puts everything written on disk. Where that fails, what was not on disk is given up (its senders are told), and
    /// later outcomes go to another file: a failed sync says nothing about the pages it was about.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&mut self) -> io::Result<()> {
        let Some(last) = self.segments.back_mut() else {
            return Ok(());
        };
        if last.synced == last.len {
            return Ok(());
        }
        if let Err(error) = last.file.sync_data() {
            last.len = last.synced;
            let segment = self.segment(self.next_number)?;
            self.next_number += 1;
            self.segments.push_back(segment);
            return Err(error);
        }
        last.synced = last.len;
        Ok(())
    }

    /// The oldest outcomes that are on disk and not released, at most `most`; empty where there are none. Does not
    /// forget them.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&self, most: usize) -> io::Result<Batch> {
        let mut skip = self.released;
        for segment in &self.segments {
            if segment.synced > skip {
                return read_from(segment, skip, most);
            }
            skip = 0;
        }
        Ok(Batch::default())
    }

    /// Forgets what was read.
    ///
    /// # Errors
    /// What the system says; the outcomes are then read again after a restart.
    pub fn release(&mut self, batch: &Batch) -> io::Result<()> {
        while let Some(oldest) = self.segments.front() {
            if oldest.number >= batch.segment {
                break;
            }
            self.drop_oldest()?;
        }
        let is_last = self.segments.len() == 1;
        let Some(oldest) = self.segments.front_mut() else {
            return Ok(());
        };
        if oldest.number != batch.segment {
            return Ok(());
        }
        self.released = batch.end;
        if self.released < oldest.len {
            return Ok(());
        }
        if !is_last {
            return self.drop_oldest();
        }
        oldest.file.set_len(0)?;
        oldest.len = 0;
        oldest.synced = 0;
        self.released = 0;
        Ok(())
    }

    fn drop_oldest(&mut self) -> io::Result<()> {
        self.released = 0;
        match self.segments.pop_front() {
            Some(oldest) => fs::remove_file(&oldest.path),
            None => Ok(()),
        }
    }
}

/// Numbers of the segments in a directory, ascending.
fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_suffix(".outcomes"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn read_from(segment: &Segment, from: u64, most: usize) -> io::Result<Batch> {
    let mut batch = Batch {
        items: Vec::new(),
        end: from,
        segment: segment.number,
    };
    let bytes = chunk(&segment.file, from, segment.synced)?;
    let mut rest = bytes.as_slice();
    while batch.items.len() < most {
        let record::Read::Record(outcome, length) = record::read(rest) else {
            break;
        };
        batch.items.push(outcome);
        batch.end += length as u64;
        rest = &rest[length..];
    }
    if batch.items.is_empty() {
        // Changed under us since it was written: nothing after this can be found any more.
        batch.end = segment.synced;
        tracing::error!(path = %segment.path.display(), offset = from, "outcomes on disk are damaged and are dropped");
    }
    Ok(batch)
}

fn chunk(file: &File, from: u64, until: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(until.saturating_sub(from)).unwrap_or(READ_BYTES);
    let mut bytes = vec![0; length.min(READ_BYTES)];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

/// Length of the good records at the beginning of a file.
fn good_length(file: &File) -> io::Result<u64> {
    let whole = file.metadata()?.len();
    let mut good = 0;
    loop {
        let bytes = chunk(file, good, whole)?;
        let mut rest = bytes.as_slice();
        let before = good;
        while let record::Read::Record(_, length) = record::read(rest) {
            good += length as u64;
            rest = &rest[length..];
        }
        if good == before {
            return Ok(good);
        }
    }
}

#[cfg(test)]
mod tests;
