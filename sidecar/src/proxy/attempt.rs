//! One attempt at one variant: an endpoint, a connection, and the answer's head.

use super::body::{Fault, Outgoing};
use super::saved::Saved;
use super::whole::Held;
use super::{Call, Outcome, forward};
use crate::classify::Protocol;
use crate::pool::{Claim, Endpoint, Upstream, least_outstanding};
use crate::worker::Lane;
use http::header::CONTENT_LENGTH;
use http::{Request, Response, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use serinus_common::class::Class;
use std::rc::Rc;

/// What an answer's body comes through.
#[derive(Debug)]
pub(super) struct Carrier {
    /// HTTP/1.1: whoever reads the body drives the connection. HTTP/2 connections drive themselves.
    pub(super) upstream: Option<Box<Upstream>>,
    pub(super) claim: Claim,
    /// What was held back of the body.
    pub(super) held: Option<Box<Held>>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No endpoint accepts a connection.
    Connect,
    /// The connection ended before an answer began.
    Broken,
    Timeout,
    /// The caller's own body.
    Body(Fault),
}

impl Failure {
    pub(crate) fn class(self) -> Class {
        match self {
            Self::Connect => Class::Connect,
            Self::Broken => Class::Model,
            Self::Timeout => Class::Timeout,
            Self::Body(_) => Class::Cancelled,
        }
    }
}

/// Why an endpoint gave no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// There is no connection: another endpoint may take the call.
    Refused(Claim, std::io::Error),
    Failed(Failure),
}

impl Unanswered {
    fn failure(self) -> Failure {
        match self {
            Self::Refused(..) => Failure::Connect,
            Self::Failed(failure) => failure,
        }
    }
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

pub(super) type Attempted = Result<(Response<Incoming>, Carrier), Unanswered>;

impl Call {
    /// At one endpoint; at another one if the first takes no connection.
    pub(super) async fn attempt(&self, variant: usize) -> Outcome {
        let lane = self.route.lane(variant);
        self.gather().await?;
        let claim = self.claim(lane, None)?;
        match self.observed(claim).await {
            Ok(answered) => Ok(answered),
            Err(Unanswered::Failed(failure)) => Err(failure),
            Err(Unanswered::Refused(claim, error)) => {
                let other = self.elsewhere(lane, claim, &error)?;
                let answered = Box::pin(self.observed(other)).await;
                answered.map_err(Unanswered::failure)
            }
        }
    }

    /// An endpoint that fails again and again is passed over for a while. A timeout does not count: it leaves requests
    /// outstanding, and so few new ones come.
    async fn observed(&self, claim: Claim) -> Attempted {
        let endpoint = Rc::clone(claim.endpoint());
        let attempted = match self.attempt_at(claim).await {
            Ok((response, carrier)) if self.may_wait(&response) => {
                Box::pin(self.whole(response, carrier)).await
            }
            attempted => attempted,
        };
        let failed = match &attempted {
            Ok((response, carrier)) => self.class_of(response, carrier).is_failure(),
            Err(Unanswered::Failed(failure)) => *failure == Failure::Broken,
            Err(Unanswered::Refused(..)) => return attempted,
        };
        endpoint.answered(failed, self.worker.deadlines.now_ms());
        attempted
    }

    async fn attempt_at(&self, claim: Claim) -> Attempted {
        if self.is_grpc_h2() {
            return self.attempt_h2(claim).await;
        }
        // Only HTTP/1.1 connections can change their protocol.
        if self.upgrade.is_some() {
            return self.attempt_h1(claim).await;
        }
        match claim.endpoint().speaks_h2().await {
            Ok(true) => self.attempt_h2(claim).await,
            Ok(false) => self.attempt_h1(claim).await,
            Err(error) => Err(Unanswered::Refused(claim, error)),
        }
    }

    fn is_grpc_h2(&self) -> bool {
        self.version == Version::HTTP_2 && self.found.protocol() == Protocol::Grpc
    }

    async fn attempt_h1(&self, claim: Claim) -> Attempted {
        if let Some(mut upstream) = claim.endpoint().reuse() {
            let request = self.request(claim.endpoint(), false, true)?;
            match upstream.exchange(request).await {
                Ok(response) => return Ok(carried(response, Some(upstream), claim)),
                Err(broken) if !self.may_repeat(broken.unsent) => {
                    return Err(self.broken(&broken.error).into());
                }
                // It died while it was idle, before any of the answer: that is not the model's failure.
                Err(_) => {}
            }
        }
        let mut upstream = match Box::pin(claim.endpoint().connect_h1()).await {
            Ok(upstream) => upstream,
            Err(error) => return Err(Unanswered::Refused(claim, error)),
        };
        let request = self.request(claim.endpoint(), false, false)?;
        match upstream.exchange(request).await {
            Ok(response) => Ok(carried(response, Some(upstream), claim)),
            Err(broken) => Err(self.broken(&broken.error).into()),
        }
    }

