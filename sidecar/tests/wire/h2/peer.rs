//! One side of an HTTP/2 connection, which keeps to the rules, and sees whether the other side does.

use super::frame::{self, Frame};
use super::head::{Cut, Field, Fields, Packer};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Windows before anything else is agreed.
const FIRST_WINDOW: i64 = 65_535;

/// What this side asks of the other, and how it goes on.
#[derive(Clone, Debug)]
pub struct Manners {
    pub stream_window: u32,
    /// Windows are given back in parts of this size.
    pub grain: u32,
    /// Of the other side's packer.
    pub table: Option<u32>,
    pub frame_size: Option<u32>,
    pub max_streams: Option<u32>,
    /// It packs heads with the other side's table.
    pub packs: bool,
    /// Frames that mean nothing to calls come between.
    pub noise: bool,
    /// It begins no stream before it knows what is agreed.
    pub patient: bool,
}

impl Manners {
    fn settings(&self) -> Vec<u8> {
        let all = [
            (1, self.table),
            (3, self.max_streams),
            (4, Some(self.stream_window)),
            (5, self.frame_size),
        ];
        let mut payload = Vec::new();
        for (id, value) in all {
            let Some(value) = value else { continue };
            payload.extend(u16::to_be_bytes(id));
            payload.extend(value.to_be_bytes());
        }
        payload
    }
}

/// How a stream has ended, as far as this side was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    #[default]
    Open,
    Whole,
    Reset(u32),
    /// The connection ended.
    Lost,
}

/// What came on a stream.
#[derive(Clone, Default)]
pub struct Seen {
    pub head: Option<Fields>,
    pub body: Vec<u8>,
    pub trailers: Option<Fields>,
    pub end: End,
    /// The head was all.
    pub bare: bool,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |fields: &Fields| -> Vec<String> {
            let fields = fields.iter();
            fields
                .map(|(name, value)| format!("{name}={}", value.escape_ascii()))
                .collect()
        };
        f.debug_struct("Seen")
            .field("head", &self.head.as_ref().map(show))
            .field("body_len", &self.body.len())
            .field("trailers", &self.trailers.as_ref().map(show))
            .field("end", &self.end)
            .finish()
    }
}

struct Stream {
    seen: Seen,
    window: i64,
    /// What the other side may still send.
    left: i64,
    owed: u32,
    /// This side has reset it.
    given_up: bool,
    /// The other side has reset it.
    unheard: bool,
}

struct State {
    out: Vec<u8>,
    streams: BTreeMap<u32, Stream>,
    /// In the order in which they came.
    begun: Vec<u32>,
    packer: Packer,
    unpacker: fluke_hpack::Decoder<'static>,
    window: i64,
    initial: i64,
    max_frame: usize,
    left: i64,
    owed: u32,
    agreed: bool,
    partial: Option<(u32, bool, Vec<u8>)>,
    ended: bool,
    abrupt: bool,
    /// Streams beyond this one are not looked at.
    last: Option<u32>,
    /// The other side broke a rule.
    fault: Option<String>,
}

/// One side.
pub struct Peer {
    manners: Manners,
    state: Mutex<State>,
    changed: Notify,
}

