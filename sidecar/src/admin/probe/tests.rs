use super::*;
use crate::table::{Held, ModelSpec, Table};
use serinus_proto::v1;
use std::collections::BTreeMap as Map;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const UNKNOWN: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
const READY: &str = "GET /v2/models/m/ready";
const LIVE: &str = "GET /v2/health/live";

/// What a server answers, by the beginning of the request; 404 to everything else.
#[derive(Clone, Default)]
struct Server {
    answers: Arc<Mutex<Map<&'static str, String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn says(&self, to: &'static str, answer: impl Into<String>) -> &Self {
        self.answers.lock().unwrap().insert(to, answer.into());
        self
    }

    fn answer(&self, head: &str) -> String {
        let path = head.split(" HTTP/1.1").next().unwrap();
        self.asked.lock().unwrap().push(path.to_owned());
        let answers = self.answers.lock().unwrap();
        answers.get(path).cloned().unwrap_or_else(|| UNKNOWN.into())
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = self.clone();
        tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut head = [0; 1024];
                let n = connection.read(&mut head).await.unwrap();
                let answer = server.answer(std::str::from_utf8(&head[..n]).unwrap());
                connection.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        format!("http://{address}")
    }
}

fn spec(url: &str) -> ModelSpec {
    ModelSpec {
        name: "m".into(),
        stable_name: "v1".into(),
        stable: vec![url.to_owned()],
        ..ModelSpec::default()
    }
}

fn routes(spec: &ModelSpec) -> Vec<Arc<Route>> {
    let table = Table::compile(std::slice::from_ref(spec), &[], None).unwrap();
    table.routes().to_vec()
}

fn prober() -> Prober {
    Prober::new(Arc::new(Tls::plain()))
}

async fn look(prober: &mut Prober, routes: &[Arc<Route>], variant: &str) -> ProbedVariant {
    let probed = prober.round(routes).await;
    probed[&("m".to_owned(), variant.to_owned())].clone()
}

async fn probe(url: &str) -> ProbedVariant {
    look(&mut prober(), &routes(&spec(url)), "v1").await
}

#[tokio::test]
async fn the_models_own_readiness_counts() {
    let server = Server::default();
    let url = server.says(READY, OK).serve().await;
    let routes = routes(&spec(&url));
    let mut prober = prober();
    assert!(look(&mut prober, &routes, "v1").await.ready);
    assert!(look(&mut prober, &routes, "v1").await.ready);
    // What it understood is all that it is asked again.
    assert_eq!(server.asked(), [READY, READY]);
    server.says(READY, BUSY);
    for ready in [true, true, false] {
        assert_eq!(look(&mut prober, &routes, "v1").await.ready, ready);
    }
    let variant = look(&mut prober, &routes, "v1").await;
    assert!(variant.endpoints[&url].contains("503"), "{variant:?}");
    server.says(READY, OK);
    assert!(look(&mut prober, &routes, "v1").await.ready);
}

#[tokio::test]
async fn other_protocols_are_asked_in_their_order() {
    let list = "{\"data\":[{\"id\":\"m\"}]}";
    let list = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{list}",
        list.len()
    );
    for (to, answer, asked) in [
        ("GET /v1/models/m", OK.to_owned(), 3),
        ("GET /v1/models", list, 4),
        ("GET /ping", OK.to_owned(), 5),
        ("GET /health", OK.to_owned(), 7),
        ("GET /nothing", OK.to_owned(), 7),
    ] {
        let server = Server::default();
        let url = server.says(to, answer).serve().await;
        assert!(probe(&url).await.ready, "{to}");
        assert_eq!(server.asked().len(), asked, "{to}");
    }
    let server = Server::default();
    let url = server.says("GET /ping", BUSY).serve().await;
    assert!(!probe(&url).await.ready);
}

