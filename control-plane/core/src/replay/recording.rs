//! What a replay reads.

use crate::plan::evidence_settings;
use prost::Message as _;
use serinus_evidence::{Settings, SettingsError};
use serinus_proto::{stored::v1 as stored, v1};
use thiserror::Error;
use v1::event::Kind;

/// Everything that the decisions of one rollout were made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// What it is a recording of.
    pub header: v1::RecordingHeader,
    /// The log, oldest first.
    pub events: Vec<v1::RecordedEvent>,
    /// Slices of requests, in the order in which they were folded.
    pub slices: Vec<stored::Slice>,
    /// Slices of labels, likewise.
    pub label_slices: Vec<stored::LabelSlice>,
}

/// Why a recording cannot be replayed at all.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// A slice is no message of its kind.
    #[error("{what} {number} of the recording cannot be read: {source}")]
    Damaged {
        /// `slice` or `label slice`.
        what: &'static str,
        /// From 1.
        number: usize,
        /// What is wrong.
        source: prost::DecodeError,
    },
    /// The recording is no message at all.
    #[error("this is no recording: {0}")]
    NoRecording(prost::DecodeError),
    /// It does not begin with the creation of a rollout.
    #[error("the recording does not begin with the creation of its rollout and its plan")]
    NoBeginning,
    /// This engine cannot be asked what the plan asks.
    #[error("this engine cannot judge by the plan: {0}")]
    Settings(#[from] SettingsError),
}

impl Recording {
    /// Reads a whole recording: the chunks of one, one after the other.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, ReplayError> {
        let chunk = v1::RecordingChunk::decode(bytes).map_err(ReplayError::NoRecording)?;
        let mut recording = Self::default();
        recording.absorb(chunk)?;
        Ok(recording)
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// If it holds what cannot be read.
    pub fn absorb(&mut self, chunk: v1::RecordingChunk) -> Result<(), ReplayError> {
        if let Some(header) = chunk.header {
            self.header = header;
        }
        self.events.extend(chunk.events);
        for bytes in chunk.slices {
            let number = self.slices.len() + 1;
            let slice = stored::Slice::decode(bytes.as_slice());
            self.slices.push(slice.map_err(damaged("slice", number))?);
        }
        for bytes in chunk.label_slices {
            let number = self.label_slices.len() + 1;
            let slice = stored::LabelSlice::decode(bytes.as_slice());
            self.label_slices
                .push(slice.map_err(damaged("label slice", number))?);
        }
        Ok(())
    }

    /// The event that created the rollout, and what it carries.
    ///
    /// # Errors
    /// If it is not the first one.
    pub fn created(&self) -> Result<(&v1::Event, &v1::Created), ReplayError> {
        let first = self.events.first().and_then(|entry| entry.event.as_ref());
        match first.map(|event| (event, &event.kind)) {
            Some((event, Some(Kind::Created(created)))) => Ok((event, created)),
            _ => Err(ReplayError::NoBeginning),
        }
    }

    /// The plan that was decided by, complete.
    ///
    /// # Errors
    /// If there is none.
    pub fn plan(&self) -> Result<&v1::Plan, ReplayError> {
        self.created()?
            .1
            .plan
            .as_ref()
            .ok_or(ReplayError::NoBeginning)
    }

    /// What the engine is asked under a plan, in the situation in which the rollout was begun.
    pub(super) fn settings(&self, plan: &v1::Plan) -> Settings {
        evidence_settings(plan)
    }

    /// Version of the rules under which the rollout was begun. Version 1 did not write it down.
    #[must_use]
    pub fn engine_version(&self) -> u32 {
        let created = self.created().map(|(_, created)| created.engine_version);
        created.unwrap_or_default().max(1)
    }
}

fn damaged(what: &'static str, number: usize) -> impl FnOnce(prost::DecodeError) -> ReplayError {
    move |source| ReplayError::Damaged {
        what,
        number,
        source,
    }
}
