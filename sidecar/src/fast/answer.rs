//! An answer's head, read as strictly as a request's.

use super::body::Body;
use super::lines::{Lengths, Options, Slots, check_line_ends, is, is_of_connection, is_ours};
use super::malformed::Malformed;
use crate::inspect;
use httparse::{Header, Status};

/// A sound head, and where it ends.
#[derive(Debug)]
pub(crate) struct AnswerHead<'h, 'b> {
    pub(crate) status: u16,
    /// Of HTTP/1.
    pub(crate) minor: u8,
    pub(crate) headers: &'h [Header<'b>],
    /// As it came, with the empty line at its end.
    pub(crate) text: &'b [u8],
    pub(crate) lengths: Lengths,
    pub(crate) options: Options,
    /// Some header has to go.
    pub(crate) unclean: bool,
    pub(crate) content_type: Option<&'b [u8]>,
    pub(crate) content_encoding: Option<&'b [u8]>,
}

/// Reads an answer's head at the start of `bytes`; `None` if there is more to come.
///
/// # Errors
/// For everything that two readers could understand differently, see [`Malformed`].
pub(crate) fn parse<'h, 'b>(
    bytes: &'b [u8],
    slots: &'h mut Slots<'b>,
) -> Result<Option<AnswerHead<'h, 'b>>, Malformed> {
    // The parser skips empty lines, which no answer begins with.
    if matches!(bytes.first(), Some(b'\r' | b'\n')) {
        return Err(Malformed::FirstLine);
    }
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let parsing = config.parse_response_with_uninit_headers(&mut parsed, bytes, slots);
    let Status::Complete(length) = parsing? else {
        return Ok(None);
    };
    let (Some(status @ 100..), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(Malformed::FirstLine);
    };
    let text = &bytes[..length];
    let headers: &'h [Header<'b>] = parsed.headers;
    check_line_ends(text, headers)?;
    let mut head = AnswerHead {
        status,
        minor,
        headers,
        text,
        lengths: Lengths::default(),
        options: Options::default(),
        unclean: false,
        content_type: None,
        content_encoding: None,
    };
    head.look()?;
    head.lengths.check(minor)?;
    Ok(Some(head))
}

impl AnswerHead<'_, '_> {
    fn look(&mut self) -> Result<(), Malformed> {
        for Header { name, value } in self.headers {
            match name.len() {
                10 if is(name, "connection") => self.options.add(value),
                12 if is(name, "content-type") => self.content_type = Some(value),
                14 if is(name, "content-length") => self.lengths.content_length(value)?,
                16 if is(name, "content-encoding") => self.content_encoding = Some(value),
                17 if is(name, "transfer-encoding") => self.lengths.transfer_encoding(value)?,
                _ => {}
            }
            self.unclean |= is_of_connection(name) || is_ours(name);
        }
        Ok(())
    }

    /// An answer before the answer.
    pub(crate) fn is_interim(&self) -> bool {
        (100..200).contains(&self.status)
    }

    /// What follows the head. `asked_head`: the request's method was HEAD.
    pub(crate) fn body(&self, asked_head: bool) -> Body {
        if self.is_interim() || asked_head || matches!(self.status, 204 | 304) {
            return Body::none();
        }
        match (self.lengths.chunked, self.lengths.length) {
            (true, _) => Body::chunked(),
            (false, Some(length)) => Body::Length(length),
            (false, None) => Body::UntilClose,
        }
    }

    /// Whether the connection may be used again after this answer.
    pub(crate) fn keeps_alive(&self) -> bool {
        // A body that a 204 may not have could still come.
        let odd = self.status == 204
            && (self.lengths.chunked || self.lengths.length.is_some_and(|length| length > 0));
        self.minor == 1 && !self.options.close && !odd
    }

    pub(crate) fn is_event_stream(&self) -> bool {
        self.content_type.is_some_and(inspect::is_event_stream)
    }
}

#[cfg(test)]
mod tests;
