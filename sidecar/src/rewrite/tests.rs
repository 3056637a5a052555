use super::*;
use proptest::prelude::*;

fn rewrite(model: &str, version: &str, label: &str) -> Rewrite {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let spec = Spec {
        model: given(model),
        version: given(version),
        label: given(label),
        ..Spec::default()
    };
    assert_eq!(spec.mistakes(), []);
    Rewrite::new(&spec)
}

fn post(rewrite: &Rewrite, target: &str) -> String {
    rewrite
        .path("POST", target)
        .unwrap_or_else(|| target.to_owned())
}

#[test]
fn paths_of_the_open_inference_protocol() {
    let both = rewrite("digits", "2", "");
    for (from, to) in [
        ("/v2/models/m/infer", "/v2/models/digits/versions/2/infer"),
        (
            "/v2/models/m/versions/1/infer?a=b",
            "/v2/models/digits/versions/2/infer?a=b",
        ),
        (
            "/base/v2/models/a%2Fb/generate_stream",
            "/base/v2/models/digits/versions/2/generate_stream",
        ),
        ("/v2/models/m", "/v2/models/digits/versions/2"),
        ("/v2/models/m/ready", "/v2/models/digits/versions/2/ready"),
        ("/v2/models", "/v2/models"),
        ("/v2/health/ready", "/v2/health/ready"),
        (
            "/v2/repository/models/m/load",
            "/v2/repository/models/m/load",
        ),
        ("/x?y=/v2/models/m/infer", "/x?y=/v2/models/m/infer"),
    ] {
        assert_eq!(post(&both, from), to);
    }
    let version = rewrite("", "2", "");
    assert_eq!(
        post(&version, "/v2/models/a%2Fb/infer"),
        "/v2/models/a%2Fb/versions/2/infer"
    );
    assert_eq!(version.path("POST", "/v2/models/m/versions/2/infer"), None);
    let model = rewrite("meta/llama:8b@x", "", "");
    assert_eq!(
        post(&model, "/v2/models/m/versions/1/infer"),
        "/v2/models/meta%2Fllama:8b@x/versions/1/infer"
    );
    // A label means nothing here.
    let label = rewrite("", "", "canary");
    assert_eq!(label.path("POST", "/v2/models/m/infer"), None);
}

#[test]
fn paths_of_the_first_protocol() {
    let both = rewrite("digits", "2", "");
    for (from, to) in [
        (
            "/v1/models/m:predict",
            "/v1/models/digits/versions/2:predict",
        ),
        (
            "/v1/models/m/versions/1:classify",
            "/v1/models/digits/versions/2:classify",
        ),
        (
            "/v1/models/m/labels/x:regress",
            "/v1/models/digits/versions/2:regress",
        ),
        (
            "/v1/models/m/metadata",
            "/v1/models/digits/versions/2/metadata",
        ),
        ("/v1/models/m:explain", "/v1/models/digits:explain"),
        ("/v1/models", "/v1/models"),
    ] {
        assert_eq!(post(&both, from), to);
    }
    let label = rewrite("", "", "canary");
    assert_eq!(
        post(&label, "/v1/models/m/versions/1:predict"),
        "/v1/models/m/labels/canary:predict"
    );
    // KServe has no versions, TensorFlow Serving only numbers.
    let text = rewrite("digits", "v2", "");
    assert_eq!(
        post(&text, "/v1/models/m:predict"),
        "/v1/models/digits:predict"
    );
}

#[test]
fn paths_of_openai() {
    let model = rewrite("gpt/x", "2", "");
    assert_eq!(
        post(
            &model,
            "/openai/deployments/a/chat/completions?api-version=1"
        ),
        "/openai/deployments/gpt%2Fx/chat/completions?api-version=1"
    );
    assert_eq!(model.path("POST", "/v1/chat/completions"), None);
}

fn wants(rewrite: &Rewrite, path: &str, content_type: &str) -> bool {
    let request = http::Request::post(path).header("content-type", content_type);
    rewrite.wants_body(&request.body(()).unwrap().into_parts().0)
}

#[test]
fn only_calls_whose_body_changes_want_it() {
    const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
    const PREDICT: &str = "/tensorflow.serving.PredictionService/Predict";
    let version = rewrite("", "v2", "");
    assert!(wants(&version, INFER, "application/grpc"));
    assert!(!wants(&version, INFER, "application/json"));
    assert!(!wants(&version, PREDICT, "application/grpc+proto"));
    assert!(!wants(&version, "/v1/embeddings", "application/json"));
    assert!(!wants(&version, "/v2/models/m/infer", "application/json"));
    assert!(wants(
        &rewrite("m", "", ""),
        "/v1/embeddings",
        "application/json"
    ));
    assert!(wants(
        &rewrite("", "", "x"),
        PREDICT,
        "application/grpc+proto"
    ));
    let restoring = Rewrite::new(&Spec {
        version: Some("2".into()),
        restore: true,
        ..Spec::default()
    });
    assert!(wants(&restoring, "/v2/models/m/infer", "application/json"));
    assert!(!wants(&restoring, "/v2/models/m/ready", "application/json"));
    assert!(restoring.may_touch_bodies());
}

proptest! {
    #[test]
    fn a_rewritten_path_names_what_was_asked_for(
        model in "[^\\pC/]{1,20}",
        version in "[^\\pC/]{1,9}",
        base in "(/[a-z0-9]{1,5}){0,2}",
        caller in "[a-z%0-9:@.]{1,12}",
        own in prop::option::of("[a-z0-9]{1,4}"),
    ) {
        prop_assume!(model != "." && model != ".." && version != "." && version != "..");
        let own = own.map_or(String::new(), |own| format!("/versions/{own}"));
        let path = format!("{base}/v2/models/{caller}{own}/infer?q=1");
        let rewrite = rewrite(&model, &version, "");
        let changed = rewrite.path("POST", &path).unwrap_or(path);
        let uri: http::Uri = changed.parse().unwrap();
        prop_assert_eq!(uri.query(), Some("q=1"));
        let rest = uri.path().strip_prefix(&format!("{base}/v2/models/")).unwrap();
        let parts: Vec<_> = rest.split('/').collect();
        let decoded = |text: &str| crate::route::path::percent_decoded(text).unwrap().into_owned();
        prop_assert_eq!(parts.len(), 4);
        prop_assert_eq!(decoded(parts[0]), model);
        prop_assert_eq!((parts[1], decoded(parts[2]), parts[3]), ("versions", version, "infer"));
    }

    #[test]
    fn any_target_is_taken(target in "\\PC{0,40}") {
        let _ = rewrite("a", "1", "").path("GET", &target);
    }
}
