//! What users ask, and the truth about it.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;

use crate::models::{PIXELS, Sample};
use crate::server::INPUT_NAME;

/// One request body and, if known, the right answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Sent as `application/json`.
    pub body: Bytes,
    /// The first number of the first output, if the model is right.
    pub truth: Option<i64>,
}

/// The requests of a load: each one sends one of the payloads, drawn at random and independently of the user.
#[derive(Clone, Debug)]
pub struct Requests {
    /// The path that is posted to.
    pub path: String,
    /// What may be sent.
    pub payloads: Arc<[Payload]>,
}

impl Requests {
    /// Infer calls to `model`, one image each.
    pub fn digits(model: &str, samples: &[Sample]) -> Self {
        let payload = |sample: &Sample| Payload {
            body: infer_body(&sample.pixels),
            truth: Some(i64::from(sample.digit)),
        };
        Self {
            path: infer_path(model),
            payloads: samples.iter().map(payload).collect(),
        }
    }

    /// Infer calls to `model`, always the same image, whose first pixel is `digit`: the answer of
    /// [`Echo`](crate::models::Echo), and the truth about it.
    pub fn echo(model: &str, digit: u8) -> Self {
        let mut pixels = [0.0; PIXELS];
        pixels[0] = f32::from(digit);
        Self::constant(
            infer_path(model),
            infer_body(&pixels),
            Some(i64::from(digit)),
        )
    }

    /// The same `body` posted to `path` every time.
    pub fn constant(path: String, body: Bytes, truth: Option<i64>) -> Self {
        Self {
            path,
            payloads: [Payload { body, truth }].into(),
        }
    }
}

fn infer_path(model: &str) -> String {
    format!("/v2/models/{model}/infer")
}

/// The body of an Open Inference Protocol request for one image.
fn infer_body(pixels: &[f32; PIXELS]) -> Bytes {
    let mut data = String::with_capacity(4 * PIXELS);
    for (i, pixel) in pixels.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(data, "{comma}{pixel}").expect("a String takes any text");
    }
    let input = format!(
        r#"{{"name":"{INPUT_NAME}","shape":[1,{PIXELS}],"datatype":"FP32","data":[{data}]}}"#
    );
    format!(r#"{{"inputs":[{input}]}}"#).into()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_row_becomes_a_request_of_the_protocol_with_its_truth() {
        let mut pixels = [0.0; PIXELS];
        pixels[63] = 16.0;
        pixels[1] = 0.5;
        let requests = Requests::digits("digits", &[Sample { pixels, digit: 8 }]);
        assert_eq!(requests.path, "/v2/models/digits/infer");
        let [
            Payload {
                body,
                truth: Some(8),
            },
        ] = &*requests.payloads
        else {
            panic!("{requests:?}")
        };
        let body: Value = serde_json::from_slice(body).unwrap();
        let input = &body["inputs"][0];
        assert_eq!(input["shape"], serde_json::json!([1, 64]));
        let data: Vec<f32> = serde_json::from_value(input["data"].clone()).unwrap();
        assert_eq!(data, pixels);
    }
}
