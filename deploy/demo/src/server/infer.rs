//! Inference requests and answers of the protocol.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Served;
use super::tensor::TensorData;
use crate::models::PIXELS;

/// The name of the only input: FP32, shape `[-1, 64]`.
pub const INPUT_NAME: &str = "pixels";
/// The name of the only output: INT64, shape `[-1]`.
pub const OUTPUT_NAME: &str = "digit";

/// The most images that one request may hold.
const MAX_ROWS: usize = 1024;

/// What a caller asks.
#[derive(Debug, PartialEq)]
pub(super) struct InferRequest<'a> {
    id: Option<Cow<'a, str>>,
    rows: Vec<[f32; PIXELS]>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    inputs: Vec<Tensor<'a>>,
    outputs: Option<Vec<RequestedOutput<'a>>>,
}

#[derive(Deserialize)]
struct Tensor<'a> {
    #[serde(borrow, rename = "name")]
    _name: Cow<'a, str>,
    shape: Vec<usize>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    data: TensorData,
}

#[derive(Deserialize)]
struct RequestedOutput<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// Reads a request body.
///
/// # Errors
/// What is wrong with the body, naming the field: answered with status 400.
pub(super) fn parse(body: &[u8]) -> Result<InferRequest<'_>, String> {
    let body: Body<'_> =
        serde_json::from_slice(body).map_err(|error| format!("the body is no infer request: {error}"))?;
    let unknown = body.outputs.iter().flatten().find(|output| output.name != OUTPUT_NAME);
    if let Some(output) = unknown {
        return Err(format!("outputs: `{}` is unknown; the only output is `{OUTPUT_NAME}`", output.name));
    }
    let [input] = body.inputs.as_slice() else {
        return Err(format!("inputs: has {} tensors, must have exactly one", body.inputs.len()));
    };
    Ok(InferRequest { rows: rows(input)?, id: body.id })
}

fn rows(input: &Tensor<'_>) -> Result<Vec<[f32; PIXELS]>, String> {
    if input.datatype != "FP32" {
        return Err(format!("inputs[0].datatype: is {}, must be FP32", input.datatype));
    }
    let count = match input.shape.as_slice() {
        [PIXELS] => 1,
        [count @ 1..=MAX_ROWS, PIXELS] => *count,
        shape => {
            return Err(format!(
                "inputs[0].shape: is {shape:?}, must be [n, {PIXELS}] with n from 1 to {MAX_ROWS}, or [{PIXELS}]"
            ));
        }
    };
    let TensorData { values, nesting } = &input.data;
    let expected = count * PIXELS;
    if values.len() != expected {
        return Err(format!(
            "inputs[0].data: has {} values, the shape {:?} needs {expected}",
            values.len(),
            input.shape
        ));
    }
    if nesting.len() > 1 && *nesting != input.shape {
        return Err(format!("inputs[0].data: is nested as {nesting:?}, the shape is {:?}", input.shape));
    }
    let (rows, _) = values.as_chunks::<PIXELS>();
    Ok(rows.to_vec())
}

#[derive(Serialize)]
struct Answer<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: [Output; 1],
}

#[derive(Serialize)]
struct Output {
    name: &'static str,
    datatype: &'static str,
    shape: [usize; 1],
    data: Vec<i64>,
}

