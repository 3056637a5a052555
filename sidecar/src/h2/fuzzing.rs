//! What the fuzz targets ask of HTTP/2; see [`crate::fuzzing`].

use super::block::{Block, Entry, Mark};
use super::frame::{self, Code, Frame, HEAD, MAX_PAYLOAD, PREFACE};
use super::head::{self, RequestHead, are_trailers, pass_all, pass_answer, pass_call};
use super::hpack::fuzzing::{Piece, blocks, coded};
use super::hpack::{Decoder, ENTRY_BYTES, Encoder};
use super::link::{Event, Link, Terms};
use super::messages::Messages;
use super::port::{Fault, cut};
use crate::head::Head as _;
use crate::table::Address;
use std::io::Write as _;

/// What the first byte says of a connection.
#[derive(Clone, Copy)]
struct How {
    is_server: bool,
    head_bytes: usize,
    /// Between two frames, ms.
    step_ms: u64,
}

impl How {
    fn of(byte: u8) -> Self {
        Self {
            is_server: byte & 1 == 0,
            head_bytes: if byte & 2 == 0 { 2 << 10 } else { 64 << 10 },
            step_ms: u64::from(byte >> 2),
        }
    }

    fn link(self, is_server: bool) -> Link {
        let terms = Terms {
            max_streams: is_server.then_some(100),
            stream_window: 256 << 10,
            connection_window: 1 << 20,
            head_bytes: self.head_bytes,
        };
        match is_server {
            true => Link::server(terms),
            false => Link::client(terms),
        }
    }
}

/// A kind of connection, and what comes on it: where it is cut makes no difference, nobody can make us keep or write
/// more than we should, and the other side understands everything that we write.
pub(crate) fn frames(how: u8, pieces: &[&[u8]], whole: &[u8]) {
    let how = How::of(how);
    let at_once = Side::hears(how, &[whole]);
    let in_pieces = Side::hears(how, pieces);
    assert_eq!(in_pieces.said, at_once.said, "where it is cut matters");
    assert_eq!(in_pieces.code, at_once.code, "where it is cut matters");
    let written = at_once.link.unwritten();
    assert_eq!(in_pieces.link.unwritten(), written);
    let written = match how.is_server {
        true => written,
        false => written.strip_prefix(PREFACE).unwrap_or_default(),
    };
    let mut other = how.link(!how.is_server);
    let mut heads = Vec::new();
    let mut now_ms = 0;
    let rest = cut(written, &mut |frame| {
        // No faster than we allow it ourselves.
        now_ms += 1000;
        if let Some(Event::Head { stream, block, end }) = other.receive(frame, now_ms)? {
            say_head(&mut heads, stream, &block, end);
        }
        Ok(())
    });
    assert!(rest.is_ok_and(<[u8]>::is_empty));
    assert_eq!(heads, at_once.heads);
}

/// Our side of a connection, and what it has heard.
struct Side {
    link: Link,
    step_ms: u64,
    now_ms: u64,
    head_bytes: usize,
    /// Bytes that may be written by now.
    bound: usize,
    said: Vec<u8>,
    heads: Vec<u8>,
    code: Option<Code>,
}

impl Side {
    fn hears(how: How, pieces: &[&[u8]]) -> Self {
        let link = how.link(how.is_server);
        let mut side = Self {
            bound: link.unwritten().len(),
            link,
            step_ms: how.step_ms,
            now_ms: 0,
            head_bytes: how.head_bytes,
            said: Vec::new(),
            heads: Vec::new(),
            code: None,
        };
        let mut early = Vec::new();
        for piece in pieces {
            early.extend_from_slice(piece);
            match cut(&early, &mut |frame| side.take(frame)) {
                Ok(rest) => early = rest.to_vec(),
                Err(Fault::Rules(code)) => {
                    side.code = Some(code);
                    break;
                }
                Err(Fault::Io(_)) => unreachable!("no socket is read"),
            }
            assert!(early.len() < HEAD + MAX_PAYLOAD);
        }
        side
    }

    fn take(&mut self, frame: Frame<'_>) -> Result<(), Code> {
        assert_comes_back(frame);
        self.now_ms += self.step_ms;
        self.bound += HEAD + frame.payload.len();
        let event = self.link.receive(frame, self.now_ms)?;
        match event {
            Some(Event::Head { stream, block, end }) => self.head(stream, &block, end),
            Some(Event::Data {
                stream,
                data,
                flow,
                end,
            }) => {
                assert!(data.len() <= flow as usize);
                self.link.give(flow);
                let _ = write!(self.said, "{stream} {end} {flow} ");
                self.said.extend_from_slice(data);
            }
            other => {
                let _ = write!(self.said, "{other:?}");
            }
        }
        assert!(self.link.unwritten().len() <= self.bound);
        assert!(self.link.kept() <= self.head_bytes.max(MAX_PAYLOAD) + 4096);
        assert!(self.link.room() <= MAX_PAYLOAD);
        let _ = write!(self.said, "{}", self.link.has_room_again());
        Ok(())
    }

    /// A head is passed back, which fills our table as well.
    fn head(&mut self, stream: u32, block: &Block, end: bool) {
        let size = |entry: Entry<'_>| entry.name.len() + entry.value.len() + ENTRY_BYTES;
        let bytes: usize = block.iter().map(size).sum();
        assert!(bytes <= self.head_bytes);
        say_head(&mut self.said, stream, block, end);
        say_head(&mut self.heads, stream, block, end);
        self.bound += bytes + HEAD * (bytes / MAX_PAYLOAD + 2);
        self.link
            .head(stream, end, |encoder, out| pass_all(block, encoder, out));
    }
}

