//! Writing the text format of Prometheus, version 0.0.4.

use std::fmt::Write as _;

const PREFIX: &str = "serinus_sidecar_";

/// What a metric is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Text that grows by samples; each family is announced once, before its samples.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

impl Exposition {
    /// Announces a family; the name is without the prefix.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            self.0,
            "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}"
        );
    }

    /// One line.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(PREFIX);
        self.0.push_str(name);
        for (position, (label, text)) in labels.iter().enumerate() {
            self.0.push(if position == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            self.escaped(text);
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                c => self.0.push(c),
            }
        }
    }

    /// A family of one sample without labels.
    pub(super) fn single(&mut self, name: &str, kind: Kind, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_written_with_escaped_labels() {
        let mut out = Exposition::default();
        out.single("up", Kind::Gauge, "Whether.", 1.0);
        out.family("n_total", Kind::Counter, "How many.");
        out.sample("n_total", &[("a", "x\"\\\ny"), ("b", "z")], 1.5);
        assert_eq!(
            out.finish(),
            "# HELP serinus_sidecar_up Whether.\n# TYPE serinus_sidecar_up gauge\nserinus_sidecar_up 1\n\
             # HELP serinus_sidecar_n_total How many.\n# TYPE serinus_sidecar_n_total counter\n\
             serinus_sidecar_n_total{a=\"x\\\"\\\\\\ny\",b=\"z\"} 1.5\n"
        );
    }
}
