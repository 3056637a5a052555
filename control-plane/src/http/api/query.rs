//! From the query of a URL to the JSON of a request: `page_size=10&states=STATE_HELD&labels.ring=a`. A list takes its
//! name once per item; a dot leads into a message or a map.

use super::json::Json;
use super::message::field;
use percent_encoding::percent_decode_str;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// The fields that a query gives. What is no field is left as it is, for the reader of messages to find.
pub(super) fn fields(descriptor: &MessageDescriptor, query: &str) -> Vec<(String, Json)> {
    let mut entries = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        insert(descriptor, &mut entries, &decode(key), decode(value));
    }
    entries
}

fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

fn insert(
    descriptor: &MessageDescriptor,
    entries: &mut Vec<(String, Json)>,
    key: &str,
    value: String,
) {
    let (name, rest) = match key.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (key, None),
    };
    let known = field(descriptor, name);
    match (known, rest) {
        (Some(field), Some(rest)) if field.is_map() => {
            let Kind::Message(entry) = field.kind() else {
                return;
            };
            let value = leaf(&entry.map_entry_value_field(), value);
            object(entries, name).push((rest.to_owned(), value));
        }
        (Some(field), Some(rest)) if !field.is_list() => match field.kind() {
            Kind::Message(of) => insert(&of, object(entries, name), rest, value),
            _ => entries.push((key.to_owned(), Json::text(value))),
        },
        (Some(field), None) if field.is_list() => {
            let value = leaf(&field, value);
            let found = entries.iter_mut().find(|(key, _)| key == name);
            match found {
                Some((_, Json::List(items))) => items.push(value),
                _ => entries.push((name.to_owned(), Json::List(vec![value]))),
            }
        }
        (Some(field), None) => entries.push((name.to_owned(), leaf(&field, value))),
        _ => entries.push((key.to_owned(), Json::text(value))),
    }
}

/// The object of this name among the entries, made if need be.
fn object<'a>(entries: &'a mut Vec<(String, Json)>, name: &str) -> &'a mut Vec<(String, Json)> {
    let is = |(key, json): &(String, Json)| key == name && matches!(json, Json::Object(_));
    let at = entries.iter().position(is).unwrap_or_else(|| {
        entries.push((name.to_owned(), Json::Object(Vec::new())));
        entries.len() - 1
    });
    match &mut entries[at].1 {
        Json::Object(inner) => inner,
        Json::Plain(_) | Json::List(_) => unreachable!("the position is that of an object"),
    }
}

/// Numbers, names and durations are read from strings too.
fn leaf(field: &FieldDescriptor, value: String) -> Json {
    match (field.kind(), value.as_str()) {
        (Kind::Bool, "true") => Json::Plain(true.into()),
        (Kind::Bool, "false") => Json::Plain(false.into()),
        _ => Json::text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::schema;

    fn json(message: &str, query: &str) -> String {
        let name = format!("serinus.v1.{message}");
        let descriptor = schema::pool().get_message_by_name(&name).unwrap();
        Json::Object(fields(&descriptor, query))
            .into_value()
            .to_string()
    }

    #[test]
    fn parameters_become_fields() {
        let cases = [
            ("ListRolloutsRequest", "", "{}"),
            (
                "ListRolloutsRequest",
                "model=a%26b+c&page_size=10&activeOnly=true",
                r#"{"activeOnly":true,"model":"a&b c","page_size":"10"}"#,
            ),
            (
                "ListRolloutsRequest",
                "modle=x&active_only=",
                r#"{"active_only":"","modle":"x"}"#,
            ),
            (
                "Plan",
                "stable.endpoints=a&stable.endpoints=b&stable.name=v1&x.y=1",
                r#"{"stable":{"endpoints":["a","b"],"name":"v1"},"x.y":"1"}"#,
            ),
            (
                "SidecarInfo",
                "labels.ring.a=x&labels.b=",
                r#"{"labels":{"b":"","ring.a":"x"}}"#,
            ),
        ];
        for (message, query, expected) in cases {
            assert_eq!(json(message, query), expected, "{query}");
        }
    }
}
