//! Which endpoint, over which connection, and what comes next when that fails.

use super::{Answer, Client, Exchange, Link, Part};
use crate::pool::{Claim, Endpoint, least_outstanding};
use crate::proxy::attempt::Failure;
use serinus_common::class::Class;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

impl Exchange {
    /// An endpoint of a variant. `except` is left out while there is another.
    pub(super) fn claim_of(
        &self,
        client: &Client<'_>,
        variant: usize,
        except: Option<&Rc<Endpoint>>,
    ) -> Option<Claim> {
        let now_ms = client.worker.deadlines.now_ms();
        let endpoints = &self.call.route.lane(variant).endpoints;
        least_outstanding(endpoints, now_ms, except).map(Endpoint::claim)
    }

    /// Over an idle connection if there is one, else over a new one.
    pub(super) fn go_to(&mut self, claim: Claim) {
        let idle = claim.endpoint().reuse_raw();
        self.claim = Some(claim);
        match idle {
            Some(stream) => {
                self.reused = true;
                self.link = Link::Open(stream);
            }
            None => self.connect(),
        }
    }

    fn connect(&mut self) {
        self.reused = false;
        if let Some(claim) = &self.claim {
            let endpoint = Rc::clone(claim.endpoint());
            self.link = Link::Connecting(Box::pin(async move { endpoint.connect_raw().await }));
        }
        self.again = true;
    }

    pub(super) fn poll_connecting(&mut self, client: &mut Client<'_>, cx: &mut Context<'_>) {
        let Link::Connecting(connecting) = &mut self.link else {
            return;
        };
        match connecting.as_mut().poll(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(stream)) => self.link = Link::Open(stream),
            Poll::Ready(Err(error)) => self.refused(client, &error),
        }
    }

    /// The endpoint accepts no connection: another one may.
    fn refused(&mut self, client: &mut Client<'_>, error: &io::Error) {
        self.link = Link::None;
        let Some(refused) = self.claim.take() else {
            return;
        };
        let endpoint = refused.endpoint();
        tracing::debug!(endpoint = %endpoint.address(), %error, "no connection");
        endpoint.mark_down(client.worker.deadlines.now_ms());
        let serving = self.call.ticket.serving();
        let other = self.claim_of(client, serving, Some(endpoint));
        let other = other.filter(|other| !Rc::ptr_eq(other.endpoint(), endpoint));
        match other {
            Some(other) if !std::mem::replace(&mut self.elsewhere, true) => {
                self.aim_at(&other);
                self.go_to(other);
                self.again = true;
            }
            _ => self.failed(client, Failure::Connect),
        }
    }

    /// The attempt has come to nothing. The same again over a new connection, if only the connection was at fault; else
    /// stable; else an answer of ours.
    pub(super) fn failed(&mut self, client: &mut Client<'_>, failure: Failure) {
        self.link = Link::None;
        let begun = matches!(&self.answer, Answer::Head(part) if !part.bytes.is_empty());
        let stale = failure == Failure::Broken && self.reused && !begun;
        let repeatable = self.up.is_whole() && (self.call.idempotent || self.up.is_unsent());
        if stale && repeatable {
            // It died while it was idle: that is not the model's failure.
            self.restart();
            self.connect();
            return;
        }
        if failure == Failure::Broken {
            self.observe(client, true);
        }
        let whole = self.up.is_whole();
        let class = failure.class();
        match class.is_failure() && self.call.may_rescue(client.worker, whole) {
            true => self.rescue(client, class),
            false => self.fail(client, failure),
        }
    }

    /// An endpoint that fails again and again is passed over for a while.
    pub(super) fn observe(&self, client: &Client<'_>, failed: bool) {
        if let Some(claim) = &self.claim {
            let now_ms = client.worker.deadlines.now_ms();
            claim.endpoint().answered(failed, now_ms);
        }
    }

    /// Stable answers in the place of the canary.
    pub(super) fn rescue(&mut self, client: &mut Client<'_>, class: Class) {
        self.call.rescue(class);
        self.hang_up();
        self.restart();
        self.elsewhere = false;
        match self.claim_of(client, 0, None) {
            Some(claim) => {
                self.aim_at(&claim);
                self.go_to(claim);
                self.again = true;
            }
            None => self.fail(client, Failure::Connect),
        }
    }

    fn restart(&mut self) {
        self.up.rewind();
        self.deaf = false;
        self.answer = Answer::Head(Part::default());
    }

    /// Changes the request's target, which is whole and unsent, to what this endpoint wants.
    fn aim_at(&mut self, claim: &Claim) {
        let head = self.up.bytes_mut();
        // Both are ASCII or UTF-8, as the parser has found them.
        let method = str::from_utf8(&head[..self.target.start - 1]).unwrap_or_default();
        let now = str::from_utf8(&head[self.target.clone()]).unwrap_or_default();
        let came: Box<str> = self.original.take().unwrap_or_else(|| now.into());
        let wanted = self.call.target(claim.endpoint(), method, &came);
        let wanted = wanted.as_deref().unwrap_or(&came);
        let before = self.target.len();
        if wanted != now {
            head.splice(self.target.clone(), wanted.bytes());
        }
        self.target.end = self.target.start + wanted.len();
        self.head_bytes = self.head_bytes + wanted.len() - before;
        self.original = Some(came);
    }
}
