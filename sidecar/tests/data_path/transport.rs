//! What connections are made of: TLS, Unix domain sockets, HTTP/2 without gRPC.

use crate::certificates::Authority;
use crate::client::{Client, body, h2_over, infer};
use crate::sidecar::Setup;
use crate::upstream::{Model, Upstream, full};
use http::{Request, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use serinus_common::class::Class;
use serinus_sidecar::tls::{Accept, Dial, Tls};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpStream, UnixListener, UnixStream};

/// No test waits for longer.
const LONG: Duration = Duration::from_secs(60);

/// Says what it was asked over, for which host, under which path.
async fn mirror(request: Request<hyper::body::Incoming>) -> Response<crate::upstream::AnswerBody> {
    let host = request.headers().get("host").cloned();
    let host = host.map(|host| host.to_str().unwrap().to_owned());
    let authority = request.uri().authority().map(ToString::to_string);
    let text = format!(
        "{:?} {} {}",
        request.version(),
        host.or(authority).unwrap_or_default(),
        request.uri().path()
    );
    request.into_body().collect().await.unwrap();
    Response::new(full(text))
}

fn trusting(ca: &Authority) -> Arc<Dial> {
    Arc::new(Dial::load("tls.upstream", Some(ca.root()), None).unwrap())
}

fn dial(ca: &Authority) -> Tls {
    Tls {
        dial: trusting(ca),
        ..Tls::plain()
    }
}

#[tokio::test]
async fn an_https_endpoint_chooses_its_protocol() {
    let ca = Authority::new();
    for (alpn, spoken) in [
        (&["h2", "http/1.1"][..], "HTTP/2.0"),
        (&["http/1.1"][..], "HTTP/1.1"),
        (&[][..], "HTTP/1.1"),
    ] {
        let upstream = Upstream::tls(ca.server("localhost", alpn), mirror).await;
        let mut setup = Setup::new(&upstream.url, &upstream.url, 0.0);
        setup.tls = dial(&ca);
        let sidecar = setup.start();
        let mut client = Client::connect(sidecar.addr).await;
        for _ in 0..3 {
            let got = client.infer("ana").await;
            let wanted = format!("{spoken} ml.local /v2/models/m/infer");
            assert_eq!((got.status, got.text), (StatusCode::OK, wanted), "{alpn:?}");
        }
        assert_eq!(upstream.connected(), 1, "one connection for all: {alpn:?}");
        let counted = sidecar.finish().await;
        assert_eq!(counted.of("v1").class(Class::Ok), 3);
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_verified_gets_no_request() {
    let (ca, stranger) = (Authority::new(), Authority::new());
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let server = stranger.server("localhost", &["http/1.1"]);
    let impostor = Upstream::tls(server, move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Response::new(full("mine")) }
    })
    .await;
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let mut setup = Setup::new(&stable.url, &impostor.url, 1.0);
    setup.tls = dial(&ca);
    let sidecar = setup.start();
    let got = Client::connect(sidecar.addr).await.infer("ana").await;
    assert_eq!((got.status, got.variant()), (StatusCode::OK, "v1"));
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v2").class(Class::Connect), 1);
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_model_may_trust_another_ca_than_the_rest() {
    let (usual, own) = (Authority::new(), Authority::new());
    let stable = Upstream::tls(own.server("localhost", &["http/1.1"]), mirror).await;
    let canary = Upstream::tls(usual.server("localhost", &["http/1.1"]), mirror).await;
    for (model, classes) in [("m", [1, 0, 1]), ("other", [0, 1, 0])] {
        let mut setup = Setup::new(&stable.url, &canary.url, 1.0);
        setup.tls = dial(&usual);
        setup.tls.models = [(model.to_owned(), trusting(&own))].into();
        let sidecar = setup.start();
        let got = Client::connect(sidecar.addr).await.infer("ana").await;
        assert_eq!(got.status, StatusCode::OK);
        let counted = sidecar.finish().await;
        let canary = counted.of("v2");
        let seen = [
            canary.class(Class::Connect),
            canary.class(Class::Ok),
            canary.rescued,
        ];
        assert_eq!(seen, classes, "{model}");
    }
}

#[tokio::test]
async fn an_h2c_endpoint_is_spoken_to_in_http2() {
    let upstream = Upstream::h2(mirror).await;
    let url = upstream.url.replace("http://", "h2c://");
    let sidecar = Setup::new(&url, &url, 0.0).start();
    let mut client = Client::connect(sidecar.addr).await;
    for _ in 0..2 {
        let got = client.infer("ana").await;
        assert_eq!(got.text, "HTTP/2.0 ml.local /v2/models/m/infer");
    }
    assert_eq!(upstream.connected(), 1);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_model_behind_a_unix_socket_is_reached() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(Upstream::serve_h1(stream, mirror));
        }
    });
    let url = format!("unix:{}:/base", path.display());
    let sidecar = Setup::new(&url, &url, 0.0).start();
    let got = Client::connect(sidecar.addr).await.infer("ana").await;
    assert_eq!(got.text, "HTTP/1.1 ml.local /base/v2/models/m/infer");
    // No prediction: not counted, and without a host.
    let bare = Request::get("/v2/models/m/x").version(Version::HTTP_10);
    let bare = bare.body(body("")).unwrap();
    let got = Client::connect(sidecar.addr).await.get(bare).await;
    assert_eq!(got.text, "HTTP/1.1 localhost /base/v2/models/m/x");
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Ok), 1);
}

