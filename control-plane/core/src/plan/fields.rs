//! Reading the fields of a map: each once, of the right kind, none unknown.

use super::duration;
use super::path::Path;
use super::problems::Problems;
use super::share;
use super::suggest::nearest;
use super::tree::Node;
use prost_types::Duration;

/// Capabilities that the design names and this version does not have.
const NOT_YET: [&str; 7] = [
    "shadow",
    "winner",
    "prediction",
    "outcome_horizon",
    "gates",
    "gate",
    "readiness",
];

/// The map's entries that were not asked for yet.
pub(super) struct Fields<'a> {
    path: Path,
    left: Vec<(&'a str, &'a Node)>,
    asked: Vec<&'static str>,
    problems: &'a Problems,
}

impl<'a> Fields<'a> {
    /// The fields of a map; keys given twice are reported, and the first one counts. `form` shows the correct form.
    pub(super) fn open(
        node: &'a Node,
        path: &Path,
        form: &str,
        problems: &'a Problems,
    ) -> Option<Self> {
        let Node::Map(entries) = node else {
            problems.add(path, format!("{}; write {form}", node.described()));
            return None;
        };
        let mut left: Vec<(&str, &Node)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            if left.iter().any(|(known, _)| known == key) {
                problems.add(&path.field(key), "given twice; keep one");
            } else {
                left.push((key, value));
            }
        }
        Some(Self {
            path: path.clone(),
            left,
            asked: Vec::new(),
            problems,
        })
    }

    /// Path of one of the fields.
    pub(super) fn at(&self, name: &str) -> Path {
        self.path.field(name)
    }

    /// Notes a mistake in a field.
    pub(super) fn complain(&self, name: &str, message: impl Into<String>) {
        self.problems.add(&self.at(name), message);
    }

    /// Takes a field of any kind.
    pub(super) fn take(&mut self, name: &'static str) -> Option<(&'a Node, Path)> {
        self.asked.push(name);
        let position = self.left.iter().position(|(key, _)| *key == name)?;
        let (_, node) = self.left.remove(position);
        Some((node, self.at(name)))
    }

    fn take_as<T>(
        &mut self,
        name: &'static str,
        form: &str,
        read: impl Fn(&Node) -> Option<T>,
    ) -> Option<T> {
        let (node, path) = self.take(name)?;
        let value = read(node);
        if value.is_none() {
            self.problems
                .add(&path, format!("{}; write {form}", node.described()));
        }
        value
    }

    /// Text. A number or a truth value is refused, since its spelling is lost.
    pub(super) fn text(&mut self, name: &'static str, form: &str) -> Option<String> {
        let (node, path) = self.take(name)?;
        text(node, &path, form, self.problems)
    }

    /// `true` or `false`.
    pub(super) fn truth(&mut self, name: &'static str) -> Option<bool> {
        self.take_as(name, "true or false", |node| match node {
            Node::Bool(value) => Some(*value),
            _ => None,
        })
    }

    /// Any finite number above 0.
    pub(super) fn positive(&mut self, name: &'static str, form: &str) -> Option<f64> {
        let (node, path) = self.take(name)?;
        let value = number(node).filter(|value| value.is_finite() && *value > 0.0);
        if value.is_none() {
            let wrong = match node {
                Node::Int(value) if *value <= 0 => format!("{value} is not above 0"),
                Node::Float(value) => format!("{value} is not above 0"),
                other => other.described(),
            };
            self.problems.add(&path, format!("{wrong}; write {form}"));
        }
        value
    }

    /// Any number.
    pub(super) fn number(&mut self, name: &'static str, form: &str) -> Option<f64> {
        self.take_as(name, form, number)
    }

    /// A fraction, its range unchecked.
    pub(super) fn share(&mut self, name: &'static str) -> Option<f64> {
        let (node, path) = self.take(name)?;
        share(node, &path, self.problems)
    }

    /// A whole number of at least `least`.
    pub(super) fn whole(&mut self, name: &'static str, least: u64, form: &str) -> Option<u64> {
        let (node, path) = self.take(name)?;
        let value = match node {
            Node::Int(value) => u64::try_from(*value).ok().filter(|value| *value >= least),
            _ => None,
        };
        if value.is_none() {
            let wrong = match node {
                Node::Int(value) if *value < i128::from(least) => {
                    format!("{value} is below {least}")
                }
                Node::Float(value) => format!("{value} is no whole number"),
                other => other.described(),
            };
            self.problems.add(&path, format!("{wrong}; write {form}"));
        }
        value
    }

    /// A duration with its unit.
    pub(super) fn duration(&mut self, name: &'static str) -> Option<Duration> {
        let (node, path) = self.take(name)?;
        duration(node, &path, self.problems)
    }

    /// One of a few words, as the number of the contract's enum.
    pub(super) fn choice<E: Copy + Into<i32>>(
        &mut self,
        name: &'static str,
        choices: &[(&'static str, E)],
    ) -> Option<i32> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let form = names.join(" or ");
        let given = self.text(name, &form)?;
        let found = choices.iter().find(|(name, _)| *name == given);
        if found.is_none() {
            let hint = nearest(&given, names)
                .map(|name| format!("; did you mean {name}?"))
                .unwrap_or_default();
            self.complain(
                name,
                format!("\"{}\" is unknown; write {form}{hint}", shortened(&given)),
            );
        }
        found.map(|(_, value)| (*value).into())
    }

    /// The elements of a list that must not be empty.
    pub(super) fn list(&mut self, name: &'static str, form: &str) -> Option<Vec<(&'a Node, Path)>> {
        let (node, path) = self.take(name)?;
        match node {
            Node::List(items) if items.is_empty() => {
                self.problems.add(
                    &path,
                    format!("is an empty list; leave it out, or write {form}"),
                );
                None
            }
            Node::List(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| (item, path.item(index)))
                    .collect(),
            ),
            other => {
                self.problems.add(
                    &path,
                    format!("{}; write a list: {form}", other.described()),
                );
                None
            }
        }
    }

    /// Refuses a field that exists elsewhere but means nothing here.
    pub(super) fn foreign(&mut self, name: &'static str, message: &str) {
        // Not among the suggestions: it would be refused again.
        let position = self.left.iter().position(|(key, _)| *key == name);
        if let Some(position) = position {
            self.left.remove(position);
            self.complain(name, message);
        }
    }

    /// Reports whatever nobody asked for.
    pub(super) fn finish(self) {
        for (key, _) in &self.left {
            let shown = shortened(key);
            if NOT_YET.contains(key) {
                self.complain(key, format!("not supported in this version: {key}"));
                continue;
            }
            let hint = match nearest(key, self.asked.iter().copied()) {
                Some(name) => format!("did you mean {name}?"),
                None => format!("known here: {}", self.asked.join(", ")),
            };
            self.complain(key, format!("unknown field {shown}; {hint}"));
        }
    }
}

