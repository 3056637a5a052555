//! Calls to the control plane: token, time limit, and the same request again where the network or a restart was in
//! the way.

mod follow;
pub(crate) mod lists;
mod recording;
mod secure;

pub(crate) use follow::{Follow, Update, get, is_lost, try_get};

use crate::args::Global;
use crate::failure::Failure;
use serinus_proto::v1::{
    admin_client::AdminClient, events_client::EventsClient, models_client::ModelsClient,
    rollouts_client::RolloutsClient,
};
use serinus_runtime::backoff::Backoff;
use std::path::Path;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::{Interceptor, interceptor::InterceptedService};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

/// How long a call may take where the user does not say.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A stream whose other end is silent for twice this long is dead.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A call is tried this often while the answer is UNAVAILABLE, always with the same `request_id`.
const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// A page of events with all their evidence may be larger than the 4 MB that are the default.
const LARGEST_MESSAGE: usize = 64 << 20;

type Wire = InterceptedService<Channel, Bearer>;

/// A control plane, connected to when first asked. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    wire: Wire,
    server: String,
    timeout: Duration,
}

/// Sends the token with every call.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() {
            "Bearer(..)"
        } else {
            "Bearer(none)"
        })
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Client {
    /// Must be called within a runtime; opens no connection yet.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        let server = with_scheme(&global.server)?;
        let bearer = Bearer(global.token_file.as_deref().map(read_token).transpose()?);
        let endpoint = Endpoint::from_shared(server.clone())
            .map_err(|error| bad_server(&server, &error.to_string()))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        let channel = if server.starts_with("https:") {
            endpoint.connect_with_connector_lazy(secure::Connector::new(global)?)
        } else if global.tls_ca.is_some()
            || global.tls_cert.is_some()
            || global.tls_server_name.is_some()
        {
            return Err(Failure::bad_input(
                "--tls-ca, --tls-cert and --tls-server-name are about TLS, and --server is no https:// address",
            )
            .hint("write --server https://HOST:7400"));
        } else {
            endpoint.connect_lazy()
        };
        Ok(Self {
            wire: InterceptedService::new(channel, bearer),
            server,
            timeout: global.timeout.unwrap_or(TIMEOUT),
        })
    }

    /// Its address, as a URL.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// For whoever waits long: a single call still must be answered soon.
    pub(crate) fn waiting(&self) -> Self {
        Self {
            timeout: TIMEOUT,
            ..self.clone()
        }
    }

    pub(crate) fn rollouts(&self) -> RolloutsClient<Wire> {
        RolloutsClient::new(self.wire.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    pub(crate) fn models(&self) -> ModelsClient<Wire> {
        ModelsClient::new(self.wire.clone())
    }

    pub(crate) fn events(&self) -> EventsClient<Wire> {
        EventsClient::new(self.wire.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    pub(crate) fn admin(&self) -> AdminClient<Wire> {
        AdminClient::new(self.wire.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// The failure that a status of this server stands for.
    pub(crate) fn failure(&self, status: &Status) -> Failure {
        Failure::rpc(status, &self.server)
    }

    /// As [`Client::ask`], for callers that act on the code.
    ///
    /// # Errors
    /// The last status; DEADLINE_EXCEEDED once the time is up.
    pub(crate) async fn try_ask<T, F>(&self, attempt: impl FnMut() -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        tokio::time::timeout(self.timeout, with_retries(attempt))
            .await
            .unwrap_or_else(|_| Err(self.no_answer()))
            .map(Response::into_inner)
    }

    /// Makes a call; the closure makes the same request anew for each attempt.
    pub(crate) async fn ask<T, F>(&self, attempt: impl FnMut() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.try_ask(attempt)
            .await
            .map_err(|status| self.failure(&status))
    }

    fn no_answer(&self) -> Status {
        let waited = crate::view::number::duration(self.timeout);
        Status::deadline_exceeded(format!("no answer within {waited}"))
    }
}

async fn with_retries<T, F>(mut attempt: impl FnMut() -> F) -> Result<Response<T>, Status>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    for _ in 1..ATTEMPTS {
        match attempt().await {
            Err(status) if status.code() == Code::Unavailable => {
                tokio::time::sleep(backoff.next_delay()).await;
            }
            answered => return answered,
        }
    }
    attempt().await
}

fn with_scheme(server: &str) -> Result<String, Failure> {
    match server.split_once("://") {
        None => Ok(format!("http://{server}")),
        Some(("http" | "https", _)) => Ok(server.to_owned()),
        Some(_) => Err(bad_server(server, "the scheme must be http or https")),
    }
}

fn bad_server(server: &str, why: &str) -> Failure {
    Failure::bad_input(format!("--server: `{server}` is no address: {why}"))
        .hint(format!("write it as {}", crate::args::DEFAULT_SERVER))
}

fn read_token(path: &Path) -> Result<MetadataValue<Ascii>, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::bad_input(format!("--token-file: read {shown}: {error}")))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(Failure::bad_input(format!(
            "--token-file: {shown} is empty"
        )));
    }
    format!("Bearer {token}")
        .parse()
        .map(|mut value: MetadataValue<Ascii>| {
            value.set_sensitive(true);
            value
        })
        .map_err(|_| {
            Failure::bad_input(format!(
                "--token-file: {shown} holds more than one line of text"
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io::Write as _;

    #[test]
    fn addresses_need_no_scheme_but_know_only_http_and_https() {
        assert_eq!(
            with_scheme("10.0.0.1:7400").unwrap(),
            "http://10.0.0.1:7400"
        );
        assert_eq!(with_scheme("http://h:1").unwrap(), "http://h:1");
        assert_eq!(with_scheme("https://h:1").unwrap(), "https://h:1");
        assert!(with_scheme("ftp://h").is_err());
    }

    #[test]
    fn tokens_are_one_line_and_never_printed() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "  secret").unwrap();
        let token = read_token(file.path()).unwrap();
        assert_eq!(token.to_str().unwrap(), "Bearer secret");
        assert!(!format!("{:?}", Bearer(Some(token))).contains("secret"));
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert!(
            read_token(empty.path())
                .unwrap_err()
                .to_string()
                .contains("empty")
        );
        assert!(read_token(Path::new("/does/not/exist")).is_err());
    }

    async fn count(code: Code) -> u32 {
        let calls = Cell::new(0);
        let status = with_retries(|| {
            calls.set(calls.get() + 1);
            async { Err::<Response<()>, _>(Status::new(code, "x")) }
        })
        .await
        .unwrap_err();
        assert_eq!(status.code(), code);
        calls.get()
    }

    #[tokio::test(start_paused = true)]
    async fn only_unavailable_is_tried_again_and_not_for_ever() {
        assert_eq!(count(Code::Unavailable).await, ATTEMPTS);
        assert_eq!(count(Code::Aborted).await, 1);
        assert_eq!(count(Code::InvalidArgument).await, 1);
    }
}
