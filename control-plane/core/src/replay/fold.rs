//! Slices into evidence, as far as a look had come.

use super::Recording;
use crate::evidence::{Doubts, fold_slice, label_slice};
use serinus_evidence::{Engine, Settings, SettingsError};

/// An engine that folds the slices of a recording, in their order.
#[derive(Debug)]
pub(super) struct Fold<'a> {
    recording: &'a Recording,
    pub(super) engine: Engine,
    pub(super) slices: usize,
    pub(super) label_slices: usize,
    pub(super) doubts: Doubts,
    /// Which guardrails of the judging plan take the labels that were collected for each of the recorded one.
    takers: Vec<Vec<usize>>,
}

/// A look had folded more than the recording holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short {
    pub(super) what: &'static str,
    pub(super) wanted: u64,
    pub(super) held: usize,
}

impl<'a> Fold<'a> {
    pub(super) fn new(
        recording: &'a Recording,
        settings: Settings,
        takers: Vec<Vec<usize>>,
    ) -> Result<Self, SettingsError> {
        Ok(Self {
            recording,
            engine: Engine::new(settings)?,
            slices: 0,
            label_slices: 0,
            doubts: Doubts::default(),
            takers,
        })
    }

    /// Folds on until so many slices of requests and of labels are folded. The two do not meet in the engine: a
    /// control plane that starts folds all of the one, then all of the other.
    pub(super) fn to(&mut self, slices: u64, label_slices: u64) -> Result<(), Short> {
        let enough = |what, wanted: u64, held: usize| {
            if wanted > held as u64 {
                Err(Short { what, wanted, held })
            } else {
                Ok(())
            }
        };
        enough("slices", slices, self.recording.slices.len())?;
        enough(
            "label slices",
            label_slices,
            self.recording.label_slices.len(),
        )?;
        while (self.slices as u64) < slices {
            self.slice();
        }
        while (self.label_slices as u64) < label_slices {
            self.labels();
        }
        Ok(())
    }

    /// Folds the next slice of requests, if there is one.
    pub(super) fn slice(&mut self) {
        if let Some(slice) = self.recording.slices.get(self.slices) {
            fold_slice(&mut self.engine, slice);
            self.doubts.follow(slice);
            self.slices += 1;
        }
    }

    /// Folds the next slice of labels, if there is one.
    pub(super) fn labels(&mut self) {
        if let Some(slice) = self.recording.label_slices.get(self.label_slices) {
            self.doubts.follow_labels(slice);
            let takers = self.takers.get(slice.guardrail as usize);
            for &guardrail in takers.into_iter().flatten() {
                self.engine.fold_labels(guardrail, &label_slice(slice));
            }
            self.label_slices += 1;
        }
    }
}
