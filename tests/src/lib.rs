//! What the end-to-end tests share: real processes on free loopback ports, waited for by conditions.

pub mod callers;
pub mod client;
pub mod cluster;
pub mod eventually;
pub mod load;
pub mod oracle;
pub mod page;
pub mod process;
pub mod receiver;
pub mod web;
pub mod world;
