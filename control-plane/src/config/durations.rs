//! Durations in the file, in the form that plans have.

use serde::{Deserialize as _, Deserializer, Serializer, de};
use serinus_core::plan::{format_duration, parse_duration};
use std::time::Duration;

pub(super) fn serialize<S: Serializer>(duration: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&format_duration(*duration))
}

pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(from)?).map_err(de::Error::custom)
}
