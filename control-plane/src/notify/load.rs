//! From the configuration to receivers that can be called.

use super::filter::Filter;
use crate::config;
use crate::outbound::{Service, Settings};
use std::collections::BTreeSet;
use std::time::Duration;
use thiserror::Error;

/// So many receivers there may be.
const MOST: usize = 32;

/// A mistake in the configuration of a webhook.
#[derive(Debug, Error)]
#[error("webhook[{index}].{field}: {why}")]
pub(crate) struct NotifyError {
    index: usize,
    field: String,
    why: String,
}

/// A receiver.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    pub(crate) service: Service,
    pub(super) filter: Filter,
    pub(super) give_up: Duration,
}

/// Checks them all and reads their secrets.
///
/// # Errors
/// The first mistake.
pub(crate) fn load(webhooks: &[config::Webhook]) -> Result<Vec<Webhook>, NotifyError> {
    let mut names = BTreeSet::new();
    let mut loaded = Vec::with_capacity(webhooks.len());
    for (index, webhook) in webhooks.iter().enumerate() {
        let mistake = |(field, why): (String, String)| NotifyError { index, field, why };
        if index >= MOST {
            let why = format!("there may be at most {MOST}");
            return Err(mistake(("name".into(), why)));
        }
        if !names.insert(&webhook.name) {
            let why = format!("{:?} is named twice", webhook.name);
            return Err(mistake(("name".into(), why)));
        }
        loaded.push(one(webhook).map_err(mistake)?);
    }
    Ok(loaded)
}

fn one(webhook: &config::Webhook) -> Result<Webhook, (String, String)> {
    let service = Service::load(Settings {
        name: &webhook.name,
        url: &webhook.url,
        ca: webhook.ca.as_deref(),
        secret_file: webhook.secret_file.as_deref(),
        timeout: webhook.timeout,
    })?;
    Ok(Webhook {
        service,
        filter: Filter::new(&webhook.events, &webhook.models)?,
        give_up: webhook.give_up,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(text: &str) -> Vec<config::Webhook> {
        let table: toml::Table = text.parse().unwrap();
        table["webhook"].clone().try_into().unwrap()
    }

    #[test]
    fn the_shortest_form_has_defaults() {
        let webhooks = configured("[[webhook]]\nname = 'a'\nurl = 'http://127.0.0.1:1/x'");
        assert_eq!(webhooks[0].timeout, Duration::from_secs(10));
        let loaded = load(&webhooks).unwrap();
        assert_eq!(loaded[0].give_up, Duration::from_secs(7 * 24 * 3600));
    }

    #[test]
    fn mistakes_name_their_field_and_keep_secrets() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "hunter2").unwrap();
        let weak = format!("secret_file = {:?}", secret.path());
        let cases = [
            ("name = ''\nurl = 'http://a/'", "webhook[0].name: "),
            ("name = 'a b'\nurl = 'http://a/'", "webhook[0].name: "),
            ("name = 'a'\nurl = 'gopher://a/'", "webhook[0].url: "),
            (
                "name = 'a'\nurl = 'http://169.254.169.254/'",
                "webhook[0].url: ",
            ),
            (
                "name = 'a'\nurl = 'http://a/'\ntimeout = '1h'",
                "webhook[0].timeout: ",
            ),
            (
                "name = 'a'\nurl = 'http://a/'\nevents = ['x']",
                "webhook[0].events[0]: ",
            ),
            (
                "name = 'a'\nurl = 'http://a/'\nmodels = ['']",
                "webhook[0].models[0]: ",
            ),
            (
                "name = 'a'\nurl = 'https://a/'\nca = '/none'",
                "webhook[0].ca: ",
            ),
            (
                "name = 'a'\nurl = 'http://a/'\nsecret_file = '/none'",
                "webhook[0].secret_file: ",
            ),
            (
                &format!("name = 'a'\nurl = 'http://a/'\n{weak}"),
                "webhook[0].secret_file: ",
            ),
            (
                "name = 'a'\nurl = 'http://a/'\n[[webhook]]\nname = 'a'\nurl = 'http://b/'",
                "webhook[1].name: ",
            ),
        ];
        for (text, begins) in cases {
            let error = load(&configured(&format!("[[webhook]]\n{text}"))).unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with(begins), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
