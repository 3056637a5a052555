//! What a call may still do: how long it may take, and whether it may be made again, or by stable.

use super::answer::AnswerHead;
use super::request::RequestHead;
use crate::head::Head as _;
use crate::inspect::{self, Inspector, Kind};
use crate::pool::Endpoint;
use crate::proxy::LONGEST;
use crate::proxy::choose::Choosing;
use crate::proxy::refuse::Refusal;
use crate::proxy::ticket::{Begun, Ticket};
use crate::worker::{Deadline, LocalRoute, Worker};
use serinus_common::class::Class;
use serinus_common::prediction_id::TEXT_LEN;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

/// A call that is under way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) route: Rc<LocalRoute>,
    pub(super) ticket: Ticket,
    deadline: Deadline,
    /// When the attempt is too slow, ms of the worker's deadlines.
    bound_ms: u64,
    /// When the whole call is too slow, ms of the worker's deadlines.
    total_ms: u64,
    /// The bound of the attempt has passed, or there is none any more.
    unbounded: bool,
    pub(super) idempotent: bool,
    /// How its answer is looked at.
    kind: Kind,
    rescue_granted: bool,
}

/// What to do when the deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Go on: the call is booked as too slow, and may still be answered.
    GoOn,
    /// Let stable answer.
    Rescue,
    /// Give up.
    GiveUp,
}

impl Call {
    /// Chooses and books. `replayable`: the body is short enough to be sent again.
    pub(super) fn open(
        worker: &Rc<Worker>,
        route: Rc<LocalRoute>,
        head: &RequestHead<'_, '_>,
        replayable: bool,
    ) -> Result<Self, Refusal> {
        let start = Instant::now();
        let now_ms = worker.deadlines.observe(start);
        let idempotent = !(head.marks.ours && is_marked_unsafe(head));
        let policy = *route.policy();
        let unix_ms = worker.timeline.ms(start);
        let choosing = Choosing {
            head,
            body_key: None,
            minted: None,
            asks: head.marks.ours,
            rescuable: idempotent && replayable && policy.rescue,
            now_ms: unix_ms,
        };
        let chosen = choosing.choose(worker, &route);
        let begun = Begun { start, unix_ms };
        let ticket = Ticket::open(worker, &route, begun, chosen).ok_or(Refusal::Busy)?;
        let total = policy.timeout.min(LONGEST);
        let bound = policy.attempt_timeout.min(total / 2);
        let bound_ms = now_ms + bound.as_millis() as u64;
        Ok(Self {
            deadline: worker.deadlines.add(bound_ms),
            bound_ms,
            total_ms: now_ms + total.as_millis() as u64,
            unbounded: false,
            rescue_granted: false,
            kind: Kind::of(head.method, head.path()),
            route,
            ticket,
            idempotent,
        })
    }

    /// Whether stable may answer instead of the canary. A yes is paid for once. `whole`: the request can be sent again.
    pub(super) fn may_rescue(&mut self, worker: &Worker, whole: bool) -> bool {
        let possible = self.is_rescuable(whole);
        if !possible || self.rescue_granted {
            return possible;
        }
        self.rescue_granted = self.ticket.is_probe() || self.route.may_spend(worker);
        self.rescue_granted
    }

    fn is_rescuable(&self, whole: bool) -> bool {
        self.ticket.serving() != 0 && self.route.policy().rescue && self.idempotent && whole
    }

    /// Whether an answer that has begun may wait for its end, since stable could still answer instead.
    pub(super) fn may_wait(&self, worker: &Worker, whole: bool) -> bool {
        let paid =
            || self.rescue_granted || self.ticket.is_probe() || self.route.could_spend(worker);
        !self.unbounded && self.is_rescuable(whole) && paid()
    }

    /// A short answer came in parts. A canary's had to be whole within the bound of the attempt: so has stable's.
    pub(super) fn is_whole_now(&self, worker: &Worker) {
        if worker.deadlines.now_ms() > self.bound_ms {
            self.ticket.is_late();
        }
    }

    /// From here on stable answers.
    pub(super) fn rescue(&mut self, class: Class) {
        self.ticket.rescue(class);
        self.unbounded = true;
        self.deadline.set(self.total_ms);
    }

    pub(super) fn poll_due(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.poll(cx)
    }

    /// The deadline has passed before an answer.
    pub(super) fn due(&mut self, worker: &Worker, whole: bool) -> Due {
        if self.unbounded {
            return Due::GiveUp;
        }
        if self.may_rescue(worker, whole) {
            return Due::Rescue;
        }
        self.ticket.is_late();
        self.unbounded = true;
        self.deadline.set(self.total_ms);
        Due::GoOn
    }

    /// The answer goes on: it may pause for this long.
    #[inline]
    pub(super) fn postpone(&self, worker: &Worker) {
        let stall = self.route.policy().timeout.max(worker.limits.idle_timeout);
        self.deadline.postpone(stall.as_millis() as u64);
    }

    /// The request's target as the variant's endpoint wants it, where that differs from how it came.
    pub(super) fn target(&self, endpoint: &Endpoint, method: &str, came: &str) -> Option<String> {
        let serving = &self.route.route().variants[self.ticket.serving()];
        let rewrite = serving.rewrite.as_ref();
        let renamed = rewrite.and_then(|rewrite| rewrite.path(method, came));
        match endpoint.address().prefix() {
            "" => renamed,
            prefix => Some(format!("{prefix}{}", renamed.as_deref().unwrap_or(came))),
        }
    }

    /// What looks at the answer's body; most are not looked at.
    pub(super) fn inspector(&self, head: &AnswerHead<'_, '_>) -> Option<Box<Inspector>> {
        let serving = &self.route.route().variants[self.ticket.serving()];
        let head = inspect::Head {
            status: head.status,
            content_type: head.content_type,
            content_encoding: head.content_encoding,
            content_length: head.lengths.length,
        };
        Inspector::for_answer(self.kind, serving.stream, &head)
    }

    /// Name of the variant that answers, and the id under which outcomes may name the prediction.
    pub(super) fn labels(&self) -> (&[u8], [u8; TEXT_LEN]) {
        let serving = &self.route.route().variants[self.ticket.serving()];
        (serving.name.as_bytes(), self.ticket.prediction_text())
    }
}

fn is_marked_unsafe(head: &RequestHead<'_, '_>) -> bool {
    let mut marks = head.values("x-serinus-idempotent");
    marks.any(|value| value.eq_ignore_ascii_case(b"false"))
}
