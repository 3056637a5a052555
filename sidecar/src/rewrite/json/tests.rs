use super::*;
use crate::rewrite::splice::{Count, Splice};
use proptest::prelude::*;
use serde_json::Value;

fn model() -> Strings {
    Strings::new(vec![("model", Bytes::from_static(b"\"new\""))])
}

fn fed(mut strings: Strings, parts: &[&[u8]]) -> (Vec<u8>, Strings) {
    let mut out = Vec::new();
    let mut count = Count::default();
    for part in parts {
        let part = Bytes::copy_from_slice(part);
        let mut counting = strings.clone();
        counting.feed(&part, 0..part.len(), &mut count);
        let mut splice = Splice::new(&part);
        strings.feed(&part, 0..part.len(), &mut splice);
        out.extend_from_slice(&splice.finish());
    }
    assert_eq!(count.0, out.len() as u64);
    (out, strings)
}

fn changed(text: &str) -> String {
    let (out, _) = fed(model(), &[text.as_bytes()]);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_string_at_the_top_level_is_replaced() {
    for (from, to) in [
        (r#"{"model":"old"}"#, r#"{"model":"new"}"#),
        (
            "\u{feff} {\n\t\"a\" : [1, \"model\"] ,\"model\" :\r\"a\\\"b\\\\\" , \"b\":{}}\n",
            "\u{feff} {\n\t\"a\" : [1, \"model\"] ,\"model\" :\r\"new\" , \"b\":{}}\n",
        ),
        (r#"{"mod\u0065l":"old"}"#, r#"{"mod\u0065l":"new"}"#),
        (
            r#"{"model":"","model":"x"}"#,
            r#"{"model":"new","model":"new"}"#,
        ),
        (
            r#"{"messages":[{"model":"a"}],"x":{"model":"b"},"model":"c"}"#,
            r#"{"messages":[{"model":"a"}],"x":{"model":"b"},"model":"new"}"#,
        ),
    ] {
        assert_eq!(changed(from), to);
    }
}

#[test]
fn everything_else_stays() {
    for text in [
        "",
        "null",
        r#""model""#,
        r#"[{"model":"a"}]"#,
        r#"["model","a"]"#,
        r#"{"model":null,"a":"b"}"#,
        r#"{"model":{"model":"a"}}"#,
        r#"{"model":["a"]}"#,
        r#"{"Model":"a","model ":"a","mod\nel":"a","models":"a","modelmodelmodelmodel":"a"}"#,
        r#"{"a":"model","b":"x"}"#,
        r#"{"model"}"#,
        r#"{"mod\u0165l":"a"}"#,
        r#"{"a":1} {"model":"a"}"#,
        r#"}"model":"a""#,
    ] {
        assert_eq!(changed(text), text);
    }
}

#[test]
fn several_keys_have_their_own_values() {
    let strings = Strings::new(vec![
        ("model_name", Bytes::from_static(b"\"m\"")),
        ("model_version", Bytes::from_static(b"\"1\"")),
    ]);
    let text = br#"{"model_version":"22","outputs":[{"model_name":"x"}],"model_name":"digits"}"#;
    let (out, _) = fed(strings, &[text]);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"model_version":"1","outputs":[{"model_name":"x"}],"model_name":"m"}"#
    );
}

#[test]
fn every_cut_gives_the_same() {
    let text = br#"{"a":"\","model":"x"y","b":[{"model":"z"}],"model":"w"}"#;
    let (whole, _) = fed(model(), &[text]);
    for cut in 0..text.len() {
        let (out, strings) = fed(model(), &[&text[..cut], &text[cut..]]);
        assert_eq!(out, whole, "{cut}");
        assert_eq!(strings.replaced(), Some(&b"\"w\""[..]), "{cut}");
    }
}

#[test]
fn what_was_there_is_remembered() {
    let of = |text: &str| {
        let (_, strings) = fed(model(), &[text.as_bytes()]);
        strings.replaced().map(<[u8]>::to_vec)
    };
    assert_eq!(of(r#"{"model":"a\"b"}"#).unwrap(), br#""a\"b""#);
    assert_eq!(of(r#"{"model":"a","model":"b"}"#).unwrap(), b"\"b\"");
    assert_eq!(of(r#"{"model":"cut"#), None);
    assert_eq!(of(r#"{"a":"b"}"#), None);
    let long = |length| format!("{{\"model\":\"{}\"}}", "x".repeat(length));
    assert!(of(&long(REMEMBERED - 2)).is_some());
    assert_eq!(of(&long(REMEMBERED - 1)), None);
}

/// JSON whose keys are likely ours.
fn values() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("model".to_owned()),
        "\\PC{0,6}",
        "[\"\\\\/\u{8}\n\u{0}a]{0,5}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    let nested = leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((text.clone(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    (nested.clone(), nested).prop_map(|(value, model)| match value {
        Value::Object(mut fields) => {
            fields.insert("model".to_owned(), model);
            Value::Object(fields)
        }
        other => other,
    })
}

fn split(bytes: &[u8], cuts: Vec<usize>) -> Vec<&[u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

proptest! {
    #[test]
    fn only_the_model_is_another_one(value in values(), pretty: bool, cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        let text = match pretty {
            true => serde_json::to_vec_pretty(&value).unwrap(),
            false => serde_json::to_vec(&value).unwrap(),
        };
        let (out, strings) = fed(model(), &split(&text, cuts));
        let mut expected = value;
        if let Some(name) = expected.get_mut("model").filter(|name| name.is_string()) {
            let remembered = strings.replaced().map(|text| serde_json::from_slice::<Value>(text).unwrap());
            prop_assert_eq!(remembered.as_ref(), Some(&*name));
            *name = "new".into();
        } else {
            prop_assert_eq!(&out, &text);
        }
        prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
    }

    #[test]
    fn any_bytes_in_any_pieces_come_out_the_same(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            "[{}\\[\\]\":,\\\\model u0e5]{0,60}".prop_map(String::into_bytes),
            "\\{(\"model\":|\"a\":|\"[a\\\\\"]{0,3}\"|,|[0-9]|\\{|\\}){0,20}".prop_map(String::into_bytes),
        ],
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let (whole, _) = fed(model(), &[&bytes]);
        let (pieces, _) = fed(model(), &split(&bytes, cuts));
        prop_assert_eq!(whole, pieces);
    }
}
