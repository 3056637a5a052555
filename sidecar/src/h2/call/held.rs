//! The one answer of a call of a canary is held back until it is whole: as long as nothing of it is passed on, stable can
//! still answer. Only of calls that are known to have one answer: whatever may be a stream passes as it comes.

use super::super::block::Block;
use super::super::head::are_trailers;
use super::super::pipe::{End, Pipe};
use super::{Call, Failure, Flow};
use crate::classify;
use crate::proxy::SHORT;
use serinus_common::class::Class;
use std::rc::Rc;

impl Flow {
    pub(super) fn is_rescuable(&self) -> bool {
        let replayable = self.request.is_replayable();
        self.booked.as_ref().is_some_and(|booked| {
            booked.ticket.serving() != 0
                && booked.route.policy().rescue
                && booked.idempotent
                && replayable
        })
    }

    /// Data of the answer that is passed on.
    pub(super) fn count_answer(&mut self, bytes: usize) {
        if let Some(booked) = &mut self.booked {
            booked.ticket.sent(bytes as u64);
            let so_far = booked.short.map(|so_far| so_far + bytes as u64);
            booked.short = so_far.filter(|so_far| *so_far <= SHORT);
        }
    }

    /// Of an attempt that has come to nothing.
    pub(super) fn forget_held(&mut self) {
        if self.held.take().is_some() {
            self.answer = Pipe::new(None);
        }
    }
}

impl Call {
    /// Whether an answer that has begun may wait for its end, since stable could still answer instead.
    pub(super) fn may_wait(&self, flow: &Flow) -> bool {
        let Some(booked) = &flow.booked else {
            return false;
        };
        booked.short.is_some()
            && booked.bound == super::Bound::Attempt
            && booked.class == Class::Ok
            && flow.request.is_closed()
            && flow.is_rescuable()
            && (booked.rescue_granted
                || booked.ticket.is_probe()
                || booked.route.could_spend(&self.client.worker))
    }

    /// Data behind a head that is held back.
    pub(super) fn held_data(self: &Rc<Self>, flow: &mut Flow, data: &[u8], taken: u32, end: bool) {
        if flow.from_origin.take(taken).is_err() {
            return self.fail(flow, Failure::Broken);
        }
        // Without a status it is UNKNOWN to its caller.
        if end && self.may_rescue(flow) {
            flow.answer.end = End::Data;
            return self.rescue_after(flow, Class::Model, true);
        }
        flow.answer.store(data);
        self.give_origin(flow, taken as usize - data.len());
        if end {
            self.release(flow);
            self.answer_ends(flow, End::Data);
        } else if flow.answer.unreached() as u64 > SHORT {
            self.release(flow);
        }
    }

    /// The head behind a head that is held back: the trailers.
    pub(super) fn held_ends(self: &Rc<Self>, flow: &mut Flow, block: Block, end: bool) {
        if !end || !are_trailers(&block) {
            return self.fail(flow, Failure::Broken);
        }
        let status = block.get("grpc-status");
        let class = status.map_or(Class::Model, classify::status);
        let awaited = flow.booked.as_ref().is_some_and(|of| of.awaits_status);
        if awaited && class.is_failure() && self.may_rescue(flow) {
            flow.answer.end = End::Trailers(block);
            return self.rescue_after(flow, class, true);
        }
        self.release(flow);
        self.answer_ends(flow, End::Trailers(block));
    }

    /// Holds nothing back any more.
    pub(super) fn release(self: &Rc<Self>, flow: &mut Flow) {
        if let Some(head) = flow.held.take() {
            flow.count_answer(flow.answer.unreached());
            self.begin_answer(flow, &head, false);
            self.pump_answer(flow);
        }
    }

    /// An answer has ended. A canary's short one had to be whole within the bound of the attempt: so has stable's.
    pub(super) fn is_whole_now(&self, flow: &Flow) {
        if let Some(booked) = &flow.booked
            && booked.short.is_some()
            && self.now_ms() > booked.bound_ms
        {
            booked.ticket.is_late();
        }
    }
}
