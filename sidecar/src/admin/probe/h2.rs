//! Questions over HTTP/2: readiness over gRPC, and HTTP where a server speaks nothing else.

use super::ask::{Asking, Trouble, Unready};
use super::http::LONGEST;
use super::question::{Known, Verdict, grpc_verdict};
use crate::net::{self, Stream};
use crate::table::Scheme;
use crate::tls::{Dial, Offer};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

const MODEL_READY: &str = "/inference.GRPCInferenceService/ModelReady";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// Asks for the model, then for the server; what it understood, if it is ready.
pub(super) async fn ask(asking: &Asking, known: Known, dial: &Dial) -> Result<Known, Unready> {
    let model = framed(&asking.model);
    let questions = [
        (Known::GrpcModel, MODEL_READY, model),
        (Known::GrpcHealth, HEALTH, framed("")),
    ];
    for (what, path, message) in questions {
        // Of a server that has answered before, nothing else is asked.
        if matches!(known, Known::GrpcModel | Known::GrpcHealth) && known != what {
            continue;
        }
        match call(asking, path, message, dial).await? {
            Verdict::Ready => return Ok(what),
            Verdict::NotReady(why) => return Err(why.into()),
            Verdict::Unknown => {}
        }
    }
    Ok(Known::NoService)
}

/// A message whose first field is a text, with the five bytes before it. Names have at most 253 characters.
fn framed(text: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !text.is_empty() {
        message.push(0x0a);
        prost::encoding::encode_varint(text.len() as u64, &mut message);
        message.extend_from_slice(text.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(0).to_be_bytes();
    [&[0][..], &length, &message].concat()
}

async fn call(
    asking: &Asking,
    path: &str,
    message: Vec<u8>,
    dial: &Dial,
) -> Result<Verdict, String> {
    let connected = net::connect(&asking.address, dial, Offer::Http2).await;
    let (connection, _) = connected.map_err(|error| format!("takes no connection: {error}"))?;
    let scheme = match asking.address.scheme() {
        Scheme::Https => "https",
        _ => "http",
    };
    let path = format!("{}{path}", asking.address.prefix());
    let request = Request::post(uri(asking, scheme, &path))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from(message)))
        .map_err(|error| format!("cannot be asked: {error}"))?;
    let (head, body, trailers) = exchange(request, connection)
        .await
        .map_err(|error| format!("does not answer: {error}"))?;
    let status = |headers: &HeaderMap| {
        let status = headers.get("grpc-status")?.to_str().ok()?;
        Some(status.to_owned())
    };
    let status = status(&head.1).or_else(|| status(&trailers));
    Ok(match status {
        Some(status) => grpc_verdict(&status, &body),
        // No gRPC server.
        None if head.0.is_server_error() => Verdict::NotReady(format!("says {}", head.0)),
        None => Verdict::Unknown,
    })
}

/// Status and body of a question over HTTP.
pub(super) async fn get(
    asking: &Asking,
    scheme: &str,
    path: &str,
    connection: Stream,
) -> Result<(StatusCode, Vec<u8>), Trouble> {
    let request = Request::get(uri(asking, scheme, path)).body(Full::default());
    let request = request.map_err(|error| Trouble::Other(format!("cannot be asked: {error}")))?;
    let (head, body, _) = exchange(request, connection)
        .await
        .map_err(|error| Trouble::Other(format!("does not answer: {error}")))?;
    Ok((head.0, body))
}

fn uri(asking: &Asking, scheme: &str, path: &str) -> String {
    format!("{scheme}://{}{path}", asking.address.authority())
}

type Answer = ((StatusCode, HeaderMap), Vec<u8>, HeaderMap);

async fn exchange(request: Request<Full<Bytes>>, connection: Stream) -> hyper::Result<Answer> {
    let io = TokioIo::new(connection);
    let (mut send, connection) = http2::handshake(TokioExecutor::new(), io).await?;
    let answer = async { read(send.send_request(request).await?).await };
    driven(answer, connection).await
}

async fn read(answer: Response<Incoming>) -> hyper::Result<Answer> {
    let (head, body) = answer.into_parts();
    let collected = Limited::new(body, LONGEST).collect().await;
    let (body, trailers) = collected.map_or_else(
        |_| Default::default(),
        |body| {
            let trailers = body.trailers().cloned().unwrap_or_default();
            (body.to_bytes().to_vec(), trailers)
        },
    );
    Ok(((head.status, head.headers), body, trailers))
}

/// The connection is driven only as long as the answer is waited for, and closed then.
async fn driven<A, C>(answer: A, connection: C) -> hyper::Result<Answer>
where
    A: Future<Output = hyper::Result<Answer>>,
    C: Future<Output = hyper::Result<()>>,
{
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}
