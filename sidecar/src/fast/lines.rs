//! What both kinds of heads have in common: lines, lengths, and the headers of one connection.

use super::malformed::Malformed;
use httparse::Header;
use std::mem::MaybeUninit;

/// More headers than this are refused.
pub(crate) const MAX_HEADERS: usize = 100;

/// Room for the headers of one head, on the stack.
pub(crate) type Slots<'b> = [MaybeUninit<Header<'b>>; MAX_HEADERS];

pub(crate) fn slots<'b>() -> Slots<'b> {
    [const { MaybeUninit::uninit() }; MAX_HEADERS]
}

/// How the length of a body is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
}

impl Lengths {
    /// Takes a `content-length`; only one, and only digits.
    pub(super) fn content_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
        if !digits || self.length.is_some() {
            return Err(Malformed::ContentLength);
        }
        let number = value
            .iter()
            .fold(0, |sum, &byte| sum * 10 + u64::from(byte - b'0'));
        self.length = Some(number);
        Ok(())
    }

    /// Takes a `transfer-encoding`; only one, and only `chunked`.
    pub(super) fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Malformed> {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Malformed::TransferEncoding);
        }
        self.chunked = true;
        Ok(())
    }

    pub(super) fn check(self, minor: u8) -> Result<Self, Malformed> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Malformed::BothLengths),
            (true, None) if minor == 0 => Err(Malformed::TransferEncoding),
            _ => Ok(self),
        }
    }
}

/// What the `connection` headers of a message say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    /// Other headers are named.
    pub(crate) others: bool,
}

impl Options {
    pub(super) fn add(&mut self, value: &[u8]) {
        for token in tokens(value) {
            if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else {
                self.others = true;
            }
        }
    }
}

pub(super) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let tokens = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    tokens.filter(|token| !token.is_empty())
}

#[inline]
pub(super) fn is(name: &str, lower: &str) -> bool {
    name.eq_ignore_ascii_case(lower)
}

/// Whether a header's name is one of ours.
#[inline]
pub(super) fn is_ours(name: &str) -> bool {
    let start = name.as_bytes().get(..OURS.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(OURS))
}

const OURS: &[u8] = b"x-serinus-";

/// Whether a header is for one connection only. What frames the body is passed on with the body as it came.
#[inline]
pub(super) fn is_of_connection(name: &str) -> bool {
    match name.len() {
        2 => is(name, "te"),
        7 => is(name, "upgrade"),
        10 => is(name, "connection") || is(name, "keep-alive"),
        16 => is(name, "proxy-connection"),
        18 => is(name, "proxy-authenticate"),
        19 => is(name, "proxy-authorization"),
        _ => false,
    }
}

/// Whether the `connection` headers name this one. What frames the message is not for them to take away.
pub(super) fn is_named(headers: &[Header<'_>], name: &str) -> bool {
    let protected = ["content-length", "transfer-encoding", "host", "trailer"];
    if protected.iter().any(|other| is(name, other)) {
        return false;
    }
    let connection = headers
        .iter()
        .filter(|header| is(header.name, "connection"));
    let mut named = connection.flat_map(|header| tokens(header.value));
    named.any(|token| token.eq_ignore_ascii_case(name.as_bytes()))
}

/// Where in `text` a part of it begins.
#[inline]
pub(super) fn offset(text: &[u8], part: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}

/// The parser takes a bare LF for a line's end; we don't. `text` is a head up to and with its empty line.
pub(super) fn check_line_ends(text: &[u8], headers: &[Header<'_>]) -> Result<(), Malformed> {
    let ends = |at: usize| at >= 2 && text[at - 2..at] == *b"\r\n";
    let starts = headers.iter().map(|header| offset(text, header.name));
    let sound = starts.into_iter().all(ends) && text.ends_with(b"\r\n\r\n");
    sound.then_some(()).ok_or(Malformed::LineEnd)
}

/// The empty lines before a head, which are allowed (RFC 9112, section 2.2), if they end with CR LF.
pub(super) fn empty_lines(text: &[u8]) -> usize {
    let pairs = text.chunks_exact(2).take_while(|pair| pair == b"\r\n");
    pairs.count() * 2
}