#[tokio::test]
async fn a_server_without_the_model_is_not_ready_where_stable_has_it() {
    let (stable, canary) = (Server::default(), Server::default());
    let (stable_url, canary_url) = (stable.serve().await, canary.serve().await);
    canary.says(LIVE, OK);
    let variant = |name: &str, url: &str| v1::Variant {
        name: name.into(),
        endpoints: vec![url.into()],
        ..Default::default()
    };
    let held = Held {
        assignment: v1::Assignment {
            model: "m".into(),
            variants: vec![variant("v1", &stable_url), variant("v2", &canary_url)],
            ..Default::default()
        },
        latched: false,
        canary_scale_ppm: 1_000_000,
        frozen: false,
    };
    let table = Table::compile(&[spec(&stable_url)], &[held], None).unwrap();
    let mut prober = prober();
    stable.says(READY, OK);
    let found = look(&mut prober, table.routes(), "v2").await;
    assert!(!found.ready && found.endpoints[&canary_url].contains("has no model m"));
    // By another name than the sidecar's: nobody knows it, and nobody is refuted by that.
    stable.says(READY, UNKNOWN).says(LIVE, OK);
    for _ in 0..3 {
        look(&mut prober, table.routes(), "v2").await;
    }
    assert!(look(&mut prober, table.routes(), "v2").await.ready);
}

#[tokio::test]
async fn a_path_of_the_file_is_all_that_is_asked() {
    let server = Server::default();
    let url = server.says(READY, OK).serve().await;
    let mut spec = spec(&url);
    spec.ready_path = Some("/warm".into());
    let routes = routes(&spec);
    assert!(!look(&mut prober(), &routes, "v1").await.ready);
    server.says("GET /warm", OK);
    assert!(look(&mut prober(), &routes, "v1").await.ready);
    assert_eq!(server.asked(), ["GET /warm", "GET /warm"]);
}

/// A gRPC server that answers `path` with a message and a status.
async fn grpc(path: &'static str, yes: bool) -> String {
    use http_body_util::{BodyExt as _, Full};
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            let service = service_fn(
                move |request: ::http::Request<hyper::body::Incoming>| async move {
                    let known = request.uri().path() == path;
                    let message = bytes::Bytes::from_static(if yes {
                        b"\0\0\0\0\x02\x08\x01"
                    } else {
                        b"\0\0\0\0\0"
                    });
                    let message = if known { message } else { bytes::Bytes::new() };
                    let mut trailers = ::http::HeaderMap::new();
                    trailers.insert(
                        "grpc-status",
                        if known { "0" } else { "12" }.parse().unwrap(),
                    );
                    let body =
                        Full::new(message).with_trailers(std::future::ready(Some(Ok(trailers))));
                    Ok::<_, std::convert::Infallible>(::http::Response::new(body))
                },
            );
            let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(serving.serve_connection(TokioIo::new(connection), service));
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn grpc_servers_are_asked_over_grpc() {
    let model = "/inference.GRPCInferenceService/ModelReady";
    let health = "/grpc.health.v1.Health/Check";
    for (path, yes, ready) in [
        (model, true, true),
        (model, false, false),
        (health, true, true),
        (health, false, false),
        ("/none", true, true),
    ] {
        let url = grpc(path, yes).await;
        let routes = routes(&spec(&url));
        let mut prober = prober();
        assert_eq!(
            look(&mut prober, &routes, "v1").await.ready,
            ready,
            "{path} {yes}"
        );
        assert_eq!(
            look(&mut prober, &routes, "v1").await.ready,
            ready,
            "{path} {yes}"
        );
    }
}

#[tokio::test]
async fn nobody_there_is_not_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let variant = probe(&url).await;
    assert!(!variant.ready);
    assert!(variant.endpoints[&url].contains("no connection"));
}

#[tokio::test(start_paused = true)]
async fn silence_is_not_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            kept.push(listener.accept().await.unwrap());
        }
    });
    assert!(!probe(&url).await.ready);
    silent.abort();
}

#[test]
fn one_failure_is_no_outage() {
    let mut health = Health::default();
    let failure = || Err("x".to_owned().into());
    health.observe(failure());
    assert!(!health.ready);
    health.observe(Ok(Known::NoQuestion));
    for _ in 0..2 {
        health.observe(failure());
        assert!(health.ready);
    }
    health.observe(failure());
    assert!(!health.ready);
}
