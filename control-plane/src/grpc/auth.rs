//! Who is calling, and whether they may.

use super::token::{Role, Tokens};
use crate::metrics::DENIED;
use std::sync::Arc;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Name of the caller, in the extensions of every request that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Actor(pub(super) String);

/// Whoever calls where no tokens are asked for.
const ANYBODY: &str = "operator";

/// Stands before one service.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// Absent: only loopback is listened on, and everybody there may do everything.
    tokens: Option<Arc<Tokens>>,
    allowed: &'static [Role],
}

impl Gate {
    pub(super) fn new(tokens: Option<Arc<Tokens>>, allowed: &'static [Role]) -> Self {
        Self { tokens, allowed }
    }

    fn actor(&self, request: &Request<()>) -> Result<String, Status> {
        let Some(tokens) = &self.tokens else {
            return Ok(ANYBODY.into());
        };
        let header = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let secret = header
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(str::trim);
        let secret = secret.ok_or_else(|| denied("missing", Status::unauthenticated(MISSING)))?;
        let token = tokens.find(secret);
        let token = token.ok_or_else(|| denied("unknown", Status::unauthenticated(UNKNOWN)))?;
        if !self.allowed.contains(&token.role) {
            let message = format!(
                "token {} has the role {}, which may not do this",
                token.name, token.role
            );
            return Err(denied("role", Status::permission_denied(message)));
        }
        Ok(token.name.clone())
    }
}

const MISSING: &str =
    "this control plane asks for a token: send it as `authorization: Bearer SECRET`";
const UNKNOWN: &str = "the token is not in the token file";

fn denied(why: &'static str, status: Status) -> Status {
    metrics::counter!(DENIED, "why" => why).increment(1);
    tracing::warn!(why, message = status.message(), "call denied");
    status
}

impl Interceptor for Gate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let actor = self.actor(&request)?;
        request.extensions_mut().insert(Actor(actor));
        Ok(request)
    }
}

/// The name of a request's caller.
pub(super) fn actor<T>(request: &Request<T>) -> String {
    let actor = request.extensions().get::<Actor>();
    actor.map_or_else(|| ANYBODY.to_owned(), |actor| actor.0.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::token::make;
    use tonic::Code;

    fn call(gate: &mut Gate, header: Option<String>) -> Result<String, Code> {
        let mut request = Request::new(());
        if let Some(header) = header {
            request
                .metadata_mut()
                .insert("authorization", header.parse().unwrap());
        }
        let passed = gate.call(request).map_err(|status| status.code())?;
        Ok(actor(&passed))
    }

    #[test]
    fn each_role_passes_where_it_is_allowed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (operator, first) = make("ana", Role::Operator).unwrap();
        let (sidecar, second) = make("host-a", Role::Sidecar).unwrap();
        std::fs::write(file.path(), format!("{first}\n{second}\n")).unwrap();
        let tokens = Arc::new(Tokens::read(file.path()).unwrap());
        let bearer = |secret: &str| Some(format!("Bearer {secret}"));
        let mut gate = Gate::new(Some(tokens.clone()), &[Role::Operator]);
        assert_eq!(call(&mut gate, bearer(&operator)), Ok("ana".into()));
        assert_eq!(
            call(&mut gate, bearer(&sidecar)),
            Err(Code::PermissionDenied)
        );
        assert_eq!(call(&mut gate, bearer("guess")), Err(Code::Unauthenticated));
        assert_eq!(call(&mut gate, Some(operator)), Err(Code::Unauthenticated));
        assert_eq!(call(&mut gate, None), Err(Code::Unauthenticated));
        let mut both = Gate::new(Some(tokens), &[Role::Operator, Role::Sidecar]);
        assert_eq!(call(&mut both, bearer(&sidecar)), Ok("host-a".into()));
    }

    #[test]
    fn without_tokens_everybody_is_the_operator() {
        let mut gate = Gate::new(None, &[Role::Operator]);
        assert_eq!(call(&mut gate, None), Ok("operator".into()));
    }
}
