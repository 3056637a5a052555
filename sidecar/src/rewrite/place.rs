//! Where a call carries the name of its model.

use std::ops::Range;

/// Where the name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the path.
    Path(InPath),
    /// In the string `model` of a JSON body: OpenAI.
    Json,
    /// In each message, fields 1 and 2: the Open Inference Protocol.
    OipMessage,
    /// In each message's `model_spec`, field 1: TensorFlow Serving.
    TfMessage,
    /// In each of a message's tasks, of which nothing can be changed without reading the whole message.
    TfTasks,
}

/// Spans of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InPath {
    pub(super) dialect: Dialect,
    /// The name, still percent-encoded.
    pub(super) model: Range<usize>,
    /// `/versions/N` or `/labels/L`; empty where the version would be.
    pub(super) version: Range<usize>,
    /// It asks for a prediction, whose answer names the model.
    pub(super) predicts: bool,
}

/// Whose paths they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Open Inference Protocol.
    Oip,
    /// TensorFlow Serving, and KServe's first protocol, which looks the same but has no versions.
    V1 { versions: bool },
    /// Azure OpenAI: the body's `model` means nothing.
    Azure,
}

const OIP_SERVICE: &str = "/inference.GRPCInferenceService/";
const OIP_CALLS: [&str; 6] = [
    "ModelInfer",
    "ModelStreamInfer",
    "ModelReady",
    "ModelMetadata",
    "ModelConfig",
    "ModelStatistics",
];
const TF_SERVICE: &str = "/tensorflow.serving.PredictionService/";
const TF_CALLS: [&str; 4] = ["Predict", "Classify", "Regress", "GetModelMetadata"];

/// Calls of OpenAI's protocol, and of its relatives, that name the model in their JSON.
const OPENAI_CALLS: [&str; 9] = [
    "/completions",
    "/embeddings",
    "/responses",
    "/rerank",
    "/score",
    "/moderations",
    "/images/generations",
    "/audio/speech",
    "/v1/messages",
];

const V1_VERBS: [&str; 4] = ["predict", "explain", "classify", "regress"];

/// Where a call carries the name of its model; `None` where it names none, or none that a variant may change: calls that
/// are about the server or its repository are passed on as they are.
pub(super) fn place(method: &str, path: &str, grpc: bool) -> Option<Place> {
    if grpc {
        return message(path);
    }
    if let Some(at) = after(path, "/v2/models/") {
        return oip(method, path, at).map(Place::Path);
    }
    if let Some(at) = after(path, "/v1/models/") {
        return v1(path, at).map(Place::Path);
    }
    let call = path.trim_end_matches('/');
    if method != "POST" || !OPENAI_CALLS.iter().any(|known| call.ends_with(known)) {
        return None;
    }
    let azure = after(path, "/deployments/").and_then(|at| azure(path, at));
    Some(azure.map_or(Place::Json, Place::Path))
}

fn message(path: &str) -> Option<Place> {
    if let Some(call) = path.strip_prefix(OIP_SERVICE) {
        return OIP_CALLS.contains(&call).then_some(Place::OipMessage);
    }
    match path.strip_prefix(TF_SERVICE)? {
        "MultiInference" => Some(Place::TfTasks),
        call => TF_CALLS.contains(&call).then_some(Place::TfMessage),
    }
}

/// Whether the answers of a gRPC call name the model in their fields 1 and 2.
pub(super) fn is_infer(path: &str) -> bool {
    path.strip_prefix(OIP_SERVICE) == Some("ModelInfer") || is_stream_infer(path)
}

/// Whether a call is the one whose answers are built in two ways.
pub(super) fn is_stream_infer(path: &str) -> bool {
    path.strip_prefix(OIP_SERVICE) == Some("ModelStreamInfer")
}

fn after(path: &str, part: &str) -> Option<usize> {
    path.find(part).map(|at| at + part.len())
}

/// The segment that begins at `start`; `None` if it is empty.
fn segment(path: &str, start: usize) -> Option<Range<usize>> {
    let length = path[start..].find('/').unwrap_or(path.len() - start);
    (length > 0).then_some(start..start + length)
}

fn oip(method: &str, path: &str, start: usize) -> Option<InPath> {
    let model = segment(path, start)?;
    let version = pair(path, model.end, "/versions/").unwrap_or(model.end..model.end);
    let verb = path[version.end..].trim_start_matches('/');
    Some(InPath {
        dialect: Dialect::Oip,
        predicts: method == "POST" && (verb.starts_with("infer") || verb.starts_with("generate")),
        model,
        version,
    })
}

/// `/versions/N`, with what it begins with, if it is there.
fn pair(path: &str, start: usize, name: &str) -> Option<Range<usize>> {
    path[start..].strip_prefix(name)?;
    let value = segment(path, start + name.len())?;
    Some(start..value.end)
}

