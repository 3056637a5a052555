//! Connections to endpoints. Many calls of all clients share one; the task of its own only reads and writes.

use super::call::Call;
use super::frame::{Code, Frame};
use super::link::{Event, Link, Terms};
use super::port::{Fault, Port};
use crate::net::Stream;
use crate::pool::Endpoint;
use crate::tls::Offer;
use crate::worker::Deadlines;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

/// Connections to one endpoint and of one worker.
const MOST_CONNECTIONS: usize = 8;

/// Streams that are opened before the endpoint has said how many it takes: the call that the connection was made for.
const FIRST_STREAMS: usize = 1;

/// Stream numbers beyond this are left to the past: a new connection begins anew.
const LAST_STREAM: u32 = 1 << 30;

/// What endpoints are held to. The connection's window is given back at once, so that one slow caller does not stop the
/// others; what a call can hold is bounded by its stream's.
const TERMS: Terms = Terms {
    max_streams: None,
    stream_window: 256 << 10,
    connection_window: 4 << 20,
    head_bytes: 64 << 10,
};

/// The connections to one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    origins: RefCell<Vec<Rc<Origin>>>,
    waiting: RefCell<VecDeque<Waiting>>,
    connecting: Cell<bool>,
}

#[derive(Debug)]
struct Waiting {
    call: Rc<Call>,
    /// Only a new connection will do.
    fresh: bool,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) port: Port,
    endpoint: Weak<Endpoint>,
    clock: Rc<Deadlines>,
    next: Cell<u32>,
    /// It takes no more calls.
    retired: Cell<bool>,
    idle_since_ms: Cell<u64>,
    heard_ms: Cell<u64>,
}

impl Pool {
    /// A connection that takes one more call.
    pub(super) fn free(&self) -> Option<Rc<Origin>> {
        self.origins.borrow().iter().find(|o| o.has_room()).cloned()
    }

    /// Has a call begin its stream when there is a connection for it; a `fresh` one, if that is possible.
    pub(super) fn queue(
        &self,
        endpoint: &Rc<Endpoint>,
        clock: &Rc<Deadlines>,
        call: &Rc<Call>,
        fresh: bool,
    ) {
        let call = Rc::clone(call);
        let fresh = fresh && self.origins.borrow().len() < MOST_CONNECTIONS;
        self.waiting.borrow_mut().push_back(Waiting { call, fresh });
        self.grow(endpoint, clock);
    }

    /// Opens a connection if some call needs one.
    fn grow(&self, endpoint: &Rc<Endpoint>, clock: &Rc<Deadlines>) {
        let waiting = self.waiting.borrow();
        if waiting.is_empty() || self.connecting.get() {
            return;
        }
        let origins = self.origins.borrow();
        // Until it has said how many streams it takes, a new connection may be enough for all.
        let undecided = origins.iter().any(|origin| origin.is_undecided());
        let needed = waiting.iter().any(|w| w.fresh || !undecided);
        if !needed || origins.len() >= MOST_CONNECTIONS {
            return;
        }
        self.connecting.set(true);
        tokio::task::spawn_local(connect(Rc::clone(endpoint), Rc::clone(clock)));
    }

    /// Gives waiting calls the room that there is.
    fn serve(&self, new: Option<&Rc<Origin>>) {
        if self.waiting.borrow().is_empty() {
            return;
        }
        let mut left = VecDeque::new();
        while let Some(waiting) = self.next() {
            if !waiting.call.is_waiting() {
                continue;
            }
            let new = new.filter(|origin| origin.has_room()).cloned();
            let origin = if waiting.fresh {
                new
            } else {
                new.or_else(|| self.free())
            };
            match origin {
                Some(origin) => waiting.call.attach(&origin, false),
                None => left.push_back(waiting),
            }
        }
        self.waiting.replace(left);
    }

    fn next(&self) -> Option<Waiting> {
        self.waiting.borrow_mut().pop_front()
    }