#[tokio::test]
async fn applications_may_come_over_a_unix_socket_too() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sidecar.sock");
    let mut setup = Setup::new(&stable.url, &stable.url, 0.0);
    setup.workers = 2;
    let listen = format!("unix:{}", path.display()).parse().unwrap();
    setup.listen.push(listen);
    let sidecar = setup.start();
    for _ in 0..4 {
        let stream = UnixStream::connect(&path).await.unwrap();
        let got = Client::over(stream).await.infer("ana").await;
        assert_eq!((got.status, got.text.as_str()), (StatusCode::OK, "v1:2"));
    }
    let got = Client::connect(sidecar.addr).await.infer("ana").await;
    assert_eq!(got.status, StatusCode::OK);
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Ok), 5);
}

#[tokio::test]
async fn applications_speak_tls_and_plainly_where_both_are_allowed() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let ca = Authority::new();
    for plaintext in [false, true] {
        let mut setup = Setup::new(&stable.url, &stable.url, 0.0);
        let identity = ca.identity("localhost");
        setup.tls.accept = Some(Accept::load(identity, None, plaintext).unwrap());
        let sidecar = setup.start();
        let over_h1 = ca.connect(sidecar.addr, &["http/1.1"]).await.unwrap();
        let got = Client::over(over_h1).await.infer("ana").await;
        assert_eq!((got.status, got.text.as_str()), (StatusCode::OK, "v1:2"));
        let over_h2 = ca.connect(sidecar.addr, &["h2", "http/1.1"]).await.unwrap();
        assert_eq!(over_h2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut send = h2_over(over_h2).await;
        let answer = send.send_request(infer("ana", "{}")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let large = "x".repeat(300_000);
        let answer = send.send_request(infer("ana", large)).await.unwrap();
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, "v1:300000");
        let plain = TcpStream::connect(sidecar.addr).await.unwrap();
        let io = TokioIo::new(plain);
        let (mut send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let answered = send.send_request(infer("ana", "{}")).await;
        assert_eq!(answered.is_ok(), plaintext);
        drop(send);
        sidecar.finish().await;
    }
}

#[tokio::test]
async fn large_bodies_get_through_tls_on_both_sides() {
    const SIZE: usize = 6 << 20;
    let ca = Authority::new();
    let echo = |request: Request<hyper::body::Incoming>| async {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(full(body))
    };
    let upstream = Upstream::tls(ca.server("localhost", &["http/1.1"]), echo).await;
    let mut setup = Setup::new(&upstream.url, &upstream.url, 0.0);
    setup.tls = dial(&ca);
    let identity = ca.identity("localhost");
    setup.tls.accept = Some(Accept::load(identity, None, false).unwrap());
    let sidecar = setup.start();
    let stream = ca.connect(sidecar.addr, &["http/1.1"]).await.unwrap();
    let mut client = Client::over(stream).await;
    for _ in 0..2 {
        let sent = "x".repeat(SIZE);
        let got = tokio::time::timeout(LONG, client.get(infer("ana", sent))).await;
        let got = got.expect("it stays somewhere");
        assert_eq!((got.status, got.text.len()), (StatusCode::OK, SIZE));
    }
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Ok), 2);
}

#[tokio::test]
async fn who_shows_no_certificate_is_turned_away_where_one_is_asked_for() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let ca = Authority::new();
    let mut setup = Setup::new(&stable.url, &stable.url, 0.0);
    let identity = ca.identity("localhost");
    setup.tls.accept = Some(Accept::load(identity, Some(ca.root()), false).unwrap());
    let sidecar = setup.start();
    let known = ca
        .connect_as("app", sidecar.addr, &["http/1.1"])
        .await
        .unwrap();
    let got = Client::over(known).await.infer("ana").await;
    assert_eq!(got.status, StatusCode::OK);
    // In TLS 1.3 the client hears of it only when it reads.
    if let Ok(stranger) = ca.connect(sidecar.addr, &["http/1.1"]).await {
        let io = TokioIo::new(stranger);
        let (mut send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        assert!(send.send_request(infer("ana", "{}")).await.is_err());
    }
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").class(Class::Ok), 1);
}