impl Peer {
    pub fn new(manners: Manners, is_client: bool) -> Arc<Self> {
        let mut out = match is_client {
            true => frame::PREFACE.to_vec(),
            false => Vec::new(),
        };
        frame::write(&mut out, frame::SETTINGS, 0, 0, &manners.settings());
        let mut unpacker = fluke_hpack::Decoder::new();
        unpacker.set_max_allowed_table_size(manners.table.unwrap_or(4096).max(4096) as usize);
        let table = manners.packs.then(fluke_hpack::Encoder::new);
        let state = State {
            out,
            streams: BTreeMap::new(),
            begun: Vec::new(),
            packer: Packer { table },
            unpacker,
            window: FIRST_WINDOW,
            initial: FIRST_WINDOW,
            max_frame: 16_384,
            left: FIRST_WINDOW,
            owed: 0,
            agreed: false,
            partial: None,
            ended: false,
            abrupt: false,
            last: None,
            fault: None,
        };
        Arc::new(Self {
            manners,
            state: Mutex::new(state),
            changed: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Reads and writes until either side ends it.
    pub async fn run(self: Arc<Self>, tcp: TcpStream, is_client: bool) {
        tcp.set_nodelay(true).unwrap();
        let (mut read, mut write) = tcp.into_split();
        let reading = async {
            let mut preface = [0; frame::PREFACE.len()];
            if !is_client && read.read_exact(&mut preface).await.is_err() {
                return;
            }
            while let Ok(Some(frame)) = Frame::read(&mut read).await {
                self.state().take(&frame, &self.manners);
                self.changed.notify_waiters();
            }
        };
        let writing = async {
            loop {
                let next = self
                    .until(|state| match (state.out.is_empty(), state.ended) {
                        (false, _) => Some(Some(std::mem::take(&mut state.out))),
                        (true, true) => Some(None),
                        (true, false) => None,
                    })
                    .await;
                let Some(bytes) = next else { return };
                if write.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        };
        let is_ours = tokio::select! {
            () = reading => false,
            () = writing => true,
        };
        if is_ours && !self.state().abrupt {
            // With bytes unread the system would take back what is on its way.
            let _ = write.shutdown().await;
            let _ = tokio::io::copy(&mut read, &mut tokio::io::sink()).await;
        }
        self.end();
        let mut state = self.state();
        for stream in state.streams.values_mut() {
            if stream.seen.end == End::Open {
                stream.seen.end = End::Lost;
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Ends the connection once what is to be written is written.
    pub fn end(&self) {
        self.state().ended = true;
        self.changed.notify_waiters();
    }

    /// The same without listening for what the other side still has to say.
    pub fn hang_up(&self) {
        self.state().abrupt = true;
        self.end();
    }

    async fn until<T>(&self, mut condition: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = condition(&mut self.state()) {
                return found;
            }
            changed.await;
        }
    }

    fn change<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        let changed = what(&mut self.state());
        self.changed.notify_waiters();
        changed
    }

    /// The next stream that the other side begins; `None` at the end.
    pub async fn begun(&self, known: usize) -> Option<u32> {
        self.until(|state| match state.begun.get(known) {
            Some(stream) => Some(Some(*stream)),
            None => state.ended.then_some(None),
        })
        .await
    }

    /// Ends when a patient side may begin.
    pub async fn may_begin(&self) {
        let patient = self.manners.patient;
        self.until(|state| (!patient || state.agreed || state.ended).then_some(()))
            .await;
    }

    pub fn looks_at(&self, stream: u32) -> bool {
        self.state().last.is_none_or(|last| stream <= last)
    }

    pub fn seen(&self, stream: u32) -> Seen {
        self.state().streams[&stream].seen.clone()
    }

    /// Nothing more can come on a stream.
    pub fn is_over(&self, stream: u32) -> bool {
        let state = self.state();
        let stream = &state.streams[&stream];
        stream.seen.end != End::Open || stream.given_up
    }

    pub fn has_ended(&self) -> bool {
        self.state().ended
    }

    pub fn fault(&self) -> Option<String> {
        self.state().fault.clone()
    }

    /// Ends when a stream is whole, broken off, or has brought so many bytes.
    pub async fn heard(&self, stream: u32, bytes: usize) {
        self.until(|state| {
            let stream = &state.streams[&stream];
            let over = stream.seen.end != End::Open || stream.given_up;
            (over || stream.seen.body.len() >= bytes).then_some(())
        })
        .await;
    }

    /// Writes a head or trailers, unless the stream is over.
    pub fn head(&self, stream: u32, fields: &[Field], cut: &Cut, end: bool) {
        let noise = self.manners.noise;
        self.change(|state| {
            let (initial, left) = (state.initial, state.first_left(&self.manners));
            state
                .streams
                .entry(stream)
                .or_insert_with(|| Stream::new(initial, left));
            if state.is_gone(stream) {
                return;
            }
            let block = state.packer.pack(fields);
            write_head(&mut state.out, stream, &block, cut, end);
            if noise {
                frame::write(&mut state.out, frame::PING, 0, 0, b"01234567");
                frame::write(&mut state.out, frame::UNKNOWN, 0xff, stream, b"what?");
            }
        });
    }

    /// Writes data in one frame or, where windows and frames are smaller, in more. False if the stream is over.
    pub async fn data(&self, stream: u32, data: &[u8], padding: Option<u8>, end: bool) -> bool {
        let mut at = 0;
        loop {
            let wrote = self
                .until(|state| state.write_data(stream, &data[at..], padding, end))
                .await;
            self.changed.notify_waiters();
            match wrote {
                None => return false,
                Some(wrote) => at += wrote,
            }
            if at == data.len() {
                return true;
            }
        }
    }

    pub fn reset(&self, stream: u32, code: u32) {
        self.change(|state| {
            if state.is_gone(stream) {
                return;
            }
            let payload = code.to_be_bytes();
            frame::write(&mut state.out, frame::RST_STREAM, 0, stream, &payload);
            if let Some(stream) = state.streams.get_mut(&stream) {
                stream.given_up = true;
            }
        });
    }

    /// Says that streams beyond `last` are not looked at, once.
    pub fn go_away(&self, last: u32) {
        self.change(|state| {
            if state.last.is_some_and(|before| before <= last) {
                return;
            }
            state.last = Some(last);
            let payload = [last.to_be_bytes(), 0_u32.to_be_bytes()].concat();
            frame::write(&mut state.out, frame::GOAWAY, 0, 0, &payload);
        });
    }
}

fn write_head(out: &mut Vec<u8>, stream: u32, block: &[u8], cut: &Cut, end: bool) {
    let least = (block.len() / cut.frames.max(1)).max(1) + 1;
    let turns = cut.pieces.iter().map(|&piece| piece.max(least)).cycle();
    let mut sizes = turns.chain(std::iter::repeat(16_000));
    let mut rest = block;
    let mut first = true;
    while first || !rest.is_empty() {
        let size = sizes.next().unwrap().min(16_000).min(rest.len());
        let (piece, after) = rest.split_at(size);
        rest = after;
        let mut flags = if rest.is_empty() {
            frame::END_HEADERS
        } else {
            0
        };
        let mut payload = Vec::new();
        if !std::mem::take(&mut first) {
            frame::write(out, frame::CONTINUATION, flags, stream, piece);
            continue;
        }
        if end {
            flags |= frame::END_STREAM;
        }
        if let Some(padding) = cut.padding {
            flags |= frame::PADDED;
            payload.push(padding);
        }
        if cut.priority {
            flags |= frame::PRIORITY;
            payload.extend([0x80, 0, 0, 0, 7]);
        }
        payload.extend_from_slice(piece);
        payload.extend(vec![0; usize::from(cut.padding.unwrap_or(0))]);
        frame::write(out, frame::HEADERS, flags, stream, &payload);
    }
}

impl Stream {
    fn new(window: i64, left: i64) -> Self {
        Self {
            seen: Seen::default(),
            window,
            left,
            owed: 0,
            given_up: false,
            unheard: false,
        }
    }
}

impl State {
    /// What the other side may send on a new stream: what it knows.
    fn first_left(&self, manners: &Manners) -> i64 {
        match self.agreed {
            true => i64::from(manners.stream_window),
            false => FIRST_WINDOW,
        }
    }

    fn is_gone(&self, stream: u32) -> bool {
        let known = self.streams.get(&stream);
        let gone = |stream: &Stream| stream.given_up || stream.unheard;
        self.ended || known.is_none_or(gone)
    }

    /// How many bytes were written; nothing while there is no room.
    fn write_data(
        &mut self,
        id: u32,
        data: &[u8],
        padding: Option<u8>,
        end: bool,
    ) -> Option<Option<usize>> {
        if self.is_gone(id) {
            return Some(None);
        }
        let stream = self.streams.get_mut(&id)?;
        let room = self.window.min(stream.window).min(self.max_frame as i64);
        let room = usize::try_from(room.max(0)).unwrap();
        // Padding takes its share of the windows.
        let cost = padding.map_or(0, |padding| usize::from(padding) + 1);
        let padding = padding.filter(|_| room > cost);
        let cost = padding.map_or(0, |_| cost);
        let taken = data.len().min(room - cost);
        if taken == 0 && !data.is_empty() {
            return None;
        }
        let mut flags = u8::from(end && taken == data.len()) * frame::END_STREAM;
        let mut payload = Vec::with_capacity(taken + cost);
        if let Some(padding) = padding {
            flags |= frame::PADDED;
            payload.push(padding);
        }
        payload.extend_from_slice(&data[..taken]);
        payload.resize(taken + cost, 0);
        stream.window -= payload.len() as i64;
        self.window -= payload.len() as i64;
        frame::write(&mut self.out, frame::DATA, flags, id, &payload);
        Some(Some(taken))
    }

    fn take(&mut self, frame: &Frame, manners: &Manners) {
        match frame.kind {
            frame::DATA => self.data_came(frame, manners),
            frame::HEADERS => {
                let block = frame.content().to_vec();
                let partial = (frame.stream, frame.has(frame::END_STREAM), block);
                self.head_came(partial, frame.has(frame::END_HEADERS), manners);
            }
            frame::CONTINUATION => {
                let Some(mut partial) = self.partial.take() else {
                    return self.broke("a continuation of nothing");
                };
                partial.2.extend_from_slice(&frame.payload);
                self.head_came(partial, frame.has(frame::END_HEADERS), manners);
            }
            frame::RST_STREAM => {
                if let Some(stream) = self.streams.get_mut(&frame.stream) {
                    stream.unheard = true;
                    if stream.seen.end == End::Open {
                        stream.seen.end = End::Reset(frame.number());
                    }
                }
            }
            frame::SETTINGS if frame.has(frame::ACK) => {
                self.agreed = true;
                let change = i64::from(manners.stream_window) - FIRST_WINDOW;
                self.streams.values_mut().for_each(|s| s.left += change);
            }
            frame::SETTINGS => self.settings_came(&frame.payload),
            frame::PING if !frame.has(frame::ACK) => {
                frame::write(&mut self.out, frame::PING, frame::ACK, 0, &frame.payload);
            }
            frame::WINDOW_UPDATE => {
                let by = i64::from(frame.number());
                match frame.stream {
                    0 => self.window += by,
                    id => {
                        if let Some(stream) = self.streams.get_mut(&id) {
                            stream.window += by;
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn broke(&mut self, rule: &str) {
        self.fault.get_or_insert_with(|| rule.to_owned());
    }

    fn settings_came(&mut self, payload: &[u8]) {
        for &[a, b, c, d, e, f] in payload.as_chunks::<6>().0 {
            let value = u32::from_be_bytes([c, d, e, f]);
            match u16::from_be_bytes([a, b]) {
                // It could be told of a smaller table; it is simpler to use none.
                1 if value < 4096 => self.packer.table = None,
                4 => {
                    let change = i64::from(value) - self.initial;
                    self.initial = i64::from(value);
                    self.streams.values_mut().for_each(|s| s.window += change);
                }
                5 => self.max_frame = value as usize,
                _ => {}
            }
        }
        frame::write(&mut self.out, frame::SETTINGS, frame::ACK, 0, &[]);
    }

    fn head_came(&mut self, partial: (u32, bool, Vec<u8>), whole: bool, manners: &Manners) {
        if !whole {
            self.partial = Some(partial);
            return;
        }
        let (id, end, block) = partial;
        let fields = match self.unpacker.decode(&block) {
            Ok(fields) => fields,
            Err(error) => return self.broke(&format!("a head that cannot be read: {error:?}")),
        };
        let fields: Fields = fields
            .into_iter()
            .map(|(name, value)| (String::from_utf8(name).unwrap(), value))
            .collect();
        let (initial, left) = (self.initial, self.first_left(manners));
        let begun = &mut self.begun;
        let stream = self.streams.entry(id).or_insert_with(|| {
            begun.push(id);
            Stream::new(initial, left)
        });
        let late = stream.seen.end != End::Open;
        match &stream.seen.head {
            None => {
                stream.seen.head = Some(fields);
                stream.seen.bare = end;
            }
            Some(_) => stream.seen.trailers = Some(fields),
        }
        if end && !late {
            stream.seen.end = End::Whole;
        }
        if late || (stream.seen.trailers.is_some() && !end) {
            self.broke("a head where none may come");
        }
    }

    fn data_came(&mut self, frame: &Frame, manners: &Manners) {
        let taken = frame.payload.len() as i64;
        self.left -= taken;
        self.owed += taken as u32;
        let mut parts = 0;
        while self.owed >= manners.grain {
            self.owed -= manners.grain;
            parts += 1;
        }
        // The connection's window is the larger one: what is given back for it need not come in as many parts.
        if parts > 0 {
            let by = parts * manners.grain;
            self.left += i64::from(by);
            frame::write(&mut self.out, frame::WINDOW_UPDATE, 0, 0, &by.to_be_bytes());
        }
        let Some(stream) = self.streams.get_mut(&frame.stream) else {
            return self.broke("data of no stream");
        };
        stream.left -= taken;
        let overrun = self.left < 0 || (stream.left < 0 && taken > 0);
        stream.owed += taken as u32;
        let late = stream.seen.end != End::Open || stream.seen.head.is_none();
        stream.seen.body.extend_from_slice(frame.content());
        if frame.has(frame::END_STREAM) && !late {
            stream.seen.end = End::Whole;
        }
        while stream.owed >= manners.grain && stream.seen.end == End::Open && !stream.given_up {
            stream.owed -= manners.grain;
            stream.left += i64::from(manners.grain);
            let by = manners.grain.to_be_bytes();
            frame::write(&mut self.out, frame::WINDOW_UPDATE, 0, frame.stream, &by);
        }
        if overrun {
            self.broke("more data than the windows allow");
        }
        if late {
            self.broke("data after the end, or before the head");
        }
    }
}
