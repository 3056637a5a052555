//! One call: choose a variant, pass the request on, protect the user from a failing canary, pass the answer back.

pub(crate) mod answer;
pub(crate) mod attempt;
pub(crate) mod body;
pub(crate) mod budget;
pub(crate) mod choose;
mod forward;
mod hygiene;
mod minted;
mod opening;
pub(crate) mod refuse;
mod rewriting;
mod saved;
pub(crate) mod ticket;
mod upgrade;
mod whole;

use crate::classify::{self, Protocol};
use crate::inspect::Kind;
use crate::rewrite;
use crate::route::kind;
use crate::shared::Count;
use crate::worker::{Busy, Deadline, LocalRoute, Worker};
use answer::Answer;
use attempt::{Carrier, Failure};
use body::{Early, Fault, Source};
use choose::Choosing;
use http::header::{CONNECTION, SET_COOKIE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hygiene::Found;
use hyper::body::Incoming;
use minted::Minted;
use opening::Opening;
use refuse::Refusal;
use rewriting::Restored;
use saved::Saved;
use serinus_common::class::Class;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::{Duration, Instant};
use ticket::{Begun, Ticket};

const VARIANT: HeaderName = HeaderName::from_static("x-serinus-variant");
const PREDICTION_ID: HeaderName = HeaderName::from_static("x-serinus-prediction-id");
const IDEMPOTENT: HeaderName = HeaderName::from_static("x-serinus-idempotent");

/// No caller's bound is longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Bodies of answers up to this many bytes are short: one of a canary is passed on when it is whole, so that stable can
/// answer if the canary dies before that.
pub(crate) const SHORT: u64 = 16 << 10;

/// Answers one request.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    busy: Busy,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let start = Instant::now();
    let (head, mut body) = request.into_parts();
    let found = hygiene::look(&head.headers);
    let protocol = found.protocol();
    let (version, retiring) = (head.version, busy.retiring());
    let opening = match worker.wants_body(&head) {
        true => Box::pin(Opening::read(&worker, &head, &mut body))
            .await
            .map(Some),
        false => Ok(None),
    };
    let begun = opening.and_then(|opening| Call::begin(&worker, start, found, head, body, opening));
    let mut response = match begun {
        Ok(call) => call.run(busy).await,
        Err(refusal) => {
            worker.count_refusal(refusal);
            refuse(refusal, protocol, busy)
        }
    };
    // HTTP/2 says it in a frame. What changes the protocol ends with the tunnel.
    let says = version < Version::HTTP_2 && response.status() != StatusCode::SWITCHING_PROTOCOLS;
    if says && retiring.is_retiring() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    Ok(response)
}

fn refuse(refusal: Refusal, protocol: Protocol, busy: Busy) -> Response<Answer> {
    refusal.answer(protocol).map(|text| Answer::own(text, busy))
}

impl Worker {
    pub(crate) fn count_refusal(&self, refusal: Refusal) {
        match refusal {
            Refusal::Busy => self.shared.count(Count::Shed),
            Refusal::NoModel => {
                self.shared.count(Count::Unmatched);
                self.shared.count(Count::Refused);
            }
            _ => self.shared.count(Count::Refused),
        }
    }

    /// A request that is no sound HTTP/1.1.
    pub(crate) fn count_malformed(&self) {
        self.shared.count(Count::Malformed);
        self.shared.count(Count::Refused);
    }
}

/// A call that is under way. It is boxed, once: on its way from the request to the end of the answer it changes hands
/// several times.
#[derive(Debug)]
struct Call {
    worker: Rc<Worker>,
    route: Rc<LocalRoute>,
    found: Found,
    /// How its answer is looked at.
    kind: Kind,
    version: Version,
    /// Taken by the first attempt, which leaves a copy if there may be another.
    head: RefCell<Option<Parts>>,
    saved: RefCell<Option<Saved>>,
    source: Option<Rc<Source>>,
    ticket: Ticket,
    deadline: Deadline,
    /// When the attempt is too slow, ms of the worker's deadlines.
    bound_ms: u64,
    /// The bound of the attempt has passed, or there is none any more.
    unbounded: Cell<bool>,
    /// When the whole call is too slow, ms of the worker's deadlines.
    total_ms: u64,
    idempotent: bool,
    /// A gRPC call with one answer.
    unary: bool,
    upgrade: Option<HeaderValue>,
    rescue_granted: Cell<bool>,
    minted: Option<Box<Minted>>,
    /// The body names the model, and some variant may name another one.
    names_in_json: bool,
    restored: RefCell<Option<Box<Restored>>>,
}

