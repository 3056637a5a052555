//! Which calls ask about a server or a model, or change it, rather than ask for a prediction. They go to stable and are
//! not measured: splitting a readiness probe would report a canary's state as the model's, and loading a model is no
//! prediction.

/// Paths that are asked for with GET, on any server.
const QUESTIONS: [&str; 11] = [
    "", "/v2", "/ping", "/health", "/healthz", "/ready", "/readyz", "/live", "/livez", "/metrics",
    "/version",
];

/// What such paths begin with.
const QUESTION_TREES: [&str; 5] = ["/v2/health", "/v2/models", "/health/", "/models/", "/-/"];

/// What is never a prediction, whatever the method: Triton's memory, logs and traces, Seldon's rewards.
const CONTROL_TREES: [&str; 6] = [
    "/v2/repository/",
    "/v2/systemsharedmemory/",
    "/v2/cudasharedmemory/",
    "/v2/logging",
    "/v2/trace/",
    "/api/v1.0/feedback",
];

/// Whether a call is about the server or the model.
pub(crate) fn is_about_server(method: &str, path: &str) -> bool {
    match method {
        "POST" => is_control_path(path) || is_grpc_control(path),
        "GET" | "HEAD" => is_status_path(path) || is_control_path(path),
        "DELETE" => path.starts_with("/models/"),
        "OPTIONS" => true,
        _ => false,
    }
}

fn is_control_path(path: &str) -> bool {
    CONTROL_TREES.iter().any(|tree| path.starts_with(tree))
        || path == "/models"
        || (path.starts_with("/v2/models/") && path.ends_with("/trace/setting"))
}

fn is_status_path(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let verb = path.rsplit('/').next().unwrap_or_default();
    if verb.starts_with("infer") || verb.starts_with("generate") {
        return false;
    }
    QUESTIONS.contains(&path)
        || QUESTION_TREES.iter().any(|tree| path.starts_with(tree))
        || is_list_of_models(path)
}

/// `/v1/models` and what is below it, behind any prefix: OpenAI, KServe, TensorFlow Serving.
fn is_list_of_models(path: &str) -> bool {
    let behind = path.find("/v1/models").map(|at| &path[at + 10..]);
    behind.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// gRPC services that predict, with the calls of each that do; everything else of a known service is control.
fn is_grpc_control(path: &str) -> bool {
    let Some((service, call)) = path.strip_prefix('/').and_then(|path| path.split_once('/')) else {
        return false;
    };
    match service {
        "inference.GRPCInferenceService" => !matches!(call, "ModelInfer" | "ModelStreamInfer"),
        "tensorflow.serving.PredictionService" => call == "GetModelMetadata",
        "seldon.protos.Seldon" => call == "SendFeedback",
        "inference.model_repository.ModelRepositoryService"
        | "tensorflow.serving.ModelService"
        | "grpc.health.v1.Health" => true,
        service => service.starts_with("grpc.reflection."),
    }
}

/// Whether a gRPC call is known to have one answer, which is of no use before it is whole. The answers of any other may
/// be streams.
pub(crate) fn is_unary(path: &str) -> bool {
    let Some((service, call)) = path.strip_prefix('/').and_then(|path| path.split_once('/')) else {
        return false;
    };
    match service {
        "inference.GRPCInferenceService" => call == "ModelInfer",
        "tensorflow.serving.PredictionService" => {
            matches!(call, "Predict" | "Classify" | "Regress" | "MultiInference")
        }
        "seldon.protos.Seldon" => call == "Predict",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_calls_are_unary() {
        for unary in [
            "/inference.GRPCInferenceService/ModelInfer",
            "/tensorflow.serving.PredictionService/Predict",
            "/seldon.protos.Seldon/Predict",
        ] {
            assert!(is_unary(unary), "{unary}");
        }
        for other in [
            "/inference.GRPCInferenceService/ModelStreamInfer",
            "/mine.Service/Predict",
            "/Predict",
            "",
        ] {
            assert!(!is_unary(other), "{other}");
        }
    }

    #[test]
    fn predictions_and_questions_are_told_apart() {
        for predict in [
            "/v2/models/m/infer",
            "/v1/models/m:predict",
            "/v2/models/m/versions/2/generate_stream",
            "/invocations",
            "/models/m/invoke",
            "/api/v1.0/predictions",
            "/v1/chat/completions",
            "/v1/models",
            "/inference.GRPCInferenceService/ModelInfer",
            "/inference.GRPCInferenceService/ModelStreamInfer",
            "/tensorflow.serving.PredictionService/Predict",
            "/seldon.protos.Seldon/Predict",
            "/mine.Service/ModelReady",
        ] {
            assert!(!is_about_server("POST", predict), "{predict}");
        }
        assert!(!is_about_server("GET", "/predict"));
        assert!(!is_about_server("GET", "/v2/models/m/infer_stream"));
        for question in [
            "/",
            "/v2",
            "/v2/health/ready",
            "/v2/models/m/ready",
            "/v2/models/m",
            "/v1/models",
            "/v1/models/m",
            "/v1/models/m/versions/2",
            "/openai/v1/models",
            "/ping",
            "/health/status",
            "/models",
            "/-/healthz",
        ] {
            assert!(is_about_server("GET", question), "{question}");
        }
        assert!(!is_about_server("GET", "/x/v1/modelsx"));
        for control in [
            "/v2/repository/models/m/load",
            "/v2/repository/index",
            "/v2/systemsharedmemory/region/a/register",
            "/v2/models/m/trace/setting",
            "/api/v1.0/feedback",
            "/models",
            "/inference.GRPCInferenceService/ModelReady",
            "/inference.GRPCInferenceService/RepositoryModelLoad",
            "/inference.model_repository.ModelRepositoryService/RepositoryIndex",
            "/tensorflow.serving.PredictionService/GetModelMetadata",
            "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
            "/grpc.health.v1.Health/Check",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        ] {
            assert!(is_about_server("POST", control), "{control}");
        }
        assert!(is_about_server("OPTIONS", "/invocations"));
        assert!(is_about_server("DELETE", "/models/m"));
    }
}
