//! From the configuration to gates that can be asked.

use super::Gates;
use crate::config;
use crate::outbound::{Service, Settings};
use thiserror::Error;

/// So many there may be.
const MOST: usize = 64;

/// A mistake in the configuration of a gate.
#[derive(Debug, Error)]
#[error("gate[{index}].{field}: {why}")]
pub(crate) struct GateError {
    index: usize,
    field: String,
    why: String,
}

/// Checks them all and reads their secrets.
///
/// # Errors
/// The first mistake.
pub(crate) fn load(gates: &[config::Gate]) -> Result<Gates, GateError> {
    let mut loaded = Gates::new();
    for (index, gate) in gates.iter().enumerate() {
        let mistake = |(field, why): (String, String)| GateError { index, field, why };
        if index >= MOST {
            let why = format!("there may be at most {MOST}");
            return Err(mistake(("name".into(), why)));
        }
        let service = Service::load(Settings {
            name: &gate.name,
            url: &gate.url,
            ca: gate.ca.as_deref(),
            secret_file: gate.secret_file.as_deref(),
            timeout: gate.timeout,
        });
        let service = service.map_err(mistake)?;
        if loaded.insert(gate.name.clone(), service).is_some() {
            let why = format!("{:?} is named twice", gate.name);
            return Err(mistake(("name".into(), why)));
        }
    }
    Ok(loaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_name_their_field() {
        let of = |text: &str| {
            let table: toml::Table = text.parse().unwrap();
            let gates: Vec<config::Gate> = table["gate"].clone().try_into().unwrap();
            load(&gates)
        };
        let one = "[[gate]]\nname = 'a'\nurl = 'http://127.0.0.1:1/ask'\n";
        assert!(of(one).unwrap().contains_key("a"));
        let twice = of(&one.repeat(2)).unwrap_err().to_string();
        assert!(
            twice.starts_with("gate[1].name: \"a\" is named twice"),
            "{twice}"
        );
        let metadata = of("[[gate]]\nname = 'a'\nurl = 'http://169.254.169.254/'").unwrap_err();
        assert!(
            metadata.to_string().starts_with("gate[0].url: "),
            "{metadata}"
        );
    }
}
