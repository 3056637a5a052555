//! The control plane of Serinus: a durable event log, the engine that decides, and the surfaces around it.

pub mod access;
pub mod app;
pub mod config;
pub mod engine;
pub mod failpoint;
mod gates;
pub mod grpc;
pub mod http;
mod keeper;
pub mod listen;
pub mod maintenance;
pub mod metrics;
mod notify;
mod outbound;
mod protojson;
mod reload;
pub mod store;
