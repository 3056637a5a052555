//! Calls a service in this process, through the same gates and limits as a call that comes over the network.

use super::route::Route;
use super::schema;
use axum::http::uri::PathAndQuery;
use axum::http::{Extensions, HeaderMap};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Status, Streaming};

/// The headers of a request that mean the same in a gRPC call; the others belong to HTTP.
const PASSED: [&str; 6] = [
    "authorization",
    crate::grpc::deadline::HEADER,
    "traceparent",
    "tracestate",
    "user-agent",
    super::REQUEST_ID,
];

/// Who calls, and how: what the gates look at, whichever way a call comes.
#[derive(Debug)]
pub(super) struct Caller {
    headers: HeaderMap,
    /// What the connection says of its other end.
    extensions: Extensions,
}

impl Caller {
    pub(super) fn new(headers: &HeaderMap, extensions: Extensions) -> Self {
        let mut passed = HeaderMap::new();
        for name in PASSED {
            for value in headers.get_all(name) {
                passed.append(name, value.clone());
            }
        }
        Self {
            headers: passed,
            extensions,
        }
    }

    fn request(&self, message: DynamicMessage) -> Request<DynamicMessage> {
        let metadata = MetadataMap::from_headers(self.headers.clone());
        Request::from_parts(metadata, self.extensions.clone(), message)
    }
}

/// Calls an RPC that answers once.
///
/// # Errors
/// The status of the service.
pub(super) async fn once(
    routes: &Routes,
    route: &Route,
    caller: &Caller,
    message: DynamicMessage,
) -> Result<DynamicMessage, Status> {
    let (mut client, path, codec) = parts(routes, route)?;
    let answer = client.unary(caller.request(message), path, codec).await?;
    Ok(answer.into_inner())
}

/// Calls an RPC that answers with a stream.
///
/// # Errors
/// The status of the service, unless it comes in the stream.
pub(super) async fn stream(
    routes: &Routes,
    route: &Route,
    caller: &Caller,
    message: DynamicMessage,
) -> Result<Streaming<DynamicMessage>, Status> {
    let (mut client, path, codec) = parts(routes, route)?;
    let request = caller.request(message);
    let answer = client.server_streaming(request, path, codec).await?;
    Ok(answer.into_inner())
}

fn parts(routes: &Routes, route: &Route) -> Result<(Grpc<Routes>, PathAndQuery, Dynamic), Status> {
    let method = schema::method(route.service, route.rpc);
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let path = PathAndQuery::try_from(path);
    let path = path.map_err(|_| Status::internal("an RPC has no path"))?;
    // What we say ourselves needs no bound.
    let client = Grpc::new(routes.clone()).max_decoding_message_size(usize::MAX);
    Ok((client, path, Dynamic(method.output())))
}

/// Messages by their descriptors; the one here is that of answers.
struct Dynamic(MessageDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Writer;
    type Decoder = Reader;

    fn encoder(&mut self) -> Writer {
        Writer
    }

    fn decoder(&mut self) -> Reader {
        Reader(self.0.clone())
    }
}

struct Writer;

impl Encoder for Writer {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(into)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

struct Reader(MessageDescriptor);

impl Decoder for Reader {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        DynamicMessage::decode(self.0.clone(), from)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
