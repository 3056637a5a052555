use super::*;
use proptest::prelude::*;

fn facts(text: &str) -> Facts {
    let mut scanner = Scanner::default();
    scanner.feed(text.as_bytes());
    scanner.take()
}

#[test]
fn errors_are_errors_unless_they_are_null() {
    for yes in [
        r#"{"error":{"message":"boom"}}"#,
        r#"{"id":1,"error":"in ensemble 'm'"}"#,
        r#"{ "error" : true }"#,
        r#"{"error":["a"]}"#,
        "{\"error\":\n500}",
    ] {
        assert!(facts(yes).error, "{yes}");
    }
    for no in [
        r#"{"error":null}"#,
        r#"{"error":false}"#,
        r#"{"error":""}"#,
        r#"{"text":"\"error\":\"x\""}"#,
        r#"{"inner":{"error":"x"}}"#,
        r#"["error"]"#,
        r#"{"a":"error","b":["error",{"error":1}]}"#,
        r#""error""#,
        "",
    ] {
        assert!(!facts(no).error, "{no}");
    }
}

#[test]
fn content_is_more_than_a_role() {
    for yes in [
        r#"{"choices":[{"index":0,"delta":{"content":"Hi"}}]}"#,
        r#"{"choices":[{"delta":{"role":"assistant","reasoning_content":"so"}}]}"#,
        r#"{"choices":[{"delta":{"content":null,"tool_calls":[{"index":0,"function":{"name":"f"}}]}}]}"#,
        r#"{"choices":[{"text":" world","logprobs":null}]}"#,
        r#"{"choices":[{"delta":{}},{"delta":{"content":"\n"}}]}"#,
    ] {
        assert!(facts(yes).content, "{yes}");
    }
    for no in [
        r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"choices":[{"delta":{"content":null,"tool_calls":[]}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[]}"#,
        r#"{"choices":null,"delta":{"content":"x"}}"#,
        r#"{"x":{"choices":[{"delta":{"content":"x"}}]}}"#,
    ] {
        assert!(!facts(no).content, "{no}");
    }
}

#[test]
fn the_end_of_a_choice_is_its_reason() {
    assert!(facts(r#"{"choices":[{"delta":{"content":"x"},"finish_reason":"length"}]}"#).finished);
    assert!(facts(r#"{"choices":[{"finish_reason":null},{"finish_reason":"stop"}]}"#).finished);
    assert!(!facts(r#"{"choices":[{"finish_reason":null}]}"#).finished);
    assert!(!facts(r#"{"finish_reason":"stop"}"#).finished);
}

#[test]
fn usage_is_read_wherever_it_stands() {
    for (text, input, output) in [
        (
            r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":40,"total_tokens":47}}"#,
            Some(7),
            Some(40),
        ),
        (
            r#"{"usage":{"completion_tokens":3,"completion_tokens_details":{"completion_tokens":99}},"choices":[{"delta":{}}]}"#,
            None,
            Some(3),
        ),
        (
            r#"{"choices":null,"usage":{"input_tokens":1,"output_tokens":2}}"#,
            Some(1),
            Some(2),
        ),
        (
            r#"{"type":"response.completed","response":{"id":"r","output":[{"usage":{"output_tokens":5}}],"usage":{"output_tokens":8}}}"#,
            None,
            Some(8),
        ),
        (r#"{"usage":null}"#, None, None),
        (r#"{"usage":{"completion_tokens":null}}"#, None, None),
        (r#"{"usage":{"completion_tokens":-1}}"#, None, None),
        (r#"{"usage":{"completion_tokens":99999999999}}"#, None, None),
    ] {
        let facts = facts(text);
        assert_eq!((facts.input, facts.output), (input, output), "{text}");
    }
}

#[test]
fn types_of_the_responses_api() {
    let of = |kind: &str| facts(&format!(r#"{{"sequence_number":1,"type":"{kind}"}}"#)).kind;
    assert_eq!(of("response.output_text.delta"), Type::Delta);
    assert_eq!(of("response.reasoning_summary_text.delta"), Type::Delta);
    assert_eq!(of("response.completed"), Type::Completed);
    assert_eq!(of("response.incomplete"), Type::Completed);
    assert_eq!(of("response.failed"), Type::Failed);
    assert_eq!(of("error"), Type::Failed);
    assert_eq!(of("response.created"), Type::Other);
}

#[test]
fn the_next_document_begins_afresh() {
    let mut scanner = Scanner::default();
    scanner.feed(br#"{"choices":[{"delta":{"content":"cut"#);
    assert!(!scanner.take().content);
    scanner.feed(br#"{"error":1}"#);
    assert!(scanner.take().error);
    assert_eq!(scanner.take(), Facts::default());
}

#[test]
fn deep_nesting_is_skipped() {
    let deep = format!(
        "{{\"a\":{}{},\"error\":1}}",
        "[{\"b\":".repeat(10_000),
        "}]".repeat(10_000)
    );
    assert!(facts(&deep).error);
    let unbalanced = "[".repeat(10_000) + "]]]}}}" + r#"{"error":1}"#;
    let _ = facts(&unbalanced);
}

/// Any JSON, with the members that matter among the others.
fn json() -> impl Strategy<Value = serde_json::Value> {
    const NAMES: [&str; 10] = [
        "error",
        "choices",
        "delta",
        "content",
        "usage",
        "finish_reason",
        "response",
        "text",
        "type",
        "x\"\\\n",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        (0u32..1000).prop_map(Into::into),
        "[a-z\"\\\\\\[{}\\]é\n]{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(prop::sample::select(&NAMES[..]), inner, 0..5).prop_map(
                |map| map
                    .into_iter()
                    .map(|(k, v)| (k.to_owned(), v))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            ),
        ]
    })
}

/// The same with the whole document at hand.
fn expected(value: &serde_json::Value) -> (bool, bool, bool) {
    let filled =
        |v: Option<&serde_json::Value>| v.and_then(|v| v.as_str()).is_some_and(|s| !s.is_empty());
    let error = match value.get("error") {
        None | Some(serde_json::Value::Null | serde_json::Value::Bool(false)) => false,
        Some(serde_json::Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    };
    let none = Vec::new();
    let choices = value
        .get("choices")
        .and_then(|c| c.as_array())
        .unwrap_or(&none);
    let content = choices.iter().any(|choice| {
        filled(choice.get("text"))
            || filled(
                choice
                    .get("delta")
                    .filter(|d| d.is_object())
                    .and_then(|d| d.get("content")),
            )
    });
    let finished = choices.iter().any(|choice| {
        choice
            .get("finish_reason")
            .is_some_and(|r| !(r.is_null() || r.is_array() || r.is_object()))
    });
    (error, content, finished)
}

proptest! {
    #[test]
    fn it_agrees_with_a_parser(value in json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let facts = facts(&text.unwrap());
        prop_assert_eq!((facts.error, facts.content, facts.finished), expected(&value));
    }

    #[test]
    fn pieces_make_no_difference(value in json(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let text = serde_json::to_vec(&value).unwrap();
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        at.sort_unstable();
        let mut scanner = Scanner::default();
        let mut from = 0;
        for to in at.into_iter().chain([text.len()]) {
            scanner.feed(&text[from..to]);
            from = to;
        }
        prop_assert_eq!(scanner.take(), facts(std::str::from_utf8(&text).unwrap()));
    }

    #[test]
    fn any_bytes_are_scanned_without_panic(bytes in prop::collection::vec(prop::sample::select(&b"{}[]\",:\\ne1x "[..]), 0..200)) {
        let mut scanner = Scanner::default();
        scanner.feed(&bytes);
        let _ = scanner.take();
    }
}