type Outcome = Result<(Response<Incoming>, Carrier), Failure>;

impl Call {
    fn begin(
        worker: &Rc<Worker>,
        start: Instant,
        found: Found,
        mut head: Parts,
        body: Incoming,
        opening: Option<Opening>,
    ) -> Result<Box<Self>, Refusal> {
        // Time that the caller took for the beginning of its body is not the model's.
        let now_ms = match opening {
            Some(_) => worker.deadlines.now_ms(),
            None => worker.deadlines.observe(start),
        };
        if found.bytes + head.uri.path().len() > worker.limits.head_bytes {
            return Err(Refusal::HeadTooLarge);
        }
        let (route, key, minted, early) = match opening {
            Some(Opening {
                route,
                key,
                minted,
                early,
            }) => (Some(route), key, minted, early),
            None => (worker.route(&head), None, None, Early::default()),
        };
        let size = body.size_hint();
        if size.lower() + early.bytes() > worker.limits.body_bytes {
            return Err(Refusal::BodyTooLarge);
        }
        let upgrade = upgrade::wanted(&head, found)?;
        let route = route.ok_or(Refusal::NoModel)?;
        let idempotent = upgrade.is_none() && !(found.ours && is_marked_unsafe(&head));
        let small = size
            .upper()
            .is_some_and(|n| n + early.bytes() <= worker.limits.replay_bytes as u64);
        let unix_ms = worker.timeline.ms(start);
        let choosing = Choosing {
            head: &head,
            body_key: key.as_deref(),
            minted: minted.as_ref().map(Minted::key),
            asks: found.ours,
            rescuable: idempotent && small && route.policy().rescue,
            now_ms: unix_ms,
        };
        let chosen = choosing.choose(worker, &route);
        let begun = Begun { start, unix_ms };
        let ticket = Ticket::open(worker, &route, begun, chosen).ok_or(Refusal::Busy)?;
        let named = match found.grpc {
            true => classify::grpc_timeout(&head.headers),
            false => None,
        };
        let total = named.unwrap_or_else(|| route.policy().timeout).min(LONGEST);
        let bound = route.policy().attempt_timeout.min(total / 2);
        let names_in_json = route.route().rewrites_bodies && rewrite::is_json(&head);
        hygiene::clean_request(&mut head.headers, found);
        // A gRPC call may send messages for ever.
        let longest = match found.grpc {
            true => u64::MAX,
            false => worker.limits.body_bytes,
        };
        let bound_ms = now_ms + bound.as_millis() as u64;
        Ok(Box::new(Self {
            deadline: worker.deadlines.add(bound_ms),
            bound_ms,
            unbounded: Cell::new(false),
            total_ms: now_ms + total.as_millis() as u64,
            source: (!body.is_end_stream() || !early.is_empty())
                .then(|| worker.source(body, head.version, early, longest)),
            kind: Kind::of(head.method.as_str(), head.uri.path()),
            unary: found.grpc && kind::is_unary(head.uri.path()),
            version: head.version,
            head: RefCell::new(Some(head)),
            saved: RefCell::default(),
            worker: Rc::clone(worker),
            rescue_granted: Cell::new(false),
            minted: minted.map(Box::new),
            names_in_json,
            restored: RefCell::default(),
            route,
            found,
            ticket,
            idempotent,
            upgrade,
        }))
    }

