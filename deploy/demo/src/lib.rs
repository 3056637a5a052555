//! Real models, real model servers and real traffic: what `serinus demo` and the end-to-end tests run.
//!
//! - [`models`]: classifiers of handwritten digits, trained at start on a data set that ships inside a crate.
//! - [`server`]: a model server that speaks the Open Inference Protocol v2 over HTTP/1.1 and can be made to fail.
//! - [`traffic`]: an open-loop load generator that plays the users, and sends true labels later as outcomes.

pub mod models;
pub mod server;
pub mod story;
pub mod traffic;
