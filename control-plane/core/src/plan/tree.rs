//! YAML or JSON as a loosely typed tree: nothing is coerced and no key is lost, so that each mistake can be named.

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serinus_proto::v1::Violation;
use std::fmt;

/// The largest text that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// A value of a plan's text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// Nothing, `null`, `~`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number, written without a point.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Text, quoted or not.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, with every entry in the order of the text; keys may repeat.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// What it is, for messages: `"10%" is text`.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Null => "is empty".to_owned(),
            Self::Bool(value) => format!("{value} is a truth value"),
            Self::Int(value) => format!("{value} is a number"),
            Self::Float(value) => format!("{value} is a number"),
            Self::Text(text) => {
                format!("\"{}\" is text", text.chars().take(60).collect::<String>())
            }
            Self::List(_) => "is a list".to_owned(),
            Self::Map(_) => "is a map".to_owned(),
        }
    }
}

/// Reads one YAML or JSON document.
///
/// # Errors
/// Where and why the text is neither, with an empty path.
pub(super) fn read(text: &str) -> Result<Node, Violation> {
    let refuse = |message: String| Violation {
        path: String::new(),
        message,
    };
    if text.len() > LONGEST {
        return Err(refuse(format!(
            "the plan is {} bytes long; at most {LONGEST} are read",
            text.len()
        )));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: 24, max_nodes: 50_000, max_events: 200_000 },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| refuse(located(&error)))
}

fn located(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    match error.location() {
        Some(location) if !text.contains("line ") => {
            format!(
                "line {}, column {}: {text}",
                location.line(),
                location.column()
            )
        }
        _ => text,
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Builder)
    }
}

struct Builder;

impl<'de> Visitor<'de> for Builder {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plan")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Int(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Int(value))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Node, E> {
        Ok(i128::try_from(value).map_or(Node::Float(value as f64), Node::Int))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kinds_and_repeated_keys_are_kept() {
        let node = read("{a: 10, a: \"10%\", b: .nan, c: [1.5, true, ~], 7: on}").unwrap();
        let Node::Map(entries) = node else {
            panic!("no map")
        };
        assert_eq!(entries[0], ("a".into(), Node::Int(10)));
        assert_eq!(entries[1], ("a".into(), Node::Text("10%".into())));
        assert!(matches!(entries[2].1, Node::Float(x) if x.is_nan()));
        assert_eq!(
            entries[3].1,
            Node::List(vec![Node::Float(1.5), Node::Bool(true), Node::Null])
        );
        assert_eq!(entries[4], ("7".into(), Node::Text("on".into())));
    }

    #[test]
    fn json_with_tabs_is_read() {
        assert_eq!(
            read("{\n\t\"a\": [\n\t\t1,\n\t\t\"x\\/y\"\n\t]\n}\n").unwrap(),
            Node::Map(vec![(
                "a".into(),
                Node::List(vec![Node::Int(1), Node::Text("x/y".into())])
            )])
        );
    }

    #[test]
    fn broken_text_names_line_and_column() {
        let violation = read("model: x\nsteps: [\n").unwrap_err();
        assert_eq!(violation.path, "");
        assert!(violation.message.contains("line "), "{}", violation.message);
        assert!(
            violation.message.contains("column "),
            "{}",
            violation.message
        );
    }

    #[test]
    fn depth_and_size_are_bounded() {
        assert!(read(&"[".repeat(100_000)).is_err());
        assert!(read(&"a: ".repeat(1 << 20)).is_err());
        let bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
        assert!(read(bomb).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
            let _ = read(&text);
        }
    }
}
