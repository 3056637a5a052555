//! What the bodies of answers said.

use super::tally::sketch;
use crate::inspect::Findings;
use serinus_common::sketch::{Recorder, Sketch};
use serinus_proto::v1;

/// What the bodies of a variant's answers said; a sum of these is that of the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Answers that were streams.
    pub streams: u64,
    /// Of these: failed after their head.
    pub failed_streams: u64,
    /// Of these: compressed, and so not looked into.
    pub unread_streams: u64,
    /// Parts of streams with content.
    pub chunks: u64,
    /// Tokens of prompts, as the servers counted them.
    pub input_tokens: u64,
    /// Tokens of answers, as the servers counted them.
    pub output_tokens: u64,
    /// Time until the first part with content, microseconds.
    pub first_token: Sketch,
    /// Time for each token after the first, microseconds.
    pub per_token: Sketch,
}

/// What is being counted in the open second.
#[derive(Debug, Default)]
pub(super) struct Counting {
    counts: Contents,
    first_token: Recorder,
    per_token: Recorder,
}

impl Contents {
    /// Adds others.
    pub fn merge(&mut self, other: &Self) {
        self.streams += other.streams;
        self.failed_streams += other.failed_streams;
        self.unread_streams += other.unread_streams;
        self.chunks += other.chunks;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.first_token.merge(&other.first_token);
        self.per_token.merge(&other.per_token);
    }

    /// As they are reported; nothing if nothing was found.
    #[must_use]
    pub fn to_wire(&self) -> Option<v1::Contents> {
        let some = |of: &Sketch| (!of.is_empty()).then(|| sketch(of));
        (*self != Self::default()).then(|| v1::Contents {
            streams: self.streams,
            failed_streams: self.failed_streams,
            unread_streams: self.unread_streams,
            chunks: self.chunks,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            first_token: some(&self.first_token),
            per_token: some(&self.per_token),
        })
    }
}

impl Counting {
    /// `failed`: the call is booked as a failure.
    pub(super) fn add(&mut self, found: &Findings, failed: bool) {
        let counts = &mut self.counts;
        counts.streams += u64::from(found.stream);
        counts.failed_streams += u64::from(found.stream && failed);
        counts.unread_streams += u64::from(found.unread);
        counts.chunks += found.chunks;
        let tokens = found.tokens.unwrap_or_default();
        counts.input_tokens += tokens.input;
        counts.output_tokens += tokens.output;
        if let Some(micros) = found.first_micros {
            self.first_token.record(micros);
        }
        if let Some(micros) = found.micros_per_token() {
            self.per_token.record(micros);
        }
    }

    pub(super) fn take(&mut self) -> Contents {
        Contents {
            first_token: self.first_token.take(),
            per_token: self.per_token.take(),
            ..std::mem::take(&mut self.counts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::Tokens;

    #[test]
    fn findings_become_counts() {
        let mut counting = Counting::default();
        let tokens = Tokens {
            input: 5,
            output: 11,
        };
        let stream = Findings {
            stream: true,
            chunks: 10,
            tokens: Some(tokens),
            first_micros: Some(2000),
            last_micros: 4000,
            ..Findings::default()
        };
        let whole = Findings {
            tokens: Some(tokens),
            ..Findings::default()
        };
        counting.add(&stream, true);
        counting.add(&whole, true);
        let counts = counting.take();
        assert_eq!((counts.streams, counts.failed_streams), (1, 1));
        assert_eq!((counts.input_tokens, counts.output_tokens), (10, 22));
        assert_eq!((counts.first_token.total(), counts.chunks), (1, 10));
        let each = counts.per_token.quantile(0.5).unwrap();
        assert!((each / 200.0 - 1.0).abs() < 0.011, "{each}");
        assert_eq!(counting.take(), Contents::default());
        assert_eq!(Contents::default().to_wire(), None);
    }
}
