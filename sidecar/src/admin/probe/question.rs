//! What an endpoint is asked, and what its answers mean. Pure.

use http::StatusCode;

/// What is asked over HTTP, in this order until something is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// The path of the sidecar's own file.
    Configured,
    /// The model's readiness in the Open Inference Protocol.
    Oip,
    /// The model in KServe's first protocol, TensorFlow Serving and OpenAI.
    V1,
    /// The names in OpenAI's list of models.
    List,
    /// SageMaker, MLflow.
    Ping,
    Readyz,
    Health,
}

/// What an endpoint has understood before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Known {
    /// It was not asked yet, or its answers have changed.
    #[default]
    Nothing,
    /// A question over HTTP.
    Http(Question),
    /// It answers to HTTP, but to none of the questions.
    NoQuestion,
    /// Readiness of the model over gRPC.
    GrpcModel,
    /// The health service of gRPC.
    GrpcHealth,
    /// It speaks HTTP/2 alone and has neither.
    NoService,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ready,
    NotReady(String),
    /// The question means nothing to this server.
    Unknown,
}

pub(super) const QUESTIONS: [Question; 6] = [
    Question::Oip,
    Question::V1,
    Question::List,
    Question::Ping,
    Question::Readyz,
    Question::Health,
];

impl Question {
    /// The path for a model, below the endpoint's prefix.
    pub(super) fn path(self, model: &str, configured: &str) -> String {
        match self {
            Self::Configured => configured.to_owned(),
            Self::Oip => format!("/v2/models/{}/ready", escaped(model)),
            Self::V1 => format!("/v1/models/{}", escaped(model)),
            Self::List => "/v1/models".to_owned(),
            Self::Ping => "/ping".to_owned(),
            Self::Readyz => "/readyz".to_owned(),
            Self::Health => "/health".to_owned(),
        }
    }

    /// What a status means; the body is looked at only where it can change that.
    pub(super) fn verdict(self, status: StatusCode, body: &[u8], model: &str) -> Verdict {
        let says = || Verdict::NotReady(format!("says {status}"));
        match status.as_u16() {
            200..=299 => self.confirmed(body, model),
            // The one who wrote the path knows that it exists.
            _ if self == Self::Configured => says(),
            401 | 403..=406 | 410 | 411 | 415 | 421 | 426 | 501 => Verdict::Unknown,
            // Some servers refuse what they do not know this way; a model that is not ready says so to its own question.
            400 if !matches!(self, Self::Oip | Self::V1) => Verdict::Unknown,
            // A gateway may fail at the key that a question does not have; it is asked something simpler.
            500 if matches!(self, Self::V1 | Self::List) => Verdict::Unknown,
            300..=399 => Verdict::Unknown,
            _ => says(),
        }
    }

    fn confirmed(self, body: &[u8], model: &str) -> Verdict {
        match self {
            Self::List if lists(body, model) => Verdict::Ready,
            // Other names may be served for this one, so that the list refutes nothing.
            Self::List => Verdict::Unknown,
            Self::V1 if denies(body) => Verdict::NotReady(format!("has not loaded {model}")),
            _ => Verdict::Ready,
        }
    }
}

/// `{"ready": false}` (KServe) or no version that is available (TensorFlow Serving).
fn denies(body: &[u8]) -> bool {
    let Ok(answer) = serde_json::from_slice::<serde_json::Value>(body) else {
        return false;
    };
    let ready = answer.get("ready");
    let refused =
        ready.is_some_and(|ready| matches!(ready.to_string().as_str(), "false" | "\"False\""));
    let versions = answer
        .get("model_version_status")
        .and_then(|v| v.as_array());
    let unavailable = versions.is_some_and(|versions| {
        let mut states = versions.iter().map(|version| &version["state"]);
        !states.any(|state| state == "AVAILABLE")
    });
    refused || unavailable
}

fn lists(body: &[u8], model: &str) -> bool {
    let answer = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let models = answer["data"].as_array();
    models.is_some_and(|models| models.iter().any(|one| one["id"] == model))
}

/// A name as one segment of a path.
fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match plain(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A gRPC answer to a question of readiness: by its status, and by its message, whose first field is 1 for yes.
pub(super) fn grpc_verdict(status: &str, body: &[u8]) -> Verdict {
    const YES: [u8; 7] = [0, 0, 0, 0, 2, 8, 1];
    match status {
        "0" if body == YES => Verdict::Ready,
        "0" => Verdict::NotReady("says that it is not ready".to_owned()),
        "12" => Verdict::Unknown,
        "5" => Verdict::NotReady("does not know the model (gRPC NOT_FOUND)".to_owned()),
        other => Verdict::NotReady(format!("answers with gRPC status {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verdict(question: Question, status: u16, body: &str) -> Verdict {
        question.verdict(StatusCode::from_u16(status).unwrap(), body.as_bytes(), "m")
    }

    fn not_ready(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::NotReady(_))
    }

    #[test]
    fn answers_mean_what_each_protocol_means() {
        use Question::{Configured, List, Oip, Ping, V1};
        assert_eq!(verdict(Oip, 200, ""), Verdict::Ready);
        assert!(not_ready(&verdict(Oip, 400, "")) && not_ready(&verdict(Oip, 503, "")));
        assert_eq!(verdict(Oip, 404, ""), Verdict::Unknown);
        assert_eq!(
            verdict(V1, 200, "{\"name\":\"m\",\"ready\":true}"),
            Verdict::Ready
        );
        assert!(not_ready(&verdict(
            V1,
            200,
            "{\"name\":\"m\",\"ready\":false}"
        )));
        assert!(not_ready(&verdict(
            V1,
            200,
            "{\"model_version_status\":[{\"state\":\"LOADING\"}]}"
        )));
        let one = "{\"model_version_status\":[{\"state\":\"END\"},{\"state\":\"AVAILABLE\"}]}";
        assert_eq!(verdict(V1, 200, one), Verdict::Ready);
        assert_eq!(
            verdict(List, 200, "{\"data\":[{\"id\":\"m\"}]}"),
            Verdict::Ready
        );
        assert_eq!(
            verdict(List, 200, "{\"data\":[{\"id\":\"n\"}]}"),
            Verdict::Unknown
        );
        assert_eq!(verdict(Ping, 400, ""), Verdict::Unknown);
        assert!(not_ready(&verdict(Ping, 500, "")));
        assert_eq!(verdict(List, 500, ""), Verdict::Unknown);
        assert!(not_ready(&verdict(V1, 503, "")));
        assert!(not_ready(&verdict(Configured, 404, "")));
        assert_eq!(grpc_verdict("0", &[0, 0, 0, 0, 2, 8, 1]), Verdict::Ready);
        assert!(not_ready(&grpc_verdict("0", &[0, 0, 0, 0, 0])));
        assert_eq!(grpc_verdict("12", &[]), Verdict::Unknown);
    }

    #[test]
    fn names_are_one_segment() {
        assert_eq!(
            Question::Oip.path("a/b c", ""),
            "/v2/models/a%2Fb%20c/ready"
        );
    }

    proptest! {
        #[test]
        fn any_answer_has_a_meaning(status in 100u16..999, body in prop::collection::vec(any::<u8>(), 0..60)) {
            let status = StatusCode::from_u16(status).unwrap();
            for question in QUESTIONS {
                question.verdict(status, &body, "m");
            }
        }
    }
}
