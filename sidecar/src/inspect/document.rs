//! What a whole JSON answer says: how many tokens it has, or that its 400 is the model's own failure.

use super::json::{Facts, Scanner};
use super::{Findings, Head, Kind, Tokens};
use serinus_common::class::Class;

/// No more of a body is looked at. Of a longer one `usage`, which comes last, would not be reached.
const LONGEST: u64 = 256 << 10;

#[derive(Clone, Debug)]
pub(super) struct Document {
    seeks: Seeks,
    scanner: Scanner,
    /// What may still be looked at.
    left: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seeks {
    Usage,
    /// MLflow answers 400 when the model throws, and says so with a `stack_trace`.
    StackTrace,
}

impl Document {
    /// `None` where nothing is sought in such an answer.
    pub(super) fn new(call: Kind, head: &Head<'_>) -> Option<Self> {
        let seeks = match (call, head.status) {
            (Kind::Completions | Kind::Responses, 200) => Seeks::Usage,
            (Kind::Invocations, 400) => Seeks::StackTrace,
            _ => return None,
        };
        let too_long = head.content_length.is_some_and(|bytes| bytes > LONGEST);
        if seeks == Seeks::Usage && too_long {
            return None;
        }
        Some(Self {
            seeks,
            scanner: Scanner::default(),
            left: LONGEST,
        })
    }

    pub(super) fn feed(&mut self, data: &[u8]) {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let looked = &data[..data.len().min(most)];
        self.left -= looked.len() as u64;
        self.scanner.feed(looked);
    }

    pub(super) fn finish(mut self) -> Findings {
        let facts = self.scanner.take();
        match self.seeks {
            Seeks::Usage => Findings {
                tokens: Tokens::of(facts),
                ..Findings::default()
            },
            Seeks::StackTrace => Findings {
                class: facts.stack_trace.then_some(Class::Model),
                ..Findings::default()
            },
        }
    }
}

impl Tokens {
    pub(super) fn of(facts: Facts) -> Option<Self> {
        (facts.input.is_some() || facts.output.is_some()).then(|| Self {
            input: facts.input.unwrap_or(0),
            output: facts.output.unwrap_or(0),
        })
    }
}
