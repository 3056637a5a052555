//! The body of `POST /v1/outcomes`: one object, `{"items": [...]}`, a list, or one object a line.

use serde::Deserialize;
use serde_json::Value;
use serinus_common::prediction_id::PredictionId;
use serinus_proto::v1;

/// Mistakes that are listed at most.
const LISTED: usize = 20;
const LONGEST_METRIC: usize = 256;

/// What came in.
#[derive(Debug, PartialEq)]
pub(super) struct Body {
    /// It was one object, and so is its answer.
    pub(super) single: bool,
    /// In the order of the body.
    pub(super) items: Vec<Item>,
}

/// One outcome: to be forwarded, or answered here and now.
#[derive(Debug, PartialEq)]
pub(super) enum Item {
    Forward(v1::Outcome),
    Answered(v1::OutcomeStatus),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    prediction_id: String,
    metric: Option<String>,
    value: Option<Value>,
    label: Option<Value>,
    #[serde(default)]
    row: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Items {
    items: Vec<Value>,
}

/// Reads a body; `lines` says that its content type is one object a line.
///
/// # Errors
/// Everything that is wrong with its shape, with paths.
pub(super) fn parse(bytes: &[u8], lines: bool) -> Result<Body, Vec<String>> {
    let (single, values) = if lines {
        (false, by_line(bytes)?)
    } else {
        match serde_json::from_slice::<Value>(bytes) {
            Ok(value) => values(value)?,
            // Many senders of one object a line do not say so.
            Err(error) => (
                false,
                by_line(bytes).map_err(|_| vec![format!("the body is no JSON: {error}")])?,
            ),
        }
    };
    let mut items = Vec::with_capacity(values.len());
    let mut mistakes = Vec::new();
    for (position, value) in values.into_iter().enumerate() {
        match item(value) {
            Ok(item) => items.push(item),
            Err(_) if mistakes.len() == LISTED => {}
            Err(why) if single => mistakes.push(why),
            Err(why) => mistakes.push(format!("items[{position}]: {why}")),
        }
    }
    if mistakes.is_empty() {
        return Ok(Body { single, items });
    }
    Err(mistakes)
}

fn values(value: Value) -> Result<(bool, Vec<Value>), Vec<String>> {
    match value {
        Value::Array(values) => Ok((false, values)),
        Value::Object(ref object) if object.contains_key("items") => {
            let items: Items =
                serde_json::from_value(value).map_err(|error| vec![error.to_string()])?;
            Ok((false, items.items))
        }
        other => Ok((true, vec![other])),
    }
}

fn by_line(bytes: &[u8]) -> Result<Vec<Value>, Vec<String>> {
    let mut values = Vec::new();
    for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let value = serde_json::from_slice(line)
            .map_err(|error| vec![format!("line {}: {error}", number + 1)])?;
        values.push(value);
    }
    if values.is_empty() {
        return Err(vec!["the body is empty".to_owned()]);
    }
    Ok(values)
}

