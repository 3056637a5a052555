//! The sidecar: routes local inference calls between model versions, measures what happens, and reports it.

pub mod admin;
pub mod app;
pub mod breaker;
mod classify;
pub mod config;
#[cfg(test)]
mod fake;
mod fast;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod h2;
mod head;
pub mod inspect;
pub mod kill;
pub mod limits;
pub mod listen;
pub mod meter;
mod net;
pub mod outcomes;
mod pool;
mod proxy;
pub mod report;
pub mod rewrite;
mod route;
pub mod shared;
pub mod sync;
pub mod table;
pub mod tls;
pub mod worker;
