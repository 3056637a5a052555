//! The rules of a variant's `rewrite`, the same in plans and in a sidecar's own file.

/// Longest name of a model, bytes.
const LONGEST_MODEL: usize = 512;
/// Longest version or label, bytes.
const LONGEST_VERSION: usize = 128;

/// What the calls of a variant are changed to, as it was written; what is empty was not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written<'a> {
    /// Name of the model at its server.
    pub model: &'a str,
    /// Version of the model there.
    pub version: &'a str,
    /// Label of a version there: TensorFlow Serving.
    pub label: &'a str,
    /// Answers name what the caller named.
    pub restore: bool,
}

impl Written<'_> {
    /// Everything that is wrong, each with its field; an empty field stands for the whole.
    #[must_use]
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        for (field, text, longest) in [
            ("model", self.model, LONGEST_MODEL),
            ("version", self.version, LONGEST_VERSION),
            ("label", self.label, LONGEST_VERSION),
        ] {
            found.extend(wrong_name(text, longest).map(|why| (field, why)));
        }
        if self.model.is_empty() && self.version.is_empty() && self.label.is_empty() {
            let what = "names nothing; write model, version or label, such as {version: \"2\"}";
            found.push(("", what.to_owned()));
        } else if !self.version.is_empty() && !self.label.is_empty() {
            let what = "given beside version; a call names one of the two, so keep one";
            found.push(("label", what.to_owned()));
        } else if self.restore && self.model.is_empty() && self.version.is_empty() {
            let what = "there is nothing to restore: answers name a model and a version, no label";
            found.push(("restore", what.to_owned()));
        }
        found
    }
}

/// Any text goes, since it is escaped wherever it is written; but not what a server would take for another path.
fn wrong_name(text: &str, longest: usize) -> Option<String> {
    if text.len() > longest {
        return Some(format!("{} bytes long; at most {longest}", text.len()));
    }
    if let Some(wrong) = text.chars().find(|c| c.is_control()) {
        return Some(format!("contains {wrong:?}; leave control characters out"));
    }
    matches!(text, "." | "..").then(|| format!("\"{text}\" is no name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(written: Written<'_>) -> Vec<&'static str> {
        written
            .mistakes()
            .into_iter()
            .map(|(field, _)| field)
            .collect()
    }

    #[test]
    fn names_of_every_kind_are_taken() {
        for model in ["digits", "llama-3.1", "meta/llama:8b@x", "modèle ?#%"] {
            let written = Written {
                model,
                version: "2",
                restore: true,
                ..Written::default()
            };
            assert_eq!(written.mistakes(), [], "{model}");
        }
    }

    #[test]
    fn every_mistake_is_reported() {
        assert_eq!(fields(Written::default()), [""]);
        let all = Written {
            model: "..",
            version: "a\nb",
            label: &"x".repeat(129),
            restore: false,
        };
        assert_eq!(fields(all), ["model", "version", "label", "label"]);
        let label = Written {
            label: "canary",
            restore: true,
            ..Written::default()
        };
        assert_eq!(fields(label), ["restore"]);
    }
}
