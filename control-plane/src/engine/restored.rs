//! After a backup was put back, or a store repaired: what has happened since is not known, so nothing goes on by itself.

use super::stage::Cause;
use super::{Engine, EngineError};
use serinus_proto::v1;
use v1::event::Kind;

/// Who holds them, in the log: no look at evidence led to it.
const ACTOR: &str = "restore";

impl Engine {
    /// Holds the rollouts that were active, once there is room to write that down. A split that was set by hand stays
    /// PAUSED(MANUAL): it waits for a person already, and where to resume follows from that state.
    pub(super) fn hold_restored(&mut self, now_ms: u64) -> Result<(), EngineError> {
        if self.shortage.is_some() {
            return Ok(());
        }
        let Some(restored) = self.restored.take() else {
            return Ok(());
        };
        let cause = Cause {
            actor: ACTOR.to_owned(),
            reason: restored.detail.clone(),
            ..Cause::default()
        };
        let news = Kind::Restored(v1::Restored {
            generation: self.generation,
            revision: restored.revision,
            detail: restored.detail,
        });
        self.emit("", "", &cause, vec![news], now_ms)?;
        let by_hand = |run: &super::run::Run| {
            let rollout = &run.rollout;
            (rollout.state, rollout.cause) == (v1::State::Paused, v1::Cause::Manual)
        };
        let active = self.book.runs.iter().filter(|(_, run)| !by_hand(run));
        let active: Vec<_> = active
            .map(|(id, run)| (id.clone(), run.rollout.model.clone()))
            .collect();
        for (id, model) in active {
            let held = Kind::Held(v1::Held {
                cause: v1::Cause::Restored.into(),
                decision: None,
            });
            self.emit(&id, &model, &cause, vec![held], now_ms)?;
        }
        self.stage.batch.held_restored = true;
        Ok(())
    }
}