fn v1(path: &str, start: usize) -> Option<InPath> {
    let named = segment(path, start)?;
    let known = |span: Range<usize>| {
        let (at, verb) = path[span.clone()].rsplit_once(':')?;
        V1_VERBS
            .contains(&verb)
            .then_some((span.start + at.len(), verb))
    };
    let of_openai = path[..start].ends_with("/openai/v1/models/");
    let found = |model: Range<usize>, version: Range<usize>, verb: &str| InPath {
        dialect: Dialect::V1 {
            versions: verb != "explain" && !of_openai,
        },
        model,
        version,
        predicts: false,
    };
    if named.end == path.len()
        && let Some((end, verb)) = known(named.clone())
    {
        return Some(found(named.start..end, end..end, verb));
    }
    let version = ["/versions/", "/labels/"]
        .iter()
        .find_map(|name| pair(path, named.end, name));
    let Some(mut version) = version else {
        let whole = matches!(&path[named.end..], "" | "/metadata");
        return whole.then(|| found(named.clone(), named.end..named.end, ""));
    };
    let mut verb = "";
    if let Some((end, known)) = known(version.clone()) {
        (version.end, verb) = (end, known);
        let whole = end + 1 + verb.len() == path.len();
        return whole.then(|| found(named, version, verb));
    }
    matches!(&path[version.end..], "" | "/metadata").then(|| found(named, version, verb))
}

fn azure(path: &str, start: usize) -> Option<InPath> {
    let model = segment(path, start)?;
    Some(InPath {
        dialect: Dialect::Azure,
        version: model.end..model.end,
        model,
        predicts: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spans(method: &str, path: &str) -> Option<(Dialect, String, String)> {
        let Place::Path(found) = place(method, path, false)? else {
            return None;
        };
        let text = |span: Range<usize>| path[span].to_owned();
        Some((found.dialect, text(found.model), text(found.version)))
    }

    #[test]
    fn names_in_paths_are_found() {
        let v1 = |versions| Dialect::V1 { versions };
        for (path, dialect, model, version) in [
            ("/v2/models/m/infer", Dialect::Oip, "m", ""),
            (
                "/v2/models/m/versions/3/infer",
                Dialect::Oip,
                "m",
                "/versions/3",
            ),
            ("/v2/models/versions/infer", Dialect::Oip, "versions", ""),
            ("/v2/models/m", Dialect::Oip, "m", ""),
            (
                "/a/v2/models/a%2Fb/generate_stream",
                Dialect::Oip,
                "a%2Fb",
                "",
            ),
            ("/v1/models/m:predict", v1(true), "m", ""),
            ("/v1/models/a:8b:predict", v1(true), "a:8b", ""),
            ("/v1/models/m:explain", v1(false), "m", ""),
            ("/v1/models/a:8b", v1(true), "a:8b", ""),
            ("/openai/v1/models/a:8b", v1(false), "a:8b", ""),
            (
                "/v1/models/m/versions/3:classify",
                v1(true),
                "m",
                "/versions/3",
            ),
            ("/v1/models/m/labels/x:regress", v1(true), "m", "/labels/x"),
            (
                "/v1/models/m/versions/3/metadata",
                v1(true),
                "m",
                "/versions/3",
            ),
            ("/v1/models/m/metadata", v1(true), "m", ""),
            (
                "/openai/deployments/gpt/chat/completions",
                Dialect::Azure,
                "gpt",
                "",
            ),
        ] {
            let expected = Some((dialect, model.to_owned(), version.to_owned()));
            assert_eq!(spans("POST", path), expected, "{path}");
        }
    }

    #[test]
    fn calls_that_name_no_model_have_no_place() {
        for path in [
            "/v2",
            "/v2/health/ready",
            "/v2/models",
            "/v2/models/",
            "/v2/models//infer",
            "/v2/repository/index",
            "/v2/repository/models/m/load",
            "/v1/models",
            "/v1/models/a/b/c",
            "/v1/models/m/versions/3:predict/x",
            "/invocations",
            "/v1/audio/transcriptions",
        ] {
            assert_eq!(place("POST", path, false), None, "{path}");
        }
        assert_eq!(place("GET", "/v1/chat/completions", false), None);
        for call in ["ServerReady", "RepositoryModelLoad", "X"] {
            assert_eq!(place("POST", &format!("{OIP_SERVICE}{call}"), true), None);
        }
    }

    #[test]
    fn names_in_bodies_are_found() {
        for path in [
            "/v1/chat/completions",
            "/openai/v1/embeddings",
            "/v1/responses/",
            "/rerank",
        ] {
            assert_eq!(place("POST", path, false), Some(Place::Json), "{path}");
        }
        let of = |path: &str| place("POST", path, true);
        for call in OIP_CALLS {
            assert_eq!(of(&format!("{OIP_SERVICE}{call}")), Some(Place::OipMessage));
        }
        for call in TF_CALLS {
            assert_eq!(of(&format!("{TF_SERVICE}{call}")), Some(Place::TfMessage));
        }
        assert_eq!(
            of(&format!("{TF_SERVICE}MultiInference")),
            Some(Place::TfTasks)
        );
    }

    proptest! {
        #[test]
        fn spans_are_always_of_the_path(path in "(/v1/models/|/v2/models/|/deployments/)?[a-z:/é]{0,12}(/versions/|/labels/)?[a-z0-9:/]{0,9}(:predict|/chat/completions)?") {
            if let Some(Place::Path(found)) = place("POST", &path, false) {
                prop_assert!(!path[found.model.clone()].is_empty());
                prop_assert!(!path[found.model.clone()].contains('/'));
                prop_assert_eq!(found.model.end, found.version.start);
                prop_assert!(path.get(found.version).is_some());
            }
        }
    }
}
