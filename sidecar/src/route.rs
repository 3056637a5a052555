//! Which variant answers a request. Pure: randomness is passed in.

pub(crate) mod key;
pub(crate) mod kind;
pub(crate) mod path;
pub(crate) mod split;
