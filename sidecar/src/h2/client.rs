//! A client's connection: its streams, its alarms, and its end.

use super::block::Block;
use super::call;
use super::flood::Cheap;
use super::frame::{Code, Frame, PREFACE};
use super::head::are_trailers;
use super::link::{Event, Link, Terms};
use super::origin::Origin;
use super::port::{self, Fault, Port};
use crate::net::Stream;
use crate::worker::{Deadline, Order, State, Worker};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Bounds of one client's connection.
const MAX_STREAMS: u32 = 100;
pub(super) const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Streams that were ended here and of which the client may not have heard yet.
const RECENT: usize = 256;

/// Whoever gives a call up sooner has hardly meant it, ms.
const HASTY_MS: u64 = 50;

/// A client with calls of which nothing is heard for so long is asked whether it is still there, ms.
const QUIET_MS: u64 = 20_000;

/// For its answer to that, and to the last word before the end, ms.
const ANSWER_MS: u64 = 10_000;

/// How long and how much is listened to a client that was told to go.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 4 << 20;

/// The last stream that a connection which is about to end names first: any.
const ANY_STREAM: u32 = 0x7fff_ffff;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    No,
    /// The client was told; what it has sent meanwhile is still served.
    Announced,
    /// No more streams begin.
    Closed,
}

/// Serves what is not a plain gRPC call on a connection of its own.
type Inner = Box<dyn Fn(Stream)>;

/// One connection.
pub(super) struct Client {
    pub(super) port: Port,
    pub(super) worker: Rc<Worker>,
    pub(super) state: Rc<State>,
    inner: RefCell<Option<Rc<Origin>>>,
    open_inner: Inner,
    last: Cell<u32>,
    recent: RefCell<VecDeque<u32>>,
    ending: Cell<Ending>,
    alarm: RefCell<Option<Deadline>>,
    alarm_ms: Cell<u64>,
    heard_ms: Cell<u64>,
    asked_ms: Cell<Option<u64>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

const NEVER: u64 = u64::MAX;

/// Serves a connection of which what was read so far begins with the whole preface. `open_inner` serves other calls than
/// plain gRPC ones.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    state: Rc<State>,
    (mut stream, read): (Stream, Vec<u8>),
    open_inner: Inner,
) -> io::Result<()> {
    let terms = Terms {
        max_streams: Some(MAX_STREAMS),
        stream_window: STREAM_WINDOW,
        connection_window: CONNECTION_WINDOW,
        head_bytes: worker.limits.head_bytes,
    };
    let now_ms = worker.deadlines.now_ms();
    let client = Rc::new(Client {
        port: Port::new(Link::server(terms)),
        worker,
        state,
        inner: RefCell::default(),
        open_inner,
        last: Cell::new(0),
        recent: RefCell::default(),
        ending: Cell::new(Ending::No),
        alarm: RefCell::default(),
        alarm_ms: Cell::new(NEVER),
        heard_ms: Cell::new(now_ms),
        asked_ms: Cell::new(None),
    });
    let frames = read.get(PREFACE.len()..).unwrap_or_default();
    let end = match port::cut(frames, &mut |frame| client.take(frame)) {
        Ok(rest) => {
            let mut early = rest.to_vec();
            drop(read);
            std::future::poll_fn(|cx| client.poll(cx, &mut stream, &mut early)).await
        }
        Err(fault) => Err(fault),
    };
    let result = client.leave(&mut stream, end).await;
    for (_, call) in client.port.calls() {
        call.hung_up(Code::CANCEL);
    }
    if let Some(inner) = client.inner.take() {
        inner.retire();
    }
    result
}

