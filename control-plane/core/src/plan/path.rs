//! Where in a plan a mistake is.

use std::fmt;

/// A path such as `steps[1].split.v2`; the root is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path(String);

impl Path {
    /// Of a field at the root.
    pub(super) fn of(field: &str) -> Self {
        Self::default().field(field)
    }

    /// Of a field of what this path names.
    pub(super) fn field(&self, name: &str) -> Self {
        if self.0.is_empty() {
            return Self(name.to_owned());
        }
        Self(format!("{}.{name}", self.0))
    }

    /// Of an element of the list that this path names.
    pub(super) fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether one path is the other or lies within it.
pub(super) fn related(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    long.strip_prefix(short).is_some_and(|rest| {
        short.is_empty() || rest.is_empty() || rest.starts_with('.') || rest.starts_with('[')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_the_plan() {
        let path = Path::of("steps").item(1).field("split").field("v2");
        assert_eq!(path.to_string(), "steps[1].split.v2");
    }

    #[test]
    fn related_means_within() {
        assert!(related("steps[0].split", "steps[0].split.v2"));
        assert!(related("steps[0].split.v2", "steps[0].split"));
        assert!(related("steps[0]", "steps"));
        assert!(!related("steps[1]", "steps[10]"));
        assert!(!related("bake", "baked"));
    }
}
