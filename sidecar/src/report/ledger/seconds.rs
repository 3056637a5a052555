//! Cells of several workers, until every worker has finished their second.

use crate::report::merge;
use serinus_proto::v1;
use std::collections::BTreeMap;

/// Second, rollout, epoch, and the model where there is no rollout.
type Place = (u64, String, u64, String);

/// A second may be wrong by a step of the clock, in both directions: a worker's last word counts, not its highest.
#[derive(Debug)]
pub(super) struct Seconds {
    /// Per worker: what it said last in this round.
    said: Vec<Option<u64>>,
    open: BTreeMap<Place, v1::Cell>,
}

impl Seconds {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            said: vec![None; workers.max(1)],
            open: BTreeMap::new(),
        }
    }

    /// Takes a worker's cells. Once every worker has spoken: the second before which all have finished, and the cells
    /// before it.
    pub(super) fn seal(
        &mut self,
        worker: usize,
        finished_before: u64,
        cells: Vec<v1::Cell>,
    ) -> Option<(u64, Vec<v1::Cell>)> {
        for cell in cells {
            let (rollout, model) = (cell.rollout.clone(), cell.model.clone());
            let key = (cell.second, rollout, cell.epoch, model);
            match self.open.get_mut(&key) {
                Some(open) => merge::add_cell(open, cell),
                None => {
                    self.open.insert(key, cell);
                }
            }
        }
        if let Some(said) = self.said.get_mut(worker) {
            *said = Some(finished_before);
        }
        let all: Option<Vec<u64>> = self.said.iter().copied().collect();
        let before = all?.into_iter().min()?;
        self.said.fill(None);
        let later = self
            .open
            .split_off(&(before, String::new(), 0, String::new()));
        let finished = std::mem::replace(&mut self.open, later);
        Some((before, finished.into_values().collect()))
    }

    /// Everything that is left.
    pub(super) fn drain(&mut self) -> Vec<v1::Cell> {
        std::mem::take(&mut self.open).into_values().collect()
    }
}
