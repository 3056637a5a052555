//! What a table is compiled from.

use crate::rewrite;
use serinus_common::prediction_id::IdKey;
use serinus_proto::v1;
use std::collections::BTreeMap;
use std::str::FromStr;
use thiserror::Error;

/// A model as the sidecar's own file names it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelSpec {
    /// The model's name.
    pub name: String,
    /// How its requests are recognised.
    pub matcher: Matcher,
    /// Name of the variant behind `stable`.
    pub stable_name: String,
    /// Stable's endpoints: the floor when nothing else is known.
    pub stable: Vec<String>,
    /// Endpoints of variants, before those that the plan names.
    pub endpoints: BTreeMap<String, Vec<String>>,
    /// What the calls of variants are changed to, before what the plan says.
    pub rewrites: BTreeMap<String, rewrite::Spec>,
    /// What the answers of gRPC streams are.
    pub stream: rewrite::StreamForm,
    /// The same of variants that differ.
    pub streams: BTreeMap<String, rewrite::StreamForm>,
    /// What is asked whether the model is ready; otherwise what its protocol has for that.
    pub ready_path: Option<String>,
    /// A fixed split for a sidecar without a control plane.
    pub split: Option<StaticSplit>,
    /// An operator of this host has stopped its canaries.
    pub killed: bool,
}

/// A fixed split.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticSplit {
    /// Canary name -> fraction, 0..=1; stable has the rest.
    pub shares: BTreeMap<String, f64>,
    /// Like `bucketing.key` in a plan.
    pub key: String,
    /// Like `bucketing.salt` in a plan.
    pub salt: String,
    /// Like `bucketing.sticky` in a plan.
    pub sticky: bool,
    /// Like `targeting` in a plan.
    pub targeting: Vec<v1::TargetingRule>,
}

/// How the requests of a model are recognised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Matcher {
    /// By the model's name, wherever a protocol has it; the only model also has everything else.
    #[default]
    Default,
    /// By the name where the Open Inference Protocol has it and by nothing else.
    Oip,
    /// By the first segments of the path.
    PathPrefix(String),
    /// By the host that the caller named, without its port.
    Host(String),
    /// Whatever no other model claims.
    Any,
}

/// The text is no matcher.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "match: {0:?} is unknown; write \"oip\", \"path:/prefix\", \"host:name\" or \"any\", or leave it out"
)]
pub struct MatcherError(String);

impl FromStr for Matcher {
    type Err = MatcherError;

    fn from_str(text: &str) -> Result<Self, MatcherError> {
        let unknown = || MatcherError(text.to_owned());
        match text.split_once(':') {
            None if text == "oip" => Ok(Self::Oip),
            None if text == "any" => Ok(Self::Any),
            None if text == "default" => Ok(Self::Default),
            Some(("path", prefix)) if prefix.starts_with('/') => {
                Ok(Self::PathPrefix(prefix.trim_end_matches('/').to_owned()))
            }
            Some(("host", host)) if !host.is_empty() => Ok(Self::Host(host.to_ascii_lowercase())),
            _ => Err(unknown()),
        }
    }
}

/// An assignment that is in force here, and what has become of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// As it was received.
    pub assignment: v1::Assignment,
    /// Its canaries are never served again.
    pub latched: bool,
    /// Of the canaries' shares: 1,000,000 is as assigned, 0 is back on stable.
    pub canary_scale_ppm: u32,
    /// The lease has run out: the breaker is twice as strict.
    pub frozen: bool,
}

/// Who issues prediction ids here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Number of this incarnation; 0 until it has one, and then no id is valid.
    pub issuer: u32,
    /// Key of the MAC.
    pub key: IdKey,
}

impl Default for Ids {
    fn default() -> Self {
        Self {
            issuer: 0,
            key: IdKey {
                id: 0,
                secret: [0; 16],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_read() {
        assert_eq!("oip".parse(), Ok(Matcher::Oip));
        assert_eq!("any".parse(), Ok(Matcher::Any));
        assert_eq!("path:/a/b/".parse(), Ok(Matcher::PathPrefix("/a/b".into())));
        assert_eq!(
            "host:Ml.Local".parse(),
            Ok(Matcher::Host("ml.local".into()))
        );
        for bad in ["", "path:a", "host:", "regex:x", "OIP"] {
            let error = bad.parse::<Matcher>().unwrap_err();
            assert!(error.to_string().contains("path:/prefix"), "{error}");
        }
    }
}
