//! The server over real loopback connections.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::models::Echo;

struct Server {
    address: SocketAddr,
    faults: Arc<Faults>,
    task: JoinHandle<Infallible>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let faults = Arc::new(Faults::new(1));
        let served = Served {
            name: "digits".into(),
            version: "v1".into(),
            model: Arc::new(Echo),
        };
        let task = tokio::spawn(serve(listener, served, faults.clone()));
        Self {
            address,
            faults,
            task,
        }
    }

    async fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Client(sender)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Client(SendRequest<Full<Bytes>>);

impl Client {
    async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> hyper::Result<(StatusCode, Value)> {
        self.0.ready().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "test");
        let answer = self
            .0
            .send_request(request.body(Full::new(body.into())).unwrap())
            .await?;
        let status = answer.status();
        assert_eq!(answer.headers()["content-type"], "application/json");
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&body).unwrap()))
    }

    async fn get(&mut self, path: &str) -> (StatusCode, Value) {
        self.call(Method::GET, path, "").await.unwrap()
    }

    async fn infer(&mut self, body: &Value) -> hyper::Result<(StatusCode, Value)> {
        self.call(Method::POST, "/v2/models/digits/infer", body.to_string())
            .await
    }

    async fn set_fault(&mut self, fault: Value) -> (StatusCode, Value) {
        self.call(Method::POST, "/fault", fault.to_string())
            .await
            .unwrap()
    }
}

fn image(first: u8) -> Value {
    let mut pixels = vec![0; 64];
    pixels[0] = first;
    let input = json!({"name": INPUT_NAME, "shape": [1, 64], "datatype": "FP32", "data": pixels});
    json!({"id": "r-1", "inputs": [input]})
}

#[tokio::test]
async fn the_protocol_is_spoken_on_one_connection() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for (path, expected) in [
        ("/v2/health/live", json!({"live": true})),
        ("/v2/health/ready", json!({"ready": true})),
        (
            "/v2/models/digits/ready",
            json!({"name": "digits", "ready": true}),
        ),
        (
            "/v2/models/digits/versions/v1/ready?x=y",
            json!({"name": "digits", "ready": true}),
        ),
    ] {
        assert_eq!(client.get(path).await, (StatusCode::OK, expected), "{path}");
    }
    assert_eq!(client.get("/v2").await.1["name"], "serinus-model-server");
    let (_, metadata) = client.get("/v2/models/digits").await;
    assert_eq!(
        (&metadata["name"], &metadata["versions"]),
        (&json!("digits"), &json!(["v1"]))
    );
    assert_eq!(metadata["inputs"][0]["shape"], json!([-1, 64]));

    for path in [
        "/v2/models/digits/infer",
        "/v2/models/digits/versions/v1/infer",
    ] {
        let (status, answer) = client
            .call(Method::POST, path, image(6).to_string())
            .await
            .unwrap();
        assert_eq!(status, StatusCode::OK);
        let digit = json!({"name": "digit", "datatype": "INT64", "shape": [1], "data": [6]});
        let expected =
            json!({"model_name": "digits", "model_version": "v1", "id": "r-1", "outputs": [digit]});
        assert_eq!(answer, expected);
    }
}

#[tokio::test]
async fn what_cannot_be_answered_is_an_error_with_a_reason() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let infer = "/v2/models/digits/infer";
    for (method, path, body, status, why) in [
        (
            Method::POST,
            infer,
            "{",
            StatusCode::BAD_REQUEST,
            "no infer request",
        ),
        (
            Method::POST,
            infer,
            "{\"inputs\": []}",
            StatusCode::BAD_REQUEST,
            "exactly one",
        ),
        (
            Method::GET,
            infer,
            "",
            StatusCode::METHOD_NOT_ALLOWED,
            "POST",
        ),
        (
            Method::POST,
            "/v2/health/live",
            "",
            StatusCode::METHOD_NOT_ALLOWED,
            "GET",
        ),
        (
            Method::POST,
            "/v2/models/cats/infer",
            "",
            StatusCode::NOT_FOUND,
            "model `cats`",
        ),
        (
            Method::GET,
            "/v2/models/digits/versions/v2",
            "",
            StatusCode::NOT_FOUND,
            "version `v2`",
        ),
        (Method::GET, "/v3", "", StatusCode::NOT_FOUND, "/v3"),
        (
            Method::POST,
            "/fault",
            "{\"error_rte\": 1}",
            StatusCode::BAD_REQUEST,
            "error_rte",
        ),
        (
            Method::POST,
            "/fault",
            "{\"error_rate\": 2}",
            StatusCode::BAD_REQUEST,
            "error_rate: is 2",
        ),
    ] {
        let (seen, answer) = client.call(method, path, body).await.unwrap();
        let reason = answer["error"].as_str().unwrap();
        assert!(
            seen == status && reason.contains(why),
            "{path} {body}: {seen} {answer}"
        );
    }
    let huge = vec![b' '; (2 << 20) + 1];
    let (status, answer) = client.call(Method::POST, infer, huge).await.unwrap();
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{answer}");
}

#[tokio::test]
async fn faults_are_switched_on_and_off_over_http() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let (status, report) = client
        .set_fault(json!({"error_rate": 1.0, "status": 503}))
        .await;
    assert_eq!((status, &report["status"]), (StatusCode::OK, &json!(503)));
    let (status, answer) = client.infer(&image(1)).await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer["error"].is_string());
    assert_eq!(client.get("/v2/health/ready").await.0, StatusCode::OK);

    client.set_fault(json!({"wrong_rate": 1})).await;
    let (_, answer) = client.infer(&image(1)).await.unwrap();
    assert_eq!(answer["outputs"][0]["data"], json!([2]));

    client.set_fault(json!({})).await;
    let (_, answer) = client.infer(&image(1)).await.unwrap();
    assert_eq!(answer["outputs"][0]["data"], json!([1]));
    let (_, report) = client.get("/fault").await;
    assert_eq!(
        (&report["infer_requests"], &report["injected_errors"]),
        (&json!(3), &json!(1))
    );
}

#[tokio::test]
async fn extra_latency_delays_the_answer() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client.set_fault(json!({"latency_ms": 60})).await;
    let start = Instant::now();
    let (status, _) = client.infer(&image(1)).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn a_call_hangs_until_it_is_released() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let mut operator = server.connect().await;
    operator.set_fault(json!({"hang": true})).await;
    let hanging = tokio::spawn(async move { client.infer(&image(3)).await });
    while server.faults.report().infer_requests == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(operator.get("/v2/health/ready").await.0, StatusCode::OK);
    assert!(!hanging.is_finished());
    operator.set_fault(json!({})).await;
    assert_eq!(hanging.await.unwrap().unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn refusing_cuts_every_call_but_the_switch() {
    let server = Server::start().await;
    let mut operator = server.connect().await;
    operator.set_fault(json!({"refuse": true})).await;
    for path in ["/v2/models/digits/infer", "/v2/health/live"] {
        let mut client = server.connect().await;
        let cut = client.call(Method::GET, path, "").await.unwrap_err();
        assert!(
            cut.is_incomplete_message() || cut.is_closed() || cut.is_canceled(),
            "{cut:?}"
        );
    }
    operator.set_fault(json!({})).await;
    let mut client = server.connect().await;
    assert_eq!(client.infer(&image(3)).await.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn dropping_the_server_closes_connections_and_port() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client.get("/v2").await;
    server.task.abort();
    while !server.task.is_finished() {
        tokio::task::yield_now().await;
    }
    assert!(client.infer(&image(3)).await.is_err());
    assert!(TcpStream::connect(server.address).await.is_err());
}
