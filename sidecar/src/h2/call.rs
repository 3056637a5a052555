//! One call on its way through: a client's stream and an endpoint's, and what is booked on them.
//!
//! Whichever side something comes from, it is written to the other side's buffer at once, and the other side's task is
//! woken to write it out. Nothing crosses a channel, and nothing waits but for windows.

mod answer;
mod attempt;
mod begin;
mod held;
mod request;

pub(super) use begin::begin;

use super::block::Block;
use super::client::Client;
use super::frame::Code;
use super::messages::Messages;
use super::origin::Origin;
use super::pipe::Pipe;
use super::window::{Receiving, Sending};
use crate::pool::Claim;
use crate::proxy::ticket::Ticket;
use crate::worker::{Busy, LocalRoute};
use serinus_common::class::Class;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    client: Rc<Client>,
    id: u32,
    begun_ms: u64,
    due_ms: Cell<u64>,
    state: RefCell<Flow>,
}

/// What changes while a call runs.
#[derive(Debug)]
struct Flow {
    head: Block,
    stage: Stage,
    /// Head of an answer that is not passed on before it is whole, or too long for that. Its data is in `answer`.
    held: Option<Block>,
    request: Pipe,
    answer: Pipe,
    to_client: Sending,
    to_origin: Sending,
    from_client: Receiving,
    from_origin: Receiving,
    /// `None` for what is served by the inner connection, which books for itself.
    booked: Option<Booked>,
}

/// Where a call is.
#[derive(Debug)]
enum Stage {
    /// No stream yet: there is no connection with room.
    Waiting,
    /// The answer has not begun.
    Asked(Rc<Origin>, u32),
    /// The answer's head is passed on.
    Answering(Rc<Origin>, u32),
    /// The endpoint has nothing more to say, and hears nothing more.
    Parted,
    Over,
}

impl Stage {
    fn origin(&self) -> Option<(&Rc<Origin>, u32)> {
        match self {
            Self::Asked(origin, stream) | Self::Answering(origin, stream) => {
                Some((origin, *stream))
            }
            _ => None,
        }
    }
}

/// What bounds the call now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// The attempt, as long as stable could answer in its place.
    Attempt,
    Total,
    /// An answer that has begun must go on.
    Stall,
}

#[derive(Debug)]
struct Booked {
    route: Rc<LocalRoute>,
    ticket: Ticket,
    claim: Option<Claim>,
    bound: Bound,
    /// When the attempt is too slow.
    bound_ms: u64,
    total_ms: u64,
    stall_ms: u64,
    idempotent: bool,
    /// Bytes of the answer so far, as long as it is short and known to be no stream.
    short: Option<u64>,
    rescue_granted: bool,
    /// The stream is on a connection that had served others.
    reused: bool,
    repeated: bool,
    /// Another endpoint was tried because the first refused the connection.
    elsewhere: bool,
    attempt_ms: u64,
    messages: Messages,
    class: Class,
    awaits_status: bool,
    _busy: Busy,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// No endpoint accepts a connection.
    Connect,
    /// The endpoint has not looked at it.
    Unprocessed,
    /// The stream or the connection ended before an answer began.
    Broken,
    Timeout,
    /// A message of the caller's is too large.
    TooLarge,
}

impl Call {
    pub(super) fn due_ms(&self) -> u64 {
        self.due_ms.get()
    }

    pub(super) fn begun_ms(&self) -> u64 {
        self.begun_ms
    }

    fn set_due(&self, at_ms: u64) {
        self.due_ms.set(at_ms);
        self.client.arm(at_ms);
    }

    fn now_ms(&self) -> u64 {
        self.client.worker.deadlines.now_ms()
    }

    /// The client ended it: by itself or with its connection.
    pub(super) fn hung_up(&self, code: Code) {
        let mut flow = self.state.borrow_mut();
        self.part(&mut flow, code);
        self.end(&mut flow);
    }

    /// The client broke a rule that concerns this stream only.
    pub(super) fn refuse_stream(&self, code: Code) {
        self.client.reset(self.id, code);
        self.hung_up(Code::CANCEL);
    }

    /// Ends the endpoint's stream; whoever has not ended it hears why.
    fn part(&self, flow: &mut Flow, code: Code) {
        let is_over = flow.request.ended && flow.answer.is_closed();
        self.part_if(flow, (!is_over).then_some(code));
    }

    fn part_if(&self, flow: &mut Flow, reset: Option<Code>) {
        let was = std::mem::replace(&mut flow.stage, Stage::Parted);
        let Some((origin, stream)) = was.origin() else {
            return;
        };
        if let Some(code) = reset {
            origin.port.link.borrow_mut().reset(stream, code);
            origin.port.wake();
        }
        origin.release(stream);
    }

    /// Nothing more happens. Dropping the ticket books a call that has not ended as one that its caller gave up.
    fn end(&self, flow: &mut Flow) {
        flow.stage = Stage::Over;
        flow.booked = None;
        let unread = flow.request.discard();
        flow.answer.discard();
        self.client.port.link.borrow_mut().give(unread as u32);
        self.client.release(self.id);
    }

    /// What a call has waited for too long.
    pub(super) fn overdue(self: &Rc<Self>, now_ms: u64) {
        let mut flow = self.state.borrow_mut();
        let flow = &mut *flow;
        match flow.booked.as_ref().map(|booked| booked.bound) {
            None => self.due_ms.set(u64::MAX),
            Some(Bound::Attempt) if !self.may_rescue(flow) => self.late(flow, now_ms),
            Some(Bound::Attempt | Bound::Total) => {
                if let (Some((origin, _)), Some(booked)) = (flow.stage.origin(), &flow.booked) {
                    origin.suspect(booked.attempt_ms);
                }
                self.fail(flow, Failure::Timeout);
            }
            Some(Bound::Stall) => self.stalled(flow),
        }
    }

    /// Past the bound, a call that stable cannot answer goes on, and is booked as too slow all the same, so that like is
    /// compared with like.
    fn late(self: &Rc<Self>, flow: &mut Flow, now_ms: u64) {
        if let Some(booked) = &mut flow.booked {
            booked.ticket.is_late();
            booked.bound = Bound::Total;
            self.set_due(booked.total_ms.max(now_ms + 1));
        }
        self.release(flow);
    }
}
