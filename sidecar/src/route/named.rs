//! Where a request names its model: in a header, in its path, or in its body.

use super::json::{self, Progress};
use super::message;
use super::path::{percent_decoded, segments};
use super::pointer::Pointer;
use crate::head::Head;
use std::borrow::Cow;

/// A name, and whether it stands where the Open Inference Protocol has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) oip: bool,
}

/// Where in its body a request names its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// OpenAI: the member `model`.
    Json,
    /// gRPC: a text in the first message, at these fields; and whether it is the Open Inference Protocol.
    Message(&'static [u32], bool),
}

/// The name in the head.
pub(crate) fn in_head(head: &impl Head) -> Option<Named<'_>> {
    let header = || {
        let value = head.value("seldon-model")?;
        let name = std::str::from_utf8(value).ok()?;
        let plain = name
            .strip_suffix(".pipeline")
            .or_else(|| name.strip_suffix(".experiment"));
        Some(named(plain.unwrap_or(name), false))
    };
    header().or_else(|| in_path(head.path()))
}

fn named(name: &str, oip: bool) -> Named<'_> {
    Named {
        name: Cow::Borrowed(name),
        oip,
    }
}

/// The name in a path, percent-decoded:
/// `/v2/models/NAME...`, `/v2/repository/models/NAME/...`, `/v1/models/NAME[:verb]`,
/// `/v1/models/NAME/{versions,labels}/...`, `.../deployments/NAME/...` (Azure), `/models/NAME/invoke` (SageMaker),
/// `/predictions/NAME...` (TorchServe), `/seldon/NAMESPACE/NAME/...`.
pub(crate) fn in_path(path: &str) -> Option<Named<'_>> {
    let mut parts = segments(path);
    let (raw, oip) = match (parts.next()?, parts.next()?) {
        ("v2", "models") => (parts.next()?, true),
        ("v2", "repository") => match parts.next()? {
            "models" => (parts.next()?, true),
            _ => return None,
        },
        ("v1", "models") => (without_verb(parts.next()?), false),
        ("models" | "predictions", name) => (name, false),
        ("seldon", _) => (parts.next()?, false),
        _ => (deployment(path)?, false),
    };
    let name = percent_decoded(raw)?;
    (!name.is_empty()).then_some(Named { name, oip })
}

/// `NAME:predict` is a call of NAME; a colon of the name itself is `%3A`.
fn without_verb(segment: &str) -> &str {
    segment.split_once(':').map_or(segment, |(name, _)| name)
}

fn deployment(path: &str) -> Option<&str> {
    let mut parts = segments(path).skip_while(|part| *part != "deployments");
    parts.nth(1)
}

/// Where the body of a call has the name, by method and path.
pub(crate) fn in_body(method: &str, path: &str) -> Option<Place> {
    if method != "POST" {
        return None;
    }
    let (rest, call) = path.rsplit_once('/')?;
    match call {
        "completions" | "embeddings" | "responses" | "rerank" => Some(Place::Json),
        _ => in_message(rest, call),
    }
}

fn in_message(service: &str, call: &str) -> Option<Place> {
    let fields: &[u32] = match (service, call) {
        (
            "/inference.GRPCInferenceService",
            "ModelInfer" | "ModelStreamInfer" | "ModelReady" | "ModelMetadata" | "ModelConfig"
            | "ModelStatistics",
        ) => &[1],
        (
            "/inference.GRPCInferenceService"
            | "/inference.model_repository.ModelRepositoryService",
            "RepositoryModelLoad" | "RepositoryModelUnload",
        ) => &[2],
        (
            "/tensorflow.serving.PredictionService",
            "Predict" | "Classify" | "Regress" | "GetModelMetadata",
        )
        | ("/tensorflow.serving.ModelService", "GetModelStatus") => &[1, 1],
        ("/tensorflow.serving.PredictionService", "MultiInference") => &[1, 1, 1],
        _ => return None,
    };
    Some(Place::Message(fields, service.starts_with("/inference.")))
}

