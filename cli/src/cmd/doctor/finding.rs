//! What was found, in sentences.

use serde_json::{Value, json};

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Releases do not go on, or something is at risk, until somebody acts.
    Problem,
    /// It may become one.
    Warning,
    /// As it should be, and good to know.
    Note,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// For programs; never changes.
    pub(super) code: &'static str,
    /// Which part it is about, such as "sidecar host-a".
    pub(super) about: String,
    /// What is so.
    pub(super) says: String,
    /// What to do.
    pub(super) way_out: String,
}

impl Finding {
    pub(super) fn new(
        severity: Severity,
        code: &'static str,
        about: impl Into<String>,
        says: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Self {
        // What a server, a sidecar or a plan says may hold anything.
        let plain = |text: String| text.replace(char::is_control, " ");
        Self {
            severity,
            code,
            about: plain(about.into()),
            says: plain(says.into()),
            way_out: plain(way_out.into()),
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "severity": self.severity.name(),
            "code": self.code,
            "about": self.about,
            "says": self.says,
            "way_out": self.way_out,
        })
    }
}

/// For people.
pub(super) fn text(findings: &[Finding], looked_at: &[String]) -> String {
    let mut text = String::new();
    for finding in findings {
        let Finding {
            severity,
            about,
            says,
            way_out,
            ..
        } = finding;
        text += &format!("{}: {about}: {says}\n", severity.name().to_uppercase());
        if !way_out.is_empty() {
            text += &format!("  -> {way_out}\n");
        }
    }
    let count = |severity| findings.iter().filter(|of| of.severity == severity).count();
    let (problems, warnings) = (count(Severity::Problem), count(Severity::Warning));
    let verdict = match (problems, warnings) {
        (0, 0) => "nothing is wrong".to_owned(),
        (0, warnings) => format!(
            "nothing must be seen to now; {}",
            number(warnings, "warning")
        ),
        (problems, warnings) => format!(
            "{}, {}",
            number(problems, "problem"),
            number(warnings, "warning")
        ),
    };
    if !findings.is_empty() {
        text.push('\n');
    }
    text + &format!("{verdict} (looked at {})\n", looked_at.join(", "))
}

/// `1 problem`, `2 problems`.
pub(super) fn number(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_and_the_way_out() {
        let findings = [
            Finding::new(Severity::Problem, "A", "the store", "no\nroom", "make room"),
            Finding::new(Severity::Note, "B", "rollout r", "is paused", ""),
        ];
        let shown = text(&findings, &["a".into(), "b".into()]);
        assert_eq!(
            shown,
            "PROBLEM: the store: no room\n  -> make room\nNOTE: rollout r: is paused\n\n\
             1 problem, 0 warnings (looked at a, b)\n"
        );
        assert_eq!(text(&[], &["a".into()]), "nothing is wrong (looked at a)\n");
        assert!(text(&findings[1..], &[]).contains("nothing is wrong"));
    }
}
