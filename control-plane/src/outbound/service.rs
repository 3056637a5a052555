//! A service of the configuration that things are posted to: where it is, and what signs.

use super::sign::Secrets;
use super::{Answer, CallError, Caller, TargetError};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// Bounds of `timeout`.
const TIMEOUT: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(60)];

/// A service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) name: String,
    caller: Caller,
    secrets: Secrets,
}

/// What the configuration says of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) name: &'a str,
    pub(crate) url: &'a str,
    pub(crate) ca: Option<&'a Path>,
    pub(crate) secret_file: Option<&'a Path>,
    pub(crate) timeout: Duration,
}

/// Why something was not taken.
#[derive(Debug, Error)]
pub(crate) enum PostError {
    /// Nobody answered.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It was not taken.
    #[error("answered {status}{}", redirected(.status))]
    Status {
        /// The answer.
        status: StatusCode,
        /// How long the receiver asks to wait.
        retry_after: Duration,
    },
    /// It cannot be sent.
    #[error("{0}")]
    Request(#[from] http::Error),
}

fn redirected(status: &StatusCode) -> &'static str {
    match status.is_redirection() {
        true => "; redirects are not followed: name the address that takes it",
        false => "",
    }
}

impl PostError {
    /// Not sooner, says the receiver.
    pub(crate) fn retry_after(&self) -> Duration {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Call(_) | Self::Request(_) => Duration::ZERO,
        }
    }
}

impl Service {
    /// Checks the settings and reads the secrets.
    ///
    /// # Errors
    /// The field that is wrong, and what is.
    pub(crate) fn load(settings: Settings<'_>) -> Result<Self, (String, String)> {
        let wrong = |field: &str| {
            let field = field.to_owned();
            move |why: String| (field, why)
        };
        check_name(settings.name).map_err(wrong("name"))?;
        check_timeout(settings.timeout).map_err(wrong("timeout"))?;
        let caller = Caller::new(settings.url, settings.ca, settings.timeout);
        let caller = caller.map_err(|error| wrong(field_of(&error))(error.to_string()))?;
        let secrets = match settings.secret_file {
            None => Secrets::none(),
            Some(path) => read(path).map_err(wrong("secret_file"))?,
        };
        Ok(Self {
            name: settings.name.to_owned(),
            caller,
            secrets,
        })
    }

    /// Posts JSON, signed; taken is 2xx. About `read` bytes of the answer are read.
    ///
    /// # Errors
    /// See [`PostError`].
    pub(crate) async fn post(
        &self,
        id: &str,
        content: &Value,
        read: usize,
    ) -> Result<Answer, PostError> {
        let body = content.to_string();
        let timestamp = now_s();
        let mut request = Request::post("/")
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp);
        if let Some(signature) = self.secrets.sign(id, timestamp, body.as_bytes()) {
            request = request.header("webhook-signature", signature);
        }
        let request = request.body(Bytes::from(body))?;
        let answer = self.caller.call(request, read).await?;
        match answer.status.is_success() {
            true => Ok(answer),
            false => Err(PostError::Status {
                status: answer.status,
                retry_after: retry_after(&answer.headers),
            }),
        }
    }
}

/// In seconds; the other form, a date, is rare and says nothing that our own waits do not.
fn retry_after(headers: &HeaderMap) -> Duration {
    let value = headers.get(header::RETRY_AFTER);
    let seconds = value.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

pub(crate) fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = (1..=63).contains(&name.len()) && name.bytes().all(fits);
    match fits {
        true => Ok(()),
        false => Err(format!(
            "{name:?} is no name: letters, digits, `-`, `_` and `.`, at most 63"
        )),
    }
}

fn check_timeout(timeout: Duration) -> Result<(), String> {
    let [least, most] = TIMEOUT;
    match (least..=most).contains(&timeout) {
        true => Ok(()),
        false => Err(format!("must be within {least:?} and {most:?}")),
    }
}

fn field_of(error: &TargetError) -> &'static str {
    match error {
        TargetError::Syntax(_) | TargetError::Forbidden(_) | TargetError::Tls(_) => "url",
        TargetError::Ca { .. } => "ca",
    }
}

fn read(path: &Path) -> Result<Secrets, String> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("read {}: {error}", path.display()))?;
    Secrets::read(&text).map_err(|why| format!("{}: {why}", path.display()))
}
