//! Logs to standard error: pretty for people, JSON for machines.

use serde::Deserialize;
use std::io::IsTerminal as _;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// What is logged where nothing sound is asked for.
const DEFAULT: &str = "info";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON unless standard error is a terminal.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// Installs the logger for the whole process. `filter` is `info`, or like `serinus_sidecar=debug,info`; the variable
/// `SERINUS_LOG` wins over it. A second call changes nothing.
pub fn init(format: Format, filter: &str) {
    let filter = std::env::var("SERINUS_LOG").unwrap_or_else(|_| filter.to_owned());
    let targets = targets(&filter).or_else(|_| targets(DEFAULT));
    let json = match format {
        Format::Json => true,
        Format::Pretty => false,
        Format::Auto => !std::io::stderr().is_terminal(),
    };
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match json {
        true => lines.json().boxed(),
        false => lines.boxed(),
    };
    // An error means that a logger is installed already: the first one stays.
    let _ = tracing_subscriber::registry()
        .with(lines)
        .with(targets.unwrap_or_default())
        .try_init();
}

/// Levels by target, the longest target first. It knows nothing of spans and fields, of which there are none here, and
/// so needs no regular expressions.
fn targets(filter: &str) -> Result<Targets, ParseError> {
    let parts = filter.split(',').map(str::trim);
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    match parts[..] {
        [] => DEFAULT.parse(),
        _ => parts.join(",").parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn filters_are_levels_by_target() {
        let sound = targets(" serinus_sidecar::sync=trace, serinus_sidecar=debug,,warn").unwrap();
        for (target, level, enabled) in [
            ("serinus_sidecar::sync::link", Level::TRACE, true),
            ("serinus_sidecar::app", Level::DEBUG, true),
            ("serinus_sidecar::app", Level::TRACE, false),
            ("hyper", Level::WARN, true),
            ("hyper", Level::INFO, false),
        ] {
            assert_eq!(sound.would_enable(target, &level), enabled, "{target}");
        }
        assert!(targets("").unwrap().would_enable("a", &Level::INFO));
        assert!(targets("hyper=loud").is_err());
    }
}
