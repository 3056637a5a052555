//! Which variant answers a request. Pure: randomness is passed in.

pub(crate) mod json;
pub(crate) mod key;
pub(crate) mod kind;
pub(crate) mod message;
pub(crate) mod named;
pub(crate) mod path;
pub(crate) mod pointer;
pub(crate) mod split;
pub(crate) mod targeting;
