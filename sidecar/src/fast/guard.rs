//! What hyper is given to read of an HTTP/1 connection: only messages that are sound by our rules, which are stricter
//! than its own. In the place of one that is not it gets bytes that it has to refuse, after the answers before it.

use super::body::Body;
use super::lines::slots;
use super::malformed::Malformed;
use super::request;

/// Nothing that can be a part of a request.
const REFUSED: &[u8] = b"\0\r\n\r\n";

/// Follows the requests of one connection, at any place between two bytes.
#[derive(Debug)]
pub(crate) struct Guard {
    at: At,
    /// The part of a head that is here.
    head: Vec<u8>,
    head_bytes: usize,
}

#[derive(Debug)]
enum At {
    Head,
    Body(Body),
    /// What follows may be another protocol.
    Elsewhere,
    Refused,
}

impl Guard {
    /// `head_bytes`: no head is longer.
    pub(crate) fn new(head_bytes: usize) -> Self {
        Self {
            at: At::Head,
            head: Vec::new(),
            head_bytes,
        }
    }

    /// A message was refused: nothing after it is of any meaning.
    pub(crate) fn has_refused(&self) -> bool {
        matches!(self.at, At::Refused)
    }

    /// Adds to `out` what may be read of `bytes`. Heads come whole.
    ///
    /// # Errors
    /// For what is not sound. `out` has then been told, and nothing more comes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            let used = match &mut self.at {
                At::Elsewhere => {
                    out.extend_from_slice(bytes);
                    bytes.len()
                }
                At::Refused => return Ok(()),
                At::Body(body) => match body.take(bytes, |_| {}) {
                    Ok(taken) => {
                        out.extend_from_slice(&bytes[..taken.bytes]);
                        if body.is_done() {
                            self.at = At::Head;
                        }
                        taken.bytes
                    }
                    Err(why) => return Err(self.refuse(why, out)),
                },
                At::Head => self.feed_head(bytes, out)?,
            };
            bytes = &bytes[used..];
        }
        Ok(())
    }

    fn feed_head(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Malformed> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let mut slots = slots();
        let (length, next) = match request::parse(&self.head, &mut slots) {
            Ok(None) if self.head.len() <= self.head_bytes => return Ok(bytes.len()),
            Ok(None) => return Err(self.refuse(Malformed::TooManyHeaders, out)),
            Err(why) => return Err(self.refuse(why, out)),
            Ok(Some(head)) if head.marks.upgrade || head.method == "CONNECT" => {
                (head.length, At::Elsewhere)
            }
            Ok(Some(head)) => match head.body() {
                Body::Length(0) => (head.length, At::Head),
                body => (head.length, At::Body(body)),
            },
        };
        out.extend_from_slice(&self.head[..length]);
        self.head.clear();
        self.at = next;
        Ok(length - before)
    }

    fn refuse(&mut self, why: Malformed, out: &mut Vec<u8>) -> Malformed {
        out.extend_from_slice(REFUSED);
        self.head = Vec::new();
        self.at = At::Refused;
        why
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOUND: &str = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
        POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\n";

    fn passed(text: &str, piece: usize) -> (String, Option<Malformed>) {
        let mut guard = Guard::new(1000);
        let mut out = Vec::new();
        let mut why = None;
        for piece in text.as_bytes().chunks(piece) {
            why = guard.feed(piece, &mut out).err().or(why);
        }
        (String::from_utf8(out).unwrap(), why)
    }

    #[test]
    fn sound_requests_pass_and_nothing_after_an_unsound_one() {
        for bad in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        ] {
            let (out, why) = passed(&format!("{SOUND}{bad}{SOUND}"), 1000);
            assert_eq!(out, format!("{SOUND}\0\r\n\r\n"));
            assert!(why.is_some());
        }
        let chunk = "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (out, why) = passed(&format!("{chunk}2 \r\nxy\r\n"), 1000);
        assert_eq!(
            (out.as_str(), why),
            (&*format!("{chunk}\0\r\n\r\n"), Some(Malformed::ChunkSize))
        );
        let (_, why) = passed(&format!("GET /{} HTTP/1.1\r\n", "a".repeat(2000)), 100);
        assert!(why.is_some());
    }

    #[test]
    fn another_protocol_is_not_looked_at() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n\0\n\0";
        assert_eq!(passed(text, 1000), (text.to_owned(), None));
    }

    proptest! {
        #[test]
        fn sound_requests_pass_however_they_come(piece in 1usize..200) {
            prop_assert_eq!(passed(SOUND, piece), (SOUND.to_owned(), None));
        }
    }
}
