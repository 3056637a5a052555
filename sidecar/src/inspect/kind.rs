//! Which rules an answer is judged by: those of the protocol that the call was made in, never guessed from the answer.

/// What kind of call it is, as far as its answer is judged by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// No answer of it is looked at.
    Unread,
    /// Nothing is known of it: of its streams only the parts are counted.
    #[default]
    Other,
    /// OpenAI completions, chat or not.
    Completions,
    /// OpenAI responses.
    Responses,
    /// A stream of JSON events where one with `error` is a failure: Triton, MLServer.
    Generate,
    /// MLflow and SageMaker containers.
    Invocations,
    /// A stream of gRPC messages: `ModelStreamInfer`.
    Messages,
}

impl Kind {
    /// Of a call; `path` without its query. Runs for every request: the last byte rules most of them out.
    #[inline]
    #[must_use]
    pub fn of(method: &str, path: &str) -> Self {
        if method == "HEAD" {
            return Self::Unread;
        }
        match path.as_bytes().last() {
            Some(b's' | b'm' | b'r') if method == "POST" => Self::of_post(path),
            Some(b'm') => Self::of_stream(path),
            _ => Self::Other,
        }
    }

    fn of_post(path: &str) -> Self {
        if path.ends_with("/completions") {
            Self::Completions
        } else if path.ends_with("/v1/responses") || path.ends_with("/openai/responses") {
            Self::Responses
        } else if path.ends_with("/invocations") {
            Self::Invocations
        } else if path == "/inference.GRPCInferenceService/ModelStreamInfer" {
            Self::Messages
        } else {
            Self::of_stream(path)
        }
    }

    fn of_stream(path: &str) -> Self {
        if path.ends_with("/generate_stream") || path.ends_with("/infer_stream") {
            Self::Generate
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_apart_by_their_paths() {
        for (path, kind) in [
            ("/v1/chat/completions", Kind::Completions),
            ("/openai/v1/completions", Kind::Completions),
            ("/openai/deployments/m/chat/completions", Kind::Completions),
            ("/v1/responses", Kind::Responses),
            ("/openai/responses", Kind::Responses),
            ("/v2/models/m/generate_stream", Kind::Generate),
            ("/v2/models/m/versions/2/infer_stream", Kind::Generate),
            ("/invocations", Kind::Invocations),
            (
                "/inference.GRPCInferenceService/ModelStreamInfer",
                Kind::Messages,
            ),
            ("/inference.GRPCInferenceService/ModelInfer", Kind::Other),
            ("/v2/models/m/infer", Kind::Other),
            ("/v2/models/m/generate", Kind::Other),
            ("/v1/embeddings", Kind::Other),
            ("/survey/responses", Kind::Other),
            ("/mycompletions", Kind::Other),
            ("/", Kind::Other),
            ("", Kind::Other),
        ] {
            assert_eq!(Kind::of("POST", path), kind, "{path}");
            assert_eq!(Kind::of("HEAD", path), Kind::Unread, "{path}");
        }
        assert_eq!(Kind::of("GET", "/v1/chat/completions"), Kind::Other);
        assert_eq!(Kind::of("GET", "/v2/models/m/infer_stream"), Kind::Generate);
    }
}
