//! What both daemons need from the outside world: configuration in layers, logs, shutdown, back-off, TLS.

pub mod backoff;
pub mod config;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