    async fn run(mut self: Box<Self>, busy: Busy) -> Response<Answer> {
        let mut outcome = self.first().await;
        if let Some(class) = self.failed(&outcome)
            && self.may_rescue()
        {
            self.ticket.rescue(class);
            drop(outcome);
            // Boxed, like everything that seldom happens: a call is moved, and its size is that of its largest part.
            outcome = Box::pin(self.rescue()).await;
        }
        match outcome {
            Ok((response, carrier))
                if response.status() == StatusCode::SWITCHING_PROTOCOLS
                    && self.upgrade.is_some() =>
            {
                self.tunnel(response, carrier, busy).await
            }
            Ok((response, carrier)) => self.answer(response, carrier, busy),
            Err(failure) => self.fail(failure, busy),
        }
    }

    /// The chosen variant's attempt. Past the bound, a call that stable can still answer is given up; every other one
    /// goes on, and is booked as too slow all the same, so that like is compared with like.
    async fn first(&self) -> Outcome {
        let mut attempt = std::pin::pin!(self.attempt(self.ticket.serving()));
        if let Some(outcome) = self.deadline.before(attempt.as_mut()).await {
            return outcome;
        }
        if self.may_rescue() {
            return Err(Failure::Timeout);
        }
        self.ticket.is_late();
        self.unbounded.set(true);
        self.deadline.set(self.total_ms);
        let outcome = self.deadline.before(attempt).await;
        outcome.unwrap_or(Err(Failure::Timeout))
    }

    /// Stable's attempt in the place of the canary.
    async fn rescue(&self) -> Outcome {
        self.deadline.set(self.total_ms);
        let attempt = std::pin::pin!(self.attempt(0));
        let outcome = self.deadline.before(attempt).await;
        outcome.unwrap_or(Err(Failure::Timeout))
    }

    /// The class of a failure of the model; the caller's own ones are none.
    fn failed(&self, outcome: &Outcome) -> Option<Class> {
        let class = match outcome {
            Ok((response, carrier)) => self.class_of(response, carrier),
            Err(failure) => failure.class(),
        };
        class.is_failure().then_some(class)
    }

    /// Whether stable may answer instead of the canary. A yes is paid for once.
    fn may_rescue(&self) -> bool {
        let possible = self.is_rescuable();
        if !possible || self.rescue_granted.get() {
            return possible;
        }
        let granted = self.ticket.is_probe() || self.route.may_spend(&self.worker);
        self.rescue_granted.set(granted);
        granted
    }

    fn is_rescuable(&self) -> bool {
        let source = self.source.as_ref();
        self.ticket.serving() != 0
            && self.route.policy().rescue
            && self.idempotent
            && source.is_none_or(|source| source.is_replayable())
    }

    /// The model gave no answer: the application gets one of ours.
    fn fail(mut self: Box<Self>, failure: Failure, busy: Busy) -> Response<Answer> {
        let refusal = match failure {
            Failure::Connect => Refusal::NoConnection,
            Failure::Broken => Refusal::Broken,
            Failure::Timeout => Refusal::Timeout,
            Failure::Body(Fault::TooLarge) => Refusal::BodyTooLarge,
            Failure::Body(Fault::Caller) => Refusal::BadBody,
            Failure::Body(Fault::Unchangeable(why)) => Refusal::Unchangeable(why),
        };
        if let Failure::Body(_) = failure {
            self.worker.shared.count(Count::Refused);
        }
        let mut response = refuse(refusal, self.found.protocol(), busy);
        self.label(response.headers_mut());
        self.ticket.end(failure.class());
        response
    }

    /// Says which variant answered, and under which id outcomes may name the prediction.
    fn label(&self, headers: &mut http::HeaderMap) {
        let serving = &self.route.route().variants[self.ticket.serving()];
        headers.insert(VARIANT, serving.header.clone());
        headers.insert(PREDICTION_ID, self.ticket.prediction_id());
        if let Some(minted) = &self.minted
            && let Some(cookie) = minted.header(&self.route.route().split.key)
        {
            headers.append(SET_COOKIE, cookie);
        }
    }
}

fn is_marked_unsafe(head: &Parts) -> bool {
    let mark = head.headers.get(IDEMPOTENT);
    mark.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"false"))
}
