//! What sidecars answer and tell: what they took, what they refused, what stands above the assignment on them.

use super::fleet::{Holding, fence, fence_to_wire};
use super::stage::Cause;
use super::{Engine, EngineError};
use crate::metrics::DIVERGED;
use serinus_common::fence::Fence;
use serinus_proto::v1::{self, ack_result::Outcome, event::Kind};

/// What a sidecar refused.
struct Refusal {
    model: String,
    detail: String,
    diverged: bool,
}

impl Engine {
    pub(super) fn acknowledge(
        &mut self,
        session: u64,
        ack: &v1::Ack,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        let Some((name, sidecar)) = self.fleet.by_session(session) else {
            return Ok(());
        };
        let name = name.to_owned();
        sidecar.last_seen_ms = now_ms;
        let (mut refused, mut newer) = (Vec::new(), Vec::new());
        for result in &ack.results {
            let at = fence(result.fence.as_ref());
            if result.stale_fence {
                newer.push((result.model.clone(), at));
                continue;
            }
            let Some(holding) = sidecar.holding.get_mut(&result.model) else {
                continue;
            };
            match result.outcome() {
                outcome @ (Outcome::Applied | Outcome::Warming) => {
                    *holding = Holding {
                        fence: at,
                        warming: outcome == Outcome::Warming,
                        reverted: result.reverted,
                        rejection: None,
                    };
                }
                Outcome::Rejected | Outcome::Unspecified => {
                    let rejection = Some((at, result.detail.clone()));
                    if holding.rejection != rejection {
                        holding.rejection = rejection;
                        refused.push(Refusal {
                            model: result.model.clone(),
                            detail: result.detail.clone(),
                            diverged: result.diverged,
                        });
                    }
                }
            }
        }
        for (model, held) in newer {
            self.compare_fence(&name, &model, held, now_ms)?;
        }
        refused
            .into_iter()
            .try_for_each(|refusal| self.refused(&name, refusal, now_ms))
    }

    fn refused(&mut self, sidecar: &str, refusal: Refusal, now_ms: u64) -> Result<(), EngineError> {
        let Refusal {
            model,
            detail,
            diverged,
        } = refusal;
        if diverged {
            metrics::counter!(DIVERGED).increment(1);
            tracing::error!(
                sidecar,
                model,
                detail,
                "DIVERGED: one instruction has two contents; one of them is forged or corrupt"
            );
        } else {
            tracing::warn!(sidecar, model, detail, "assignment refused");
        }
        let Some(id) = self.book.active(&model).map(|run| run.rollout.id.clone()) else {
            return Ok(());
        };
        let kind = Kind::AssignmentRejected(v1::AssignmentRejected {
            sidecar: sidecar.to_owned(),
            detail,
        });
        self.emit(&id, &model, &Cause::own(), vec![kind], now_ms)
    }

    /// Of everything that a sidecar says it holds.
    pub(super) fn compare_fences(
        &mut self,
        hello: &v1::Hello,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        for held in &hello.held {
            let theirs = fence(held.fence.as_ref());
            self.compare_fence(&hello.sidecar, &held.model, theirs, now_ms)?;
        }
        Ok(())
    }

    /// A sidecar that holds a later instruction than any of ours got it from somebody else, or our history was lost. It
    /// will refuse what we send, and nothing that it has refused must be raised elsewhere. What counts is the last
    /// instruction about this model: the log of a store that was put back grows on, and may be past what is held by now.
    fn compare_fence(
        &mut self,
        sidecar: &str,
        model: &str,
        theirs: Fence,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        let assigned_at = self.book.models.get(model).map_or(0, |of| of.assigned_at);
        let ours = self.fence(assigned_at);
        if theirs <= ours {
            return Ok(());
        }
        if let Some(known) = self.fleet.sidecars.get_mut(sidecar) {
            known.ahead = true;
        }
        tracing::error!(
            sidecar,
            model,
            held = %theirs,
            newest = %ours,
            "FENCE_REGRESSION: the sidecar follows another control plane, or a backup was restored without a new \
             generation; it obeys nothing from here, and nothing is raised anywhere"
        );
        if self.book.regression(self.generation).is_some() {
            return Ok(());
        }
        let kind = Kind::FenceRegressed(v1::FenceRegressed {
            sidecar: sidecar.to_owned(),
            held: Some(fence_to_wire(theirs)),
            newest: Some(fence_to_wire(ours)),
        });
        self.emit("", model, &Cause::own(), vec![kind], now_ms)
    }

    pub(super) fn status(
        &mut self,
        session: u64,
        status: v1::Status,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        let Some((name, sidecar)) = self.fleet.by_session(session) else {
            return Ok(());
        };
        let name = name.to_owned();
        sidecar.last_seen_ms = now_ms;
        let before = std::mem::take(&mut sidecar.variants);
        let changes = changes(&name, &before, &status.variants);
        for result in &status.applied {
            let at = fence(result.fence.as_ref());
            let holding = sidecar.holding.get_mut(&result.model);
            if let Some(holding) = holding.filter(|holding| holding.fence == at) {
                holding.warming &= result.outcome() != Outcome::Applied;
            }
        }
        for (model, holding) in &mut sidecar.holding {
            let mut here = status
                .variants
                .iter()
                .filter(|of| of.model == *model)
                .peekable();
            if here.peek().is_some() {
                holding.reverted = here.any(|of| of.reverted);
            }
        }
        sidecar.variants = status.variants;
        for (model, rollout, kind) in changes {
            let run = self.book.active(&model);
            if run.is_some_and(|run| run.rollout.id == rollout) {
                self.emit(&rollout, &model, &Cause::own(), vec![kind], now_ms)?;
            }
        }
        Ok(())
    }
}

/// What is news about a canary: that its breaker turned, or that somebody on the host stopped it or let it go on.
fn changes(
    sidecar: &str,
    before: &[v1::VariantStatus],
    now: &[v1::VariantStatus],
) -> Vec<(String, String, Kind)> {
    let mut changes = Vec::new();
    for variant in now {
        let same =
            |old: &&v1::VariantStatus| old.model == variant.model && old.variant == variant.variant;
        let old = before.iter().find(same);
        let mut note = |kind| {
            changes.push((variant.model.clone(), variant.rollout.clone(), kind));
        };
        if variant.breaker_open != old.is_some_and(|old| old.breaker_open) {
            note(Kind::BreakerChanged(v1::BreakerChanged {
                sidecar: sidecar.to_owned(),
                variant: variant.variant.clone(),
                open: variant.breaker_open,
            }));
        }
        if variant.killed != old.is_some_and(|old| old.killed) {
            note(Kind::OverrideChanged(v1::OverrideChanged {
                sidecar: sidecar.to_owned(),
                killed: variant.killed,
            }));
        }
    }
    changes
}
