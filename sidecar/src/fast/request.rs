//! A request's head, read once: what choosing and framing need, and whether it may be passed on at all.

use super::body::Body;
use super::lines::{
    Lengths, Options, Slots, check_line_ends, empty_lines, is, is_of_connection, is_ours, tokens,
};
use super::malformed::Malformed;
use crate::classify;
use crate::head::{Head, is_host};
use httparse::{Header, Status};

/// A sound head, and where it ends.
#[derive(Debug)]
pub(crate) struct RequestHead<'h, 'b> {
    pub(crate) method: &'b str,
    /// As it came.
    pub(crate) target: &'b str,
    /// What is asked for: the target without a scheme and a host.
    pub(crate) asked: &'b str,
    /// The host in the target, which wins over the header (RFC 9112, section 3.2.2).
    pub(crate) named: Option<&'b str>,
    /// Of HTTP/1.
    pub(crate) minor: u8,
    pub(crate) headers: &'h [Header<'b>],
    /// As it came, with the empty line at its end, without any before it.
    pub(crate) text: &'b [u8],
    /// Bytes up to the body.
    pub(crate) length: usize,
    pub(crate) lengths: Lengths,
    pub(crate) marks: Marks<'b>,
}

/// What one look at the headers has found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks<'b> {
    pub(crate) host: Option<&'b [u8]>,
    pub(crate) options: Options,
    /// Some header has to go.
    pub(crate) unclean: bool,
    /// Some header is named like ours.
    pub(crate) ours: bool,
    /// The caller wants another protocol, which we could offer.
    pub(crate) upgrade: bool,
    pub(crate) expect: bool,
    pub(crate) grpc: bool,
}

/// Reads a request's head at the start of `bytes`; `None` if there is more to come.
///
/// # Errors
/// For everything that two readers could understand differently, see [`Malformed`].
pub(crate) fn parse<'h, 'b>(
    bytes: &'b [u8],
    slots: &'h mut Slots<'b>,
) -> Result<Option<RequestHead<'h, 'b>>, Malformed> {
    let skipped = empty_lines(bytes);
    let bytes = &bytes[skipped..];
    if bytes.first() == Some(&b'\n') {
        return Err(Malformed::LineEnd);
    }
    let mut parsed = httparse::Request::new(&mut []);
    let Status::Complete(length) = parsed.parse_with_uninit_headers(bytes, slots)? else {
        return Ok(None);
    };
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Malformed::FirstLine);
    };
    let (named, asked) = parts_of(method, target).ok_or(Malformed::Target)?;
    let text = &bytes[..length];
    let headers: &'h [Header<'b>] = parsed.headers;
    check_line_ends(text, headers)?;
    let (lengths, marks) = look(headers)?;
    if minor == 1 && marks.host.is_none() {
        return Err(Malformed::Host);
    }
    Ok(Some(RequestHead {
        method,
        target,
        asked,
        named,
        minor,
        headers,
        text,
        length: skipped + length,
        lengths: lengths.check(minor)?,
        marks,
    }))
}

/// Looks at every header once; most are ruled out by their length.
fn look<'b>(headers: &[Header<'b>]) -> Result<(Lengths, Marks<'b>), Malformed> {
    let mut lengths = Lengths::default();
    let mut marks = Marks::default();
    for Header { name, value } in headers {
        match name.len() {
            4 if is(name, "host") => {
                if marks.host.is_some() || !is_host(value) {
                    return Err(Malformed::Host);
                }
                marks.host = Some(value);
            }
            6 => marks.expect |= is(name, "expect"),
            7 if is(name, "upgrade") => marks.upgrade |= !value.eq_ignore_ascii_case(b"h2c"),
            10 if is(name, "connection") => marks.options.add(value),
            12 if is(name, "content-type") => marks.grpc |= classify::is_grpc(value),
            14 if is(name, "content-length") => lengths.content_length(value)?,
            17 if is(name, "transfer-encoding") => lengths.transfer_encoding(value)?,
            _ => {}
        }
        marks.unclean |= is_of_connection(name);
        marks.ours |= is_ours(name);
    }
    Ok((lengths, marks))
}

/// Host and rest of a target: a path; a URL with a host; or `*`, of OPTIONS alone. What else there is in RFC 9112,
/// section 3.2, is for tunnels. Some readers end a target at a `#`, others don't.
fn parts_of<'b>(method: &str, target: &'b str) -> Option<(Option<&'b str>, &'b str)> {
    if method == "CONNECT" || target.contains('#') {
        return None;
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Some((None, target));
    }
    let after = |scheme: &str| {
        let start = target.get(..scheme.len())?;
        start
            .eq_ignore_ascii_case(scheme)
            .then(|| &target[scheme.len()..])
    };
    let rest = after("http://").or_else(|| after("https://"))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, asked) = rest.split_at(end);
    (!host.is_empty() && is_host(host.as_bytes())).then_some((Some(host), asked))
}

impl RequestHead<'_, '_> {
    /// What follows the head.
    pub(crate) fn body(&self) -> Body {
        match self.lengths.chunked {
            true => Body::chunked(),
            false => Body::Length(self.lengths.length.unwrap_or(0)),
        }
    }

    /// Whether the connection may be used again after this request.
    pub(crate) fn keeps_alive(&self) -> bool {
        let options = self.marks.options;
        !options.close && (self.minor == 1 || options.keep_alive)
    }

    /// Whether `te` names trailers, the only thing that a proxy may say itself.
    pub(super) fn wants_trailers(value: &[u8]) -> bool {
        tokens(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
    }
}

impl Head for RequestHead<'_, '_> {
    fn method(&self) -> &str {
        self.method
    }

    fn path(&self) -> &str {
        let path = self.asked.split_once('?');
        path.map_or(self.asked, |(path, _)| path)
    }

    fn query(&self) -> Option<&str> {
        self.asked.split_once('?').map(|(_, query)| query)
    }

    fn host(&self) -> Option<&str> {
        // Its bytes were checked to be ASCII.
        let header = || self.marks.host.and_then(|host| str::from_utf8(host).ok());
        self.named.or_else(header)
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = self
            .headers
            .iter()
            .filter(move |header| is(header.name, name));
        named.map(|header| header.value)
    }
}

#[cfg(test)]
mod tests;
