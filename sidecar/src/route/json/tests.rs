use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn at(body: &str, pointer: &str) -> Option<String> {
    let key = key_at(body.as_bytes(), &pointer.parse().unwrap())?;
    Some(String::from_utf8(key).unwrap())
}

#[test]
fn strings_integers_and_truth_values_are_found() {
    let body = r#" {"a": [1, {"b/c": "x\u00fc\"\n", "b": 2}], "n": -0, "big": 123456789012345678901,
        "t": true, "d": {"t": false, "e": {}}, "last": 7 } "#;
    assert_eq!(at(body, "/a/0").as_deref(), Some("1"));
    assert_eq!(at(body, "/a/1/b~1c").as_deref(), Some("x\u{fc}\"\n"));
    assert_eq!(at(body, "/a/1/b").as_deref(), Some("2"));
    assert_eq!(at(body, "/n").as_deref(), Some("-0"));
    assert_eq!(at(body, "/big").as_deref(), Some("123456789012345678901"));
    assert_eq!(at(body, "/t").as_deref(), Some("true"));
    assert_eq!(at(body, "/d/t").as_deref(), Some("false"));
    assert_eq!(at(body, "/last").as_deref(), Some("7"));
    assert_eq!(at("12", "").as_deref(), Some("12"));
    assert_eq!(at("\"\\ud83d\\ude00\"", "").as_deref(), Some("\u{1f600}"));
}

#[test]
fn everything_else_is_none() {
    let body = r#"{"a": [1.0, 1e3, null, [], {}], "b": 1}"#;
    for pointer in [
        "", "/a", "/a/0", "/a/1", "/a/2", "/a/3", "/a/4", "/a/5", "/a/-", "/b/c", "/c",
    ] {
        assert_eq!(at(body, pointer), None, "{pointer}");
    }
}

#[test]
fn what_is_broken_before_the_value_is_none() {
    for body in [
        "",
        "{",
        "{a:1}",
        "{,\"k\":1}",
        "{\"x\":tru,\"k\":1}",
        "{\"x\":01,\"k\":1}",
        "{\"x\":\"\\x\",\"k\":1}",
        "{\"x\":\"\n\",\"k\":1}",
        "{\"x\":1 \"k\":1}",
        "{\"x\":[1,],\"k\":1}",
        "{\"k\":01}",
        "{\"k\":-}",
        "{\"k\":\"\\ud800\"}",
        "{\"x\":[}],\"k\":1}",
        "{\"k\" 1}",
        "{\"k\":1.}",
        "{\"k\":truE}",
    ] {
        assert_eq!(at(body, "/k"), None, "{body}");
    }
    assert_eq!(key_at(b"{\"k\":\"\xff\"}", &"/k".parse().unwrap()), None);
}

#[test]
fn the_first_of_two_members_counts() {
    assert_eq!(at(r#"{"k":"a","k":"b"}"#, "/k").as_deref(), Some("a"));
    assert_eq!(at(r#"{"k":{},"k":{"l":1}}"#, "/k/l"), None);
}

#[test]
fn depth_is_bounded() {
    let deep = |n: usize| format!("{{\"x\":{}{},\"k\":1}}", "[".repeat(n), "]".repeat(n));
    assert_eq!(at(&deep(DEEPEST - 1), "/k").as_deref(), Some("1"));
    assert_eq!(at(&deep(DEEPEST), "/k"), None);
    assert_eq!(at(&"[".repeat(100_000), "/0"), None);
}

/// What serde_json has at the pointer, as a key.
fn reference(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e6..1e6f64).prop_map(Value::from),
        "[a-c/~\"\\\\\u{0}-\u{20}é😀]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-c/~\"\\\\é]{0,2}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Every pointer into a document.
fn pointers(value: &Value, base: &str, out: &mut Vec<String>) {
    out.push(base.to_owned());
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                pointers(item, &format!("{base}/{at}"), out);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                pointers(member, &format!("{base}/{name}"), out);
            }
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn it_finds_what_serde_json_finds(value in values(), pretty in any::<bool>(), miss in "(/[a-c0-2]{0,1}){0,3}") {
        let body = match pretty {
            true => serde_json::to_string_pretty(&value).unwrap(),
            false => value.to_string(),
        };
        let mut all = vec![miss];
        pointers(&value, "", &mut all);
        for pointer in all {
            let expected = value.pointer(&pointer).and_then(reference);
            prop_assert_eq!(at(&body, &pointer), expected, "{} in {}", pointer, body);
        }
    }

    #[test]
    fn how_it_is_cut_makes_no_difference(value in values(), cuts in prop::collection::vec(1usize..7, 1..9)) {
        let body = value.to_string().into_bytes();
        let mut all = Vec::new();
        pointers(&value, "", &mut all);
        for text in all {
            let pointer: Pointer = text.parse().unwrap();
            let mut search = Search::default();
            let mut rest = &body[..];
            for length in cuts.iter().cycle() {
                let (part, after) = rest.split_at((*length).min(rest.len()));
                rest = after;
                if search.feed(&pointer, part) == Progress::Done || rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(search.finish(), key_at(&body, &pointer));
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\",:\\u019ae.-tn "[..])], 0..80),
        pointer in "(/[a-c0-2]{0,1}){0,3}",
    ) {
        let found = key_at(&bytes, &pointer.parse().unwrap());
        let parsed: Result<Value, _> = serde_json::from_slice(&bytes);
        if let (None, Ok(value)) = (&found, parsed) {
            prop_assert_eq!(value.pointer(&pointer).and_then(reference), None);
        }
    }
}
