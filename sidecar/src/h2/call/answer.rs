//! The answer on its way back.

use super::super::block::Block;
use super::super::frame::Code;
use super::super::head::{self, are_trailers, pass_all, pass_answer};
use super::super::pipe::End;
use super::{Bound, Call, Failure, Flow, Stage};
use crate::classify;
use serinus_common::class::Class;
use std::rc::Rc;

impl Call {
    /// A head of the endpoint's: the answer's, or its trailers.
    pub(in crate::h2) fn answer_head(self: &Rc<Self>, block: Block, end: bool) {
        let mut flow = self.state.borrow_mut();
        let flow = &mut *flow;
        match flow.stage {
            Stage::Asked(..) if flow.held.is_some() => self.held_ends(flow, block, end),
            Stage::Asked(..) => self.answer_begins(flow, block, end),
            Stage::Answering(..) if end && are_trailers(&block) && !flow.answer.is_closed() => {
                self.answer_ends(flow, End::Trailers(block));
            }
            Stage::Answering(..) => self.broke_off(flow, Code::PROTOCOL),
            Stage::Waiting | Stage::Parted | Stage::Over => {}
        }
    }

    fn answer_begins(self: &Rc<Self>, flow: &mut Flow, block: Block, end: bool) {
        let status = head::status(&block).filter(|status| *status >= 200 || !end);
        let Some(status) = status else {
            return self.fail(flow, Failure::Broken);
        };
        if status < 200 {
            return;
        }
        if flow.booked.is_some() {
            let told = block.get("grpc-status").map(classify::status);
            let class = told.unwrap_or_else(|| Class::of_http(status));
            if class.is_failure() && self.may_rescue(flow) {
                return self.rescue_after(flow, class, end);
            }
            if let Some(booked) = &mut flow.booked {
                booked.class = class;
                booked.awaits_status = class == Class::Ok && told.is_none();
            }
            if !end && self.may_wait(flow) {
                flow.held = Some(block);
                return;
            }
        }
        self.begin_answer(flow, &block, end);
    }

    /// Passes the head on; from here on the answer is the endpoint's.
    pub(super) fn begin_answer(self: &Rc<Self>, flow: &mut Flow, block: &Block, end: bool) {
        if let Some(booked) = &mut flow.booked {
            booked.bound = Bound::Stall;
            self.set_due(self.now_ms() + booked.stall_ms);
        }
        self.pass_head(flow, block, end);
    }

    /// Stable answers in the place of an answer of the canary's that is here; `end`: all of it.
    pub(super) fn rescue_after(self: &Rc<Self>, flow: &mut Flow, class: Class, end: bool) {
        let is_over = end && flow.request.ended;
        self.part_if(flow, (!is_over).then_some(Code::CANCEL));
        self.rescue(flow, class);
    }

    fn pass_head(self: &Rc<Self>, flow: &mut Flow, block: &Block, end: bool) {
        if let Stage::Asked(origin, stream) = std::mem::replace(&mut flow.stage, Stage::Parted) {
            flow.stage = Stage::Answering(origin, stream);
        }
        flow.request.keep_no_more();
        let mut link = self.client.port.link.borrow_mut();
        let booked = &flow.booked;
        link.head(self.id, end, |encoder, out| match booked {
            Some(booked) => {
                let variant = &booked.route.route().variants[booked.ticket.serving()];
                let id = booked.ticket.prediction_text();
                pass_answer(block, variant.header.as_bytes(), &id, encoder, out);
            }
            None => pass_all(block, encoder, out),
        });
        drop(link);
        self.client.port.wake();
        if end {
            flow.answer.ended = true;
            self.answer_ends(flow, End::Data);
        }
    }

    /// Data of the endpoint's; `taken` is what it takes of the windows.
    pub(in crate::h2) fn answer_data(self: &Rc<Self>, data: &[u8], taken: u32, end: bool) {
        let mut flow = self.state.borrow_mut();
        let flow = &mut *flow;
        match flow.stage {
            Stage::Asked(..) if flow.held.is_some() => {
                return self.held_data(flow, data, taken, end);
            }
            Stage::Answering(..)
                if !flow.answer.is_closed() && flow.from_origin.take(taken).is_ok() => {}
            Stage::Waiting | Stage::Parted | Stage::Over => return,
            _ => return self.fail_or_break(flow),
        }
        flow.count_answer(data.len());
        self.go_on(flow);
        if end {
            flow.answer.end = End::Data;
            self.is_whole_now(flow);
        }
        let mut link = self.client.port.link.borrow_mut();
        let passed = flow
            .answer
            .pass(data, self.id, &mut flow.to_client, &mut link);
        drop(link);
        self.client.port.wake();
        self.give_origin(flow, passed + taken as usize - data.len());
        self.after_answer(flow);
    }

