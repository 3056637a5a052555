use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Answers one call with these bytes; gives what was asked.
async fn server(answer: Vec<u8>) -> (String, impl Future<Output = String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?x=1", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let n = stream.read(&mut asked).await.unwrap();
        // The caller may be gone: it reads no more than it wants.
        let _ = stream.write_all(&answer).await;
        String::from_utf8(asked[..n].to_vec()).unwrap()
    });
    (url, async { asked.await.unwrap() })
}

fn caller(url: &str) -> Caller {
    Caller::new(url, None, Duration::from_secs(20)).unwrap()
}

fn post(body: &'static str) -> Request<Bytes> {
    let request = Request::post("/").header("x-test", "1");
    request.body(Bytes::from_static(body.as_bytes())).unwrap()
}

#[tokio::test]
async fn a_call_goes_to_its_path_and_brings_the_answer() {
    let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 4\r\nx-a: b\r\n\r\ndone";
    let (url, asked) = server(answer.to_vec()).await;
    let answer = caller(&url).call(post("hello"), 100).await.unwrap();
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(
        (&answer.body[..], &answer.headers["x-a"]),
        (&b"done"[..], &HeaderValue::from_static("b"))
    );
    assert!(answer.whole);
    let asked = asked.await.to_lowercase();
    assert!(asked.starts_with("post /hook?x=1 http/1.1\r\n"), "{asked}");
    assert!(
        asked.contains("host: 127.0.0.1:") && asked.ends_with("hello"),
        "{asked}"
    );
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (elsewhere, _) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    let answer = format!("HTTP/1.1 307 T\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n");
    let (url, _asked) = server(answer.into_bytes()).await;
    let answer = caller(&url).call(post(""), 100).await.unwrap();
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
}

#[tokio::test]
async fn of_a_long_answer_no_more_is_read_than_was_asked_for() {
    let mut long = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n".to_vec();
    long.resize(2000, b'x');
    let (url, _asked) = server(long.clone()).await;
    let answer = caller(&url).call(post(""), 100).await.unwrap();
    assert!(!answer.whole && answer.body.len() >= 100, "{answer:?}");
    let (url, _asked) = server(long).await;
    let answer = caller(&url).call(post(""), 0).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
    assert!(!answer.whole);
}

#[tokio::test]
async fn silence_refusal_and_nonsense_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let patient = Caller::new(&url, None, Duration::from_millis(50)).unwrap();
    let error = patient.call(post(""), 1).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { .. }), "{error}");
    drop(listener);
    let error = caller(&url).call(post(""), 1).await.unwrap_err();
    assert!(matches!(error, CallError::Connect { .. }), "{error}");
    let (url, _asked) = server(b"what?\r\n\r\n".to_vec()).await;
    let error = caller(&url).call(post(""), 1).await.unwrap_err();
    assert!(matches!(error, CallError::Broken { .. }), "{error}");
}
