use super::super::{complete, parse, to_yaml};
use super::mistakes;
use serinus_proto::v1::rewrite::Stream;
use serinus_proto::v1::{Rewrite, Variant};

/// A plan whose variants are in one server.
fn plan(stable: &str, canary: &str) -> String {
    format!(
        "model: m\nstable: {{name: v1, endpoints: [http://h:1]{stable}}}\ncanary: {{name: v2, endpoints: [http://h:1]{canary}}}"
    )
}

#[test]
fn a_rewrite_is_read_and_written() {
    let text = plan(
        ", rewrite: {version: \"1\"}",
        ", rewrite: {model: \"meta/llama:8b@x\", label: canary, restore: true, stream: wrapped}",
    );
    let plan = complete(parse(&text).unwrap(), None).unwrap();
    let canary = Rewrite {
        model: "meta/llama:8b@x".into(),
        label: "canary".into(),
        restore: true,
        stream: Stream::Wrapped.into(),
        ..Rewrite::default()
    };
    assert_eq!(plan.canaries[0].rewrite, Some(canary));
    assert_eq!(
        plan.stable
            .as_ref()
            .unwrap()
            .rewrite
            .as_ref()
            .unwrap()
            .version,
        "1"
    );
    let written = to_yaml(&plan);
    assert!(
        written.contains(
            "rewrite: {model: \"meta/llama:8b@x\", label: canary, restore: true, stream: wrapped}}"
        ),
        "{written}"
    );
    assert_eq!(parse(&written), Ok(plan));
}

#[test]
fn every_mistake_of_a_rewrite_has_its_path() {
    let of = |rewrite: &str| mistakes(&plan(", rewrite: {version: \"1\"}", rewrite));
    assert_eq!(
        of(
            ", rewrite: {model: \"\", version: 2, label: \"a\\tb\", restore: 1, stream: wraped, name: x}"
        ),
        [
            "canary.rewrite.model: is empty; leave it out, or write a name",
            "canary.rewrite.version: 2 is a number; to use it as text put it in quotes, else write the version as its server calls it, such as \"2\"",
            "canary.rewrite.restore: 1 is a number; write true or false",
            "canary.rewrite.stream: \"wraped\" is unknown; write plain or wrapped; did you mean wrapped?",
            "canary.rewrite.name: unknown field name; known here: model, version, label, restore, stream",
            "canary.rewrite.label: contains '\\t'; leave control characters out",
        ]
    );
    assert_eq!(
        of(", rewrite: {restore: true}"),
        ["canary.rewrite: names nothing; write model, version or label, such as {version: \"2\"}"]
    );
    assert_eq!(
        of(", rewrite: {version: \"2\", label: canary}"),
        ["canary.rewrite.label: given beside version; a call names one of the two, so keep one"]
    );
    assert_eq!(
        of(", rewrite: x"),
        ["canary.rewrite: \"x\" is text; write {version: \"2\"}"]
    );
}

#[test]
fn stable_is_pinned_where_only_a_version_tells_them_apart() {
    let all = mistakes(&plan("", ", rewrite: {version: \"2\"}"));
    assert_eq!(
        all,
        [
            "stable.rewrite: missing: v2 is another version of the same model at http://h:1, so calls without a version follow that server's default; pin it: {version: \"1\"}"
        ]
    );
    // Another name is enough, and so is another server.
    parse(&plan("", ", rewrite: {model: digits, version: \"2\"}")).unwrap();
    parse("model: m\nstable: {name: v1, endpoints: [http://h:2]}\ncanary: {name: v2, endpoints: [http://h:1], rewrite: {version: \"2\"}}").unwrap();
}

#[test]
fn the_models_stable_keeps_its_rewrite() {
    let known = Variant {
        name: "v1".into(),
        endpoints: vec!["http://h:1".into()],
        rewrite: Some(Rewrite {
            version: "1".into(),
            ..Rewrite::default()
        }),
    };
    let text = "model: m\ncanary: {name: v2, endpoints: [http://h:1], rewrite: {version: \"2\"}}\n";
    for stable in ["", "stable: {name: v1}\n"] {
        let plan = parse(&format!("{text}{stable}")).unwrap();
        let plan = complete(plan, Some(&known)).unwrap();
        assert_eq!(plan.stable.unwrap().rewrite, known.rewrite);
    }
    let bare = Variant {
        rewrite: None,
        ..known
    };
    let violations = complete(parse(text).unwrap(), Some(&bare)).unwrap_err();
    assert_eq!(violations[0].path, "stable.rewrite");
}
