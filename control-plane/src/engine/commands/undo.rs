//! A promotion taken back.

use super::{Desk, Outcome, Stop, would_be};
use crate::engine::handle::CommandError;
use crate::engine::requests;
use crate::engine::stage::Cause;
use prost::Message as _;
use serinus_core::rollout::{self, Refused};
use serinus_proto::v1;
use uuid::Uuid;

impl Desk<'_> {
    /// Everybody to the variant that was stable before a promotion, as a rollout of its own.
    pub(super) fn undo(
        &mut self,
        actor: &str,
        request: &v1::CommandRequest,
    ) -> Result<Outcome, Stop> {
        let content = requests::content("Undo", &request.encode_to_vec());
        if let Some(done) = self.known(&request.request_id, content, request.validate_only)? {
            return Ok(Outcome::Rollout(done));
        }
        let (undone, model, plan) = self.undo_plan(request)?;
        let id = Uuid::now_v7().to_string();
        let cause = Cause {
            actor: actor.to_owned(),
            reason: request.reason.clone(),
            request: Some((request.request_id.clone(), content)),
            ..Cause::default()
        };
        let kinds = rollout::undoing(&plan, &undone);
        if request.validate_only {
            let would_be = would_be(&id, &model, &cause, self.now_ms, kinds);
            return Ok(Outcome::WouldBe(Box::new(would_be)));
        }
        self.emit(&id, &model, &cause, kinds)?;
        Ok(Outcome::Rollout(id))
    }

    /// What is undone, of which model, and how.
    fn undo_plan(
        &self,
        request: &v1::CommandRequest,
    ) -> Result<(String, String, v1::Plan), CommandError> {
        let not_found = || CommandError::NotFound {
            kind: "rollout",
            name: request.rollout.clone(),
        };
        let id = self.book.resolve(&request.rollout).ok_or_else(not_found)?;
        let rollout = self.book.rollout(&id).ok_or_else(not_found)?;
        let expected = request.expected_revision;
        if expected != 0 && expected != rollout.revision {
            let actual = rollout.revision;
            return Err(Refused::RevisionMismatch { expected, actual }.into());
        }
        // Asked for twice in a hurry, it must not undo itself.
        if !rollout.undoes.is_empty() && request.rollout != id {
            let why = format!(
                "rollout {id} has taken the promotion by {} back already; to take that back, name {id}",
                rollout.undoes
            );
            return Err(Refused::NothingToUndo(why).into());
        }
        let model = self.book.models.get(&rollout.model);
        let stable = model.map(|model| model.stable.clone()).unwrap_or_default();
        let plan = rollout::undo(rollout, self.now_ms, &stable)?;
        if let Some(run) = self.book.active(&rollout.model) {
            return Err(CommandError::Active {
                model: rollout.model.clone(),
                id: run.rollout.id.clone(),
            });
        }
        self.judgeable(&plan)?;
        Ok((id, rollout.model.clone(), plan))
    }
}
