//! Who asks for a command, as the audit log keeps it.

use crate::access::{Caller, Shown};
use serinus_proto::v1;

/// Who asks, from where and by which call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The actor of the events.
    pub name: String,
    /// What it may do.
    pub role: String,
    /// How it showed who it is.
    pub proof: &'static str,
    /// SPIFFE ID of its certificate.
    pub identity: String,
    /// Address and port.
    pub from: String,
    /// Full name of the call.
    pub method: String,
}

impl Origin {
    /// The part of an entry that says who.
    pub(super) fn audit(&self, request_id: &str) -> v1::Audit {
        v1::Audit {
            caller: self.name.clone(),
            role: self.role.clone(),
            proof: self.proof.to_owned(),
            identity: self.identity.clone(),
            from: self.from.clone(),
            method: self.method.clone(),
            request_id: request_id.to_owned(),
            ..v1::Audit::default()
        }
    }
}

/// Within the process, where nobody is asked.
impl From<&str> for Origin {
    fn from(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            proof: "nothing",
            ..Self::default()
        }
    }
}

impl From<&String> for Origin {
    fn from(name: &String) -> Self {
        name.as_str().into()
    }
}

impl From<&Caller> for Origin {
    fn from(caller: &Caller) -> Self {
        let (proof, identity) = match &caller.proof {
            Shown::Nothing => ("nothing", String::new()),
            Shown::Token => ("token", String::new()),
            Shown::Certificate(id) => ("certificate", id.clone()),
        };
        Self {
            name: caller.name.clone(),
            role: caller.role.to_string(),
            proof,
            identity,
            from: caller.from.map(|from| from.to_string()).unwrap_or_default(),
            method: caller.method.to_owned(),
        }
    }
}
