//! Lets callers in: who they are, by token or certificate, and whether they may.

use super::callers::{Callers, CallersError, Entry};
use super::names::Names;
use super::policy::{self, Allowed};
use super::refusals::{Refusal, Refusals};
use super::role::Role;
use crate::listen::{Certificate, Peer};
use arc_swap::ArcSwap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;
use tonic::codegen::http::HeaderMap;
use tonic::{Code, Status};

/// Whoever calls where nobody is asked who he is.
const ANYBODY: &str = "operator";

const MISSING: &str = "this control plane asks who calls: send a token as `authorization: Bearer SECRET`, or connect with \
                       a client certificate";
const UNKNOWN: &str = "the token is not in the token file";

/// Who may call, and who was refused.
#[derive(Debug, Default)]
pub struct Access {
    /// Absent: only loopback is listened on, and everybody there may do everything.
    callers: Option<(PathBuf, ArcSwap<Callers>)>,
    /// Calls that were refused lately.
    pub refusals: Refusals,
}

/// Who made a call that was let in.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Of the token file's line; the actor of every event that it causes.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// How it showed who it is.
    pub proof: Shown,
    /// Where it calls from; absent within the process.
    pub from: Option<SocketAddr>,
    /// Full name of the call.
    pub method: &'static str,
    models: Names,
    sidecars: Names,
    access: Arc<Access>,
}

/// How a caller showed who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It was not asked.
    Nothing,
    /// By a token.
    Token,
    /// By a certificate with this SPIFFE ID.
    Certificate(String),
}

impl Access {
    /// Everybody may do everything.
    #[must_use]
    pub fn open() -> Self {
        Self::default()
    }

    /// Those of a file may do what it says.
    ///
    /// # Errors
    /// See [`CallersError`].
    pub fn read(path: PathBuf) -> Result<Self, CallersError> {
        let callers = Callers::read(&path)?;
        Ok(Self::of(path, callers))
    }

    /// These may do what they may; `path` is where they are read again.
    #[must_use]
    pub fn of(path: PathBuf, callers: Callers) -> Self {
        Self {
            callers: Some((path, ArcSwap::from_pointee(callers))),
            refusals: Refusals::default(),
        }
    }

    /// The file it was read from.
    #[must_use]
    pub fn file(&self) -> Option<&PathBuf> {
        self.callers.as_ref().map(|(path, _)| path)
    }

    /// Reads the file again, for calls from now on.
    ///
    /// # Errors
    /// See [`CallersError`]; what was read before stays in force.
    pub fn reload(&self) -> Result<(), CallersError> {
        if let Some((path, callers)) = &self.callers {
            callers.store(Arc::new(Callers::read(path)?));
        }
        Ok(())
    }

    /// Names of sidecars that may speak for every model.
    #[must_use]
    pub fn unbound(&self) -> Vec<String> {
        let callers = self.callers.as_ref().map(|(_, callers)| callers.load());
        let names = callers.iter().flat_map(|callers| callers.unbound());
        names.map(str::to_owned).collect()
    }

