//! What the bodies of a variant's answers said: streams, tokens, time to the first one.

use super::counts::{sketch_from_wire, sketch_to_wire};
use serinus_common::sketch::Sketch;
use serinus_proto::v1;

/// What the bodies of answers said; mergeable.
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
    /// Until the first part with content, microseconds.
    pub first_token: Sketch,
    /// For each token after the first, microseconds.
    pub per_token: Sketch,
}

impl Contents {
    /// From a report or the disk, where they may be absent; `None` if a sketch is malformed.
    #[must_use]
    pub fn from_wire(wire: Option<&v1::Contents>) -> Option<Self> {
        let Some(wire) = wire else {
            return Some(Self::default());
        };
        Some(Self {
            streams: wire.streams,
            failed_streams: wire.failed_streams,
            unread_streams: wire.unread_streams,
            chunks: wire.chunks,
            input_tokens: wire.input_tokens,
            output_tokens: wire.output_tokens,
            first_token: sketch_from_wire(wire.first_token.as_ref())?,
            per_token: sketch_from_wire(wire.per_token.as_ref())?,
        })
    }

    /// For the wire and the disk; nothing if there is nothing.
    #[must_use]
    pub fn to_wire(&self) -> Option<v1::Contents> {
        let some = |of: &Sketch| (!of.is_empty()).then(|| sketch_to_wire(of));
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

    /// Adds others; commutative and associative.
    pub fn merge(&mut self, other: &Self) {
        for (mine, more) in [
            (&mut self.streams, other.streams),
            (&mut self.failed_streams, other.failed_streams),
            (&mut self.unread_streams, other.unread_streams),
            (&mut self.chunks, other.chunks),
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
        ] {
            *mine = mine.saturating_add(more);
        }
        self.first_token.merge(&other.first_token);
        self.per_token.merge(&other.per_token);
    }

    /// Whether they could be true: what is of streams is of no more of them than there were.
    pub(super) fn is_consistent(&self) -> bool {
        [
            self.failed_streams,
            self.unread_streams,
            self.first_token.total(),
            self.per_token.total(),
        ]
        .iter()
        .all(|&part| part <= self.streams)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contents() -> impl Strategy<Value = Contents> {
        let sketch = || {
            let pairs = prop::collection::vec((0u16..1120, 1u64..9), 0..5);
            pairs.prop_map(|pairs| {
                let mut sketch = Sketch::default();
                pairs.iter().for_each(|&(index, n)| sketch.add(index, n));
                sketch
            })
        };
        (prop::array::uniform6(0u64..1000), sketch(), sketch()).prop_map(
            |(n, first_token, per_token)| Contents {
                streams: n[0],
                failed_streams: n[1],
                unread_streams: n[2],
                chunks: n[3],
                input_tokens: n[4],
                output_tokens: n[5],
                first_token,
                per_token,
            },
        )
    }

    proptest! {
        #[test]
        fn the_wire_form_round_trips(a in contents()) {
            prop_assert_eq!(Contents::from_wire(a.to_wire().as_ref()), Some(a));
        }

        #[test]
        fn merging_in_any_order_is_the_same(a in contents(), b in contents()) {
            let (mut ab, mut ba) = (a.clone(), b.clone());
            ab.merge(&b);
            ba.merge(&a);
            prop_assert_eq!(ab.output_tokens, a.output_tokens + b.output_tokens);
            prop_assert_eq!(ab, ba);
        }
    }

    #[test]
    fn older_reports_have_none() {
        assert_eq!(Contents::from_wire(None), Some(Contents::default()));
        assert_eq!(Contents::default().to_wire(), None);
    }

    #[test]
    fn more_failures_than_streams_cannot_be_true() {
        let contents = Contents {
            streams: 1,
            failed_streams: 2,
            ..Contents::default()
        };
        assert!(!contents.is_consistent());
    }
}
