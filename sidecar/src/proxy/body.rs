//! The request's body on its way to an endpoint: streamed as it arrives, and kept, up to a limit, so that the call can
//! be made again. Keeping a part costs a reference, not a copy.

mod editing;

use crate::rewrite::{Edit, Names, Unchangeable};
use editing::Editing;
use http::HeaderMap;
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
    /// It is read before it is sent.
    gathers: bool,
    /// The body knows whether it has ended, as one of HTTP/2 does. It also stops after a reset without an error.
    tells_ends: bool,
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

/// What was read of a body before it is passed on.
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

    pub(crate) fn pop(&mut self) -> Option<Frame<Bytes>> {
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

    /// What came after the data.
    pub(crate) fn trailers(&self) -> Option<&HeaderMap> {
        self.frames.back().and_then(Frame::trailers_ref)
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
    /// The variant's rewrite cannot be written into it.
    Unchangeable(Unchangeable),
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
    /// The variant's rewrite cannot be written into it.
    #[error("the variant's rewrite cannot be written: {0}")]
    Unchangeable(Unchangeable),
}

/// What one attempt sends.
#[derive(Debug)]
pub(crate) struct Outgoing<B = Incoming> {
    source: Option<Rc<Source<B>>>,
    attempt: u32,
    /// Kept parts that were sent again already.
    at: usize,
    editing: Option<Box<Editing>>,
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
            gathers: false,
            tells_ends: false,
        })))
    }

    /// A body that stops is one that broke off, unless it says that it has ended.
    pub(crate) fn tells_ends(self: Rc<Self>) -> Rc<Self> {
        self.0.borrow_mut().tells_ends = true;
        self
    }

    /// Whether the call can be made again.
    pub(crate) fn is_replayable(&self) -> bool {
        let inner = self.0.borrow();
        inner.replay_bytes.is_some() && inner.fault.is_none()
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        self.0.borrow().fault
    }

    /// How long it becomes, where all of it is kept.
    fn length_after(&self, edit: &Edit) -> Option<u64> {
        let inner = self.0.borrow();
        let whole = inner.ended && inner.replay_bytes.is_some();
        let shared = inner.kept.shared.iter().map(|part| &part[..]);
        let parts = std::iter::once(&inner.kept.copied[..]).chain(shared);
        whole.then(|| edit.length(parts)).flatten()
    }

    /// Whether its end has come.
    pub(crate) fn has_ended(&self) -> bool
    where
        B: Body,
    {
        let inner = self.0.borrow();
        inner.ended || (inner.early.is_empty() && inner.body.is_end_stream())
    }

    /// What the next attempt sends: everything from the start. Earlier attempts can read no more.
    pub(crate) fn outgoing(self: &Rc<Self>) -> Outgoing<B> {
        let mut inner = self.0.borrow_mut();
        inner.attempt += 1;
        Outgoing {
            source: Some(Rc::clone(self)),
            attempt: inner.attempt,
            at: 0,
            editing: None,
        }
    }
}

impl<B> Outgoing<B> {
    pub(crate) fn empty() -> Self {
        Self {
            source: None,
            attempt: 0,
            at: 0,
            editing: None,
        }
    }

    /// The same, changed on its way. `names` is told what the caller named.
    pub(crate) fn edited(mut self, edit: Edit, names: Option<Rc<RefCell<Names>>>) -> Self {
        let source = self.source.as_ref();
        let length = source.and_then(|source| source.length_after(&edit));
        self.editing = Some(Box::new(Editing::new(edit, length, names)));
        self
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
            None if self.tells_ends && !self.body.is_end_stream() => {
                self.fault = Some(Fault::Caller);
                Some(Err(SendError::Caller("the stream was reset".into())))
            }
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
            if self.gathers {
                self.ended = true;
                return Ok(frame);
            }
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

impl<B: Body<Data = Bytes> + Unpin> Source<B>
where
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Reads all of it, if its length is known and all of it may be kept; otherwise nothing.
    pub(crate) async fn gather(&self) -> Result<(), Fault> {
        {
            let mut inner = self.0.borrow_mut();
            let rest = inner.body.size_hint().exact();
            let length = rest.map(|rest| rest + inner.early.bytes());
            let room = inner
                .replay_bytes
                .map(|most| most.saturating_sub(inner.kept.bytes));
            inner.gathers = length
                .zip(room)
                .is_some_and(|(length, room)| length <= room as u64);
            if !inner.gathers {
                return Ok(());
            }
        }
        std::future::poll_fn(|cx| {
            let mut inner = self.0.borrow_mut();
            while let Some(frame) = ready!(inner.poll(cx)) {
                if frame.is_err() {
                    return Poll::Ready(Err(inner.fault.unwrap_or(Fault::Caller)));
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }
}

impl<B: Body<Data = Bytes> + Unpin> Outgoing<B>
where
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn poll_original(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        let Some(source) = &self.source else {
            return Poll::Ready(None);
        };
        let mut inner = source.0.borrow_mut();
        if inner.attempt != self.attempt {
            return Poll::Ready(Some(Err(SendError::Superseded)));
        }
        if let Some(part) = inner.kept.part(self.at) {
            self.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        let polled = inner.poll(cx);
        self.at = inner.kept.parts();
        polled
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
        if self.editing.is_none() {
            return self.poll_original(cx);
        }
        loop {
            let polled = ready!(self.poll_original(cx));
            let this = &mut *self;
            let Some(editing) = &mut this.editing else {
                return Poll::Ready(polled);
            };
            let changed = editing.change(polled);
            if let (Some(Err(SendError::Unchangeable(why))), Some(source)) =
                (&changed, &this.source)
            {
                source.0.borrow_mut().fault = Some(Fault::Unchangeable(*why));
            }
            // What has become nothing need not be sent.
            let empty = |frame: &Frame<Bytes>| frame.data_ref().is_some_and(Bytes::is_empty);
            if !matches!(&changed, Some(Ok(frame)) if empty(frame)) {
                return Poll::Ready(changed);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let Some(source) = &self.source else {
            return true;
        };
        let inner = source.0.borrow();
        let editing = self.editing.as_ref();
        editing.is_none_or(|editing| !editing.holds())
            && self.at >= inner.kept.parts()
            && inner.early.is_empty()
            && (inner.ended || inner.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let Some(source) = &self.source else {
            return SizeHint::with_exact(0);
        };
        if let Some(editing) = &self.editing {
            return editing.size_hint();
        }
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
