//! Frames of HTTP/2 that cost their sender nothing: counted as they pass, so that a flood of them ends its connection.

use std::time::{Duration, Instant};

/// How many may come at once, and how many a second after that. A caller that means well sends a handful of each.
const BURST: f64 = 500.0;
const PER_SECOND: f64 = 250.0;

/// The preface comes before the first frame.
const PREFACE: usize = 24;
const HEAD: usize = 9;

const DATA: u8 = 0;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;

/// Follows the frames of one connection, from its first byte.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes until the next head begins.
    skip: usize,
    head: [u8; HEAD],
    /// Bytes of it that are there.
    filled: usize,
    budget: f64,
    since: Instant,
}

impl Frames {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            skip: PREFACE,
            head: [0; HEAD],
            filled: 0,
            budget: BURST,
            since: now,
        }
    }

    /// Takes the next bytes; whether there were too many such frames lately.
    pub(super) fn flood(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        let mut cheap = 0_u32;
        while !bytes.is_empty() {
            let passed = self.skip.min(bytes.len());
            bytes = &bytes[passed..];
            self.skip -= passed;
            if self.skip > 0 {
                break;
            }
            let taken = (HEAD - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled < HEAD {
                break;
            }
            self.filled = 0;
            let [a, b, c, kind, flags, ..] = self.head;
            self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
            cheap += u32::from(is_cheap(kind, flags, self.skip));
        }
        if cheap == 0 {
            return false;
        }
        let passed = now.saturating_duration_since(self.since);
        self.since = now;
        self.budget = (self.budget + per(passed)).min(BURST) - f64::from(cheap);
        self.budget < 0.0
    }
}

fn per(passed: Duration) -> f64 {
    passed.as_secs_f64() * PER_SECOND
}

/// Whether a frame makes work and carries nothing.
fn is_cheap(kind: u8, flags: u8, length: usize) -> bool {
    match kind {
        DATA => length == 0 && flags & END_STREAM == 0,
        PRIORITY | RST_STREAM | SETTINGS | PING | CONTINUATION => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        let mut bytes = vec![size[1], size[2], size[3], kind, flags, 0, 0, 0, 1];
        bytes.extend(std::iter::repeat_n(0xff, length));
        bytes
    }

    fn after_preface(now: Instant) -> Frames {
        let mut frames = Frames::new(now);
        assert!(!frames.flood(&[b'P'; PREFACE], now));
        frames
    }

    #[test]
    fn frames_that_carry_something_are_never_too_many() {
        let now = Instant::now();
        let mut frames = after_preface(now);
        for _ in 0..100_000 {
            assert!(!frames.flood(&frame(1, 4, 30), now));
            assert!(!frames.flood(&frame(DATA, 0, 5), now));
            assert!(!frames.flood(&frame(DATA, END_STREAM, 0), now));
            assert!(!frames.flood(&frame(8, 0, 4), now));
        }
    }

    #[test]
    fn a_flood_is_told_however_it_is_cut() {
        let now = Instant::now();
        for (kind, length) in [
            (DATA, 0),
            (PRIORITY, 5),
            (RST_STREAM, 4),
            (SETTINGS, 0),
            (PING, 8),
            (CONTINUATION, 100),
        ] {
            let bytes = frame(kind, 0, length).repeat(501);
            for size in [1, 7, 4096, bytes.len()] {
                let mut frames = after_preface(now);
                let told = bytes.chunks(size).filter(|part| frames.flood(part, now));
                assert!(told.count() >= 1, "kind {kind} in parts of {size}");
            }
            let mut frames = after_preface(now);
            let few = frame(kind, 0, length).repeat(500);
            assert!(!frames.flood(&few, now), "kind {kind}");
            let later = now + Duration::from_secs(2);
            assert!(
                !frames.flood(&few, later),
                "kind {kind}: they are forgotten"
            );
        }
    }
}
