//! Guardrails: which metric, held to what.

use crate::plan::fields::{self, Fields};
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use crate::plan::share;
use crate::plan::suggest::nearest;
use crate::plan::tree::Node;
use serinus_proto::v1::guardrail::{Action, Metric};
use serinus_proto::v1::labelled::Direction;
use serinus_proto::v1::{ErrorRate, Guardrail, Labelled, Latency, LatencyLimit};

const FORM: &str = "{metric: error_rate, margin: 0.0025}";
const METRIC_FORM: &str = "error_rate, latency, accuracy or outcome:NAME";

/// Kinds of metrics that the design names and this version does not have.
const NOT_YET: [&str; 8] = [
    "numeric",
    "mean",
    "score",
    "drift",
    "agreement",
    "tokens",
    "cost",
    "external",
];

/// Reads the list of guardrails; those that could not be read keep their place.
pub(super) fn read(fields: &mut Fields<'_>, problems: &Problems) -> Vec<Guardrail> {
    fields
        .list("guardrails", &format!("[{FORM}]"))
        .unwrap_or_default()
        .into_iter()
        .map(|(node, path)| guardrail(node, &path, problems))
        .collect()
}

fn guardrail(node: &Node, path: &Path, problems: &Problems) -> Guardrail {
    let mut guardrail = Guardrail::default();
    let Some(mut fields) = Fields::open(node, path, FORM, problems) else {
        return guardrail;
    };
    guardrail.metric = metric(&mut fields, problems);
    guardrail.on_breach = fields
        .choice(
            "on_breach",
            &[
                ("rollback", Action::Rollback),
                ("hold", Action::Hold),
                ("notify", Action::Notify),
            ],
        )
        .unwrap_or_default();
    guardrail.weight = fields
        .positive("weight", "a part of alpha between 0 and 1, such as 0.3")
        .unwrap_or_default();
    guardrail.required = fields.truth("required");
    fields.finish();
    guardrail
}

fn metric(fields: &mut Fields<'_>, problems: &Problems) -> Option<Metric> {
    let Some((node, path)) = fields.take("metric") else {
        fields.complain("metric", format!("missing; write {METRIC_FORM}"));
        return any_fields(fields);
    };
    let Some(name) = fields::text(node, &path, METRIC_FORM, problems) else {
        return any_fields(fields);
    };
    match name.as_str() {
        "error_rate" => Some(error_rate(fields)),
        "latency" => Some(latency(fields, problems)),
        "accuracy" => Some(Metric::Accuracy(labelled(fields, "accuracy"))),
        _ => match name.strip_prefix("outcome:") {
            Some(outcome) => Some(Metric::Outcome(labelled(fields, outcome))),
            None => {
                problems.add(&path, unknown(&name));
                any_fields(fields)
            }
        },
    }
}

fn unknown(name: &str) -> String {
    let kind = name.split(':').next().unwrap_or(name);
    if NOT_YET.contains(&kind) {
        return format!("not supported in this version: metric {kind}");
    }
    let known = ["error_rate", "latency", "accuracy", "outcome"];
    let hint = nearest(kind, known)
        .map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default();
    let shown: String = name.chars().take(60).collect();
    format!("\"{shown}\" is unknown; write {METRIC_FORM}{hint}")
}

fn error_rate(fields: &mut Fields<'_>) -> Metric {
    let margin = margin(fields, "0.0025 (a quarter of a percentage point)");
    for name in ["quantile", "quantiles", "ratio", "slack", "limit"] {
        fields.foreign(
            name,
            "belongs to latency; error_rate has a margin, such as 0.0025",
        );
    }
    for name in ["label_window", "direction"] {
        fields.foreign(
            name,
            "belongs to accuracy and outcome:NAME; error_rate has none",
        );
    }
    Metric::ErrorRate(ErrorRate { margin })
}

fn margin(fields: &mut Fields<'_>, form: &str) -> f64 {
    match fields.take("margin") {
        None => {
            fields.complain("margin", format!("missing; write a margin, such as {form}"));
            0.0
        }
        Some((node, _)) => match (fields::number(node), node) {
            (Some(value), _) => value,
            (None, Node::Text(text)) => {
                fields.complain("margin", share::text_message(text));
                0.0
            }
            (None, other) => {
                let message = format!("{}; write a fraction such as {form}", other.described());
                fields.complain("margin", message);
                0.0
            }
        },
    }
}

fn latency(fields: &mut Fields<'_>, problems: &Problems) -> Metric {
    fields.foreign(
        "margin",
        "latency has no margin; write ratio and slack, such as ratio: 1.10, slack: 2ms, or an absolute limit",
    );
    for name in ["label_window", "direction"] {
        fields.foreign(
            name,
            "belongs to accuracy and outcome:NAME; latency has none",
        );
    }
    let quantiles = quantiles(fields, problems);
    if let Some((limit, _)) = fields.take("limit") {
        return latency_limit(fields, limit, &quantiles, problems);
    }
    Metric::Latency(Latency {
        quantiles,
        ratio: fields
            .positive("ratio", "the tolerated slow-down, such as 1.10")
            .unwrap_or_default(),
        slack: fields.duration("slack"),
    })
}

fn latency_limit(
    fields: &mut Fields<'_>,
    limit: &Node,
    quantiles: &[f64],
    problems: &Problems,
) -> Metric {
    for name in ["ratio", "slack"] {
        fields.foreign(name, "does not go with limit; write two guardrails, one with ratio and slack, one with limit");
    }
    let limit = fields::duration(limit, &fields.at("limit"), problems);
    let quantile = match quantiles {
        [quantile] => *quantile,
        _ => {
            if !problems.touches(&fields.at("quantile")) {
                fields.complain(
                    "quantile",
                    "a limit holds for one quantile; write quantile: 0.99",
                );
            }
            0.0
        }
    };
    Metric::LatencyLimit(LatencyLimit { quantile, limit })
}

fn quantiles(fields: &mut Fields<'_>, problems: &Problems) -> Vec<f64> {
    let form = "a fraction between 0 and 1, such as 0.99";
    let one = fields.number("quantile", form);
    let Some(items) = fields.list("quantiles", "[0.5, 0.95, 0.99]") else {
        return one.into_iter().collect();
    };
    if one.is_some() {
        fields.complain("quantiles", "given beside quantile; keep one of the two");
    }
    let read = |(node, path): (&Node, Path)| {
        let value = fields::number(node);
        if value.is_none() {
            problems.add(&path, format!("{}; write {form}", node.described()));
        }
        value
    };
    items.into_iter().filter_map(read).collect()
}

fn labelled(fields: &mut Fields<'_>, name: &str) -> Labelled {
    for field in ["quantile", "quantiles", "ratio", "slack", "limit"] {
        fields.foreign(
            field,
            "belongs to latency; labels have a margin, such as 0.01",
        );
    }
    Labelled {
        name: name.to_owned(),
        margin: margin(fields, "0.01 (one percentage point)"),
        label_window: fields.duration("label_window"),
        direction: fields
            .choice(
                "direction",
                &[
                    ("higher_is_better", Direction::HigherIsBetter),
                    ("lower_is_better", Direction::LowerIsBetter),
                ],
            )
            .unwrap_or_default(),
    }
}

/// Asks for every field of every metric, so that only unknown ones are reported.
fn any_fields(fields: &mut Fields<'_>) -> Option<Metric> {
    for name in [
        "margin",
        "quantile",
        "quantiles",
        "ratio",
        "slack",
        "limit",
        "label_window",
        "direction",
    ] {
        let _ = fields.take(name);
    }
    None
}
