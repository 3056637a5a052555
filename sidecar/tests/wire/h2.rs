//! HTTP/2: the same random calls direct and through the sidecar.

mod compare;
mod corpus;
mod differential;
mod frame;
mod head;
mod message;
mod peer;
mod server;
mod world;