impl Client {
    fn poll(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        early: &mut Vec<u8>,
    ) -> Poll<Result<(), Fault>> {
        self.port.register(cx.waker());
        let order = self.state.ordered(cx.waker());
        if order == Order::Abort {
            return Poll::Ready(Ok(()));
        }
        if order >= Order::Retire {
            self.announce_end();
        }
        let read = self
            .port
            .poll_read(cx, stream, early, |frame| self.take(frame));
        if read.is_ready() {
            return read;
        }
        if let Some(fault) = self.poll_alarm(cx) {
            return Poll::Ready(Err(fault));
        }
        loop {
            let written = self.port.poll_write(cx, stream);
            self.state.write(written.is_pending());
            match written {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Fault::Io(error))),
                Poll::Ready(Ok(())) if self.is_over() => return Poll::Ready(Ok(())),
                _ => {}
            }
            if !self.port.link.borrow_mut().has_room_again() {
                return Poll::Pending;
            }
            self.port.resume(|call| call.resume_answer());
        }
    }

    fn is_over(&self) -> bool {
        self.ending.get() == Ending::Closed && self.port.open() == 0
    }

    /// Says goodbye to a client that broke the rules.
    async fn leave(&self, stream: &mut Stream, end: Result<(), Fault>) -> io::Result<()> {
        let code = match end {
            Ok(()) => return Ok(()),
            Err(Fault::Io(error)) => return Err(error),
            Err(Fault::Rules(code)) => code,
        };
        self.port.link.borrow_mut().go_away(self.last.get(), code);
        // A client that does not listen misses it.
        let _ = tokio::time::timeout(LINGER, self.say_goodbye(stream)).await;
        Err(io::Error::other(format!(
            "the client broke HTTP/2: code {}",
            code.0
        )))
    }

    /// Writes the last word and reads what is on its way: with bytes unread the system would take the last word back.
    async fn say_goodbye(&self, stream: &mut Stream) -> io::Result<()> {
        std::future::poll_fn(|cx| self.port.poll_write(cx, stream)).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await?;
        Ok(())
    }

    fn take(self: &Rc<Self>, frame: Frame<'_>) -> Result<(), Code> {
        let now_ms = self.worker.deadlines.now_ms();
        self.heard_ms.set(now_ms);
        self.asked_ms.set(None);
        let event = self.port.link.borrow_mut().receive(frame, now_ms)?;
        match event {
            Some(Event::Head { stream, block, end }) => self.head(stream, block, end)?,
            Some(Event::Data {
                stream,
                data,
                flow,
                end,
            }) => match self.port.call(stream) {
                Some(call) => call.request_data(data, flow, end),
                None => {
                    self.port.link.borrow_mut().give(flow);
                    self.check_recent(stream)?;
                }
            },
            Some(Event::Reset { stream, code }) => {
                self.check_begun(stream)?;
                let call = self.port.call(stream);
                // Callers who have waited for a while have a reason to give up.
                let hasty = |begun: u64| begun + HASTY_MS > now_ms;
                let what = match call.as_ref().is_some_and(|call| hasty(call.begun_ms())) {
                    true => Cheap::Reset,
                    false => Cheap::Empty,
                };
                self.port.link.borrow_mut().cheap(what, now_ms)?;
                if let Some(call) = call {
                    call.hung_up(code);
                }
            }
            Some(Event::Window { stream, by }) => match self.port.call(stream) {
                Some(call) => call.answer_window(i64::from(by)),
                None => self.check_begun(stream)?,
            },
            Some(Event::Settled { by }) => {
                if by != 0 {
                    self.port.resume(|call| call.answer_window(by));
                }
            }
            Some(Event::Pong) if self.ending.get() == Ending::Announced => self.end(),
            Some(Event::Opened | Event::Pong | Event::GoAway { .. }) | None => {}
        }
        Ok(())
    }

    fn head(self: &Rc<Self>, stream: u32, block: Block, end: bool) -> Result<(), Code> {
        if let Some(call) = self.port.call(stream) {
            match end && are_trailers(&block) {
                true => call.request_trailers(block),
                false => call.refuse_stream(Code::PROTOCOL),
            }
            return Ok(());
        }
        if stream.is_multiple_of(2) {
            return Err(Code::PROTOCOL);
        }
        if stream <= self.last.get() {
            return self.check_recent(stream);
        }
        if self.ending.get() == Ending::Closed {
            return Ok(());
        }
        self.last.set(stream);
        if self.port.open() >= MAX_STREAMS as usize {
            let now_ms = self.worker.deadlines.now_ms();
            self.port.link.borrow_mut().cheap(Cheap::Reset, now_ms)?;
            self.reset(stream, Code::REFUSED_STREAM);
            return Ok(());
        }
        call::begin(self, stream, block, end);
        Ok(())
    }

    /// Frames of streams that were ended here are on their way for a while; any other frame of a stream that is over
    /// is an error.
    fn check_recent(&self, stream: u32) -> Result<(), Code> {
        self.check_begun(stream)?;
        match self.recent.borrow().contains(&stream) {
            true => Ok(()),
            false => Err(Code::STREAM_CLOSED),
        }
    }

    fn check_begun(&self, stream: u32) -> Result<(), Code> {
        let begun = stream % 2 == 1 && stream <= self.last.get();
        begun.then_some(()).ok_or(Code::PROTOCOL)
    }

    /// Ends a stream before its client has.
    pub(super) fn reset(&self, stream: u32, code: Code) {
        self.port.link.borrow_mut().reset(stream, code);
        let mut recent = self.recent.borrow_mut();
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(stream);
        drop(recent);
        self.port.wake();
    }

    /// A call is over.
    pub(super) fn release(&self, stream: u32) {
        self.port.remove(stream);
        if self.port.open() == 0 && self.ending.get() != Ending::No {
            self.port.wake();
        }
    }

    /// The connection to what serves other calls than plain gRPC ones.
    pub(super) fn inner(&self) -> io::Result<Rc<Origin>> {
        let known = self
            .inner
            .borrow()
            .clone()
            .filter(|origin| origin.has_room());
        if let Some(origin) = known {
            return Ok(origin);
        }
        let (ours, other) = UnixStream::pair()?;
        (self.open_inner)(other.into());
        let origin = Origin::start(ours.into(), Weak::new(), &self.worker.deadlines);
        if let Some(old) = self.inner.replace(Some(Rc::clone(&origin))) {
            old.retire();
        }
        Ok(origin)
    }

    /// First the client is told that the end is near; after its answer, which is behind everything that it has sent
    /// before it knew, no more streams begin.
    fn announce_end(&self) {
        if self.ending.get() != Ending::No {
            return;
        }
        self.ending.set(Ending::Announced);
        let mut link = self.port.link.borrow_mut();
        link.go_away(ANY_STREAM, Code::NO_ERROR);
        link.ping();
        drop(link);
        let now_ms = self.worker.deadlines.now_ms();
        self.asked_ms.set(Some(now_ms));
        self.arm(now_ms + ANSWER_MS);
    }

    fn end(&self) {
        self.ending.set(Ending::Closed);
        self.port
            .link
            .borrow_mut()
            .go_away(self.last.get(), Code::NO_ERROR);
    }

    /// Has `Call::overdue` called no later than then, about.
    pub(super) fn arm(&self, at_ms: u64) {
        if at_ms >= self.alarm_ms.get() {
            return;
        }
        self.alarm_ms.set(at_ms);
        let mut alarm = self.alarm.borrow_mut();
        match &*alarm {
            Some(alarm) => alarm.set(at_ms),
            None => *alarm = Some(self.worker.deadlines.add(at_ms)),
        }
    }

    fn poll_alarm(&self, cx: &mut Context<'_>) -> Option<Fault> {
        loop {
            let is_due = {
                let alarm = self.alarm.borrow();
                alarm.as_ref()?.poll(cx).is_ready()
            };
            if !is_due {
                return None;
            }
            if !self.ring() {
                return Some(Fault::Io(io::ErrorKind::TimedOut.into()));
            }
        }
    }

    /// Looks for what is overdue; false if the client is.
    fn ring(&self) -> bool {
        let now_ms = self.worker.deadlines.now_ms();
        for (_, call) in self.port.calls() {
            if call.due_ms() <= now_ms {
                call.overdue(now_ms);
            }
        }
        self.alarm_ms.set(NEVER);
        if self
            .asked_ms
            .get()
            .is_some_and(|asked| asked + ANSWER_MS <= now_ms)
        {
            return false;
        }
        let calls = self.port.calls();
        if calls.is_empty() && self.asked_ms.get().is_none() {
            self.alarm.take();
            return true;
        }
        if self.asked_ms.get().is_none() && self.heard_ms.get() + QUIET_MS <= now_ms {
            self.asked_ms.set(Some(now_ms));
            self.port.link.borrow_mut().ping();
        }
        let due = calls.iter().map(|(_, call)| call.due_ms()).min();
        let at_ms = due.unwrap_or(NEVER).min(now_ms + ANSWER_MS).max(now_ms + 1);
        self.alarm_ms.set(at_ms);
        if let Some(alarm) = &*self.alarm.borrow() {
            alarm.set(at_ms);
        }
        true
    }
}
