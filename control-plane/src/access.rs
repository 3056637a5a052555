//! Who may do what: callers prove who they are, and a table says what each call takes.

pub mod callers;
pub mod gate;
pub mod guard;
mod names;
pub mod policy;
pub mod refusals;
mod role;

#[cfg(test)]
mod tests;

pub use callers::{Callers, CallersError};
pub use gate::{Access, Caller, Shown};
pub use guard::Guard;
pub use names::Names;
pub use role::Role;
