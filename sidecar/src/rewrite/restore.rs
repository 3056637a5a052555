//! Answers that name the model and the version as the caller did.

use super::escape;
use super::events::Events;
use super::frames::{Frames, Otherwise};
use super::json::Strings;
use super::place::{self, Place, place};
use super::splice::Splice;
use super::{Rewrite, StreamForm};
use crate::classify::is_grpc;
use crate::head::Head;
use crate::route::path::percent_decoded;
use bytes::{Bytes, BytesMut};

/// What the caller named. In a path and in JSON: as JSON, with quotes; in gRPC: the text itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) model: Option<Bytes>,
    pub(crate) version: Option<Bytes>,
}

/// How the answers of one call are restored.
#[derive(Clone, Debug)]
pub(crate) struct Restoring {
    form: Form,
    /// What the path says; what a body says comes later.
    pub(crate) names: Names,
    model: bool,
    version: bool,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Oip,
    OpenAi,
    Grpc(StreamForm),
}

/// What an answer's head says about its body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AnswerHead<'a> {
    pub(crate) content_type: &'a [u8],
    pub(crate) content_encoding: Option<&'a [u8]>,
    /// It is JSON with binary tensors behind it, and its length in a header.
    pub(crate) binary: bool,
}

/// Changes the body of one answer while it streams by.
#[derive(Debug)]
pub(crate) enum Restorer {
    /// It begins with the first piece: by then the caller's names are known, or never.
    Waiting {
        of: Restoring,
        events: bool,
    },
    Json(Strings),
    Events(Events),
    Frames(Frames),
    /// There is nothing to restore.
    Idle,
}

impl Rewrite {
    /// How the answers to this request are restored, if they are. `stream`: how those of gRPC streams are built.
    pub(crate) fn restoring(&self, head: &impl Head, stream: StreamForm) -> Option<Restoring> {
        if !self.restore {
            return None;
        }
        let path = head.path();
        let grpc = head.value("content-type").is_some_and(is_grpc);
        let (form, names) = match place(head.method(), path, grpc)? {
            Place::Path(found) if found.predicts => {
                let text = |span: &str| percent_decoded(span).map(|text| escape::json(&text));
                let version = path[found.version].strip_prefix("/versions/");
                let names = Names {
                    model: text(&path[found.model]),
                    version: version.and_then(text),
                };
                (Form::Oip, names)
            }
            Place::Json => (Form::OpenAi, Names::default()),
            Place::OipMessage if place::is_stream_infer(path) => {
                (Form::Grpc(stream), Names::default())
            }
            Place::OipMessage if place::is_infer(path) => {
                (Form::Grpc(StreamForm::Plain), Names::default())
            }
            _ => return None,
        };
        Some(Restoring {
            form,
            names,
            model: self.json.is_some(),
            version: self.path.oip_version.is_some(),
        })
    }
}

impl Restoring {
    /// Changes an answer with this head; `None` where it is left as it is: encoded, or no JSON.
    pub(crate) fn restorer(self, head: AnswerHead<'_>) -> Option<Restorer> {
        let is = |kind: &[u8]| {
            let start = head.content_type.get(..kind.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(kind))
        };
        let encoded = head
            .content_encoding
            .is_some_and(|coding| coding != b"identity");
        let events = is(b"text/event-stream");
        let readable = match self.form {
            Form::Grpc(_) => is_grpc(head.content_type),
            Form::Oip | Form::OpenAi => events || is(b"application/json"),
        };
        let whole = readable && !encoded && !head.binary;
        whole.then_some(Restorer::Waiting { of: self, events })
    }

    fn begin(self, events: bool) -> Restorer {
        let model = self.names.model.filter(|_| self.model);
        let version = self.names.version.filter(|_| self.version);
        if model.is_none() && version.is_none() {
            return Restorer::Idle;
        }
        let keys = match self.form {
            Form::Grpc(form) => return Restorer::Frames(frames(form, model, version)),
            Form::Oip => ["model_name", "model_version"],
            Form::OpenAi => ["model", ""],
        };
        let names = keys.into_iter().zip([model, version]);
        let names = names.filter_map(|(key, name)| Some((key, name?)));
        let strings = Strings::new(names.collect());
        match events {
            true => Restorer::Events(Events::new(strings)),
            false => Restorer::Json(strings),
        }
    }
}

fn frames(form: StreamForm, model: Option<Bytes>, version: Option<Bytes>) -> Frames {
    let mut fields = BytesMut::new();
    for (number, text) in [(1, model), (2, version)] {
        if let Some(text) = text {
            escape::delimited(&mut fields, number, &text);
        }
    }
    let errors = form == StreamForm::Wrapped;
    if errors {
        let inner = fields.split();
        escape::delimited(&mut fields, 2, &inner);
    }
    Frames::new(fields.freeze(), Otherwise::Keep { errors })
}

impl Restorer {
    /// What becomes of the next piece. `names`: what the request's body said.
    pub(crate) fn feed(&mut self, piece: &Bytes, names: impl FnOnce() -> Names) -> Bytes {
        if let Self::Waiting { of, events } = self {
            let mut of = of.clone();
            if !matches!(of.form, Form::Oip) {
                of.names = names();
            }
            *self = of.begin(*events);
        }
        let mut out = Splice::new(piece);
        match self {
            Self::Json(strings) => strings.feed(piece, 0..piece.len(), &mut out),
            Self::Events(events) => events.feed(piece, &mut out),
            // Messages of answers are left as they are rather than refused.
            Self::Frames(frames) => frames.feed(piece, &mut out).unwrap_or_default(),
            Self::Waiting { .. } | Self::Idle => return piece.clone(),
        }
        out.finish()
    }

    /// What is still to be sent at the end of the body.
    pub(crate) fn finish(&mut self) -> Bytes {
        match self {
            Self::Frames(frames) => frames.finish(),
            _ => Bytes::new(),
        }
    }
}