    pub(super) fn answer_ends(self: &Rc<Self>, flow: &mut Flow, end: End) {
        if let (End::Trailers(block), Some(booked)) = (&end, &mut flow.booked)
            && booked.awaits_status
            && let Some(code) = block.get("grpc-status")
        {
            booked.class = classify::status(code);
            booked.awaits_status = false;
        }
        flow.answer.end = end;
        self.is_whole_now(flow);
        self.pump_answer(flow);
    }

    /// The client's window, or the connection's, has changed.
    pub(in crate::h2) fn answer_window(self: &Rc<Self>, by: i64) {
        let mut flow = self.state.borrow_mut();
        let flow = &mut *flow;
        let wrong = by == 0 || flow.to_client.give(by).is_err();
        if wrong {
            let code = if by == 0 {
                Code::PROTOCOL
            } else {
                Code::FLOW_CONTROL
            };
            self.client.reset(self.id, code);
            self.part(flow, Code::CANCEL);
            return self.end(flow);
        }
        self.pump_answer(flow);
    }

    pub(in crate::h2) fn resume_answer(self: &Rc<Self>) {
        self.pump_answer(&mut self.state.borrow_mut());
    }

    pub(super) fn pump_answer(self: &Rc<Self>, flow: &mut Flow) {
        if !matches!(flow.stage, Stage::Answering(..) | Stage::Parted) {
            return;
        }
        let waits = !flow.answer.is_empty() || (flow.answer.is_closed() && !flow.answer.ended);
        if waits {
            let mut link = self.client.port.link.borrow_mut();
            let passed = flow.answer.pump(self.id, &mut flow.to_client, &mut link);
            drop(link);
            self.client.port.wake();
            self.go_on(flow);
            self.give_origin(flow, passed);
        }
        self.after_answer(flow);
    }

    /// Lets the endpoint send as much as has been passed on.
    pub(super) fn give_origin(&self, flow: &mut Flow, bytes: usize) {
        let Some((origin, stream)) = flow.stage.origin() else {
            return;
        };
        if bytes > 0
            && !flow.answer.is_closed()
            && let Some(by) = flow.from_origin.give(bytes as u32)
        {
            origin.port.link.borrow_mut().window(stream, by);
            origin.port.wake();
        }
    }

    /// After the endpoint's last word its stream can go, and after ours the call is over.
    fn after_answer(self: &Rc<Self>, flow: &mut Flow) {
        if !flow.answer.is_closed() {
            return;
        }
        if flow.request.ended || flow.answer.ended {
            // Whoever answers before it has read everything does not want the rest.
            self.part(flow, Code::NO_ERROR);
        }
        if !flow.answer.ended {
            return;
        }
        if let Some(booked) = &mut flow.booked {
            // A gRPC call without a status is UNKNOWN to its caller.
            let class = if booked.awaits_status {
                Class::Model
            } else {
                booked.class
            };
            booked.ticket.end(class);
        }
        if !flow.request.is_closed() {
            self.client.reset(self.id, Code::NO_ERROR);
        }
        self.end(flow);
    }

    /// The endpoint has reset the stream.
    pub(in crate::h2) fn answer_reset(self: &Rc<Self>, code: Code) {
        let mut flow = self.state.borrow_mut();
        let flow = &mut *flow;
        let stage = std::mem::replace(&mut flow.stage, Stage::Parted);
        match stage {
            Stage::Asked(..) => {
                let refused = code == Code::REFUSED_STREAM;
                self.fail(
                    flow,
                    if refused {
                        Failure::Unprocessed
                    } else {
                        Failure::Broken
                    },
                );
            }
            Stage::Answering(..) if flow.answer.is_closed() => {}
            Stage::Answering(..) => self.broke_off(flow, code),
            other => flow.stage = other,
        }
    }

    /// The answer ended too soon: the client's stream ends as the endpoint's did.
    pub(super) fn broke_off(&self, flow: &mut Flow, code: Code) {
        self.part(flow, code);
        if let Some(booked) = &mut flow.booked {
            booked.ticket.end(Class::Model);
        }
        let code = if code == Code::NO_ERROR {
            Code::INTERNAL
        } else {
            code
        };
        self.client.reset(self.id, code);
        self.end(flow);
    }

    /// The endpoint broke a rule that concerns this stream only.
    pub(super) fn fail_or_break(self: &Rc<Self>, flow: &mut Flow) {
        match flow.stage {
            Stage::Asked(..) => self.fail(flow, Failure::Broken),
            Stage::Answering(..) => self.broke_off(flow, Code::PROTOCOL),
            Stage::Waiting | Stage::Parted | Stage::Over => {}
        }
    }

    /// Nothing has passed for too long. If the client does not take what there is, it has given up.
    pub(super) fn stalled(&self, flow: &mut Flow) {
        let takes = flow.answer.is_empty();
        self.part(flow, Code::CANCEL);
        if let Some(booked) = &mut flow.booked {
            booked.ticket.end(if takes {
                Class::Timeout
            } else {
                Class::Cancelled
            });
        }
        self.client.reset(self.id, Code::CANCEL);
        self.end(flow);
    }
}
