//! What a command prints: for people, or as JSON or YAML with the same fields everywhere.

pub mod json;
pub(crate) mod table;
pub(crate) mod words;