    /// Ends connections that nobody has used since `before_ms`.
    pub(crate) fn sweep(&self, before_ms: u64) {
        for origin in self.origins.borrow().iter() {
            if origin.port.open() == 0 && origin.idle_since_ms.get() < before_ms {
                origin.retire();
            }
        }
    }

    fn forget(&self, origin: &Rc<Origin>) {
        self.origins
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, origin));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for origin in self.origins.get_mut() {
            origin.retire();
        }
    }
}

async fn connect(endpoint: Rc<Endpoint>, clock: Rc<Deadlines>) {
    let opened = endpoint.open(Offer::Http2).await;
    let pool = endpoint.relays();
    pool.connecting.set(false);
    match opened {
        Ok((stream, _)) => {
            let origin = Origin::start(stream, Rc::downgrade(&endpoint), &clock);
            pool.origins.borrow_mut().push(Rc::clone(&origin));
            pool.serve(Some(&origin));
        }
        Err(error) => {
            tracing::debug!(endpoint = %endpoint.address(), %error, "no connection");
            endpoint.mark_down(clock.now_ms());
            let any = !pool.origins.borrow().is_empty();
            let (stay, go) = pool
                .waiting
                .take()
                .into_iter()
                .partition(|w| any && !w.fresh);
            pool.waiting.replace(stay);
            let go: VecDeque<Waiting> = go;
            go.iter().for_each(|w| w.call.no_connection(&endpoint));
        }
    }
    pool.grow(&endpoint, &clock);
}

impl Origin {
    /// Speaks HTTP/2 on a new connection.
    pub(super) fn start(
        stream: Stream,
        endpoint: Weak<Endpoint>,
        clock: &Rc<Deadlines>,
    ) -> Rc<Self> {
        let origin = Rc::new(Self {
            port: Port::new(Link::client(TERMS)),
            endpoint,
            clock: Rc::clone(clock),
            next: Cell::new(1),
            retired: Cell::new(false),
            idle_since_ms: Cell::new(clock.now_ms()),
            heard_ms: Cell::new(clock.now_ms()),
        });
        tokio::task::spawn_local(Rc::clone(&origin).run(stream));
        origin
    }

    pub(super) fn has_room(&self) -> bool {
        let link = self.port.link.borrow();
        let most = match link.is_settled() {
            true => link.max_streams().map_or(usize::MAX, |most| most as usize),
            false => FIRST_STREAMS,
        };
        !self.retired.get() && self.port.open() < most && self.next.get() < LAST_STREAM
    }

    /// It has not said yet how many streams it takes.
    fn is_undecided(&self) -> bool {
        !self.retired.get() && !self.port.link.borrow().is_settled()
    }

    /// What a stream may be sent to begin with.
    pub(super) fn stream_window() -> u32 {
        TERMS.stream_window
    }

    /// Numbers a call's stream.
    pub(super) fn admit(&self, call: &Rc<Call>) -> u32 {
        let stream = self.next.get();
        self.next.set(stream + 2);
        self.port.add(stream, Rc::clone(call));
        stream
    }

    /// A call's stream is over on both sides, or was reset.
    pub(super) fn release(&self, stream: u32) {
        self.port.remove(stream);
        if self.port.open() == 0 {
            self.idle_since_ms.set(self.clock.now_ms());
        }
        let waiting = self.endpoint.upgrade();
        let waiting = waiting.is_some_and(|e| !e.relays().waiting.borrow().is_empty());
        if waiting || self.retired.get() {
            self.port.wake();
        }
    }

