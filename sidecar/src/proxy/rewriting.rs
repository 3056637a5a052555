//! What a variant's rewrite changes in a call: the request of each attempt, and the answer to it.

use super::attempt::Failure;
use super::body::{Fault, Outgoing};
use super::{Call, forward};
use crate::rewrite::{AnswerHead, Names, Restorer, Restoring, Rewrite, StreamForm};
use http::HeaderName;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use std::cell::RefCell;
use std::rc::Rc;

/// The length of the JSON that binary tensors follow.
const BINARY: HeaderName = HeaderName::from_static("inference-header-content-length");

/// How the answer to the latest attempt is restored.
#[derive(Debug)]
pub(super) struct Restored {
    how: Restoring,
    /// What the caller named in the body, which may still be on its way.
    names: Rc<RefCell<Names>>,
}

/// Restores the body of an answer.
#[derive(Debug)]
pub(super) struct Restoration {
    pub(super) restorer: Restorer,
    names: Rc<RefCell<Names>>,
}

impl Restoration {
    pub(super) fn feed(&mut self, data: &bytes::Bytes) -> bytes::Bytes {
        let names = &self.names;
        self.restorer.feed(data, || names.borrow().clone())
    }
}

impl Call {
    /// Reads a JSON body as a whole, if some variant names another model in it and all of it may be kept: only then its
    /// new length is known before it is sent.
    pub(super) async fn gather(&self) -> Result<(), Failure> {
        match &self.source {
            Some(source) if self.names_in_json => source.gather().await.map_err(Failure::Body),
            _ => Ok(()),
        }
    }

    /// The body for one attempt at the variant that serves; its head is changed too.
    pub(super) fn rewritten(&self, head: &mut Parts) -> Result<Outgoing, Failure> {
        let source = self.source.as_ref();
        let body = source.map_or_else(Outgoing::empty, |source| source.outgoing());
        let route = self.route.route();
        if route.rewrites_bodies {
            self.restored.take();
        }
        let variant = &route.variants[self.ticket.serving()];
        match &variant.rewrite {
            Some(rewrite) => self.rewritten_by(rewrite, variant.stream, head, body),
            None => Ok(body),
        }
    }

    fn rewritten_by(
        &self,
        rewrite: &Rewrite,
        stream: StreamForm,
        head: &mut Parts,
        body: Outgoing,
    ) -> Result<Outgoing, Failure> {
        let edit = rewrite.edit(head);
        let edit = edit.map_err(|why| Failure::Body(Fault::Unchangeable(why)))?;
        let names = rewrite.restoring(head, stream).map(|how| {
            let names = Rc::default();
            let restored = Restored {
                how,
                names: Rc::clone(&names),
            };
            self.restored.replace(Some(Box::new(restored)));
            names
        });
        forward::rename(head, rewrite);
        let Some(edit) = edit else {
            return Ok(body);
        };
        // The body says how long it is, where that is known.
        head.headers.remove(CONTENT_LENGTH);
        Ok(body.edited(edit, names))
    }

    /// What the answer with this head is restored by, if it is; its head is changed too.
    pub(super) fn restoration(&self, head: &mut http::response::Parts) -> Option<Box<Restoration>> {
        let restored = self.restored.take()?;
        let text = |name| head.headers.get(name).map(http::HeaderValue::as_bytes);
        let restorer = restored.how.restorer(AnswerHead {
            content_type: text(CONTENT_TYPE).unwrap_or_default(),
            content_encoding: text(CONTENT_ENCODING),
            binary: head.headers.contains_key(BINARY),
        })?;
        head.headers.remove(CONTENT_LENGTH);
        Some(Box::new(Restoration {
            restorer,
            names: restored.names,
        }))
    }
}
