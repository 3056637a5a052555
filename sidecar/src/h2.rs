//! HTTP/2: gRPC calls are relayed frame by frame between clients' connections and those to endpoints.
//!
//! Heads are read to route and to class, bodies pass as they came, and no call has a task of its own: whatever comes in
//! is written to the other side's buffer at once, so that many calls share one read and one write. Everything but plain
//! gRPC calls goes to the general path, over a connection within the process.

mod block;
mod call;
mod client;
mod flood;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod head;
mod hpack;
mod link;
mod messages;
mod origin;
mod pipe;
mod port;
mod window;

pub(crate) use client::serve;
pub(crate) use origin::Pool;
