//! Attempts: which endpoint and connection, what is tried again, and when stable answers in the canary's place.

use super::super::frame::Code;
use super::super::head::{pass_all, pass_call};
use super::super::origin::Origin;
use super::super::window::Receiving;
use super::begin::respond;
use super::{Bound, Call, Failure, Flow, Stage};
use crate::classify::Protocol;
use crate::pool::{Endpoint, least_outstanding};
use crate::proxy::refuse::Refusal;
use crate::shared::Count;
use serinus_common::class::Class;
use std::rc::Rc;

impl Failure {
    fn class(self) -> Class {
        match self {
            Self::Connect => Class::Connect,
            Self::Unprocessed | Self::Broken => Class::Model,
            Self::Timeout => Class::Timeout,
            Self::TooLarge => Class::Cancelled,
        }
    }

    fn refusal(self) -> Refusal {
        match self {
            Self::Connect => Refusal::NoConnection,
            Self::Unprocessed | Self::Broken => Refusal::Broken,
            Self::Timeout => Refusal::Timeout,
            Self::TooLarge => Refusal::BodyTooLarge,
        }
    }
}

impl Call {
    /// Begins an attempt at the variant that answers now.
    pub(super) fn attempt(self: &Rc<Self>, flow: &mut Flow, fresh: bool) {
        self.attempt_at(flow, None, fresh);
    }

    fn attempt_at(self: &Rc<Self>, flow: &mut Flow, except: Option<&Rc<Endpoint>>, fresh: bool) {
        flow.stage = Stage::Waiting;
        flow.forget_held();
        let now_ms = self.now_ms();
        let Some(booked) = &mut flow.booked else {
            return;
        };
        let lane = booked.route.lane(booked.ticket.serving());
        let endpoint = least_outstanding(&lane.endpoints, now_ms, except);
        let other = endpoint.filter(|found| except.is_none_or(|known| !Rc::ptr_eq(found, known)));
        let Some(endpoint) = other.cloned() else {
            return self.fail(flow, Failure::Connect);
        };
        booked.claim = Some(endpoint.claim());
        booked.attempt_ms = now_ms;
        let known = (!fresh).then(|| endpoint.relays().free()).flatten();
        match known {
            Some(origin) => self.attach_flow(flow, &origin, true),
            None => endpoint
                .relays()
                .queue(&endpoint, &self.client.worker.deadlines, self, fresh),
        }
    }

    /// Whether it waits for a connection.
    pub(in crate::h2) fn is_waiting(&self) -> bool {
        matches!(self.state.borrow().stage, Stage::Waiting)
    }

    /// Begins the stream on a connection.
    pub(in crate::h2) fn attach(self: &Rc<Self>, origin: &Rc<Origin>, reused: bool) {
        self.attach_flow(&mut self.state.borrow_mut(), origin, reused);
    }

    fn attach_flow(self: &Rc<Self>, flow: &mut Flow, origin: &Rc<Origin>, reused: bool) {
        let stream = origin.admit(self);
        flow.stage = Stage::Asked(Rc::clone(origin), stream);
        flow.request.rewind();
        flow.from_origin = Receiving::new(Origin::stream_window());
        let ends = flow.request.is_bare_end();
        let mut link = origin.port.link.borrow_mut();
        flow.to_origin = link.stream_window();
        let (head, booked) = (&flow.head, &mut flow.booked);
        link.head(stream, ends, |encoder, out| match booked {
            Some(booked) => {
                booked.reused = reused;
                if let Some(claim) = &booked.claim {
                    pass_call(head, claim.endpoint().address(), encoder, out);
                }
            }
            None => pass_all(head, encoder, out),
        });
        drop(link);
        flow.request.ended = ends;
        origin.port.wake();
        self.pump_request(flow);
    }

    /// Its endpoint refuses connections: another one may not.
    pub(in crate::h2) fn no_connection(self: &Rc<Self>, endpoint: &Rc<Endpoint>) {
        let mut flow = self.state.borrow_mut();
        let flow = &mut *flow;
        let Some(booked) = &mut flow.booked else {
            return;
        };
        if !matches!(flow.stage, Stage::Waiting) {
            return;
        }
        match std::mem::replace(&mut booked.elsewhere, true) {
            false => self.attempt_at(flow, Some(endpoint), false),
            true => self.fail(flow, Failure::Connect),
        }
    }

    /// The connection has ended, or the endpoint says that it has not looked at this call.
    pub(in crate::h2) fn lost(self: &Rc<Self>, unprocessed: bool) {
        let mut flow = self.state.borrow_mut();
        let flow = &mut *flow;
        match flow.stage {
            Stage::Asked(..) if unprocessed => self.fail(flow, Failure::Unprocessed),
            Stage::Asked(..) => self.fail(flow, Failure::Broken),
            Stage::Answering(..) => self.broke_off(flow, Code::INTERNAL),
            Stage::Waiting | Stage::Parted | Stage::Over => {}
        }
    }

    /// Whether stable may answer instead of the canary. A yes is paid for once.
    pub(super) fn may_rescue(&self, flow: &mut Flow) -> bool {
        let possible = flow.is_rescuable();
        let Some(booked) = &mut flow.booked else {
            return false;
        };
        if !possible || booked.rescue_granted {
            return possible;
        }
        let worker = &self.client.worker;
        booked.rescue_granted = booked.ticket.is_probe() || booked.route.may_spend(worker);
        booked.rescue_granted
    }

    /// Stable begins anew in the canary's place.
    pub(super) fn rescue(self: &Rc<Self>, flow: &mut Flow, class: Class) {
        self.part(flow, Code::CANCEL);
        let Some(booked) = &mut flow.booked else {
            return;
        };
        booked.ticket.rescue(class);
        booked.bound = Bound::Total;
        (booked.repeated, booked.elsewhere) = (false, false);
        self.set_due(booked.total_ms);
        self.attempt(flow, false);
    }

    /// There is no answer: the same again, stable's, or one of ours.
    pub(super) fn fail(self: &Rc<Self>, flow: &mut Flow, failure: Failure) {
        self.part(flow, Code::CANCEL);
        let replayable = flow.request.is_replayable();
        let Some(booked) = &mut flow.booked else {
            self.client.reset(self.id, Code::INTERNAL);
            return self.end(flow);
        };
        booked.claim = None;
        let repeats = match failure {
            _ if flow.held.is_some() => false,
            Failure::Unprocessed => true,
            // It died while it was idle, before any of the answer: that is not the model's failure.
            Failure::Broken => booked.reused && booked.idempotent,
            _ => false,
        };
        if repeats && replayable && !std::mem::replace(&mut booked.repeated, true) {
            return self.attempt(flow, true);
        }
        let class = failure.class();
        if class.is_failure() && self.may_rescue(flow) {
            return self.rescue(flow, class);
        }
        self.refuse(flow, failure);
    }

    fn refuse(&self, flow: &mut Flow, failure: Failure) {
        let request_ended = flow.request.is_closed();
        let Some(booked) = &mut flow.booked else {
            return;
        };
        if failure == Failure::TooLarge {
            self.client.worker.shared.count(Count::Refused);
        }
        let variant = &booked.route.route().variants[booked.ticket.serving()];
        let id = booked.ticket.prediction_id();
        let labels = (variant.header.as_bytes(), id.as_bytes());
        respond(
            &self.client,
            self.id,
            failure.refusal(),
            Protocol::Grpc,
            Some(labels),
        );
        booked.ticket.end(failure.class());
        if !request_ended {
            self.client.reset(self.id, Code::NO_ERROR);
        }
        self.end(flow);
    }
}
