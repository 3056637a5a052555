//! What every command that talks to a control plane has at hand.

use crate::args::{Format, Global};
use crate::client::{self, Client};
use crate::console::Console;
use crate::failure::Failure;
use crate::view;
use serde_json::Value;
use serinus_proto::v1;
use std::time::{SystemTime, UNIX_EPOCH};

/// One command's connection and streams.
pub(crate) struct Session<'a, 'c> {
    pub(crate) client: Client,
    pub(crate) format: Format,
    pub(crate) timeout: Option<std::time::Duration>,
    pub(crate) console: &'a mut Console<'c>,
}

impl<'a, 'c> Session<'a, 'c> {
    pub(crate) fn new(global: &Global, console: &'a mut Console<'c>) -> Result<Self, Failure> {
        Ok(Self {
            client: Client::new(global)?,
            format: global.output,
            timeout: global.timeout,
            console,
        })
    }

    /// Prints a result, as `text` for people.
    pub(crate) fn emit(
        &mut self,
        value: impl FnOnce() -> Value,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        emit(self.console, self.format, value, text)
    }

    /// Prints one item of a stream: a line, a line of JSON or a YAML document.
    pub(crate) fn emit_item(
        &mut self,
        value: impl FnOnce() -> Value,
        line: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table => line(),
            Format::Json => value().to_string(),
            Format::Yaml => format!("---\n{}", yaml(&value())?.trim_end()),
        };
        self.console.print(&format!("{text}\n"))
    }

    /// One rollout by id or model.
    pub(crate) async fn rollout(&self, name: &str) -> Result<v1::Rollout, Failure> {
        client::get(&self.client, name).await
    }

    /// Prints a rollout as its screen.
    pub(crate) fn emit_rollout(&mut self, rollout: &v1::Rollout) -> Result<(), Failure> {
        let options = self.console.view_options();
        self.emit(
            || crate::output::json::rollout(rollout),
            || view::render(rollout, now_ms(), options),
        )
    }
}

/// Prints a result in the format that was asked for.
pub(crate) fn emit(
    console: &mut Console<'_>,
    format: Format,
    value: impl FnOnce() -> Value,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let text = match format {
        Format::Table => text(),
        Format::Json => format!("{:#}\n", value()),
        Format::Yaml => yaml(&value())?,
    };
    console.print(&text)
}

fn yaml(value: &Value) -> Result<String, Failure> {
    serde_saphyr::to_string(value).map_err(|error| Failure::error(format!("write YAML: {error}")))
}

/// Unix milliseconds now.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A name for one mutation: whoever repeats it within one run repeats the name.
pub(crate) fn request_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
