//! How a call begins: what it is, where it goes, and what it is booked on.

use super::super::block::Block;
use super::super::client::{self, Client};
use super::super::frame::Code;
use super::super::head::RequestHead;
use super::super::link::own;
use super::super::messages::Messages;
use super::super::origin::Origin;
use super::super::pipe::{End, Pipe};
use super::super::window::Receiving;
use super::{Booked, Bound, Call, Flow, Stage};
use crate::classify::{self, Protocol};
use crate::head::Head as _;
use crate::inspect::Kind;
use crate::proxy::LONGEST;
use crate::proxy::choose::Choosing;
use crate::proxy::refuse::Refusal;
use crate::proxy::ticket::{Begun, Ticket};
use crate::route::kind;
use crate::worker::{LocalRoute, Worker};
use serinus_common::class::Class;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

/// Begins whatever a new stream is.
pub(in crate::h2) fn begin(client: &Rc<Client>, id: u32, block: Block, end: bool) {
    let start = Instant::now();
    if block.is_overflown() || block.bytes() > client.worker.limits.head_bytes {
        return refuse(client, id, &block, Refusal::HeadTooLarge, end);
    }
    let Some(head) = RequestHead::read(&block) else {
        return client.reset(id, Code::PROTOCOL);
    };
    if !head.is_call() || needs_more(&client.worker, &head) {
        return begin_inner(client, id, block, end);
    }
    match book(client, start, &head) {
        Ok((booked, bound_ms)) => {
            let keep = client.worker.limits.replay_bytes;
            let call = add(client, id, block, end, Some(keep), Some(booked));
            call.set_due(bound_ms);
            call.attempt(&mut call.state.borrow_mut(), false);
        }
        Err(refusal) => refuse(client, id, &block, refusal, end),
    }
}

/// Whether something has to be read from a body, or written into it.
fn needs_more(worker: &Worker, head: &RequestHead<'_>) -> bool {
    let rewrites = |route: Rc<LocalRoute>| {
        let mut variants = route.route().variants.iter();
        variants.any(|variant| variant.rewrite.is_some())
    };
    let looks_into_answers = Kind::of(head.method(), head.path()) == Kind::Messages;
    looks_into_answers || worker.wants_body(head) || worker.route(head).is_some_and(rewrites)
}

/// Everything but plain gRPC calls is passed on as it is.
fn begin_inner(client: &Rc<Client>, id: u32, block: Block, end: bool) {
    let Ok(origin) = client.inner() else {
        return client.reset(id, Code::REFUSED_STREAM);
    };
    let call = add(client, id, block, end, None, None);
    call.attach(&origin, true);
}

fn add(
    client: &Rc<Client>,
    id: u32,
    head: Block,
    end: bool,
    keep: Option<usize>,
    booked: Option<Booked>,
) -> Rc<Call> {
    let to_client = client.port.link.borrow().stream_window();
    let mut request = Pipe::new(keep);
    if end {
        request.end = End::Data;
    }
    let flow = Flow {
        head,
        stage: Stage::Waiting,
        held: None,
        request,
        answer: Pipe::new(None),
        to_client,
        to_origin: to_client,
        from_client: Receiving::new(client::STREAM_WINDOW),
        from_origin: Receiving::new(Origin::stream_window()),
        booked,
    };
    let call = Rc::new(Call {
        client: Rc::clone(client),
        id,
        begun_ms: client.worker.deadlines.now_ms(),
        due_ms: Cell::new(u64::MAX),
        state: RefCell::new(flow),
    });
    client.port.add(id, Rc::clone(&call));
    call
}

/// Books a call; with when its attempt is too slow.
fn book(
    client: &Rc<Client>,
    start: Instant,
    head: &RequestHead<'_>,
) -> Result<(Booked, u64), Refusal> {
    let worker = &client.worker;
    let now_ms = worker.deadlines.observe(start);
    let route = worker.route(head).ok_or(Refusal::NoModel)?;
    let idempotent = !(head.ours && is_marked_unsafe(head));
    let begun = Begun {
        start,
        unix_ms: worker.timeline.ms(start),
    };
    let choosing = Choosing {
        head,
        body_key: None,
        minted: None,
        asks: head.ours,
        rescuable: idempotent && route.policy().rescue && is_small(head, worker),
        now_ms: begun.unix_ms,
    };
    let chosen = choosing.choose(worker, &route);
    let ticket = Ticket::open(worker, &route, begun, chosen).ok_or(Refusal::Busy)?;
    let policy = route.policy();
    let named = head.value("grpc-timeout").and_then(classify::timeout);
    let total = named.unwrap_or(policy.timeout).min(LONGEST);
    let bound = policy.attempt_timeout.min(total / 2);
    let bound_ms = now_ms + bound.as_millis() as u64;
    let stall = policy.timeout.max(worker.limits.idle_timeout);
    let booked = Booked {
        ticket,
        claim: None,
        bound: Bound::Attempt,
        bound_ms,
        total_ms: now_ms + total.as_millis() as u64,
        stall_ms: stall.as_millis() as u64,
        idempotent,
        short: kind::is_unary(head.path()).then_some(0),
        rescue_granted: false,
        reused: false,
        repeated: false,
        elsewhere: false,
        attempt_ms: now_ms,
        messages: Messages::default(),
        class: Class::Ok,
        awaits_status: false,
        _busy: client.state.begin(),
        route,
    };
    Ok((booked, bound_ms))
}

fn is_marked_unsafe(head: &RequestHead<'_>) -> bool {
    let mark = head.value("x-serinus-idempotent");
    mark.is_some_and(|value| value.eq_ignore_ascii_case(b"false"))
}

/// gRPC calls seldom say how long they are, and most are short.
fn is_small(head: &RequestHead<'_>, worker: &Worker) -> bool {
    let length = head.value("content-length");
    let length = length.and_then(|text| std::str::from_utf8(text).ok()?.parse::<usize>().ok());
    length.is_none_or(|bytes| bytes <= worker.limits.replay_bytes)
}

/// Answers instead of a model.
fn refuse(client: &Rc<Client>, id: u32, block: &Block, refusal: Refusal, ended: bool) {
    client.worker.count_refusal(refusal);
    let content_type = block.get("content-type");
    let protocol = match content_type.is_some_and(classify::is_grpc) {
        true => Protocol::Grpc,
        false => Protocol::Http,
    };
    respond(client, id, refusal, protocol, None);
    if !ended {
        client.reset(id, Code::NO_ERROR);
    }
}

/// Writes an answer of our own.
pub(super) fn respond(
    client: &Client,
    id: u32,
    refusal: Refusal,
    protocol: Protocol,
    labels: Option<(&[u8], &[u8])>,
) {
    let answer = refusal.answer(protocol);
    let mut link = client.port.link.borrow_mut();
    // A line of text that there is no room for is no great loss.
    let body = answer.body().as_ref();
    let body = if body.len() <= link.room() { body } else { b"" };
    link.head(id, body.is_empty(), |encoder, out| {
        encoder.field(
            out,
            own(":status", answer.status().as_str().as_bytes(), false),
        );
        for (name, value) in answer.headers() {
            encoder.field(out, own(name.as_str(), value.as_bytes(), false));
        }
        if let Some((variant, prediction_id)) = labels {
            encoder.field(out, own("x-serinus-variant", variant, true));
            encoder.field(out, own("x-serinus-prediction-id", prediction_id, false));
        }
    });
    if !body.is_empty() {
        link.data(id, body, true);
    }
    drop(link);
    client.port.wake();
}
