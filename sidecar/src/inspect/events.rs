//! What a stream of events says, by the rules of its protocol.

use super::json::Type;
use super::sse::{Event, Splitter};
use super::{End, Findings, Kind, Tokens};
use serinus_common::class::Class;

#[derive(Clone, Debug)]
pub(super) struct Events {
    splitter: Splitter,
    said: Said,
}

/// What the events have said so far.
#[derive(Clone, Copy, Debug)]
struct Said {
    rules: Rules,
    chunks: u64,
    tokens: Option<Tokens>,
    /// The protocol's end of an answer has come.
    whole: bool,
    failed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    /// An answer without a `finish_reason` is no answer, with `[DONE]` or without.
    Completions,
    /// An answer ends with `response.completed` or `response.incomplete`.
    Responses,
    /// Nothing marks the end; an event with `error` is a failure.
    Errors,
    /// None that is known.
    None,
}

impl Rules {
    fn of(call: Kind) -> Self {
        match call {
            Kind::Completions => Self::Completions,
            Kind::Responses => Self::Responses,
            Kind::Generate | Kind::Invocations => Self::Errors,
            Kind::Unread | Kind::Other | Kind::Messages => Self::None,
        }
    }

    fn mark_an_end(self) -> bool {
        matches!(self, Self::Completions | Self::Responses)
    }
}

impl Events {
    pub(super) fn new(call: Kind) -> Self {
        let rules = Rules::of(call);
        Self {
            splitter: Splitter::new(rules != Rules::None),
            said: Said {
                rules,
                chunks: 0,
                tokens: None,
                whole: false,
                failed: false,
            },
        }
    }

    /// Whether a part with content came.
    pub(super) fn feed(&mut self, data: &[u8]) -> bool {
        let before = self.said.chunks;
        self.splitter.feed(data, |event| self.said.take(event));
        self.said.chunks > before
    }

    pub(super) fn finish(self, how: End) -> Findings {
        let mut said = self.said;
        if let Some(event) = self.splitter.finish() {
            said.take(event);
        }
        Findings {
            class: said.class(how),
            stream: true,
            chunks: said.chunks,
            tokens: said.tokens,
            ..Findings::default()
        }
    }
}

impl Said {
    fn take(&mut self, event: Event) {
        let facts = event.facts;
        let (error, end, content) = match self.rules {
            Rules::Completions => (
                facts.error || event.named_error,
                facts.finished,
                facts.content,
            ),
            Rules::Responses => (
                facts.kind == Type::Failed || event.named_error,
                facts.kind == Type::Completed,
                facts.kind == Type::Delta,
            ),
            Rules::Errors => (facts.error, false, !facts.error && !event.done),
            Rules::None => (false, false, true),
        };
        self.failed |= error;
        self.whole |= end;
        self.chunks += u64::from(content);
        // The last count is the one that holds: some servers count on from chunk to chunk.
        if let Some(tokens) = Tokens::of(facts) {
            self.tokens = Some(tokens);
        }
    }

    fn class(&self, how: End) -> Option<Class> {
        match how {
            _ if self.failed => Some(Class::Model),
            End::Whole if self.rules.mark_an_end() && !self.whole => Some(Class::Model),
            // Callers hang up as soon as they have all that they want.
            End::Left if self.whole => Some(Class::Ok),
            _ => None,
        }
    }
}
