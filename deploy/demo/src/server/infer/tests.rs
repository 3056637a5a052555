//! Requests that are read and refused, and what answers look like.

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
    assert_eq!(
        parsed(&tensor(json!([1, 64]), json!([row(7)]))),
        Ok(vec![7.0])
    );
    let flat = [row(1), row(2), row(3)].concat();
    assert_eq!(
        parsed(&tensor(json!([3, 64]), json!(flat))),
        Ok(vec![1.0, 2.0, 3.0])
    );
    let nested = json!([row(1), row(2), row(3)]);
    assert_eq!(
        parsed(&tensor(json!([3, 64]), nested)),
        Ok(vec![1.0, 2.0, 3.0])
    );
}

#[test]
fn the_order_of_the_fields_and_unknown_fields_do_not_matter() {
    let data = vec!["5"; 64].join(",");
    let body = format!(
        r#"{{"parameters":{{"x":1}},"inputs":[{{"data":[{data}],"datatype":"FP32","shape":[1,64],
            "name":"a\"b","parameters":{{}}}}],"outputs":[{{"name":"digit"}}],"id":"r\u00e9"}}"#
    );
    let request = parse(body.as_bytes()).unwrap();
    assert_eq!(
        (request.id.as_deref(), request.rows),
        (Some("ré"), vec![[5.0; PIXELS]])
    );
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
        (
            tensor(json!([2, 64]), zeros(64)),
            "inputs[0].data: has 64 values",
        ),
        (
            tensor(json!([2, 64]), json!(vec![vec![0; 32]; 4])),
            "nested as [4, 32]",
        ),
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
    let served = Served {
        name: "digits".into(),
        version: "v1".into(),
        model: Arc::new(Echo),
    };
    let request = InferRequest {
        id: Some("a".into()),
        rows: vec![[4.0; PIXELS], [9.0; PIXELS]],
    };
    let read = |wrong| serde_json::from_slice::<Value>(&answer(&served, &request, wrong)).unwrap();
    let expected = json!({"model_name": "digits", "model_version": "v1", "id": "a",
        "outputs": [{"name": "digit", "datatype": "INT64", "shape": [2], "data": [4, 9]}]});
    assert_eq!(read(false), expected);
    assert_eq!(read(true)["outputs"][0]["data"], json!([5, 0]));
    let anonymous = InferRequest {
        id: None,
        rows: vec![],
    };
    let body = answer(&served, &anonymous, false);
    assert!(
        serde_json::from_slice::<Value>(&body)
            .unwrap()
            .get("id")
            .is_none()
    );
}
