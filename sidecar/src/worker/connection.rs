//! The client's connections: what each is doing, and when it has been doing that for too long.

use super::tunnel::Tunnel;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::Waker;

/// The open connections of one worker.
#[derive(Debug, Default)]
pub(super) struct Connections {
    all: RefCell<Vec<Weak<State>>>,
    open: Rc<Cell<usize>>,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A head is on its way.
    Head,
    /// Between requests.
    Idle,
    /// Answering.
    Busy,
}

/// What the connection's task should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    Serve,
    /// Answer what comes, say that the connection ends with the answer, and end then. An idle connection stays open:
    /// a request may be on its way.
    Retire,
    /// End after the requests in flight.
    Finish,
    /// End now.
    Abort,
}

/// The state of one connection; times are ms of the worker's deadlines.
#[derive(Debug)]
pub(crate) struct State {
    phase: Cell<Phase>,
    since_ms: Cell<u64>,
    blocked_since_ms: Cell<Option<u64>>,
    requests: Cell<usize>,
    /// Bytes after an answer begin the next head; HTTP/2 frames need not.
    is_h2: Cell<bool>,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
    tunnel: RefCell<Option<Tunnel>>,
    clock: Rc<super::Deadlines>,
    open: Rc<Cell<usize>>,
}

/// How long a connection may take, ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) header_ms: u64,
    pub(super) idle_ms: u64,
}

impl Connections {
    pub(super) fn count(&self) -> usize {
        self.open.get()
    }

    pub(super) fn add(&self, clock: &Rc<super::Deadlines>) -> Rc<State> {
        self.open.set(self.open.get() + 1);
        let state = Rc::new(State {
            phase: Cell::new(Phase::Head),
            since_ms: Cell::new(clock.now_ms()),
            blocked_since_ms: Cell::new(None),
            requests: Cell::new(0),
            is_h2: Cell::new(false),
            order: Cell::new(Order::Serve),
            waker: RefCell::default(),
            tunnel: RefCell::default(),
            clock: Rc::clone(clock),
            open: Rc::clone(&self.open),
        });
        self.all.borrow_mut().push(Rc::downgrade(&state));
        state
    }

    pub(super) fn order_all(&self, order: Order) {
        for state in self.all.borrow().iter().filter_map(Weak::upgrade) {
            state.order(order);
        }
    }

    /// Ends connections that have taken too long.
    pub(super) fn sweep(&self, now_ms: u64, patience: Patience) {
        self.all.borrow_mut().retain(|weak| match weak.upgrade() {
            Some(state) => {
                if let Some(order) = state.overdue(now_ms, patience) {
                    state.order(order);
                }
                true
            }
            None => false,
        });
    }
}

impl State {
    fn overdue(&self, now_ms: u64, patience: Patience) -> Option<Order> {
        let longer = |since: u64, patience: u64| now_ms.saturating_sub(since) > patience;
        match self.phase.get() {
            Phase::Head if longer(self.since_ms.get(), patience.header_ms) => Some(Order::Abort),
            Phase::Idle if longer(self.since_ms.get(), patience.idle_ms) => Some(Order::Finish),
            // The model's slowness has its own deadline; here the caller takes nothing.
            Phase::Busy => self
                .blocked_since_ms
                .get()
                .filter(|&since| longer(since, patience.idle_ms))
                .map(|_| Order::Abort),
            _ => None,
        }
    }

