//! One HTTP/2 connection as a state machine: frames in, events out, and the bytes that are to be written. It knows
//! nothing of sockets; streams' own windows are kept with the calls.

use super::block::{Block, Entry};
use super::flood::{Cheap, Flood};
use super::frame::{self, Code, Frame, MAX_PAYLOAD, flag, kind};
use super::hpack::{Decoder, Encoder};
use super::window::{Receiving, Sending};

/// Windows before anything else is agreed.
const FIRST_WINDOW: u32 = 65_535;

/// With more than this unwritten, nothing is added that can wait.
const FULL: usize = 256 << 10;

/// With more than this unwritten, the other side asks faster than it reads: nothing more is read from it.
const STUCK: usize = 1 << 20;

/// An empty buffer keeps at most this much.
const KEPT: usize = 64 << 10;

/// A head in more frames than this is an attack (CVE-2024-27316 and its like).
const MOST_CONTINUATIONS: u32 = 32;

/// What we tell the other side, and hold it to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) max_streams: Option<u32>,
    pub(super) stream_window: u32,
    pub(super) connection_window: u32,
    /// Bytes of a head, compressed or not.
    pub(super) head_bytes: usize,
}

/// What a frame means to whoever holds the streams.
#[derive(Debug)]
pub(super) enum Event<'a> {
    Head {
        stream: u32,
        block: Block,
        end: bool,
    },
    Data {
        stream: u32,
        data: &'a [u8],
        /// What it takes of the windows: with padding.
        flow: u32,
        end: bool,
    },
    Reset {
        stream: u32,
        code: Code,
    },
    /// A stream's window has grown.
    Window {
        stream: u32,
        by: u32,
    },
    /// The connection's window has grown.
    Opened,
    /// The other side's settings have come: every stream's window has changed by so much.
    Settled {
        by: i64,
    },
    GoAway {
        last: u32,
    },
    Pong,
}

#[derive(Debug)]
struct Partial {
    stream: u32,
    end: bool,
    bytes: Vec<u8>,
    frames: u32,
}

#[derive(Debug)]
pub(super) struct Link {
    out: Vec<u8>,
    written: usize,
    decoder: Decoder,
    encoder: Encoder,
    sending: Sending,
    receiving: Receiving,
    terms: Terms,
    initial_window: u32,
    max_payload: usize,
    max_streams: Option<u32>,
    settled: bool,
    partial: Option<Partial>,
    flood: Flood,
    /// Something waits for room in the connection.
    wanted: bool,
}

impl Link {
    /// Our side of a client's connection.
    pub(super) fn server(terms: Terms) -> Self {
        Self::new(terms, &[])
    }

    /// Our side of a connection to an endpoint.
    pub(super) fn client(terms: Terms) -> Self {
        Self::new(terms, frame::PREFACE)
    }

    fn new(terms: Terms, preface: &[u8]) -> Self {
        let mut link = Self {
            out: preface.to_vec(),
            written: 0,
            decoder: Decoder::default(),
            encoder: Encoder::default(),
            sending: Sending::new(FIRST_WINDOW),
            receiving: Receiving::new(terms.connection_window),
            terms,
            initial_window: FIRST_WINDOW,
            max_payload: MAX_PAYLOAD,
            max_streams: None,
            settled: false,
            partial: None,
            flood: Flood::default(),
            wanted: false,
        };
        let mut settings = vec![(4, terms.stream_window), (6, terms.head_bytes as u32)];
        match terms.max_streams {
            Some(most) => settings.push((3, most)),
            // A client takes no pushes.
            None => settings.push((2, 0)),
        }
        frame::begin(&mut link.out, settings.len() * 6, kind::SETTINGS, 0, 0);
        for (id, value) in settings {
            link.out.extend_from_slice(&u16::to_be_bytes(id));
            link.out.extend_from_slice(&u32::to_be_bytes(value));
        }
        link.window(0, terms.connection_window - FIRST_WINDOW);
        link
    }