/// Looks for the name while a body arrives.
#[derive(Clone, Debug)]
pub(crate) enum Seeker {
    Json(Pointer, json::Search),
    Message(message::Walk),
}

impl Seeker {
    pub(crate) fn new(place: Place) -> Self {
        match place {
            Place::Json => Self::Json(Pointer::to_member("model"), json::Search::default()),
            Place::Message(fields, _) => Self::Message(message::Walk::new(fields)),
        }
    }

    /// Looks for a key.
    pub(crate) fn of_key(pointer: &Pointer) -> Self {
        Self::Json(pointer.clone(), json::Search::default())
    }

    pub(crate) fn feed(&mut self, part: &[u8]) -> Progress {
        match self {
            Self::Json(pointer, search) => search.feed(pointer, part),
            Self::Message(walk) => walk.feed(part),
        }
    }

    /// What was found by now; the body has ended, or nobody wants to wait any longer.
    pub(crate) fn finish(self, ended: bool) -> Option<Vec<u8>> {
        match self {
            Self::Json(_, search) if ended => search.finish(),
            Self::Json(_, search) => search.into_value(),
            Self::Message(walk) => walk.into_value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(path: &str) -> Option<String> {
        in_path(path).map(|named| named.name.into_owned())
    }

    #[test]
    fn names_stand_where_each_protocol_has_them() {
        for path in [
            "/v2/models/m",
            "/v2/models/m/infer",
            "/v2/models/m/versions/3/infer",
            "/v2/repository/models/m/load",
            "/v1/models/m",
            "/v1/models/m:predict",
            "/v1/models/m/versions/2:predict",
            "/v1/models/m/labels/canary:classify",
            "/v1/models/m/metadata",
            "/openai/deployments/m/chat/completions",
            "/deployments/m/embeddings",
            "/models/m/invoke",
            "/predictions/m/2.0",
            "/seldon/ns/m/api/v1.0/predictions",
        ] {
            assert_eq!(name(path).as_deref(), Some("m"), "{path}");
        }
        assert_eq!(
            name("/v2/models/meta%2Fllama-3.1%3A8b/versions/2/infer").as_deref(),
            Some("meta/llama-3.1:8b")
        );
        assert!(in_path("/v2/models/m/infer").unwrap().oip);
        assert!(!in_path("/v1/models/m").unwrap().oip);
        for none in [
            "/v2/models/",
            "/v2/models",
            "/v1/models",
            "/",
            "",
            "/v2/models/%ff",
            "/v2/health/ready",
            "/v2/repository/index",
            "/invocations",
            "/v1/chat/completions",
            "/x/deployments",
        ] {
            assert_eq!(name(none), None, "{none}");
        }
    }

    #[test]
    fn bodies_have_the_name_where_the_head_has_none() {
        for path in [
            "/v1/chat/completions",
            "/openai/v1/embeddings",
            "/v1/rerank",
            "/v1/responses",
        ] {
            assert_eq!(in_body("POST", path), Some(Place::Json), "{path}");
            assert_eq!(in_body("GET", path), None);
        }
        let infer = "/inference.GRPCInferenceService/ModelInfer";
        assert_eq!(in_body("POST", infer), Some(Place::Message(&[1], true)));
        let predict = "/tensorflow.serving.PredictionService/Predict";
        assert_eq!(
            in_body("POST", predict),
            Some(Place::Message(&[1, 1], false))
        );
        for none in [
            "/v2/models/m/infer",
            "/invocations",
            "/grpc.health.v1.Health/Check",
            "x",
            "",
        ] {
            assert_eq!(in_body("POST", none), None, "{none}");
        }
    }

    #[test]
    fn the_header_beats_the_path() {
        let head = |value: &str| {
            let request =
                http::Request::post("/v2/models/other/infer").header("seldon-model", value);
            request.body(()).unwrap().into_parts().0
        };
        for value in ["m", "m.pipeline", "m.experiment"] {
            assert_eq!(in_head(&head(value)).unwrap().name, "m");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_panic(path in "(/|v1|v2|models|deployments|%2|:|[a-z]){0,9}") {
            in_path(&path);
            in_body("POST", &path);
        }
    }
}
