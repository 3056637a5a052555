//! From the layers to a checked configuration.

use super::check::{Mistakes, check};
use super::{Args, Sidecar};
use crate::listen::Listen;
use serde::{Deserialize, Deserializer, Serializer, de};
use serinus_runtime::config::{self, ConfigError};
use serinus_runtime::telemetry::Format;
use std::str::FromStr;
use thiserror::Error;

const PREFIX: &str = "SERINUS_SIDECAR_";

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A flag is not understood.
    #[error("{0}")]
    Flag(String),
    /// The layers cannot be read.
    #[error(transparent)]
    Layer(#[from] ConfigError),
    /// Everything that is wrong with the values.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

/// Loads the file that the flags name, lays variables and flags over it, fills the defaults that depend on the machine
/// (`host` is its name), and checks every rule.
///
/// # Errors
/// See [`LoadError`].
pub fn load(
    args: &Args,
    env: impl IntoIterator<Item = (String, String)>,
    host: &str,
) -> Result<Sidecar, LoadError> {
    let flags = args.table().map_err(LoadError::Flag)?;
    // The variable that names the file is a flag of its own, not a key of the file.
    let env = env
        .into_iter()
        .filter(|(name, _)| name != "SERINUS_SIDECAR_CONFIG");
    let mut config: Sidecar = config::load(args.config.as_deref(), PREFIX, env, flags)?;
    if config.name.is_empty() {
        config.name = default_name(host, config.listen.first());
    }
    for model in &mut config.models {
        if model.salt.is_empty() {
            model.salt.clone_from(&model.name);
        }
    }
    check(&config)?;
    Ok(config)
}

fn default_name(host: &str, listen: Option<&Listen>) -> String {
    match listen {
        Some(Listen::Tcp(address)) if address.port() > 0 => format!("{host}:{}", address.port()),
        Some(Listen::Unix(path)) => format!("{host}:{}", path.display()),
        _ => format!("{host}-{}", std::process::id()),
    }
}

/// A list, or one text, of what texts are read as.
pub(super) fn one_or_many_of<'a, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'a>,
    T: FromStr<Err: std::fmt::Display>,
{
    let texts = one_or_many(from)?;
    let read = |text: &String| text.parse().map_err(de::Error::custom);
    texts.iter().map(read).collect()
}

/// A list, or one text.
pub(super) fn one_or_many<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text or a list of texts")]
    enum Texts {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Texts::deserialize(from)? {
        Texts::One(text) if text.is_empty() => Vec::new(),
        Texts::One(text) => vec![text],
        Texts::Many(texts) => texts,
    })
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for this signature"
)]
pub(super) fn format_name<S: Serializer>(format: &Format, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(match format {
        Format::Auto => "auto",
        Format::Json => "json",
        Format::Pretty => "pretty",
    })
}
