//! Which calls ask about a server or a model rather than for a prediction. They go to stable and are not measured:
//! splitting a readiness probe would report a canary's state as the model's, and loading a model is no prediction.

const GRPC_CALLS: [&str; 8] = [
    "ServerLive",
    "ServerReady",
    "ServerMetadata",
    "ModelReady",
    "ModelMetadata",
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
];

/// Whether a call is about the server or the model.
pub(crate) fn is_about_server(method: &str, path: &str) -> bool {
    if method == "POST" {
        return path.starts_with("/v2/repository/") || is_grpc_control(path);
    }
    let reads = method == "GET" || method == "HEAD";
    reads && is_status_path(path)
}

fn is_status_path(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let verb = path.rsplit('/').next().unwrap_or_default();
    if verb.starts_with("infer") || verb.starts_with("generate") {
        return false;
    }
    let exact = [
        "", "/v2", "/ping", "/health", "/healthz", "/ready", "/readyz", "/livez", "/metrics",
        "/version",
    ];
    exact.contains(&path)
        || [
            "/v2/health",
            "/v2/models",
            "/v1/models",
            "/health/",
            "/openai/v1/models",
        ]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

fn is_grpc_control(path: &str) -> bool {
    if let Some(call) = path.strip_prefix("/inference.GRPCInferenceService/") {
        return GRPC_CALLS.contains(&call);
    }
    path.starts_with("/grpc.health.v1.Health/") || path.starts_with("/grpc.reflection.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_and_questions_are_told_apart() {
        for predict in [
            "/v2/models/m/infer",
            "/v1/models/m:predict",
            "/invocations",
            "/v1/chat/completions",
        ] {
            assert!(!is_about_server("POST", predict), "{predict}");
        }
        assert!(!is_about_server("GET", "/predict"));
        assert!(!is_about_server("GET", "/v2/models/m/infer_stream"));
        assert!(!is_about_server(
            "POST",
            "/inference.GRPCInferenceService/ModelInfer"
        ));
        for question in [
            "/",
            "/v2",
            "/v2/health/ready",
            "/v2/models/m/ready",
            "/v2/models/m",
            "/v1/models",
            "/ping",
        ] {
            assert!(is_about_server("GET", question), "{question}");
        }
        assert!(is_about_server("POST", "/v2/repository/models/m/load"));
        assert!(is_about_server(
            "POST",
            "/inference.GRPCInferenceService/ModelReady"
        ));
        assert!(is_about_server("POST", "/grpc.health.v1.Health/Check"));
    }
}