fn say_head(to: &mut Vec<u8>, stream: u32, block: &Block, end: bool) {
    let _ = write!(to, "{stream} {end} ");
    for Entry { name, value, mark } in block.iter() {
        let _ = write!(to, "{} {} {} ", name.len(), value.len(), mark.secret);
        to.extend_from_slice(name);
        to.extend_from_slice(value);
    }
}

/// A frame that is written as it was read is the same again.
fn assert_comes_back(frame: Frame<'_>) {
    let mut out = Vec::new();
    frame::begin(
        &mut out,
        frame.payload.len(),
        frame.kind,
        frame.flags,
        frame.stream,
    );
    out.extend_from_slice(frame.payload);
    assert_eq!(Frame::cut(&out), Ok(Some((frame, &[][..]))));
    if let Ok(text) = frame.unpadded() {
        assert!(text.len() <= frame.payload.len());
    }
}

/// Compressed heads of one connection: the bound of a head, then blocks, each with a byte that may change our table, and
/// a byte that is its length.
pub(crate) fn compressed(data: &[u8]) {
    coded(data);
    let Some((&bound, mut rest)) = data.split_first() else {
        return;
    };
    let mut pieces = Vec::new();
    while let [resize, length, after @ ..] = rest {
        let (block, next) = after.split_at(after.len().min(usize::from(*length)));
        let resize = resize.checked_sub(128).map(|n| usize::from(n) * 40);
        pieces.push(Piece { block, resize });
        rest = next;
    }
    blocks(usize::from(bound) * 64, &pieces);
}

/// Fields in the order in which they come: whatever is let through is passed on as something that is let through again,
/// without what is not for the other side.
pub(crate) fn heads(to: &str, fields: &[(&[u8], &[u8])]) {
    let Ok(to) = Address::parse(to) else { return };
    let block = passed(|encoder, out| {
        for &(name, value) in fields {
            let mark = Mark::default();
            encoder.field(out, Entry { name, value, mark });
        }
    });
    if let Some(head) = RequestHead::read(&block)
        && head.is_call()
    {
        call(&block, &head, &to);
    }
    if let Some(status) = head::status(&block) {
        answer(&block, status);
    }
    if are_trailers(&block) {
        let again = passed(|encoder, out| pass_all(&block, encoder, out));
        assert!(are_trailers(&again));
    }
}

fn passed(write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) -> Block {
    let mut out = Vec::new();
    write(&mut Encoder::default(), &mut out);
    let block = Decoder::default().decode(&out, usize::MAX);
    block.expect("what we write is a block")
}

fn fields(block: &Block) -> Vec<(&[u8], &[u8])> {
    block
        .iter()
        .map(|entry| (entry.name, entry.value))
        .collect()
}

fn call(block: &Block, head: &RequestHead<'_>, to: &Address) {
    let again = passed(|encoder, out| pass_call(block, to, encoder, out));
    let read = RequestHead::read(&again);
    let read = read.expect("a call that is passed on is a call");
    assert!(read.is_call() && !read.ours);
    assert_eq!(read.path(), format!("{}{}", to.prefix(), head.path()));
    assert_eq!(read.query(), head.query());
    let host = head.host().unwrap_or_else(|| to.authority());
    assert_eq!(read.host(), Some(host));
    assert_eq!(
        read.values("content-type").count(),
        head.values("content-type").count()
    );
    for gone in ["host", "proxy-authorization", "proxy-authenticate"] {
        assert_eq!(read.value(gone), None);
    }
    if to.prefix().is_empty() {
        let third = passed(|encoder, out| pass_call(&again, to, encoder, out));
        assert_eq!(fields(&third), fields(&again));
    }
}

fn answer(block: &Block, status: u16) {
    let pass =
        |block: &Block| passed(|encoder, out| pass_answer(block, b"v2", b"id", encoder, out));
    let again = pass(block);
    assert_eq!(head::status(&again), Some(status));
    for (name, value) in [
        ("x-serinus-variant", b"v2"),
        ("x-serinus-prediction-id", b"id"),
    ] {
        let mut ours = again.iter().filter(|entry| entry.name == name.as_bytes());
        assert!(ours.next().is_some_and(|entry| entry.value == value) && ours.next().is_none());
    }
    assert_eq!(fields(&pass(&again)), fields(&again));
}

/// gRPC messages: where they are cut makes no difference, and the bound is that of one message.
pub(crate) fn messages(pieces: &[&[u8]], whole: &[u8]) {
    for most in [0, 5, 300, 4 << 20] {
        let fits = |pieces: &[&[u8]]| {
            let mut messages = Messages::default();
            pieces
                .iter()
                .all(|piece| messages.follow(piece, most).is_ok())
        };
        assert_eq!(fits(pieces), fits(&[whole]), "where it is cut matters");
        assert_eq!(
            fits(&[whole]),
            lengths(whole).all(|length| u64::from(length) <= most)
        );
    }
}

fn lengths(mut rest: &[u8]) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let ([_, length @ ..], body) = rest.split_first_chunk::<5>()?;
        let length = u32::from_be_bytes(*length);
        rest = body.get(length as usize..).unwrap_or_default();
        Some(length)
    })
}
