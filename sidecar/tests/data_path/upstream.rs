//! Model servers of the tests: hyper for everything well-behaved, bare sockets for the rest.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub type AnswerBody = UnsyncBoxBody<Bytes, std::io::Error>;

pub fn full(text: impl Into<Bytes>) -> AnswerBody {
    Full::new(text.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// A model server; it ends with the test's runtime.
pub struct Upstream {
    pub url: String,
    pub connections: Arc<AtomicUsize>,
}

impl Upstream {
    pub async fn h1<F, A>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<AnswerBody>> + Send + 'static,
    {
        Self::bare(move |stream| Self::serve_h1(stream, handler.clone())).await
    }

    /// One connection.
    pub async fn serve_h1<F, A>(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        handler: F,
    ) where
        F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<AnswerBody>> + Send + 'static,
    {
        let service = service_fn(move |request| {
            let answer = handler(request);
            async { Ok::<_, Infallible>(answer.await) }
        });
        let serve = hyper::server::conn::http1::Builder::new();
        let _ = serve.serve_connection(TokioIo::new(stream), service).await;
    }

    async fn serve_h2<F, A>(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        handler: F,
    ) where
        F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<AnswerBody>> + Send + 'static,
    {
        let service = service_fn(move |request| {
            let answer = handler(request);
            async { Ok::<_, Infallible>(answer.await) }
        });
        let serve = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = serve.serve_connection(TokioIo::new(stream), service).await;
    }

    /// Speaks TLS, and in it what was agreed on.
    pub async fn tls<F, A>(config: Arc<ServerConfig>, handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<AnswerBody>> + Send + 'static,
    {
        let plain = Self::bare(move |stream| {
            let (handler, tls) = (handler.clone(), TlsAcceptor::from(Arc::clone(&config)));
            async move {
                let Ok(stream) = tls.accept(stream).await else {
                    return;
                };
                match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => Self::serve_h2(stream, handler).await,
                    _ => Self::serve_h1(stream, handler).await,
                }
            }
        })
        .await;
        Self {
            url: plain.url.replace("http://127.0.0.1", "https://localhost"),
            ..plain
        }
    }

    pub async fn h2<F, A>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<AnswerBody>> + Send + 'static,
    {
        Self::bare(move |stream| Self::serve_h2(stream, handler.clone())).await
    }

    pub async fn bare<F, A>(connection: F) -> Self
    where
        F: Fn(TcpStream) -> A + Send + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(connection(stream));
            }
        });
        Self { url, connections }
    }

    /// Nothing listens there.
    pub async fn refusing() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            connections: Arc::default(),
        }
    }

    pub fn connected(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A model that answers with its name, and can be told to fail.
#[derive(Clone)]
pub struct Model {
    name: &'static str,
    pub status: Arc<AtomicU16>,
    pub hangs: Arc<AtomicBool>,
    pub calls: Arc<AtomicU32>,
}

impl Model {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            status: Arc::new(AtomicU16::new(200)),
            hangs: Arc::default(),
            calls: Arc::default(),
        }
    }

    pub async fn serve(&self) -> Upstream {
        let model = self.clone();
        Upstream::h1(move |request| model.clone().answer(request)).await
    }

    async fn answer(self, request: Request<Incoming>) -> Response<AnswerBody> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let body = request.into_body().collect().await;
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let Ok(body) = body else {
            return Response::new(full("broken"));
        };
        let text = format!("{}:{}", self.name, body.to_bytes().len());
        let mut response = Response::new(full(text));
        *response.status_mut() = self.status.load(Ordering::SeqCst).try_into().unwrap();
        response
    }

    pub fn fail(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub fn called(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }
}
