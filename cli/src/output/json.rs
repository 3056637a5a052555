//! The contract's messages as JSON. Field names are the contract's; enumerations are the product's words
//! (`"RUNNING"`), times are RFC 3339, durations are seconds in a field that ends in `_s`, what is absent is `null`.
//! A plan has the very form that `rollout apply` reads.

mod event;
mod evidence;
mod fleet;
mod model;
mod plan;
mod replay;
mod rollout;

pub use event::event;
pub use evidence::{decision, guardrail};
pub use fleet::sidecar;
pub use model::model;
pub use plan::plan;
pub use replay::{replayed, what_if};
pub(crate) use rollout::selector;
pub use rollout::{rollout, traffic};

use crate::view::number;
use prost_types::{Duration, Timestamp};
use serde_json::Value;

fn time(time: Option<&Timestamp>) -> Value {
    time.map(|time| number::rfc3339(time).into())
        .unwrap_or_default()
}

fn seconds(duration: Option<&Duration>) -> Value {
    duration
        .map(|duration| number::seconds(duration).into())
        .unwrap_or_default()
}

/// A word, or `null` for the empty one.
fn word(word: &str) -> Value {
    match word {
        "" => Value::Null,
        word => word.into(),
    }
}
