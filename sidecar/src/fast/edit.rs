//! Heads as they are passed on: what came, byte for byte, without the headers that end here and with those that we add.

use super::answer::AnswerHead;
use super::lines::{is, is_named, is_of_connection, is_ours, offset};
use super::request::RequestHead;
use httparse::Header;
use std::ops::Range;

/// What becomes of a header's line.
enum Line<'a> {
    Stays,
    Goes,
    /// It gets another value.
    Says(&'a [u8]),
}

/// Adds a request's head to `out`, with another target if one is given; where that lies in what was added.
pub(crate) fn request(
    out: &mut Vec<u8>,
    head: &RequestHead<'_, '_>,
    target: Option<&str>,
) -> Range<usize> {
    let at = head.method.len() + 1;
    let target = target.unwrap_or(head.asked);
    out.extend_from_slice(&head.text[..at]);
    out.extend_from_slice(target.as_bytes());
    // Whatever the client speaks, this is ours.
    out.extend_from_slice(REQUEST_VERSION);
    let lines = at + head.target.len() + REQUEST_VERSION.len();
    let marks = &head.marks;
    if marks.unclean || marks.ours || marks.options.others || head.named.is_some() {
        let te = says_trailers(head);
        let become_of = |header: &Header<'_>| match header.name.len() {
            2 if te == Some(offset(head.text, header.name)) => Line::Says(b"trailers"),
            4 if is(header.name, "host") => match head.named {
                Some(host) => Line::Says(host.as_bytes()),
                None => Line::Stays,
            },
            _ if is_of_connection(header.name)
                || (marks.ours && is_ours(header.name))
                || (marks.options.others && is_named(head.headers, header.name)) =>
            {
                Line::Goes
            }
            _ => Line::Stays,
        };
        copy_lines(out, head.text, lines, head.headers, become_of);
        out.extend_from_slice(b"\r\n");
    } else {
        out.extend_from_slice(&head.text[lines..]);
    }
    at..at + target.len()
}

const REQUEST_VERSION: &[u8] = b" HTTP/1.1";

/// The first `te` line, if one of them says what a proxy may say itself.
fn says_trailers(head: &RequestHead<'_, '_>) -> Option<usize> {
    let mut lines = head.headers.iter().filter(|header| is(header.name, "te"));
    let mut again = lines.clone();
    let first = lines.next()?;
    let wanted = again.any(|te| RequestHead::wants_trailers(te.value));
    wanted.then(|| offset(head.text, first.name))
}

/// What is said of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Labels<'a> {
    pub(crate) variant: &'a [u8],
    pub(crate) prediction_id: &'a [u8],
}

impl Labels<'_> {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"x-serinus-variant: ");
        out.extend_from_slice(self.variant);
        out.extend_from_slice(b"\r\nx-serinus-prediction-id: ");
        out.extend_from_slice(self.prediction_id);
        out.extend_from_slice(b"\r\n");
    }
}

/// Whom an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reader {
    /// It speaks HTTP/1.0: no chunks, and a connection ends unless it is told otherwise.
    pub(crate) old: bool,
    /// This is the last answer on its connection.
    pub(crate) close: bool,
}

/// Adds an answer's head to `out`.
pub(crate) fn answer(
    out: &mut Vec<u8>,
    head: &AnswerHead<'_, '_>,
    labels: Option<Labels<'_>>,
    reader: Reader,
) {
    // Up to the minor version, which is ours.
    out.extend_from_slice(b"HTTP/1.1");
    let bodiless = head.status == 204 || head.is_interim();
    let framed = head.lengths.chunked || head.lengths.length.is_some();
    let unchunked = reader.old && head.lengths.chunked;
    if head.unclean || head.options.others || (bodiless && framed) || unchunked {
        let named = head.options.others;
        let become_of = |header: &Header<'_>| {
            let goes = is_of_connection(header.name)
                || is_label(header.name)
                || (named && is_named(head.headers, header.name))
                || (bodiless && is_length(header.name))
                || (unchunked && is(header.name, "transfer-encoding"));
            if goes { Line::Goes } else { Line::Stays }
        };
        copy_lines(out, head.text, VERSION, head.headers, become_of);
    } else {
        out.extend_from_slice(&head.text[VERSION..head.text.len() - 2]);
    }
    if let Some(labels) = labels {
        labels.write(out);
    }
    match reader {
        Reader { close: true, .. } => out.extend_from_slice(b"connection: close\r\n"),
        Reader { old: true, .. } => out.extend_from_slice(b"connection: keep-alive\r\n"),
        Reader { .. } => {}
    }
    out.extend_from_slice(b"\r\n");
}

const VERSION: usize = "HTTP/1.1".len();

fn is_label(name: &str) -> bool {
    is_ours(name) && (is(name, "x-serinus-variant") || is(name, "x-serinus-prediction-id"))
}

fn is_length(name: &str) -> bool {
    is(name, "content-length") || is(name, "transfer-encoding")
}

/// Copies a head from `from` on, with what becomes of its lines and without the empty line.
fn copy_lines<'a>(
    out: &mut Vec<u8>,
    text: &[u8],
    mut from: usize,
    headers: &[Header<'_>],
    become_of: impl Fn(&Header<'_>) -> Line<'a>,
) {
    let end = text.len() - 2;
    for (at, header) in headers.iter().enumerate() {
        let line = become_of(header);
        if let Line::Stays = line {
            continue;
        }
        out.extend_from_slice(&text[from..offset(text, header.name)]);
        if let Line::Says(value) = line {
            out.extend_from_slice(header.name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        let next = headers.get(at + 1);
        from = next.map_or(end, |next| offset(text, next.name));
    }
    out.extend_from_slice(&text[from..end]);
}

#[cfg(test)]
mod tests;
