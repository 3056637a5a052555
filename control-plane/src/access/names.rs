//! Sets of names that somebody is bound to.

use std::fmt;

/// Names that are allowed, each written out or as `beginning*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Option<Vec<String>>);

impl Names {
    /// Every name.
    #[must_use]
    pub fn any() -> Self {
        Self(None)
    }

    /// This name alone.
    #[must_use]
    pub fn one(name: &str) -> Self {
        Self(Some(vec![name.to_owned()]))
    }

    /// Reads `a,b,c-*`; `*` is every name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let patterns: Vec<String> = text.split(',').map(str::to_owned).collect();
        for pattern in &patterns {
            let literal = pattern.strip_suffix('*').unwrap_or(pattern);
            if pattern.is_empty() || literal.contains('*') {
                return Err(format!(
                    "\"{pattern}\" is no name; write names with commas between them, `*` only as the end of one"
                ));
            }
        }
        Ok(Self(
            (!patterns.iter().any(|pattern| pattern == "*")).then_some(patterns),
        ))
    }

    /// Whether a name is among them.
    #[must_use]
    pub fn contain(&self, name: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => pattern == name,
        };
        self.0
            .as_ref()
            .is_none_or(|patterns| patterns.iter().any(matches))
    }

    /// Whether every name is among them.
    #[must_use]
    pub fn are_all(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("*"),
            Some(patterns) => f.write_str(&patterns.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_literal_or_begin_so() {
        let names = Names::parse("digits,cats-*").unwrap();
        assert!(names.contain("digits") && names.contain("cats-7") && names.contain("cats-"));
        assert!(!names.contain("digits2") && !names.contain("cats") && !names.contain(""));
        assert_eq!(names.to_string(), "digits,cats-*");
        assert!(Names::parse("a,*").unwrap().are_all());
        for bad in ["", "a,", "a*b", "**"] {
            assert!(Names::parse(bad).is_err(), "{bad}");
        }
        assert!(!Names::one("a*").contain("b"));
    }
}
