//! Heads as they are passed on: what came, byte for byte, without the headers that end here and with those that we add.

use super::answer::AnswerHead;
use super::lines::{is, is_named, is_of_connection, is_ours, offset};
use super::request::RequestHead;
use httparse::Header;
use std::ops::Range;

/// Adds a request's head to `out`; where its target lies in what was added.
pub(crate) fn request(
    out: &mut Vec<u8>,
    head: &RequestHead<'_, '_>,
    target: Option<&str>,
) -> Range<usize> {
    let at = head.method.len() + 1;
    let line = out.len();
    let first = at + head.target.len();
    match target {
        None => out.extend_from_slice(&head.text[..first]),
        Some(target) => {
            out.extend_from_slice(&head.text[..at]);
            out.extend_from_slice(target.as_bytes());
        }
    }
    let length = target.unwrap_or(head.target).len();
    let marks = &head.marks;
    if !(marks.unclean || marks.ours || marks.options.others) {
        out.extend_from_slice(&head.text[first..]);
        return at..at + length;
    }
    let named = marks.options.others;
    let goes = |header: &Header<'_>| {
        is_of_connection(header.name)
            || (marks.ours && is_ours(header.name))
            || (named && is_named(head.headers, header.name))
    };
    copy_lines(out, head.text, first, head.headers, goes);
    let mut te = head.headers.iter().filter(|header| is(header.name, "te"));
    if te.any(|te| RequestHead::wants_trailers(te.value)) {
        out.extend_from_slice(b"te: trailers\r\n");
    }
    out.extend_from_slice(b"\r\n");
    debug_assert!(out.len() > line);
    at..at + length
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

/// Adds an answer's head to `out`. `close`: the client is told that this is the last one on its connection.
pub(crate) fn answer(
    out: &mut Vec<u8>,
    head: &AnswerHead<'_, '_>,
    labels: Option<Labels<'_>>,
    close: bool,
) {
    // Up to the minor version, which is ours.
    out.extend_from_slice(b"HTTP/1.1");
    let bodiless = head.status == 204 || head.is_interim();
    let framed = head.lengths.chunked || head.lengths.length.is_some();
    if head.unclean || head.options.others || (bodiless && framed) {
        let named = head.options.others;
        let goes = |header: &Header<'_>| {
            is_of_connection(header.name)
                || is_label(header.name)
                || (named && is_named(head.headers, header.name))
                || (bodiless && is_length(header.name))
        };
        copy_lines(out, head.text, VERSION, head.headers, goes);
    } else {
        out.extend_from_slice(&head.text[VERSION..head.text.len() - 2]);
    }
    if let Some(labels) = labels {
        labels.write(out);
    }
    if close {
        out.extend_from_slice(b"connection: close\r\n");
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

/// Copies a head from `from` on, without the lines of headers that have to go and without the empty line.
fn copy_lines(
    out: &mut Vec<u8>,
    text: &[u8],
    mut from: usize,
    headers: &[Header<'_>],
    goes: impl Fn(&Header<'_>) -> bool,
) {
    let end = text.len() - 2;
    for (at, header) in headers.iter().enumerate() {
        if goes(header) {
            out.extend_from_slice(&text[from..offset(text, header.name)]);
            let next = headers.get(at + 1);
            from = next.map_or(end, |next| offset(text, next.name));
        }
    }
    out.extend_from_slice(&text[from..end]);
}

#[cfg(test)]
mod tests;
