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
    let body: Body<'_> = serde_json::from_slice(body)
        .map_err(|error| format!("the body is no infer request: {error}"))?;
    let unknown = body
        .outputs
        .iter()
        .flatten()
        .find(|output| output.name != OUTPUT_NAME);
    if let Some(output) = unknown {
        return Err(format!(
            "outputs: `{}` is unknown; the only output is `{OUTPUT_NAME}`",
            output.name
        ));
    }
    let [input] = body.inputs.as_slice() else {
        return Err(format!(
            "inputs: has {} tensors, must have exactly one",
            body.inputs.len()
        ));
    };
    Ok(InferRequest {
        rows: rows(input)?,
        id: body.id,
    })
}

fn rows(input: &Tensor<'_>) -> Result<Vec<[f32; PIXELS]>, String> {
    if input.datatype != "FP32" {
        return Err(format!(
            "inputs[0].datatype: is {}, must be FP32",
            input.datatype
        ));
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
        return Err(format!(
            "inputs[0].data: is nested as {nesting:?}, the shape is {:?}",
            input.shape
        ));
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
        outputs: [Output {
            name: OUTPUT_NAME,
            datatype: "INT64",
            shape: [data.len()],
            data,
        }],
    };
    serde_json::to_vec(&answer).expect("strings and whole numbers always have a JSON form")
}

#[cfg(test)]
mod tests;
