//! A connection's socket and its task, whichever side it is on.

use super::call::Call;
use super::frame::{Code, Frame};
use super::link::Link;
use crate::net::Stream;
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

/// Read at once; connections of a worker share the buffer.
const READ: usize = 64 << 10;

/// After so many reads others have their turn.
const MOST_READS: u32 = 8;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What both sides of the relay have.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) link: RefCell<Link>,
    calls: RefCell<Vec<(u32, Rc<Call>)>>,
    waker: RefCell<Option<Waker>>,
    /// Where the next pass over the calls begins, so that each is first in its turn.
    turn: Cell<usize>,
}

impl Port {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link: RefCell::new(link),
            calls: RefCell::default(),
            waker: RefCell::default(),
            turn: Cell::new(0),
        }
    }

    /// Has the task write what has been added.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn register(&self, waker: &Waker) {
        let mut stored = self.waker.borrow_mut();
        match &*stored {
            Some(known) if known.will_wake(waker) => {}
            _ => *stored = Some(waker.clone()),
        }
    }

    pub(super) fn call(&self, stream: u32) -> Option<Rc<Call>> {
        let calls = self.calls.borrow();
        let at = calls.binary_search_by_key(&stream, |(id, _)| *id).ok()?;
        Some(Rc::clone(&calls[at].1))
    }

    /// Adds a call; streams are numbered in ascending order.
    pub(super) fn add(&self, stream: u32, call: Rc<Call>) {
        self.calls.borrow_mut().push((stream, call));
    }

    pub(super) fn remove(&self, stream: u32) -> bool {
        let mut calls = self.calls.borrow_mut();
        let found = calls.binary_search_by_key(&stream, |(id, _)| *id);
        found.map(|at| calls.remove(at)).is_ok()
    }

    pub(super) fn open(&self) -> usize {
        self.calls.borrow().len()
    }

    /// The calls as they are now.
    pub(super) fn calls(&self) -> Vec<(u32, Rc<Call>)> {
        self.calls.borrow().clone()
    }

    /// Has every call go on, each first in its turn.
    pub(super) fn resume(&self, go_on: impl Fn(&Rc<Call>)) {
        let mut calls = self.calls();
        if !calls.is_empty() {
            let turn = self.turn.get().wrapping_add(1);
            self.turn.set(turn);
            let first = turn % calls.len();
            calls.rotate_left(first);
        }
        calls.iter().for_each(|(_, call)| go_on(call));
    }

    /// Writes everything; pending while the other side does not take it.
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
    ) -> Poll<io::Result<()>> {
        let mut link = self.link.borrow_mut();
        while !link.unwritten().is_empty() {
            let n = ready!(Pin::new(&mut *stream).poll_write(cx, link.unwritten()))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            link.wrote(n);
        }
        Pin::new(stream).poll_flush(cx)
    }

    /// Reads what is there; ready when the other side has hung up or broken the rules.
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        early: &mut Vec<u8>,
        mut take: impl FnMut(Frame<'_>) -> Result<(), Code>,
    ) -> Poll<Result<(), Fault>> {
        let mut scratch = SCRATCH.take();
        scratch.resize(READ, 0);
        let mut polled = Poll::Pending;
        for _ in 0..MOST_READS {
            if self.link.borrow().is_stuck() {
                break;
            }
            polled = read_once(cx, stream, early, &mut scratch, &mut take);
            if !matches!(polled, Poll::Ready(Ok(true))) {
                break;
            }
        }
        SCRATCH.replace(scratch);
        match polled {
            Poll::Ready(Ok(true)) => cx.waker().wake_by_ref(),
            Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
            Poll::Pending => {}
        }
        Poll::Pending
    }
}

/// Why a connection ends early.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    /// The other side broke the rules; it is told how.
    Rules(Code),
}

/// Reads once; false at the end.
fn read_once(
    cx: &mut Context<'_>,
    stream: &mut Stream,
    early: &mut Vec<u8>,
    scratch: &mut [u8],
    take: &mut impl FnMut(Frame<'_>) -> Result<(), Code>,
) -> Poll<Result<bool, Fault>> {
    // The beginning of a frame, which is never longer than a frame, comes first.
    let have = early.len();
    scratch[..have].copy_from_slice(early);
    let mut buffer = ReadBuf::new(&mut scratch[have..]);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer)).map_err(Fault::Io)?;
    let n = buffer.filled().len();
    if n == 0 {
        return Poll::Ready(Ok(false));
    }
    let rest = cut(&scratch[..have + n], take)?;
    early.clear();
    early.extend_from_slice(rest);
    if rest.is_empty() && early.capacity() > 0 {
        *early = Vec::new();
    }
    Poll::Ready(Ok(true))
}

/// Takes every whole frame; what is left is the beginning of one.
pub(super) fn cut<'a>(
    mut rest: &'a [u8],
    take: &mut impl FnMut(Frame<'_>) -> Result<(), Code>,
) -> Result<&'a [u8], Fault> {
    while let Some((frame, after)) = Frame::cut(rest).map_err(Fault::Rules)? {
        rest = after;
        take(frame).map_err(Fault::Rules)?;
    }
    Ok(rest)
}