    /// Takes no more calls; ends with the last one.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.port.wake();
    }

    /// A call was given up. If nothing at all was heard since it began, the connection may be dead.
    pub(super) fn suspect(&self, since_ms: u64) {
        if self.heard_ms.get() < since_ms {
            self.retire();
        }
    }

    async fn run(self: Rc<Self>, mut stream: Stream) {
        let mut early = Vec::new();
        let fault = std::future::poll_fn(|cx| self.poll(cx, &mut stream, &mut early)).await;
        self.retired.set(true);
        if let Some(endpoint) = self.endpoint.upgrade() {
            endpoint.relays().forget(&self);
        }
        match fault {
            Fault::Io(error) => tracing::debug!(%error, "an endpoint's connection has failed"),
            Fault::Rules(code) => {
                self.port.link.borrow_mut().go_away(0, code);
                // It is lost on an endpoint that does not read.
                std::future::poll_fn(|cx| {
                    let _ = self.port.poll_write(cx, &mut stream);
                    Poll::Ready(())
                })
                .await;
            }
        }
        for (id, call) in self.port.calls() {
            self.port.remove(id);
            call.lost(false);
        }
        if let Some(endpoint) = self.endpoint.upgrade() {
            endpoint.relays().grow(&endpoint, &self.clock);
        }
    }

    fn poll(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        early: &mut Vec<u8>,
    ) -> Poll<Fault> {
        self.port.register(cx.waker());
        let read = self
            .port
            .poll_read(cx, stream, early, |frame| self.take(frame));
        match read {
            Poll::Ready(Ok(())) => {
                return Poll::Ready(Fault::Io(std::io::ErrorKind::UnexpectedEof.into()));
            }
            Poll::Ready(Err(fault)) => return Poll::Ready(fault),
            Poll::Pending => {}
        }
        if let Some(endpoint) = self.endpoint.upgrade() {
            endpoint.relays().serve(None);
            endpoint.relays().grow(&endpoint, &self.clock);
        }
        loop {
            let written = self.port.poll_write(cx, stream);
            if let Poll::Ready(Err(error)) = written {
                return Poll::Ready(Fault::Io(error));
            }
            if !self.port.link.borrow_mut().has_room_again() {
                break;
            }
            self.port.resume(|call| call.resume_request());
        }
        match self.retired.get() && self.port.open() == 0 {
            true => Poll::Ready(Fault::Rules(Code::NO_ERROR)),
            false => Poll::Pending,
        }
    }

    fn take(self: &Rc<Self>, frame: Frame<'_>) -> Result<(), Code> {
        let now_ms = self.clock.now_ms();
        self.heard_ms.set(now_ms);
        let event = self.port.link.borrow_mut().receive(frame, now_ms)?;
        match event {
            Some(Event::Head { stream, block, end }) => match self.port.call(stream) {
                Some(call) => call.answer_head(block, end),
                None => self.check_known(stream)?,
            },
            Some(Event::Data {
                stream,
                data,
                flow,
                end,
            }) => {
                self.port.link.borrow_mut().give(flow);
                match self.port.call(stream) {
                    Some(call) => call.answer_data(data, flow, end),
                    None => self.check_known(stream)?,
                }
            }
            Some(Event::Reset { stream, code }) => {
                if let Some(call) = self.port.call(stream) {
                    self.release(stream);
                    call.answer_reset(code);
                }
            }
            Some(Event::Window { stream, by }) => {
                if let Some(call) = self.port.call(stream) {
                    call.request_window(i64::from(by));
                }
            }
            Some(Event::Settled { by }) => self.port.resume(|call| call.request_window(by)),
            Some(Event::GoAway { last }) => self.leave(last),
            Some(Event::Opened | Event::Pong) | None => {}
        }
        Ok(())
    }

    fn check_known(&self, stream: u32) -> Result<(), Code> {
        let ours = stream % 2 == 1 && stream < self.next.get();
        ours.then_some(()).ok_or(Code::PROTOCOL)
    }

    /// The endpoint finishes the streams up to `last`, and has not looked at the others.
    fn leave(&self, last: u32) {
        self.retire();
        for (stream, call) in self.port.calls() {
            if stream > last {
                self.port.remove(stream);
                call.lost(true);
            }
        }
    }
}