/// A duration with its unit, or a complaint.
pub(super) fn duration(node: &Node, path: &Path, problems: &Problems) -> Option<Duration> {
    let message = match node {
        Node::Text(text) => match duration::parse(text) {
            Ok(value) => return Some(duration::to_proto(value)),
            Err(message) => message,
        },
        Node::Int(value) if *value >= 0 => {
            format!("{value} has no unit; write {value}s for seconds, or such as 500ms, 30m, 1h30m")
        }
        other => format!("{}; {}", other.described(), duration::FORM),
    };
    problems.add(path, message);
    None
}

/// Text, or a complaint.
pub(super) fn text(node: &Node, path: &Path, form: &str, problems: &Problems) -> Option<String> {
    let message = match node {
        Node::Text(text) => return Some(text.clone()),
        Node::Int(_) | Node::Float(_) | Node::Bool(_) => {
            format!(
                "{}; to use it as text put it in quotes, else write {form}",
                node.described()
            )
        }
        other => format!("{}; write {form}", other.described()),
    };
    problems.add(path, message);
    None
}

/// A number, whole or not.
pub(super) fn number(node: &Node) -> Option<f64> {
    match node {
        Node::Int(value) => Some(*value as f64),
        Node::Float(value) => Some(*value),
        _ => None,
    }
}

/// A fraction, its range unchecked, or a complaint.
pub(super) fn share(node: &Node, path: &Path, problems: &Problems) -> Option<f64> {
    if let Some(value) = number(node) {
        return Some(value);
    }
    let message = match node {
        Node::Text(text) => share::text_message(text),
        other => format!(
            "{}; shares are fractions: write 0.1 for 10 %",
            other.described()
        ),
    };
    problems.add(path, message);
    None
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
