//! A store that fails when it is told to.

use serinus_control_plane::store::memory::{Disk, MemoryStore};
use serinus_control_plane::store::{Batch, Loaded, Shortage, Store, StoreError, Urgency};
use serinus_proto::stored::v1 as stored;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What the next commit does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// What it should.
    #[default]
    None,
    /// It writes nothing and fails, as after a crash before the write.
    Before,
    /// It finds too little room and writes nothing.
    Full,
    /// It writes everything and fails, as after a crash before the answer.
    After,
}

/// A store in memory with faults.
#[derive(Debug)]
pub struct Fragile {
    inner: MemoryStore,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    fault: Fault,
    /// Commits wait, as on a disk that hangs.
    hangs: bool,
    /// Commits that are waiting.
    waiting: usize,
    full: bool,
}

impl Fragile {
    /// Over a disk that outlives it.
    #[must_use]
    pub fn open(disk: Disk) -> Self {
        Self {
            inner: MemoryStore::open(disk),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// The next commit has this fault.
    pub fn fail(&self, fault: Fault) {
        self.state().fault = fault;
    }

    /// From now on the disk is nearly full, or is not any more.
    pub fn fill(&self, full: bool) {
        self.state().full = full;
    }

    /// From now on commits wait, or do not any more.
    pub fn hang(&self, hangs: bool) {
        self.state().hangs = hangs;
        self.changed.notify_all();
    }

    /// Waits until a commit hangs.
    pub fn wait_for_hanging(&self) {
        let mut state = self.state();
        while state.waiting == 0 {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shortage() -> Shortage {
    Shortage {
        path: "disk".into(),
        available: 1,
        reserve: 2,
        severe: false,
    }
}

impl Store for Fragile {
    fn load(&self) -> Result<Loaded, StoreError> {
        self.inner.load()
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut state = self.state();
        state.waiting += 1;
        self.changed.notify_all();
        while state.hangs {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
        let fault = std::mem::take(&mut state.fault);
        let full = state.full || fault == Fault::Full;
        drop(state);
        if full && batch.urgency < Urgency::Small {
            return Err(StoreError::Full(shortage()));
        }
        if fault != Fault::Before {
            self.inner.commit(batch)?;
        }
        match fault {
            Fault::None | Fault::Full => Ok(()),
            fault => Err(StoreError::Fatal(format!("told to fail: {fault:?}"))),
        }
    }

    fn records(
        &self,
        after_revision: u64,
        limit: usize,
    ) -> Result<Vec<stored::LogRecord>, StoreError> {
        self.inner.records(after_revision, limit)
    }

    fn slices(
        &self,
        rollout: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, stored::Slice)>, StoreError> {
        self.inner.slices(rollout, after, limit)
    }

    fn label_slices(
        &self,
        rollout: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, stored::LabelSlice)>, StoreError> {
        self.inner.label_slices(rollout, after, limit)
    }

    fn checkpoints(&self, rollout: &str) -> Result<Vec<stored::Checkpoint>, StoreError> {
        self.inner.checkpoints(rollout)
    }

    fn seen(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.seen(key)
    }

    fn webhooks(&self) -> Result<Vec<stored::Webhook>, StoreError> {
        self.inner.webhooks()
    }

    fn oldest_revision(&self) -> Result<u64, StoreError> {
        self.inner.oldest_revision()
    }

    fn last_revision(&self) -> u64 {
        self.inner.last_revision()
    }

    fn shortage(&self) -> Option<Shortage> {
        self.state().full.then(shortage)
    }
}
