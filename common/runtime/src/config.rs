//! Configuration in layers: a TOML file, then `SERINUS_SECTION__KEY` variables, then flags.

use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::{Table, Value};

/// Why a configuration could not be loaded.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no TOML; the message has line and column.
    #[error("configuration {path}: {source}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value is unknown or of the wrong kind.
    #[error("configuration: {0}")]
    Value(Box<toml::de::Error>),
}

/// Loads `file` (if any), lays the variables with `prefix` (e.g. `SERINUS_SIDECAR_`) over it, then `flags`.
/// `PREFIX_LISTEN` sets `listen`, `PREFIX_TLS__CERT` sets `cert` in `[tls]`.
///
/// # Errors
/// See [`ConfigError`]; a key that the target does not know is an error if it says `deny_unknown_fields`.
pub fn load<T: DeserializeOwned>(
    file: Option<&Path>,
    prefix: &str,
    env: impl IntoIterator<Item = (String, String)>,
    flags: Table,
) -> Result<T, ConfigError> {
    let mut table = match file {
        Some(path) => read(path)?,
        None => Table::new(),
    };
    for (name, text) in env {
        if let Some(path) = name.strip_prefix(prefix) {
            let path: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
            set(&mut table, &path, scalar(&text));
        }
    }
    merge(&mut table, flags);
    table
        .try_into()
        .map_err(|error| ConfigError::Value(Box::new(error)))
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    text.parse().map_err(|source| ConfigError::Syntax {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

/// `5` is a number, `true` a boolean, `["a"]` a list; everything else is text.
fn scalar(text: &str) -> Value {
    let line = format!("value = {text}");
    line.parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

fn set(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [section, rest @ ..] => {
            let section = table
                .entry(section.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = section {
                set(inner, rest, value);
            }
        }
    }
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(more)) => merge(inner, more),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::io::Write as _;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        listen: String,
        workers: u32,
        tls: Option<Tls>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Tls {
        cert: String,
    }

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn flags_beat_variables_beat_the_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "listen = \"file\"\nworkers = 1\n[tls]\ncert = \"a\"").unwrap();
        let vars = env(&[
            ("SERINUS_WORKERS", "2"),
            ("SERINUS_LISTEN", "env"),
            ("SERINUS_TLS__CERT", "b"),
        ]);
        let flags = "listen = \"flag\"".parse().unwrap();
        let sample: Sample = load(Some(file.path()), "SERINUS_", vars, flags).unwrap();
        let tls = Some(Tls { cert: "b".into() });
        assert_eq!(
            sample,
            Sample {
                listen: "flag".into(),
                workers: 2,
                tls
            }
        );
    }

    #[test]
    fn unknown_keys_and_missing_files_are_errors() {
        let flags = "listen = \"x\"\nworkers = 1\nlisen = \"y\""
            .parse()
            .unwrap();
        let error = load::<Sample>(None, "SERINUS_", env(&[]), flags).unwrap_err();
        assert!(error.to_string().contains("lisen"), "{error}");
        let missing = load::<Sample>(
            Some(Path::new("/does/not/exist")),
            "S_",
            env(&[]),
            Table::new(),
        );
        assert!(matches!(missing, Err(ConfigError::Read { .. })));
    }
}