    fn order(&self, order: Order) {
        if order > self.order.get() {
            self.order.set(order);
            if let Some(waker) = self.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// What to do now; the task is woken when that changes.
    pub(crate) fn ordered(&self, waker: &Waker) -> Order {
        let mut stored = self.waker.borrow_mut();
        match &*stored {
            Some(known) if known.will_wake(waker) => {}
            _ => *stored = Some(waker.clone()),
        }
        self.order.get()
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since_ms.set(self.clock.now_ms());
    }

    pub(super) fn speaks_h2(&self) {
        self.is_h2.set(true);
        self.enter(Phase::Idle);
    }

    #[inline]
    pub(crate) fn bytes_came(&self) {
        if self.phase.get() == Phase::Idle && !self.is_h2.get() {
            self.enter(Phase::Head);
        }
    }

    #[inline]
    pub(crate) fn write(&self, blocked: bool) {
        if !blocked {
            self.blocked_since_ms.set(None);
        } else if self.blocked_since_ms.get().is_none() {
            self.blocked_since_ms.set(Some(self.clock.now_ms()));
        }
    }

    /// A request has begun.
    pub(crate) fn begin(self: &Rc<Self>) -> Busy {
        self.requests.set(self.requests.get() + 1);
        self.enter(Phase::Busy);
        Busy(Rc::clone(self))
    }

    /// Whether the answers should say that the connection ends.
    #[inline]
    pub(crate) fn is_retiring(&self) -> bool {
        self.order.get() >= Order::Retire
    }

    pub(super) fn take_tunnel(&self) -> Option<Tunnel> {
        self.tunnel.borrow_mut().take()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.open.set(self.open.get().saturating_sub(1));
    }
}

/// A request that its connection is answering.
#[derive(Debug)]
pub(crate) struct Busy(Rc<State>);

impl Busy {
    /// After the answer's head the connection carries another protocol.
    pub(crate) fn tunnel(&self, tunnel: Tunnel) {
        self.0.tunnel.replace(Some(tunnel));
    }

    /// To be asked when the answer is there.
    #[inline]
    pub(crate) fn retiring(&self) -> Retiring {
        Retiring(Rc::clone(&self.0))
    }
}

/// Whether an answer should say that its connection ends: `connection: close` in HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Retiring(Rc<State>);

impl Retiring {
    #[inline]
    pub(crate) fn is_retiring(&self) -> bool {
        self.0.is_retiring()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let left = self.0.requests.get().saturating_sub(1);
        self.0.requests.set(left);
        if left == 0 {
            self.0.enter(Phase::Idle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::Deadlines;
    use std::time::{Duration, Instant};

    const PATIENCE: Patience = Patience {
        header_ms: 1000,
        idle_ms: 5000,
    };

    #[test]
    fn every_phase_has_its_patience() {
        let t0 = Instant::now();
        let clock = Rc::new(Deadlines::new(t0));
        let at = |ms: u64| clock.observe(t0 + Duration::from_millis(ms));
        let connections = Connections::default();
        let state = connections.add(&clock);
        assert_eq!(state.overdue(at(1001), PATIENCE), Some(Order::Abort));
        let busy = state.begin();
        assert_eq!(state.overdue(at(100_000), PATIENCE), None);
        state.write(true);
        assert_eq!(state.overdue(at(105_001), PATIENCE), Some(Order::Abort));
        state.write(false);
        assert_eq!(state.overdue(at(200_000), PATIENCE), None);
        drop(busy);
        assert_eq!(state.overdue(at(205_000), PATIENCE), None);
        assert_eq!(state.overdue(at(205_001), PATIENCE), Some(Order::Finish));
        state.bytes_came();
        assert_eq!(state.overdue(at(206_002), PATIENCE), Some(Order::Abort));
        assert_eq!(connections.count(), 1);
        drop(state);
        assert_eq!(connections.count(), 0);
        connections.sweep(0, PATIENCE);
        assert!(connections.all.borrow().is_empty());
    }

    #[test]
    fn who_retires_answers_still_and_orders_only_grow_stricter() {
        let clock = Rc::new(Deadlines::new(Instant::now()));
        let connections = Connections::default();
        let state = connections.add(&clock);
        assert!(!state.is_retiring());
        connections.order_all(Order::Retire);
        assert!(state.begin().retiring().is_retiring());
        assert_eq!(state.ordered(Waker::noop()), Order::Retire);
        connections.order_all(Order::Finish);
        connections.order_all(Order::Retire);
        assert_eq!(state.ordered(Waker::noop()), Order::Finish);
    }

    #[test]
    fn frames_between_requests_are_no_head() {
        let clock = Rc::new(Deadlines::new(Instant::now()));
        let state = Connections::default().add(&clock);
        state.speaks_h2();
        state.bytes_came();
        assert_eq!(state.overdue(1001, PATIENCE), None);
        assert_eq!(state.overdue(5001, PATIENCE), Some(Order::Finish));
    }
}
