//! What a body says about how a call went: streams fail with status 200, some servers answer 400 when it is the model
//! that fails, and only the body knows how many tokens there were.
//!
//! Pure: bytes in, findings out, whatever the pieces they come in. Memory is bounded by the size of an [`Inspector`];
//! nothing is buffered. Most answers are not looked at, and cost nothing.

mod document;
mod events;
mod findings;
mod frames;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod json;
mod kind;
mod sse;

pub use findings::{End, Findings, Tokens};
pub use kind::Kind;

use crate::rewrite::StreamForm;
use document::Document;
use events::Events;
use frames::Frames;

/// Looks at one answer's body as it passes.
#[derive(Clone, Debug)]
pub struct Inspector {
    body: Body,
    clock: Clock,
}

/// The head of an answer, as far as it says whether and how to look at the body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// Its status.
    pub status: u16,
    /// Its `content-type`.
    pub content_type: Option<&'a [u8]>,
    /// Its `content-encoding`.
    pub content_encoding: Option<&'a [u8]>,
    /// Its `content-length`.
    pub content_length: Option<u64>,
}

#[derive(Clone, Debug)]
enum Body {
    Events(Events),
    Messages(Frames),
    Document(Document),
    /// A stream that cannot be read: compressed.
    Opaque,
}

/// When the first and the last token came, microseconds since the call began.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    first: Option<u64>,
    last: u64,
}

impl Inspector {
    /// For the answer of a call; `None` where there is nothing to look for, as in most answers. `form` is what is
    /// declared of the gRPC streams of the variant that answers.
    #[inline]
    #[must_use]
    pub fn for_answer(call: Kind, form: StreamForm, head: &Head<'_>) -> Option<Box<Self>> {
        if call == Kind::Unread {
            return None;
        }
        if call == Kind::Other && !head.content_type.is_some_and(is_event_stream) {
            return None;
        }
        Self::looking(call, form, head)
    }

    fn looking(call: Kind, form: StreamForm, head: &Head<'_>) -> Option<Box<Self>> {
        let kind = head.content_type.unwrap_or_default();
        let encoded = head
            .content_encoding
            .is_some_and(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"));
        let succeeded = (200..300).contains(&head.status);
        let body = if succeeded && is_event_stream(kind) {
            match encoded {
                true => Body::Opaque,
                false => Body::Events(Events::new(call)),
            }
        } else if succeeded && call == Kind::Messages && kind.starts_with(b"application/grpc") {
            Body::Messages(Frames::new(form))
        } else if !encoded && is_json(kind) {
            Body::Document(Document::new(call, head)?)
        } else {
            return None;
        };
        Some(Box::new(Self {
            body,
            clock: Clock::default(),
        }))
    }

    /// Takes the next bytes of the body, after its transfer coding. `micros` is asked, at most once, for the time since
    /// the call began.
    pub fn feed(&mut self, data: &[u8], micros: impl FnOnce() -> u64) {
        let came = match &mut self.body {
            Body::Events(events) => events.feed(data),
            Body::Messages(frames) => frames.feed(data),
            Body::Document(document) => {
                document.feed(data);
                false
            }
            Body::Opaque => self.clock.first.is_none() && !data.is_empty(),
        };
        if came {
            let now = micros();
            self.clock.first.get_or_insert(now);
            self.clock.last = now;
        }
    }

    /// The body has ended in one way or another.
    #[must_use]
    pub fn finish(self: Box<Self>, how: End) -> Findings {
        let mut findings = match self.body {
            Body::Events(events) => events.finish(how),
            Body::Messages(frames) => frames.finish(),
            Body::Document(document) => document.finish(),
            Body::Opaque => Findings {
                stream: true,
                unread: true,
                ..Findings::default()
            },
        };
        if findings.stream {
            findings.first_micros = self.clock.first;
            findings.last_micros = self.clock.last;
        }
        findings
    }
}

/// Whether a content type is that of a stream of events.
#[must_use]
pub fn is_event_stream(content_type: &[u8]) -> bool {
    is_type(content_type, b"text/event-stream")
}

fn is_json(content_type: &[u8]) -> bool {
    is_type(content_type, b"application/json")
}

fn is_type(content_type: &[u8], name: &[u8]) -> bool {
    let Some((start, rest)) = content_type.split_at_checked(name.len()) else {
        return false;
    };
    start.eq_ignore_ascii_case(name) && matches!(rest.first(), None | Some(b';' | b' ' | b'\t'))
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
