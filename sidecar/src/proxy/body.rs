//! The request's body on its way to an endpoint: streamed as it arrives, and kept, up to a limit, so that the call can
//! be made again. Keeping a part costs a reference, not a copy.

use http_body::{Body, Frame, SizeHint};
use hyper::body::{Bytes, Incoming};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use thiserror::Error;

/// The caller's body, shared by the attempts of one call; only the latest attempt may read it.
#[derive(Debug)]
pub(crate) struct Source<B = Incoming>(RefCell<Inner<B>>);

#[derive(Debug)]
struct Inner<B> {
    early: Early,
    body: B,
    ended: bool,
    kept: Kept,
    /// How much may be kept; `None` once something was passed on that was not kept.
    replay_bytes: Option<usize>,
    total: u64,
    max: u64,
    attempt: u32,
    fault: Option<Fault>,
}

/// What was passed on and can be sent again. Short bodies are copied: a reference would hold on to the connection's read
/// buffer, which then could not be used again. Long ones are worth a buffer.
#[derive(Debug, Default)]
struct Kept {
    copied: Vec<u8>,
    shared: Vec<Bytes>,
    bytes: usize,
}

/// Up to this many bytes are copied.
const COPIED: usize = 4096;

impl Kept {
    fn push(&mut self, data: &Bytes) {
        self.bytes += data.len();
        if self.shared.is_empty() && self.bytes <= COPIED {
            self.copied.extend_from_slice(data);
        } else {
            self.shared.push(data.clone());
        }
    }

    /// The copy is one part, and every reference one more.
    fn parts(&self) -> usize {
        usize::from(!self.copied.is_empty()) + self.shared.len()
    }

    fn part(&self, at: usize) -> Option<Bytes> {
        match (self.copied.is_empty(), at) {
            (false, 0) => Some(Bytes::copy_from_slice(&self.copied)),
            (false, at) => self.shared.get(at - 1).cloned(),
            (true, at) => self.shared.get(at).cloned(),
        }
    }

    fn bytes_from(&self, at: usize) -> u64 {
        let copied = (!self.copied.is_empty()).then_some(self.copied.len());
        let shared = self.shared.iter().map(Bytes::len);
        let left: usize = copied.into_iter().chain(shared).skip(at).sum();
        left as u64
    }
}

/// What was read of the body before its variant was chosen.
#[derive(Debug, Default)]
pub(crate) struct Early {
    frames: VecDeque<Frame<Bytes>>,
    bytes: u64,
}

impl Early {
    pub(crate) fn push(&mut self, frame: Frame<Bytes>) {
        self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        self.frames.push_back(frame);
    }

    fn pop(&mut self) -> Option<Frame<Bytes>> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.data_ref().map_or(0, |data| data.len() as u64);
        Some(frame)
    }

    /// Data, without trailers.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The data, part by part.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Bytes> {
        self.frames.iter().filter_map(Frame::data_ref)
    }
}

/// Why the body did not get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is longer than allowed.
    TooLarge,
    /// The caller stopped sending.
    Caller,
}

/// The body is cut short.
#[derive(Debug, Error)]
pub(crate) enum SendError {
    /// It is longer than allowed.
    #[error("the request's body is too large")]
    TooLarge,
    /// The caller stopped sending.
    #[error("the caller stopped sending: {0}")]
    Caller(Box<dyn std::error::Error + Send + Sync>),
    /// Another attempt has taken over.
    #[error("another attempt has taken over")]
    Superseded,
}

/// What one attempt sends.
#[derive(Debug)]
pub(crate) struct Outgoing<B = Incoming> {
    source: Option<Rc<Source<B>>>,
    attempt: u32,
    /// Kept parts that were sent again already.
    at: usize,
}

impl<B> Source<B> {
    pub(crate) fn new(body: B, early: Early, replay_bytes: usize, max: u64) -> Rc<Self> {
        Rc::new(Self(RefCell::new(Inner {
            early,
            body,
            ended: false,
            kept: Kept::default(),
            replay_bytes: Some(replay_bytes),
            total: 0,
            max,
            attempt: 0,
            fault: None,
        })))
    }

    /// Whether the call can be made again.
    pub(crate) fn is_replayable(&self) -> bool {
        let inner = self.0.borrow();
        inner.replay_bytes.is_some() && inner.fault.is_none()
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        self.0.borrow().fault
    }

    /// What the next attempt sends: everything from the start. Earlier attempts can read no more.
    pub(crate) fn outgoing(self: &Rc<Self>) -> Outgoing<B> {
        let mut inner = self.0.borrow_mut();
        inner.attempt += 1;
        Outgoing {
            source: Some(Rc::clone(self)),
            attempt: inner.attempt,
            at: 0,
        }
    }
}

impl<B> Outgoing<B> {
    pub(crate) fn empty() -> Self {
        Self {
            source: None,
            attempt: 0,
            at: 0,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Inner<B>
where
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        if let Some(frame) = self.early.pop() {
            return Poll::Ready(Some(self.pass(frame)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(match frame {
            None => {
                self.ended = true;
                None
            }
            Some(Err(error)) => {
                self.fault = Some(Fault::Caller);
                Some(Err(SendError::Caller(error.into())))
            }
            Some(Ok(frame)) => Some(self.pass(frame)),
        })
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, SendError> {
        let Some(data) = frame.data_ref() else {
            // Trailers are not kept.
            self.keep_no_more();
            return Ok(frame);
        };
        self.total += data.len() as u64;
        if self.total > self.max {
            self.fault = Some(Fault::TooLarge);
            return Err(SendError::TooLarge);
        }
        match self.replay_bytes {
            Some(limit) if self.kept.bytes + data.len() <= limit => self.kept.push(data),
            Some(_) => self.keep_no_more(),
            None => {}
        }
        Ok(frame)
    }

    /// Whoever reads fresh parts has sent all the kept ones already.
    fn keep_no_more(&mut self) {
        self.replay_bytes = None;
        self.kept = Kept::default();
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Outgoing<B>
where
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        let this = &mut *self;
        let Some(source) = &this.source else {
            return Poll::Ready(None);
        };
        let mut inner = source.0.borrow_mut();
        if inner.attempt != this.attempt {
            return Poll::Ready(Some(Err(SendError::Superseded)));
        }
        if let Some(part) = inner.kept.part(this.at) {
            this.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        let polled = inner.poll(cx);
        this.at = inner.kept.parts();
        polled
    }

    fn is_end_stream(&self) -> bool {
        let Some(source) = &self.source else {
            return true;
        };
        let inner = source.0.borrow();
        self.at >= inner.kept.parts()
            && inner.early.is_empty()
            && (inner.ended || inner.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let Some(source) = &self.source else {
            return SizeHint::with_exact(0);
        };
        let inner = source.0.borrow();
        let again = inner.kept.bytes_from(self.at) + inner.early.bytes();
        let rest = inner.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(again + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(again + upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests;
