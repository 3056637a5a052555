//! How the body of one request is changed.

use super::frames::{FrameError, Frames, Otherwise};
use super::json::Strings;
use super::place::{Place, place};
use super::restore::Names;
use super::splice::{Count, Splice};
use super::{Rewrite, header_says};
use crate::classify::is_grpc;
use crate::head::Head;
use bytes::Bytes;
use thiserror::Error;

/// Why a request cannot be changed: it is refused, for the model would answer for another version than the one that is
/// measured.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum Unchangeable {
    /// JSON in a content coding.
    #[error("the body is encoded")]
    Encoded,
    /// A gRPC message is compressed.
    #[error("a message is compressed")]
    Compressed,
    /// A gRPC message leaves no room.
    #[error("a message is too long")]
    TooLong,
    /// TensorFlow Serving's `MultiInference` names a model in each task.
    #[error("the message names several models")]
    Tasks,
}

impl From<FrameError> for Unchangeable {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Compressed => Self::Compressed,
            FrameError::TooLong => Self::TooLong,
        }
    }
}

/// Changes the body of one request while it streams by.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// The string `model`.
    Json(Strings),
    /// Each gRPC message.
    Frames(Frames),
}

/// Whether a call carries the name in its JSON.
pub(crate) fn is_json(head: &impl Head) -> bool {
    place(head.method(), head.path(), false) == Some(Place::Json)
}

impl Rewrite {
    /// How the body of this request is changed, if it is.
    pub(crate) fn edit(&self, head: &impl Head) -> Result<Option<Edit>, Unchangeable> {
        let grpc = head.value("content-type").is_some_and(is_grpc);
        let fields = match place(head.method(), head.path(), grpc) {
            Some(Place::Json) => return self.json_edit(head),
            Some(Place::OipMessage) => &self.oip_fields,
            Some(Place::TfMessage) => &self.tf_fields,
            Some(Place::TfTasks) if self.tf_fields.is_empty() => return Ok(None),
            Some(Place::TfTasks) => return Err(Unchangeable::Tasks),
            Some(Place::Path(_)) | None => return Ok(None),
        };
        if fields.is_empty() {
            return Ok(None);
        }
        let frames = Frames::new(fields.clone(), Otherwise::Refuse);
        Ok(Some(Edit::Frames(match self.restore {
            true => frames.reading_names(),
            false => frames,
        })))
    }

    fn json_edit(&self, head: &impl Head) -> Result<Option<Edit>, Unchangeable> {
        let Some(name) = &self.json else {
            return Ok(None);
        };
        if header_says(head, "content-encoding", |coding| coding != b"identity") {
            return Err(Unchangeable::Encoded);
        }
        let strings = Strings::new(vec![("model", name.clone())]);
        Ok(Some(Edit::Json(strings)))
    }
}

impl Edit {
    /// What becomes of the next piece.
    pub(crate) fn feed(&mut self, piece: &Bytes) -> Result<Bytes, Unchangeable> {
        let mut out = Splice::new(piece);
        match self {
            Self::Json(strings) => strings.feed(piece, 0..piece.len(), &mut out),
            Self::Frames(frames) => frames.feed(piece, &mut out)?,
        }
        Ok(out.finish())
    }

    /// What is still to be sent at the end of the body.
    pub(crate) fn finish(&mut self) -> Bytes {
        match self {
            Self::Json(_) => Bytes::new(),
            Self::Frames(frames) => frames.finish(),
        }
    }

    /// Whether something is held back that the next piece decides about.
    pub(crate) fn holds(&self) -> bool {
        matches!(self, Self::Frames(frames) if frames.holds())
    }

    /// How long a body of these pieces becomes.
    pub(crate) fn length<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>) -> Option<u64> {
        let mut edit = self.clone();
        let mut count = Count::default();
        for piece in pieces {
            match &mut edit {
                Self::Json(strings) => strings.feed(piece, 0..piece.len(), &mut count),
                Self::Frames(frames) => frames.feed(piece, &mut count).ok()?,
            }
        }
        Some(count.0 + edit.finish().len() as u64)
    }

    /// What the caller named, as far as it has come.
    pub(crate) fn names(&self) -> Names {
        let owned = |text: &[u8]| Bytes::copy_from_slice(text);
        match self {
            Self::Json(strings) => Names {
                model: strings.replaced().map(owned),
                version: None,
            },
            Self::Frames(frames) => {
                let [model, version] = frames.names().unwrap_or_default().map(|n| n.map(owned));
                Names { model, version }
            }
        }
    }
}
