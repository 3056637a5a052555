//! What every part of Serinus shares: buckets and splits, fences, result classes, latency sketches, distinct-key
//! estimates, prediction ids, the rules of rewrites and of targeting. Pure: no I/O, no clock, no random source.

pub mod allocation;
pub mod bucket;
pub mod class;
pub mod digest;
pub mod distinct;
pub mod fence;
pub mod ppm;
pub mod prediction_id;
pub mod rewrite;
pub mod sketch;
pub mod targeting;