    /// Takes a frame in.
    pub(super) fn receive<'a>(
        &mut self,
        frame: Frame<'a>,
        now_ms: u64,
    ) -> Result<Option<Event<'a>>, Code> {
        let continues =
            |partial: &Partial| frame.kind == kind::CONTINUATION && frame.stream == partial.stream;
        if !self.partial.as_ref().is_none_or(continues) {
            return Err(Code::PROTOCOL);
        }
        if !self.settled && (frame.kind != kind::SETTINGS || frame.has(flag::ACK)) {
            return Err(Code::PROTOCOL);
        }
        let of_connection = matches!(frame.kind, kind::SETTINGS | kind::PING | kind::GOAWAY);
        let of_either = frame.kind == kind::WINDOW_UPDATE || frame.kind > kind::CONTINUATION;
        if !of_either && of_connection != (frame.stream == 0) {
            return Err(Code::PROTOCOL);
        }
        match frame.kind {
            kind::DATA => self.data_came(frame, now_ms),
            kind::HEADERS => self.head_came(frame, now_ms),
            kind::CONTINUATION => self.continued(frame, now_ms),
            kind::RST_STREAM => {
                let (stream, code) = (frame.stream, Code(frame.number()?));
                Ok(Some(Event::Reset { stream, code }))
            }
            kind::SETTINGS => self.settings_came(frame, now_ms),
            kind::PING => self.ping_came(frame, now_ms),
            kind::GOAWAY => {
                let last = frame.payload.first_chunk().ok_or(Code::FRAME_SIZE)?;
                let last = u32::from_be_bytes(*last) & 0x7fff_ffff;
                Ok(Some(Event::GoAway { last }))
            }
            kind::WINDOW_UPDATE => self.window_came(frame),
            kind::PUSH_PROMISE => Err(Code::PROTOCOL),
            kind::PRIORITY if frame.payload.len() != 5 => Err(Code::FRAME_SIZE),
            _ => self.cheap(Cheap::Empty, now_ms).map(|()| None),
        }
    }

    /// Counts something that costs the other side nothing.
    pub(super) fn cheap(&mut self, what: Cheap, now_ms: u64) -> Result<(), Code> {
        match self.flood.count(what, now_ms) {
            true => Ok(()),
            false => Err(Code::ENHANCE_YOUR_CALM),
        }
    }

    fn data_came<'a>(&mut self, frame: Frame<'a>, now_ms: u64) -> Result<Option<Event<'a>>, Code> {
        let (data, flow) = (frame.unpadded()?, frame.payload.len() as u32);
        let end = frame.has(flag::END_STREAM);
        if data.is_empty() && !end {
            self.cheap(Cheap::Empty, now_ms)?;
        }
        self.receiving.take(flow)?;
        let stream = frame.stream;
        Ok(Some(Event::Data {
            stream,
            data,
            flow,
            end,
        }))
    }

    fn head_came<'a>(&mut self, frame: Frame<'a>, now_ms: u64) -> Result<Option<Event<'a>>, Code> {
        let mut bytes = frame.unpadded()?;
        if frame.has(flag::PRIORITY) {
            bytes = bytes.get(5..).ok_or(Code::FRAME_SIZE)?;
        }
        let end = frame.has(flag::END_STREAM);
        if frame.has(flag::END_HEADERS) {
            return self.whole_head(frame.stream, bytes, end).map(Some);
        }
        if bytes.is_empty() {
            self.cheap(Cheap::Empty, now_ms)?;
        }
        self.partial = Some(Partial {
            stream: frame.stream,
            end,
            bytes: bytes.to_vec(),
            frames: 0,
        });
        Ok(None)
    }

    fn continued<'a>(&mut self, frame: Frame<'a>, now_ms: u64) -> Result<Option<Event<'a>>, Code> {
        let mut partial = self.partial.take().ok_or(Code::PROTOCOL)?;
        if frame.payload.is_empty() {
            self.cheap(Cheap::Empty, now_ms)?;
        }
        partial.frames += 1;
        partial.bytes.extend_from_slice(frame.payload);
        if partial.frames > MOST_CONTINUATIONS || partial.bytes.len() > self.terms.head_bytes {
            return Err(Code::ENHANCE_YOUR_CALM);
        }
        if frame.has(flag::END_HEADERS) {
            let Partial {
                stream, end, bytes, ..
            } = partial;
            return self.whole_head(stream, &bytes, end).map(Some);
        }
        self.partial = Some(partial);
        Ok(None)
    }

    fn whole_head<'a>(&mut self, stream: u32, bytes: &[u8], end: bool) -> Result<Event<'a>, Code> {
        let block = self.decoder.decode(bytes, self.terms.head_bytes);
        let block = block.map_err(|_| Code::COMPRESSION)?;
        Ok(Event::Head { stream, block, end })
    }

    fn settings_came<'a>(
        &mut self,
        frame: Frame<'a>,
        now_ms: u64,
    ) -> Result<Option<Event<'a>>, Code> {
        self.cheap(Cheap::Settings, now_ms)?;
        let (settings, rest) = frame.payload.as_chunks::<6>();
        if !rest.is_empty() || (frame.has(flag::ACK) && !settings.is_empty()) {
            return Err(Code::FRAME_SIZE);
        }
        if frame.has(flag::ACK) {
            return Ok(None);
        }
        let before = i64::from(self.initial_window);
        for &[a, b, c, d, e, f] in settings {
            self.set(u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]))?;
        }
        self.settled = true;
        frame::begin(&mut self.out, 0, kind::SETTINGS, flag::ACK, 0);
        let by = i64::from(self.initial_window) - before;
        Ok(Some(Event::Settled { by }))
    }

    fn set(&mut self, id: u16, value: u32) -> Result<(), Code> {
        match id {
            1 => self.encoder.resize(value as usize),
            // Only a client says whether it takes pushes, and there are none.
            2 if value > 1 => return Err(Code::PROTOCOL),
            3 => self.max_streams = Some(value),
            4 if value > 0x7fff_ffff => return Err(Code::FLOW_CONTROL),
            4 => self.initial_window = value,
            5 if !(16_384..=16_777_215).contains(&value) => return Err(Code::PROTOCOL),
            // Larger frames would keep others waiting.
            _ => {}
        }
        Ok(())
    }

    fn ping_came<'a>(&mut self, frame: Frame<'a>, now_ms: u64) -> Result<Option<Event<'a>>, Code> {
        if frame.payload.len() != 8 {
            return Err(Code::FRAME_SIZE);
        }
        if frame.has(flag::ACK) {
            return Ok(Some(Event::Pong));
        }
        self.cheap(Cheap::Ping, now_ms)?;
        frame::begin(&mut self.out, 8, kind::PING, flag::ACK, 0);
        self.out.extend_from_slice(frame.payload);
        Ok(None)
    }

    fn window_came<'a>(&mut self, frame: Frame<'a>) -> Result<Option<Event<'a>>, Code> {
        let by = frame.number()? & 0x7fff_ffff;
        if frame.stream > 0 {
            let stream = frame.stream;
            return Ok(Some(Event::Window { stream, by }));
        }
        if by == 0 {
            return Err(Code::PROTOCOL);
        }
        self.sending.give(i64::from(by))?;
        Ok(Some(Event::Opened))
    }

    /// A stream's window to begin with.
    pub(super) fn stream_window(&self) -> Sending {
        Sending::new(self.initial_window)
    }

    /// How many streams the other side takes, as far as it has said so.
    pub(super) fn max_streams(&self) -> Option<u32> {
        self.max_streams
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// How many bytes of data may be written now; whoever finds none is asked again when there is room.
    pub(super) fn room(&mut self) -> usize {
        let left = match self.unwritten().len() < FULL {
            true => self.sending.left(),
            false => 0,
        };
        self.wanted |= left == 0;
        left.min(self.max_payload)
    }

    /// Whether something has waited for the room that there is now.
    pub(super) fn has_room_again(&mut self) -> bool {
        let again = self.wanted && self.sending.left() > 0 && self.unwritten().len() < FULL / 2;
        self.wanted &= !again;
        again
    }

    /// Writes a head or trailers.
    pub(super) fn head(
        &mut self,
        stream: u32,
        end: bool,
        fields: impl FnOnce(&mut Encoder, &mut Vec<u8>),
    ) {
        let at = self.out.len();
        frame::begin(&mut self.out, 0, kind::HEADERS, 0, stream);
        self.encoder.begin(&mut self.out);
        fields(&mut self.encoder, &mut self.out);
        let start = at + frame::HEAD;
        let length = self.out.len() - start;
        let end = if end { flag::END_STREAM } else { 0 };
        if length <= self.max_payload {
            let [_, a, b, c] = (length as u32).to_be_bytes();
            self.out[at..at + 5].copy_from_slice(&[
                a,
                b,
                c,
                kind::HEADERS,
                end | flag::END_HEADERS,
            ]);
            return;
        }
        let block = self.out.split_off(start);
        self.out.truncate(at);
        let parts = block.chunks(self.max_payload);
        let last = parts.len() - 1;
        for (n, part) in parts.enumerate() {
            let (kind, first) = if n == 0 {
                (kind::HEADERS, end)
            } else {
                (kind::CONTINUATION, 0)
            };
            let flags = first | if n == last { flag::END_HEADERS } else { 0 };
            frame::begin(&mut self.out, part.len(), kind, flags, stream);
            self.out.extend_from_slice(part);
        }
    }

    /// Writes data; there has to be room for it.
    pub(super) fn data(&mut self, stream: u32, data: &[u8], end: bool) {
        self.sending.take(data.len());
        let flags = if end { flag::END_STREAM } else { 0 };
        frame::begin(&mut self.out, data.len(), kind::DATA, flags, stream);
        self.out.extend_from_slice(data);
    }

    pub(super) fn reset(&mut self, stream: u32, code: Code) {
        frame::number(&mut self.out, kind::RST_STREAM, stream, code.0);
    }

    /// Gives a stream's window back.
    pub(super) fn window(&mut self, stream: u32, by: u32) {
        frame::number(&mut self.out, kind::WINDOW_UPDATE, stream, by);
    }

    /// Gives the connection's window back.
    pub(super) fn give(&mut self, bytes: u32) {
        if let Some(by) = self.receiving.give(bytes) {
            self.window(0, by);
        }
    }

    pub(super) fn go_away(&mut self, last: u32, code: Code) {
        frame::begin(&mut self.out, 8, kind::GOAWAY, 0, 0);
        self.out.extend_from_slice(&last.to_be_bytes());
        self.out.extend_from_slice(&code.0.to_be_bytes());
    }

    pub(super) fn ping(&mut self) {
        frame::begin(&mut self.out, 8, kind::PING, 0, 0);
        self.out.extend_from_slice(b"serinus\0");
    }

    /// Bytes that the other side makes us keep: a head in parts, and its table.
    #[cfg(any(test, fuzzing))]
    pub(super) fn kept(&self) -> usize {
        let partial = self
            .partial
            .as_ref()
            .map_or(0, |partial| partial.bytes.len());
        partial + self.decoder.table_bytes()
    }

    pub(super) fn unwritten(&self) -> &[u8] {
        &self.out[self.written..]
    }

    /// Whether the other side should first read what it has asked for.
    pub(super) fn is_stuck(&self) -> bool {
        self.unwritten().len() > STUCK
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written < self.out.len() {
            return;
        }
        self.written = 0;
        self.out.clear();
        if self.out.capacity() > KEPT {
            self.out.shrink_to(KEPT);
        }
    }
}

/// A field of our own.
pub(super) fn own<'a>(name: &'a str, value: &'a [u8], repeated: bool) -> Entry<'a> {
    let mark = super::block::Mark {
        repeated,
        ..Default::default()
    };
    let name = name.as_bytes();
    Entry { name, value, mark }
}

#[cfg(test)]
mod tests;
