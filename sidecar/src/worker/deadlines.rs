//! Deadlines on a coarse tick: a request costs no timer of its own.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

const TICK: Duration = Duration::from_millis(10);

/// Without a deadline for this many ticks, the tick stops until there is one again.
const IDLE_TICKS: u32 = 100;

/// The deadlines of one worker; times are milliseconds since it was made.
#[derive(Debug)]
pub(crate) struct Deadlines {
    origin: Instant,
    now_ms: Cell<u64>,
    slots: RefCell<Slots>,
    wanted: Notify,
    ticking: Cell<bool>,
}

#[derive(Debug, Default)]
struct Slots {
    all: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Slot {
    at_ms: u64,
    waker: Option<Waker>,
}

const NEVER: u64 = u64::MAX;

/// One deadline; it is forgotten when it is dropped.
#[derive(Debug)]
pub(crate) struct Deadline {
    owner: Rc<Deadlines>,
    slot: usize,
}

impl Deadlines {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            now_ms: Cell::new(0),
            slots: RefCell::default(),
            wanted: Notify::new(),
            ticking: Cell::new(false),
        }
    }

    /// The coarse time: of the last tick or request.
    #[inline]
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// Tells it the time.
    #[inline]
    pub(crate) fn observe(&self, now: Instant) -> u64 {
        let ms = now.saturating_duration_since(self.origin).as_millis() as u64;
        self.now_ms.set(ms);
        ms
    }

    pub(crate) fn add(self: &Rc<Self>, at_ms: u64) -> Deadline {
        let mut slots = self.slots.borrow_mut();
        let new = Slot { at_ms, waker: None };
        let slot = match slots.free.pop() {
            Some(slot) => {
                slots.all[slot] = new;
                slot
            }
            None => {
                slots.all.push(new);
                slots.all.len() - 1
            }
        };
        if !self.ticking.replace(true) {
            self.wanted.notify_one();
        }
        Deadline {
            owner: Rc::clone(self),
            slot,
        }
    }

    /// Ticks for ever.
    pub(crate) async fn run(self: Rc<Self>) {
        loop {
            self.wanted.notified().await;
            let mut idle = 0;
            while idle < IDLE_TICKS {
                tokio::time::sleep(TICK).await;
                self.observe(Instant::now());
                idle = if self.wake_due() { 0 } else { idle + 1 };
            }
            self.ticking.set(false);
            if self.is_used() {
                self.ticking.set(true);
                self.wanted.notify_one();
            }
        }
    }

    fn is_used(&self) -> bool {
        let slots = self.slots.borrow();
        slots.all.len() > slots.free.len()
    }

    /// Wakes whoever is due; whether there are deadlines at all.
    fn wake_due(&self) -> bool {
        let now_ms = self.now_ms.get();
        let mut slots = self.slots.borrow_mut();
        for slot in &mut slots.all {
            if slot.at_ms <= now_ms
                && let Some(waker) = slot.waker.take()
            {
                waker.wake();
            }
        }
        slots.all.len() > slots.free.len()
    }
}

impl Deadline {
    pub(crate) fn set(&self, at_ms: u64) {
        if let Some(slot) = self.owner.slots.borrow_mut().all.get_mut(self.slot) {
            slot.at_ms = at_ms;
        }
    }

    /// Sets it to `ms` after the coarse time.
    #[inline]
    pub(crate) fn postpone(&self, ms: u64) {
        self.set(self.owner.now_ms().saturating_add(ms));
    }

    /// What the future comes to, or `None` if the deadline passes first.
    pub(crate) async fn before<F: Future>(&self, mut future: Pin<&mut F>) -> Option<F::Output> {
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll(cx).map(|()| None),
        })
        .await
    }

    /// Ready once it has passed, at the precision of the tick.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut slots = self.owner.slots.borrow_mut();
        let Some(slot) = slots.all.get_mut(self.slot) else {
            return Poll::Ready(());
        };
        if slot.at_ms <= self.owner.now_ms.get() {
            return Poll::Ready(());
        }
        match &slot.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => slot.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let mut slots = self.owner.slots.borrow_mut();
        if let Some(slot) = slots.all.get_mut(self.slot) {
            slot.at_ms = NEVER;
            slot.waker = None;
            slots.free.push(self.slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_due(deadline: &Deadline) -> bool {
        deadline
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn deadlines_pass_when_their_time_has_come() {
        let t0 = Instant::now();
        let deadlines = Rc::new(Deadlines::new(t0));
        let (early, late) = (deadlines.add(50), deadlines.add(100));
        assert!(!is_due(&early) && !is_due(&late));
        deadlines.observe(t0 + Duration::from_millis(60));
        assert!(is_due(&early) && !is_due(&late));
        early.postpone(100);
        assert!(!is_due(&early));
        drop(early);
        assert!(deadlines.is_used());
        drop(late);
        assert!(!deadlines.is_used());
        let again = deadlines.add(10);
        assert!(is_due(&again), "a slot that is used again has its own time");
    }

    #[tokio::test]
    async fn the_tick_wakes_whoever_waits() {
        let deadlines = Rc::new(Deadlines::new(Instant::now()));
        let deadline = deadlines.add(0);
        deadline.set(20);
        let wait = std::future::poll_fn(|cx| deadline.poll(cx));
        tokio::select! {
            () = wait => {}
            () = Rc::clone(&deadlines).run() => {}
        }
    }
}
