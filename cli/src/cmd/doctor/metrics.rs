//! Reads Prometheus' text form, as far as it is needed here.

use std::collections::BTreeMap;

/// The samples of a scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Metrics(Vec<Sample>);

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// What is no sample is passed over.
    pub(super) fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(sample).collect())
    }

    /// The sum over all labels; `None` if there is no such metric.
    pub(super) fn sum(&self, name: &str) -> Option<f64> {
        self.sum_of(name, &[])
    }

    /// The sum over what has these labels.
    pub(super) fn sum_of(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |sample: &&Sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(label, value)| sample.labels.get(*label).is_some_and(|v| v == value))
        };
        let found: Vec<f64> = self.0.iter().filter(has).map(|of| of.value).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// How many of a histogram's samples there are, and the share of them above an edge of its buckets.
    pub(super) fn above(&self, name: &str, edge: &str) -> Option<(f64, f64)> {
        let count = self.sum(&format!("{name}_count"))?;
        let below = self.sum_of(&format!("{name}_bucket"), &[("le", edge)])?;
        (count > 0.0).then(|| (count, (count - below) / count))
    }

    /// Every value of a label, with the sum of its samples.
    pub(super) fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for sample in self.0.iter().filter(|sample| sample.name == name) {
            if let Some(value) = sample.labels.get(label) {
                *sums.entry(value.clone()).or_default() += sample.value;
            }
        }
        sums
    }
}

fn sample(line: &str) -> Option<Sample> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (name, labels, rest) = match line.split_once('{') {
        Some((name, rest)) => {
            let (labels, rest) = labels(rest)?;
            (name, labels, rest)
        }
        None => {
            let (name, rest) = line.split_once(' ')?;
            (name, BTreeMap::new(), rest)
        }
    };
    // A time may follow.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// Labels up to the closing brace, and what follows it.
fn labels(mut text: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.to_owned(), value);
        text = rest.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_sums_and_histograms() {
        let text = "# HELP a words\n# TYPE a counter\na{x=\"1\",y=\"q\\\"}\\n\"} 2\na{x=\"2\"} 3.5 1700000000\nb 1\n\
                    c_bucket{le=\"0.25\"} 90\nc_bucket{le=\"+Inf\"} 100\nc_sum 4\nc_count 100\nno sense here\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("a"), Some(5.5));
        assert_eq!(metrics.sum_of("a", &[("x", "2")]), Some(3.5));
        assert_eq!(metrics.sum_of("a", &[("y", "q\"}\n")]), Some(2.0));
        assert_eq!(metrics.sum_of("a", &[("x", "3")]), None);
        assert_eq!((metrics.sum("b"), metrics.sum("d")), (Some(1.0), None));
        assert_eq!(metrics.above("c", "0.25"), Some((100.0, 0.1)));
        assert_eq!(metrics.above("a", "0.25"), None);
        let by = metrics.by("a", "x");
        assert_eq!(
            by.into_iter().collect::<Vec<_>>(),
            [("1".into(), 2.0), ("2".into(), 3.5)]
        );
    }
}