    async fn attempt_h2(&self, claim: Claim) -> Attempted {
        let (mut send, reused) = match claim.endpoint().shared_h2().await {
            Ok(shared) => shared,
            Err(error) => return Err(Unanswered::Refused(claim, error)),
        };
        let request = self.request(claim.endpoint(), true, reused)?;
        let mut error = match send.try_send_request(request).await {
            Ok(response) => return Ok(carried(response, None, claim)),
            Err(error) => error,
        };
        let unsent = error.take_message().is_some();
        let ended = unsent || send.is_closed();
        if !(reused && ended && self.may_repeat(unsent)) {
            return Err(self.broken(error.error()).into());
        }
        let (mut send, _) = claim
            .endpoint()
            .shared_h2()
            .await
            .map_err(|_| Failure::Connect)?;
        let request = self.request(claim.endpoint(), true, false)?;
        let response = send.send_request(request).await;
        let response = response.map_err(|error| self.broken(&error))?;
        Ok(carried(response, None, claim))
    }

    fn claim(&self, lane: &Lane, except: Option<&Rc<Endpoint>>) -> Result<Claim, Failure> {
        let now_ms = self.worker.deadlines.now_ms();
        let endpoint = least_outstanding(&lane.endpoints, now_ms, except);
        endpoint.map(Endpoint::claim).ok_or(Failure::Connect)
    }

    /// Another endpoint of the variant, after one has refused the connection.
    fn elsewhere(
        &self,
        lane: &Lane,
        refused: Claim,
        error: &std::io::Error,
    ) -> Result<Claim, Failure> {
        let endpoint = refused.endpoint();
        tracing::debug!(endpoint = %endpoint.address(), %error, "no connection");
        endpoint.mark_down(self.worker.deadlines.now_ms());
        let other = self.claim(lane, Some(endpoint))?;
        match Rc::ptr_eq(other.endpoint(), endpoint) {
            true => Err(Failure::Connect),
            false => Ok(other),
        }
    }

    /// Whether the same request may go to the same variant again.
    fn may_repeat(&self, unsent: bool) -> bool {
        let source = self.source.as_ref();
        (unsent || self.idempotent) && source.is_none_or(|source| source.is_replayable())
    }

    pub(super) fn broken(&self, error: &hyper::Error) -> Failure {
        let fault = self.source.as_ref().and_then(|source| source.fault());
        if fault.is_none() {
            tracing::debug!(%error, "the connection ended before an answer");
        }
        fault.map_or(Failure::Broken, Failure::Body)
    }

    /// The class of a call whose own body broke off.
    pub(super) fn fault_class(&self) -> Option<Class> {
        let fault = self.source.as_ref()?.fault()?;
        Some(Failure::Body(fault).class())
    }

    /// The request for one attempt. `again`: there may be another after it.
    fn request(
        &self,
        endpoint: &Endpoint,
        over_h2: bool,
        again: bool,
    ) -> Result<Request<Outgoing>, Failure> {
        let mut saved = self.saved.borrow_mut();
        let head = match self.head.take() {
            Some(head) => {
                if again || self.ticket.serving() != 0 {
                    *saved = Some(Saved::new(&head));
                }
                Some(head)
            }
            None => saved.as_ref().and_then(Saved::restore),
        };
        // Only the last attempt leaves no copy.
        let mut head = head.ok_or(Failure::Broken)?;
        let body = self.rewritten(&mut head)?;
        if over_h2 {
            forward::to_h2(&mut head, endpoint);
        } else {
            forward::to_h1(&mut head, endpoint, self.found.host, self.upgrade.as_ref());
            let counted =
                head.headers.contains_key(CONTENT_LENGTH) || body.size_hint().exact().is_some();
            if self.source.is_some() && !counted {
                forward::chunk(&mut head);
            }
        }
        Ok(Request::from_parts(head, body))
    }
}

fn carried(
    response: Response<Incoming>,
    upstream: Option<Box<Upstream>>,
    claim: Claim,
) -> (Response<Incoming>, Carrier) {
    let carrier = Carrier {
        upstream,
        claim,
        held: None,
    };
    (response, carrier)
}