/// The answer's body. With `wrong` each digit is replaced by the next one (9 by 0).
pub(super) fn answer(served: &Served, request: &InferRequest<'_>, wrong: bool) -> Vec<u8> {
    let predict = |row| {
        let digit = i64::from(served.model.predict(row));
        if wrong { (digit + 1) % 10 } else { digit }
    };
    let data: Vec<_> = request.rows.iter().map(predict).collect();
    let answer = Answer {
        model_name: &served.name,
        model_version: &served.version,
        id: request.id.as_deref(),
        outputs: [Output { name: OUTPUT_NAME, datatype: "INT64", shape: [data.len()], data }],
    };
    serde_json::to_vec(&answer).expect("strings and whole numbers always have a JSON form")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::models::Echo;

    fn tensor(shape: Value, data: Value) -> Value {
        json!({"inputs": [{"name": "pixels", "shape": shape, "datatype": "FP32", "data": data}]})
    }

    fn parsed(body: &Value) -> Result<Vec<f32>, String> {
        parse(body.to_string().as_bytes()).map(|r| r.rows.iter().map(|row| row[0]).collect())
    }

    #[test]
    fn one_row_and_several_flat_and_nested_are_read() {
        let row = |first| [vec![first], vec![0; 63]].concat();
        assert_eq!(parsed(&tensor(json!([64]), json!(row(7)))), Ok(vec![7.0]));
        assert_eq!(parsed(&tensor(json!([1, 64]), json!([row(7)]))), Ok(vec![7.0]));
        let flat = [row(1), row(2), row(3)].concat();
        assert_eq!(parsed(&tensor(json!([3, 64]), json!(flat))), Ok(vec![1.0, 2.0, 3.0]));
        let nested = json!([row(1), row(2), row(3)]);
        assert_eq!(parsed(&tensor(json!([3, 64]), nested)), Ok(vec![1.0, 2.0, 3.0]));
    }

    #[test]
    fn the_order_of_the_fields_and_unknown_fields_do_not_matter() {
        let data = vec!["5"; 64].join(",");
        let body = format!(
            r#"{{"parameters":{{"x":1}},"inputs":[{{"data":[{data}],"datatype":"FP32","shape":[1,64],
                "name":"a\"b","parameters":{{}}}}],"outputs":[{{"name":"digit"}}],"id":"r\u00e9"}}"#
        );
        let request = parse(body.as_bytes()).unwrap();
        assert_eq!((request.id.as_deref(), request.rows), (Some("ré"), vec![[5.0; PIXELS]]));
    }

    #[test]
    fn wrong_requests_are_refused_by_field() {
        let zeros = |n: usize| json!(vec![0; n]);
        let mut int = tensor(json!([1, 64]), zeros(64));
        int["inputs"][0]["datatype"] = json!("INT8");
        let mut output = tensor(json!([1, 64]), zeros(64));
        output["outputs"] = json!([{"name": "logits"}]);
        let mut none = tensor(json!([1, 64]), zeros(64));
        none["inputs"] = json!([]);
        let binary = json!({"inputs": [{"name": "pixels", "shape": [1, 64], "datatype": "FP32",
            "parameters": {"binary_data_size": 256}}]});
        for (body, why) in [
            (tensor(json!([1, 63]), zeros(63)), "inputs[0].shape"),
            (tensor(json!([0, 64]), zeros(0)), "inputs[0].shape"),
            (tensor(json!([8, 8]), zeros(64)), "inputs[0].shape"),
            (tensor(json!([2000, 64]), zeros(0)), "inputs[0].shape"),
            (tensor(json!([-1, 64]), zeros(64)), "invalid value"),
            (tensor(json!([2, 64]), zeros(64)), "inputs[0].data: has 64 values"),
            (tensor(json!([2, 64]), json!(vec![vec![0; 32]; 4])), "nested as [4, 32]"),
            (int, "inputs[0].datatype"),
            (output, "`logits` is unknown"),
            (none, "inputs: has 0 tensors"),
            (binary, "missing field `data`"),
            (json!({}), "missing field `inputs`"),
            (json!([]), "no infer request"),
        ] {
            let error = parsed(&body).unwrap_err();
            assert!(error.contains(why), "{body}: {error}");
        }
        assert!(parse(b"{\"inputs\": [").is_err());
        assert!(parse(b"\xff").is_err());
    }

    #[test]
    fn answers_name_the_model_and_give_back_the_id() {
        let served = Served { name: "digits".into(), version: "v1".into(), model: Arc::new(Echo) };
        let request = InferRequest { id: Some("a".into()), rows: vec![[4.0; PIXELS], [9.0; PIXELS]] };
        let read = |wrong| serde_json::from_slice::<Value>(&answer(&served, &request, wrong)).unwrap();
        let expected = json!({"model_name": "digits", "model_version": "v1", "id": "a",
            "outputs": [{"name": "digit", "datatype": "INT64", "shape": [2], "data": [4, 9]}]});
        assert_eq!(read(false), expected);
        assert_eq!(read(true)["outputs"][0]["data"], json!([5, 0]));
        let anonymous = InferRequest { id: None, rows: vec![] };
        let body = answer(&served, &anonymous, false);
        assert!(serde_json::from_slice::<Value>(&body).unwrap().get("id").is_none());
    }
}
