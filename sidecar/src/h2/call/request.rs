//! A request's body on its way to the endpoint.

use super::super::block::Block;
use super::super::frame::Code;
use super::super::pipe::End;
use super::{Call, Failure, Flow, Stage};
use std::rc::Rc;

impl Call {
    /// Data of the client's. `flow` is what it takes of the windows.
    pub(in crate::h2) fn request_data(self: &Rc<Self>, data: &[u8], taken: u32, end: bool) {
        let mut flow = self.state.borrow_mut();
        let flow = &mut *flow;
        let padding = taken - data.len() as u32;
        if flow.request.is_closed() || flow.from_client.take(taken).is_err() {
            let closed = flow.request.is_closed();
            self.client.port.link.borrow_mut().give(taken);
            let code = if closed {
                Code::STREAM_CLOSED
            } else {
                Code::FLOW_CONTROL
            };
            self.client.reset(self.id, code);
            self.part(flow, Code::CANCEL);
            return self.end(flow);
        }
        if end {
            flow.request.end = End::Data;
        }
        let most = self.client.worker.limits.body_bytes;
        if let Some(booked) = &mut flow.booked
            && booked.messages.follow(data, most).is_err()
        {
            self.client.port.link.borrow_mut().give(taken);
            return self.too_large(flow);
        }
        self.go_on(flow);
        let mut passed = padding as usize;
        match &flow.stage {
            Stage::Asked(origin, stream) | Stage::Answering(origin, stream) => {
                let mut link = origin.port.link.borrow_mut();
                passed += flow
                    .request
                    .pass(data, *stream, &mut flow.to_origin, &mut link);
                drop(link);
                origin.port.wake();
            }
            Stage::Waiting => flow.request.store(data),
            Stage::Parted | Stage::Over => passed += data.len(),
        }
        self.give_client(flow, passed);
    }

    fn too_large(self: &Rc<Self>, flow: &mut Flow) {
        match flow.stage {
            Stage::Waiting | Stage::Asked(..) => self.fail(flow, Failure::TooLarge),
            _ => {
                self.client.reset(self.id, Code::CANCEL);
                self.part(flow, Code::CANCEL);
                self.end(flow);
            }
        }
    }

    /// The client's last word.
    pub(in crate::h2) fn request_trailers(self: &Rc<Self>, block: Block) {
        let mut flow = self.state.borrow_mut();
        let flow = &mut *flow;
        if flow.request.is_closed() {
            self.client.reset(self.id, Code::STREAM_CLOSED);
            self.part(flow, Code::CANCEL);
            return self.end(flow);
        }
        flow.request.end = End::Trailers(block);
        self.pump_request(flow);
    }

    /// The endpoint's window, or the connection's, has changed.
    pub(in crate::h2) fn request_window(self: &Rc<Self>, by: i64) {
        let mut flow = self.state.borrow_mut();
        let flow = &mut *flow;
        if flow.to_origin.give(by).is_err() {
            return self.fail_or_break(flow);
        }
        self.pump_request(flow);
    }

    pub(in crate::h2) fn resume_request(self: &Rc<Self>) {
        self.pump_request(&mut self.state.borrow_mut());
    }

    pub(super) fn pump_request(&self, flow: &mut Flow) {
        let Some((origin, stream)) = flow.stage.origin() else {
            return;
        };
        if flow.request.ended || (flow.request.is_empty() && !flow.request.is_closed()) {
            return;
        }
        let mut link = origin.port.link.borrow_mut();
        let passed = flow.request.pump(stream, &mut flow.to_origin, &mut link);
        drop(link);
        origin.port.wake();
        self.give_client(flow, passed);
    }

    /// Lets the client send as much as has been passed on.
    fn give_client(&self, flow: &mut Flow, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut link = self.client.port.link.borrow_mut();
        let before = link.unwritten().len();
        link.give(bytes as u32);
        if !flow.request.is_closed()
            && let Some(by) = flow.from_client.give(bytes as u32)
        {
            link.window(self.id, by);
        }
        let wrote = link.unwritten().len() > before;
        drop(link);
        if wrote {
            self.client.port.wake();
        }
    }

    /// Something has passed: an answer that is under way has not stalled.
    pub(super) fn go_on(&self, flow: &Flow) {
        if let (Stage::Answering(..) | Stage::Parted, Some(booked)) = (&flow.stage, &flow.booked) {
            self.due_ms.set(self.now_ms() + booked.stall_ms);
        }
    }
}