    /// Lets a caller make a call, or says why not. `method` is the call's full name, `package.Service/Method`.
    ///
    /// # Errors
    /// UNAUTHENTICATED for strangers, PERMISSION_DENIED for those who may not; both are counted and kept.
    pub fn admit(
        self: &Arc<Self>,
        method: &str,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Caller, Status> {
        let refuse = |caller: &str, why, code, message: String| {
            let from = peer.map(|peer| peer.address);
            self.refuse(caller, from, method, why, Status::new(code, message))
        };
        let Some((method, allowed)) = policy::of(method) else {
            let message = "there is no such call".to_owned();
            return Err(refuse("", "unknown_call", Code::Unimplemented, message));
        };
        let caller = match self.identify(headers, peer) {
            Ok(Some((entry, proof))) => self.caller(&entry, proof, method, peer),
            Ok(None) => self.anybody(method, peer),
            Err(_) if allowed == Allowed::Anybody => self.anybody(method, peer),
            Err((why, message)) => {
                return Err(refuse("", why, Code::Unauthenticated, message));
            }
        };
        if self.callers.is_some() && !allowed.allows(caller.role) {
            let message = format!(
                "{} has the role {}, which may not call {method}; it takes {}",
                caller.name,
                caller.role,
                takes(allowed)
            );
            return Err(refuse(
                &caller.name,
                "role",
                Code::PermissionDenied,
                message,
            ));
        }
        Ok(caller)
    }

    /// Who calls; `None` where nobody is asked.
    fn identify(
        &self,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Option<(Entry, Shown)>, (&'static str, String)> {
        let Some((_, callers)) = &self.callers else {
            return Ok(None);
        };
        let callers = callers.load();
        // A token says more than the certificate of a proxy on the way.
        if let Some(header) = headers.get("authorization") {
            let secret = header.to_str().ok();
            let secret = secret.and_then(|value| value.strip_prefix("Bearer "));
            let secret = secret.ok_or_else(|| ("missing", MISSING.to_owned()))?;
            let found = callers.with_token(secret.trim()).cloned();
            let found = found.ok_or_else(|| ("unknown", UNKNOWN.to_owned()))?;
            return Ok(Some((found, Shown::Token)));
        }
        match peer.map(|peer| &peer.certificate) {
            None | Some(Certificate::None) => Err(("missing", MISSING.to_owned())),
            Some(Certificate::Unclear(why)) => Err((
                "certificate",
                format!(
                    "the client certificate does not say who calls: {why}; it needs one URI, a SPIFFE ID"
                ),
            )),
            Some(Certificate::Spiffe(id)) => {
                let found = callers.with_spiffe(id).cloned();
                let unknown = || ("unknown", format!("{id} is not in the token file"));
                let found = found.ok_or_else(unknown)?;
                Ok(Some((found, Shown::Certificate(id.clone()))))
            }
        }
    }

    fn caller(
        self: &Arc<Self>,
        entry: &Entry,
        proof: Shown,
        method: &'static str,
        peer: Option<&Peer>,
    ) -> Caller {
        let sidecars = match (&entry.sidecars, &proof) {
            (Some(sidecars), _) => sidecars.clone(),
            (None, Shown::Certificate(id)) => Names::one(id.rsplit('/').next().unwrap_or(id)),
            (None, _) => Names::any(),
        };
        Caller {
            name: entry.name.clone(),
            role: entry.role,
            proof,
            from: peer.map(|peer| peer.address),
            method,
            models: entry.models.clone(),
            sidecars,
            access: Arc::clone(self),
        }
    }

    fn anybody(self: &Arc<Self>, method: &'static str, peer: Option<&Peer>) -> Caller {
        Caller {
            name: ANYBODY.to_owned(),
            role: Role::Admin,
            proof: Shown::Nothing,
            from: peer.map(|peer| peer.address),
            method,
            models: Names::any(),
            sidecars: Names::any(),
            access: Arc::clone(self),
        }
    }

    fn refuse(
        &self,
        caller: &str,
        from: Option<SocketAddr>,
        method: &str,
        why: &'static str,
        status: Status,
    ) -> Status {
        // Strangers choose the name of the call: not all of it is kept.
        let method = method.chars().take(100).collect();
        self.refusals.add(Refusal {
            time: SystemTime::now(),
            caller: caller.to_owned(),
            from: from.map(|from| from.to_string()).unwrap_or_default(),
            method,
            why,
            message: status.message().to_owned(),
        });
        status
    }
}

impl Caller {
    /// Whether a sidecar may have this name.
    ///
    /// # Errors
    /// PERMISSION_DENIED, counted and kept.
    pub fn is_sidecar(&self, name: &str) -> Result<(), Status> {
        if self.sidecars.contain(name) {
            return Ok(());
        }
        let message = format!(
            "{} may not speak as the sidecar {name:?}, only as {}: give the sidecar that name, or change sidecars= of its \
             line in the token file",
            self.name, self.sidecars
        );
        Err(self.deny("sidecar", message))
    }

    /// Whether a sidecar may speak for every one of these models.
    ///
    /// # Errors
    /// PERMISSION_DENIED, counted and kept.
    pub fn speaks_for<'a>(&self, models: impl IntoIterator<Item = &'a str>) -> Result<(), Status> {
        let foreign = models
            .into_iter()
            .find(|model| !model.is_empty() && !self.models.contain(model));
        let Some(model) = foreign else {
            return Ok(());
        };
        let message = format!(
            "{} may not speak for the model {model:?}, only for {}: change models= of its line in the token file",
            self.name, self.models
        );
        Err(self.deny("model", message))
    }

    /// Whether what it says of models has to be looked at.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        !self.models.are_all()
    }

    /// Whether it may do what takes at least this role.
    ///
    /// # Errors
    /// PERMISSION_DENIED, counted and kept; `why` says what takes it.
    pub fn has(&self, least: Role, why: &str) -> Result<(), Status> {
        if self.role.includes(least) {
            return Ok(());
        }
        let message = format!(
            "{} has the role {}: {why} takes the role {least}",
            self.name, self.role
        );
        Err(self.deny("role", message))
    }

    /// The calls that were refused lately, and how many there were since the start.
    #[must_use]
    pub fn refusals(&self) -> (Vec<Refusal>, u64) {
        self.access.refusals.all()
    }

    /// Keeps that what it asked for was refused, for reasons of its own.
    pub fn was_refused(&self, status: &Status) {
        let from = self.from.map(|from| from.to_string()).unwrap_or_default();
        self.access.refusals.add(Refusal {
            time: SystemTime::now(),
            caller: self.name.clone(),
            from,
            method: self.method.to_owned(),
            why: "command",
            message: status.message().to_owned(),
        });
    }

    fn deny(&self, why: &'static str, message: String) -> Status {
        let status = Status::permission_denied(message);
        self.access
            .refuse(&self.name, self.from, self.method, why, status)
    }
}

fn takes(allowed: Allowed) -> String {
    match allowed {
        Allowed::Anybody => "nothing".to_owned(),
        Allowed::People(least) => format!("the role {least} or more"),
        Allowed::Sidecars => "the role sidecar".to_owned(),
        Allowed::PeopleAndSidecars(least) => format!("the role sidecar, or {least} or more"),
    }
}
