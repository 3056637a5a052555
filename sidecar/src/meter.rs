//! Counting without locks: each worker counts for itself, in cells of one second of its own clock.
//!
//! A request's rollout, epoch and variant are fixed when it is assigned; it holds on to its epoch's counts, so a late
//! one is still counted where it belongs. Its cell is the second in which it ends.

mod contents;
mod epoch;
mod tally;
mod timeline;

pub use contents::Contents;
pub use tally::Tally;

pub(crate) use epoch::{Epoch, Live};
pub(crate) use timeline::Timeline;

use crate::shared::Portion;
use crate::table::Route;
use serinus_proto::v1;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The counts of one worker.
#[derive(Debug)]
pub(crate) struct Meters {
    /// The second that is being counted.
    open: Cell<u64>,
    epochs: RefCell<Vec<Rc<Epoch>>>,
    cells: RefCell<Vec<v1::Cell>>,
    portions: RefCell<Vec<Portion>>,
}

impl Meters {
    pub(crate) fn new(second: u64) -> Self {
        Self {
            open: Cell::new(second),
            epochs: RefCell::default(),
            cells: RefCell::default(),
            portions: RefCell::default(),
        }
    }

    /// The counts of a route's epoch, kept across tables.
    pub(crate) fn epoch(&self, route: &Route) -> Rc<Epoch> {
        let mut epochs = self.epochs.borrow_mut();
        if let Some(epoch) = epochs.iter().find(|epoch| epoch.is_of(route)) {
            return Rc::clone(epoch);
        }
        let epoch = Rc::new(Epoch::new(route));
        epochs.push(Rc::clone(&epoch));
        epoch
    }

    /// Closes the open cell if its second is over. Call it before counting anything at `second`.
    #[inline]
    pub(crate) fn at(&self, second: u64) {
        if second > self.open.get() {
            self.close(second);
        }
    }

    #[cold]
    fn close(&self, second: u64) {
        let closed = self.open.replace(second);
        let mut cells = self.cells.borrow_mut();
        let mut portions = self.portions.borrow_mut();
        for epoch in self.epochs.borrow().iter() {
            epoch.close(closed, &mut cells, &mut portions);
        }
    }

    /// Takes the closed cells; every cell before the returned second is closed.
    pub(crate) fn take(&self) -> (u64, Vec<v1::Cell>, Vec<Portion>) {
        (self.open.get(), self.cells.take(), self.portions.take())
    }

    /// What is known of keys, of every epoch in which it has changed. Epochs that are over are forgotten.
    pub(crate) fn keys(&self) -> Vec<v1::KeyStatistics> {
        let mut epochs = self.epochs.borrow_mut();
        let keys = epochs
            .iter()
            .flat_map(|epoch| epoch.changed_keys())
            .collect();
        epochs.retain(|epoch| Rc::strong_count(epoch) > 1 || !epoch.is_settled());
        keys
    }

    /// The same of epochs that are young: in a rollout that is stopped within seconds, whom it met must be known.
    pub(crate) fn young_keys(&self) -> Vec<v1::KeyStatistics> {
        let epochs = self.epochs.borrow();
        let young = epochs.iter().filter(|epoch| epoch.grow_older());
        young.flat_map(|epoch| epoch.changed_keys()).collect()
    }
}

#[cfg(test)]
mod tests;
