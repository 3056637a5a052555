//! YAML maps and lists on one line.

/// A map under construction; `close` gives `{a: 1, b: 2}`.
#[derive(Default)]
pub(super) struct Flow(Vec<String>);

impl Flow {
    /// An entry whose value is YAML already.
    pub(super) fn with(mut self, name: &str, value: String) -> Self {
        self.0.push(format!("{name}: {value}"));
        self
    }

    /// The same, if there is a value.
    pub(super) fn maybe(self, name: &str, value: Option<String>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Text, unless it is empty.
    pub(super) fn text(self, name: &str, value: &str) -> Self {
        self.maybe(name, (!value.is_empty()).then(|| text(value)))
    }

    /// One of the words of the format.
    pub(super) fn word(self, name: &str, value: Option<&str>) -> Self {
        self.maybe(name, value.map(str::to_owned))
    }

    /// A number, unless it is 0, which means unset.
    pub(super) fn number(self, name: &str, value: f64) -> Self {
        self.maybe(name, (value != 0.0).then(|| number(value)))
    }

    /// A whole number, unless it is 0, which means unset.
    pub(super) fn count(self, name: &str, value: u64) -> Self {
        self.maybe(name, (value != 0).then(|| value.to_string()))
    }

    /// A list, unless it is empty.
    pub(super) fn list(self, name: &str, items: Vec<String>) -> Self {
        let list = format!("[{}]", items.join(", "));
        self.maybe(name, (!items.is_empty()).then_some(list))
    }

    /// The map's text.
    pub(super) fn close(self) -> String {
        format!("{{{}}}", self.0.join(", "))
    }
}

/// A number that reads back as the same number.
pub(super) fn number(value: f64) -> String {
    if value.is_nan() {
        ".nan".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { ".inf" } else { "-.inf" }.to_owned()
    } else {
        format!("{value:?}")
    }
}

/// Text, in quotes where it could be read as something else.
pub(super) fn text(value: &str) -> String {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':');
    let plain = value.starts_with(|c: char| c.is_ascii_alphabetic())
        && !value.ends_with(':')
        && value.chars().all(inner)
        && !is_word_of_yaml(value);
    if plain {
        return value.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            c => quoted.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

/// Words that some YAML reader takes for a truth value or for nothing.
fn is_word_of_yaml(value: &str) -> bool {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    words.iter().any(|word| value.eq_ignore_ascii_case(word))
}
