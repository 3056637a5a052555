//! One check of one endpoint: the question that it understood before, else one after the other.

use super::question::{Known, QUESTIONS, Question, Verdict};
use super::{h2, http};
use crate::net;
use crate::rewrite::Rewrite;
use crate::table::{Address, Route, Scheme, Variant};
use crate::tls::{Dial, Offer};
use std::sync::Arc;

/// Whom to ask about what.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) address: Address,
    pub(super) model: String,
    configured: Option<String>,
    rewrite: Option<Arc<Rewrite>>,
}

/// Why there is no answer to a question.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It answers, but not in HTTP/1.
    NotHttp1,
    Other(String),
}

/// Why an endpoint is not ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unready {
    pub(super) why: String,
    /// Its server does not know the model by this name.
    pub(super) no_model: bool,
}

impl From<String> for Unready {
    fn from(why: String) -> Self {
        Self {
            why,
            no_model: false,
        }
    }
}

impl Asking {
    pub(super) fn new(route: &Route, variant: &Variant, address: &Address) -> Self {
        Self {
            address: address.clone(),
            model: route.model.clone(),
            configured: route.ready_path.clone(),
            rewrite: variant.rewrite.clone(),
        }
    }

    /// What the endpoint understood, if it is ready; else why it is not.
    pub(super) async fn ask(&self, known: Known, dial: &Dial) -> Result<Known, Unready> {
        if self.configured.is_some() {
            return self.over_http(&[Question::Configured], dial).await;
        }
        let again = match known {
            Known::Nothing => return self.anew(dial).await,
            Known::Http(question) => self.over_http(&[question], dial).await,
            Known::NoQuestion => self.over_http(&[Question::Oip], dial).await,
            Known::GrpcModel | Known::GrpcHealth | Known::NoService => {
                h2::ask(self, known, dial).await
            }
        };
        match again {
            // It understands something else now.
            Ok(now) if now != known && known != Known::NoQuestion => self.anew(dial).await,
            again => again,
        }
    }

    async fn anew(&self, dial: &Dial) -> Result<Known, Unready> {
        match self.address.scheme() {
            Scheme::H2c => h2::ask(self, Known::Nothing, dial).await,
            Scheme::Http | Scheme::Https | Scheme::Unix => self.over_http(&QUESTIONS, dial).await,
        }
    }

    async fn over_http(&self, questions: &[Question], dial: &Dial) -> Result<Known, Unready> {
        for &question in questions {
            match self.get(&self.path(question), dial).await {
                Ok((status, body)) => match question.verdict(status, &body, &self.model) {
                    Verdict::Ready => return Ok(Known::Http(question)),
                    Verdict::NotReady(why) => return Err(why.into()),
                    Verdict::Unknown if question == Question::Oip => {
                        self.has_no_model(dial).await?
                    }
                    Verdict::Unknown => {}
                },
                Err(Trouble::NotHttp1) => return h2::ask(self, Known::Nothing, dial).await,
                Err(Trouble::Other(why)) => return Err(why.into()),
            }
        }
        Ok(Known::NoQuestion)
    }

    /// A server of the Open Inference Protocol that does not know the model has not loaded it.
    async fn has_no_model(&self, dial: &Dial) -> Result<(), Unready> {
        let path = format!("{}/v2/health/live", self.address.prefix());
        match self.get(&path, dial).await {
            Ok((status, _)) if status.is_success() => Err(Unready {
                why: format!(
                    "has no model {}; if it is served under another name, set ready_path",
                    self.model
                ),
                no_model: true,
            }),
            _ => Ok(()),
        }
    }

    /// As the variant's calls are changed on their way.
    fn path(&self, question: Question) -> String {
        let configured = self.configured.as_deref().unwrap_or("/");
        let path = question.path(&self.model, configured);
        let changed = self.rewrite.as_ref();
        let changed = changed.and_then(|rewrite| rewrite.path("GET", &path));
        format!("{}{}", self.address.prefix(), changed.unwrap_or(path))
    }

    async fn get(&self, path: &str, dial: &Dial) -> Result<(::http::StatusCode, Vec<u8>), Trouble> {
        let (offer, scheme) = match self.address.scheme() {
            Scheme::Http | Scheme::Unix => (Offer::Http1, "http"),
            Scheme::H2c => (Offer::Http2, "http"),
            Scheme::Https => (Offer::Both, "https"),
        };
        let connected = net::connect(&self.address, dial, offer).await;
        let (connection, is_h2) =
            connected.map_err(|error| Trouble::Other(format!("takes no connection: {error}")))?;
        match is_h2 {
            true => h2::get(self, scheme, path, connection).await,
            false => http::get(self, path, connection).await,
        }
    }
}
