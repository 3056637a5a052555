//! From JSON to a message, by the proto3 JSON mapping, strictly: an unknown field, a field given twice and a value of
//! another kind are mistakes, each with its path, and all of them are found at once.

use super::json::Json;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};
use serinus_proto::v1::Violation;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// Reads a message; mistakes are added to `wrong`, with `path` before them.
pub(super) fn read(
    descriptor: &MessageDescriptor,
    json: Json,
    path: &str,
    wrong: &mut Vec<Violation>,
) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    let Json::Object(entries) = json else {
        let text = format!("is {}; write an object, {{...}}", json.kind());
        wrong.push(violation(path, text));
        return message;
    };
    let mut seen = HashSet::new();
    let mut alternatives: HashMap<String, String> = HashMap::new();
    for (key, value) in entries {
        let here = join(path, &key);
        let Some(field) = field(descriptor, &key) else {
            wrong.push(violation(&here, unknown(descriptor)));
            continue;
        };
        if !seen.insert(field.number()) {
            wrong.push(violation(&here, "is given twice"));
            continue;
        }
        if value.is_null() {
            continue;
        }
        if let Some(choice) = field.containing_oneof().filter(|of| of.fields().len() > 1) {
            let other = alternatives.insert(choice.name().to_owned(), key.clone());
            if let Some(other) = other {
                let text = format!("cannot be there together with {other}; give one of them");
                wrong.push(violation(&here, text));
                continue;
            }
        }
        if let Some(value) = read_field(&field, value, &here, wrong) {
            message.set_field(&field, value);
        }
    }
    message
}

/// By its JSON name, or as it is called in the `.proto` files.
pub(super) fn field(descriptor: &MessageDescriptor, key: &str) -> Option<FieldDescriptor> {
    descriptor
        .get_field_by_json_name(key)
        .or_else(|| descriptor.get_field_by_name(key))
}

fn unknown(descriptor: &MessageDescriptor) -> String {
    let mut names: Vec<String> = descriptor.fields().map(|f| f.json_name().into()).collect();
    names.sort();
    match names.as_slice() {
        [] => "is no field here: nothing can be given".to_owned(),
        names => format!("is no field here; there are {}", names.join(", ")),
    }
}

fn read_field(
    field: &FieldDescriptor,
    json: Json,
    path: &str,
    wrong: &mut Vec<Violation>,
) -> Option<Value> {
    if field.is_map() {
        return read_map(field, json, path, wrong);
    }
    if !field.is_list() {
        return read_one(field, json, path, wrong);
    }
    let Json::List(items) = json else {
        let text = format!("is {}; write a list, [...]", json.kind());
        wrong.push(violation(path, text));
        return None;
    };
    let mut values = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        values.extend(read_one(field, item, &format!("{path}[{index}]"), wrong));
    }
    Some(Value::List(values))
}

fn read_map(
    field: &FieldDescriptor,
    json: Json,
    path: &str,
    wrong: &mut Vec<Violation>,
) -> Option<Value> {
    let Json::Object(entries) = json else {
        let text = format!("is {}; write an object, {{...}}", json.kind());
        wrong.push(violation(path, text));
        return None;
    };
    let Kind::Message(entry) = field.kind() else {
        return None;
    };
    let value_field = entry.map_entry_value_field();
    let mut values = HashMap::with_capacity(entries.len());
    for (key, value) in entries {
        let here = join(path, &key);
        // Every map of the API is by name.
        match values.entry(MapKey::String(key)) {
            Entry::Occupied(_) => wrong.push(violation(&here, "is given twice")),
            Entry::Vacant(place) => {
                if let Some(value) = read_one(&value_field, value, &here, wrong) {
                    place.insert(value);
                }
            }
        }
    }
    Some(Value::Map(values))
}

/// A value that is neither a list nor a map.
fn read_one(
    field: &FieldDescriptor,
    json: Json,
    path: &str,
    wrong: &mut Vec<Violation>,
) -> Option<Value> {
    match field.kind() {
        Kind::Message(of) if !of.full_name().starts_with("google.protobuf.") => {
            Some(Value::Message(read(&of, json, path, wrong)))
        }
        kind => {
            let found = json.kind();
            let value = scalar(field, json);
            if value.is_none() {
                let text = format!("is {found} that it cannot be; write {}", form(&kind));
                wrong.push(violation(path, text));
            }
            value
        }
    }
}

/// By the mapping's own reader, as the only field of its message.
fn scalar(field: &FieldDescriptor, json: Json) -> Option<Value> {
    if json.is_null() {
        return None;
    }
    let value = json.into_value();
    let value = match field.is_list() {
        true => serde_json::Value::Array(vec![value]),
        false => value,
    };
    let alone = serde_json::Value::Object(
        [(field.json_name().to_owned(), value)]
            .into_iter()
            .collect(),
    );
    let parent = field.parent_message().clone();
    let mut message = DynamicMessage::deserialize(parent, alone).ok()?;
    let descriptor = message.descriptor().get_field(field.number())?;
    // A default value is not kept by a field that does not know of presence.
    let value = message
        .take_field(&descriptor)
        .unwrap_or_else(|| Value::default_value_for_field(field));
    match value {
        Value::List(mut items) => items.pop(),
        value => Some(value),
    }
}

/// What to write for a kind.
fn form(kind: &Kind) -> String {
    match kind {
        Kind::Double | Kind::Float => "a number such as 0.25".into(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => "a whole number".into(),
        Kind::Uint32 | Kind::Fixed32 => "a whole number from 0 to 4294967295".into(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "a whole number, as a string".into(),
        Kind::Uint64 | Kind::Fixed64 => "a whole number from 0, as a string such as \"17\"".into(),
        Kind::Bool => "true or false".into(),
        Kind::String => "a string".into(),
        Kind::Bytes => "bytes as a base64 string".into(),
        Kind::Enum(of) => {
            let names = of.values().filter(|value| value.number() != 0);
            let names: Vec<String> = names.map(|value| value.name().to_owned()).collect();
            format!("one of {}", names.join(", "))
        }
        Kind::Message(of) => match of.name() {
            "Duration" => "a duration in seconds such as \"1.5s\"".into(),
            "Timestamp" => "a time such as \"2026-01-31T12:00:00Z\"".into(),
            _ => "an object, {...}".into(),
        },
    }
}

fn join(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

pub(super) fn violation(path: &str, message: impl Into<String>) -> Violation {
    Violation {
        path: path.to_owned(),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests;