fn item(value: Value) -> Result<Item, String> {
    let written: Written = serde_json::from_value(value).map_err(|error| {
        format!(
            "{error}; write {{\"prediction_id\": \"...\", \"metric\": \"accuracy\", \"value\": 1}}"
        )
    })?;
    if written.label.is_some() && written.value.is_none() {
        // The id carries no prediction in this version, so a label alone cannot be compared with it.
        return Ok(Item::Answered(v1::OutcomeStatus::NoPrediction));
    }
    let metric = written
        .metric
        .ok_or("metric: is missing; write \"accuracy\" or the name of an outcome")?;
    if metric.is_empty() || metric.len() > LONGEST_METRIC {
        return Err(format!("metric: 1 to {LONGEST_METRIC} characters"));
    }
    let value = match written.value {
        Some(Value::Bool(truth)) => Some(f64::from(u8::from(truth))),
        Some(Value::Number(number)) => number.as_f64(),
        Some(other) => {
            return Err(format!(
                "value: {other} is no number; write one from 0 to 1"
            ));
        }
        None => return Err("value: is missing; write a number from 0 to 1".to_owned()),
    };
    let Some(value) = value.filter(|value| (0.0..=1.0).contains(value)) else {
        return Ok(Item::Answered(v1::OutcomeStatus::BadValue));
    };
    match PredictionId::parse(&written.prediction_id) {
        Ok(id) if id.issuer() != 0 => Ok(Item::Forward(v1::Outcome {
            prediction_id: written.prediction_id,
            metric: metric
                .strip_prefix("outcome:")
                .unwrap_or(&metric)
                .to_owned(),
            value,
            row: written.row,
        })),
        _ => Ok(Item::Answered(v1::OutcomeStatus::BadId)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serinus_common::prediction_id::IdKey;

    /// An id that is well formed.
    pub(crate) fn id(issuer: u32, sequence: u64) -> String {
        let id = PredictionId {
            key_id: 1,
            rollout: [7; 16],
            epoch: 1,
            variant: 1,
            cluster: 3,
            issuer,
            sequence,
            second: 1_700_000_000,
        };
        id.encode(&IdKey {
            id: 1,
            secret: [9; 16],
        })
    }

    fn one(value: &str) -> String {
        format!(
            "{{\"prediction_id\":\"{}\",\"metric\":\"accuracy\",\"value\":{value}}}",
            id(1, 5)
        )
    }

    fn forwarded(body: &Body) -> Vec<f64> {
        let value = |item: &Item| match item {
            Item::Forward(outcome) => outcome.value,
            Item::Answered(status) => panic!("{status:?}"),
        };
        body.items.iter().map(value).collect()
    }

    #[test]
    fn every_shape_is_understood() {
        let single = parse(one("1").as_bytes(), false).unwrap();
        assert!(single.single);
        assert_eq!(forwarded(&single), [1.0]);
        let (a, b) = (one("0.25"), one("true"));
        for text in [
            format!("{{\"items\":[{a},{b}]}}"),
            format!("[{a},{b}]"),
            format!("{a}\n{b}\n"),
        ] {
            let body = parse(text.as_bytes(), false).unwrap();
            assert!(!body.single);
            assert_eq!(forwarded(&body), [0.25, 1.0]);
        }
        let line = parse(a.as_bytes(), true).unwrap();
        assert!(!line.single);
    }

    #[test]
    fn what_cannot_join_is_answered_at_once() {
        let with = |id: &str, rest: &str| format!("{{\"prediction_id\":\"{id}\",{rest}}}");
        let good = id(1, 1);
        for (text, status) in [
            (one("1.5"), v1::OutcomeStatus::BadValue),
            (one("-0.1"), v1::OutcomeStatus::BadValue),
            (
                with("nonsense", "\"metric\":\"click\",\"value\":1"),
                v1::OutcomeStatus::BadId,
            ),
            (
                with(&id(0, 1), "\"metric\":\"click\",\"value\":1"),
                v1::OutcomeStatus::BadId,
            ),
            (with(&good, "\"label\":3"), v1::OutcomeStatus::NoPrediction),
        ] {
            assert_eq!(
                parse(text.as_bytes(), false).unwrap().items,
                [Item::Answered(status)],
                "{text}"
            );
        }
    }

    #[test]
    fn a_wrong_shape_says_where() {
        let why = |text: &str| parse(text.as_bytes(), false).unwrap_err().join("\n");
        assert!(why("").contains("no JSON"));
        assert!(why("{\"items\":3}").contains("sequence"));
        assert!(why(&one("\"x\"")).contains("value: \"x\" is no number"));
        assert!(why(&one("1").replace("metric", "metrik")).contains("metrik"));
        assert!(
            why(&format!("[{},{}]", one("1"), one("null"))).contains("items[1]: value: is missing")
        );
        assert!(why("{}").contains("prediction_id"));
    }

    #[test]
    fn the_name_of_an_outcome_may_carry_its_prefix() {
        let text = one("1").replace("accuracy", "outcome:click");
        let body = parse(text.as_bytes(), false).unwrap();
        assert!(matches!(&body.items[0], Item::Forward(o) if o.metric == "click"));
    }
}
