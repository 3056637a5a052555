//! What the fuzz targets ask of the scanners of streams; see [`crate::fuzzing`].

use super::Findings;
use super::frames::Frames;
use super::json::Scanner;
use super::sse::{Event, Splitter};
use crate::rewrite::StreamForm;
use serinus_common::class::Class;

/// A stream of events: where it is cut makes no difference, and it has the events that the plainest of readers finds.
pub(crate) fn events(pieces: &[&[u8]], whole: &[u8]) {
    for looks in [true, false] {
        let at_once = split(&[whole], looks);
        assert_eq!(split(pieces, looks), at_once, "where it is cut matters");
        assert_eq!(at_once, plain_events(whole, looks));
    }
}

fn split(pieces: &[&[u8]], looks: bool) -> Vec<Event> {
    let (mut splitter, mut events) = (Splitter::new(looks), Vec::new());
    for piece in pieces {
        splitter.feed(piece, |event| events.push(event));
    }
    events.extend(splitter.finish());
    events
}

/// Longer words are not looked at.
const LONGEST: usize = 48;

fn plain_events(text: &[u8], looks: bool) -> Vec<Event> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let (mut events, mut data, mut named_error) = (Vec::new(), None::<Vec<u8>>, false);
    // What no blank line ends is an event all the same.
    for line in lines(text).chain([&[][..]]) {
        if line.is_empty() {
            let named_error = std::mem::take(&mut named_error);
            events.extend(data.take().map(|data| event(&data, named_error, looks)));
            continue;
        }
        let colon = line.iter().position(|&byte| byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => match &mut data {
                Some(data) => data.extend_from_slice(&[b"\n", value].concat()),
                None => data = Some(value.to_vec()),
            },
            b"event" => named_error = value == b"error",
            _ => {}
        }
    }
    events
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
        let after = after.strip_prefix(b"\r").unwrap_or(after);
        let ended_by_cr = after.len() + line.len() < rest.len();
        rest = match after.strip_prefix(b"\n") {
            Some(next) => next,
            None if ended_by_cr => after,
            None => &[],
        };
        Some(line)
    })
}

fn event(data: &[u8], named_error: bool, looks: bool) -> Event {
    let mut scanner = Scanner::default();
    if looks {
        scanner.feed(data);
    }
    Event {
        done: data.len() <= LONGEST && data.trim_ascii_end() == b"[DONE]",
        named_error,
        facts: scanner.take(),
    }
}

/// A stream of gRPC messages: where it is cut makes no difference, and it says what the plainest of readers finds.
pub(crate) fn messages(pieces: &[&[u8]], whole: &[u8]) {
    for form in [StreamForm::Plain, StreamForm::Wrapped] {
        let at_once = follow(&[whole], form);
        assert_eq!(follow(pieces, form), at_once, "where it is cut matters");
        assert_eq!(at_once, plain_messages(whole, form));
    }
}

fn follow(pieces: &[&[u8]], form: StreamForm) -> Findings {
    let mut frames = Frames::new(form);
    for piece in pieces {
        frames.feed(piece);
    }
    frames.finish()
}

fn plain_messages(mut rest: &[u8], form: StreamForm) -> Findings {
    let mut found = Findings {
        stream: true,
        ..Findings::default()
    };
    while let Some(([compressed, length @ ..], body)) = rest.split_first_chunk::<5>() {
        let looks = form == StreamForm::Wrapped;
        found.unread |= looks && *compressed != 0;
        let Some(message) = body.get(..u32::from_be_bytes(*length) as usize) else {
            break;
        };
        match looks && *compressed == 0 && is_error(message) {
            true => found.class = Some(Class::Model),
            false => found.chunks += 1,
        }
        rest = &body[message.len()..];
    }
    found
}

/// Whether a message has a field 1 with something in it.
fn is_error(mut rest: &[u8]) -> bool {
    let mut error = false;
    while let Some(key) = varint(&mut rest) {
        let skipped = match key & 7 {
            0 => varint(&mut rest).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut rest),
            5 => Some(4),
            _ => None,
        };
        let Some(skipped) = skipped else { break };
        error |= key & 7 == 2 && key >> 3 == 1 && skipped > 0;
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        rest = rest.get(skipped..).unwrap_or_default();
    }
    error
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
