//! A body that is changed on its way.

use super::SendError;
use crate::rewrite::{Edit, Names};
use http_body::{Frame, SizeHint};
use hyper::body::Bytes;
use std::cell::RefCell;
use std::rc::Rc;

/// The change, and what it leaves.
#[derive(Debug)]
pub(super) struct Editing {
    edit: Edit,
    /// What is still to be sent, where that is known.
    left: Option<u64>,
    /// Who wants to know what the caller named.
    names: Option<Rc<RefCell<Names>>>,
}

impl Editing {
    pub(super) fn new(edit: Edit, length: Option<u64>, names: Option<Rc<RefCell<Names>>>) -> Self {
        Self {
            edit,
            left: length,
            names,
        }
    }

    /// What becomes of the next part.
    pub(super) fn change(
        &mut self,
        part: Option<Result<Frame<Bytes>, SendError>>,
    ) -> Option<Result<Frame<Bytes>, SendError>> {
        let Some(part) = part else {
            let rest = self.edit.finish();
            return (!rest.is_empty()).then(|| Ok(Frame::data(rest)));
        };
        let data = match part.map(Frame::into_data) {
            Ok(Ok(data)) => data,
            Ok(Err(trailers)) => return Some(Ok(trailers)),
            Err(error) => return Some(Err(error)),
        };
        let changed = match self.edit.feed(&data) {
            Ok(changed) => changed,
            Err(why) => return Some(Err(SendError::Unchangeable(why))),
        };
        self.left = self
            .left
            .map(|left| left.saturating_sub(changed.len() as u64));
        if let Some(names) = &self.names {
            names.replace(self.edit.names());
        }
        Some(Ok(Frame::data(changed)))
    }

    /// Whether there is something to send after the last part.
    pub(super) fn holds(&self) -> bool {
        self.edit.holds()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
