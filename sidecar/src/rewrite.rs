//! What a variant's calls are changed to on the way to its endpoints, so that one server can hold several versions of a
//! model, or call it by another name than the application does.
//!
//! Everything here is pure: paths and bytes in, paths and bytes out.

mod escape;
mod events;
mod fields;
mod frames;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod json;
mod place;
mod request;
mod restore;
mod splice;

pub(crate) use request::{Edit, Unchangeable, is_json};
pub(crate) use restore::{AnswerHead, Names, Restorer, Restoring};

use crate::classify::is_grpc;
use crate::head::Head;
use bytes::Bytes;
use place::{Dialect, InPath, Place};
use serde::{Deserialize, Serialize};
use serinus_common::rewrite::Written;

/// `rewrite` of a variant, as a plan or a sidecar's own file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spec {
    /// Name of the model at its server. Default: the caller's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Version there. Default: the caller's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Label of a version of TensorFlow Serving; excludes `version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Answers name the model and the version as the caller did.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub restore: bool,
    /// How answers of gRPC streams are built. Default `plain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamForm>,
}

/// How answers of `ModelStreamInfer` are built: nothing in them tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamForm {
    /// Each is a `ModelInferResponse`: MLServer, Seldon.
    #[default]
    Plain,
    /// Each is a `ModelStreamInferResponse` around it: Triton.
    Wrapped,
}

/// What the calls of a variant are changed to.
#[derive(Debug)]
pub struct Rewrite {
    spec: Spec,
    path: Segments,
    /// The name as JSON, with its quotes.
    json: Option<Bytes>,
    /// What is appended to each message; empty: nothing.
    oip_fields: Bytes,
    tf_fields: Bytes,
    restore: bool,
}

/// Pieces of paths, encoded.
#[derive(Debug)]
struct Segments {
    model: Option<String>,
    /// `/versions/N`
    oip_version: Option<String>,
    /// `/versions/N` or `/labels/L`
    v1_version: Option<String>,
}

impl Spec {
    /// Everything that is wrong, each with its field; an empty field stands for the whole.
    #[must_use]
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("model", &self.model),
            ("version", &self.version),
            ("label", &self.label),
        ];
        let empty = given
            .iter()
            .filter(|(_, text)| text.as_deref() == Some(""))
            .map(|(field, _)| (*field, "is empty; leave it out, or write a name".to_owned()));
        let mut found: Vec<_> = empty.collect();
        let written = Written {
            model: self.model.as_deref().unwrap_or_default(),
            version: self.version.as_deref().unwrap_or_default(),
            label: self.label.as_deref().unwrap_or_default(),
            restore: self.restore,
        };
        found.extend(written.mistakes());
        found
    }
}

impl Rewrite {
    /// What `spec` asks for; it has no mistakes.
    #[must_use]
    pub fn new(spec: &Spec) -> Self {
        let (model, version) = (spec.model.as_deref(), spec.version.as_deref());
        let label = spec.label.as_deref();
        // TensorFlow Serving's versions are numbers.
        let number = version.and_then(|version| version.parse::<i64>().ok());
        let versions = |version: &str| format!("/versions/{}", escape::segment(version));
        let labels = |label: &str| format!("/labels/{}", escape::segment(label));
        Self {
            spec: spec.clone(),
            path: Segments {
                model: model.map(escape::segment),
                oip_version: version.map(versions),
                v1_version: number
                    .and(version)
                    .map(versions)
                    .or_else(|| label.map(labels)),
            },
            json: model.map(escape::json),
            oip_fields: escape::oip_fields(model, version),
            tf_fields: escape::tf_fields(model, number, label),
            restore: spec.restore,
        }
    }

    /// What was asked for.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The request target for the variant, if it is another one. `target` is a path with its query.
    #[must_use]
    pub fn path(&self, method: &str, target: &str) -> Option<String> {
        let end = target.find('?').unwrap_or(target.len());
        let Some(Place::Path(found)) = place::place(method, &target[..end], false) else {
            return None;
        };
        let changed = self.in_path(target, &found);
        (changed != target).then_some(changed)
    }

    fn in_path(&self, target: &str, found: &InPath) -> String {
        let version = match found.dialect {
            Dialect::Oip => self.path.oip_version.as_deref(),
            Dialect::V1 { versions: true } => self.path.v1_version.as_deref(),
            Dialect::V1 { versions: false } | Dialect::Azure => None,
        };
        let (own_model, own_version) =
            (&target[found.model.clone()], &target[found.version.clone()]);
        [
            &target[..found.model.start],
            self.path.model.as_deref().unwrap_or(own_model),
            version.unwrap_or(own_version),
            &target[found.version.end..],
        ]
        .concat()
    }

    /// Whether some call's body, or that of its answer, could be changed.
    #[must_use]
    pub fn may_touch_bodies(&self) -> bool {
        self.json.is_some()
            || !self.oip_fields.is_empty()
            || !self.tf_fields.is_empty()
            || self.restore
    }

    /// Whether the body of this call, or that of its answer, is to be changed: then it takes more than
    /// [`Rewrite::path`].
    pub(crate) fn wants_body(&self, head: &impl Head) -> bool {
        let grpc = head.value("content-type").is_some_and(is_grpc);
        match place::place(head.method(), head.path(), grpc) {
            None => false,
            Some(Place::Path(found)) => self.restore && found.predicts,
            Some(Place::Json) => self.json.is_some(),
            Some(Place::OipMessage) => !self.oip_fields.is_empty(),
            Some(Place::TfMessage | Place::TfTasks) => !self.tf_fields.is_empty(),
        }
    }
}

/// Whether a header has a value that `is` so.
fn header_says(head: &impl Head, name: &str, is: impl Fn(&[u8]) -> bool) -> bool {
    head.values(name).any(is)
}

#[cfg(test)]
mod tests;
