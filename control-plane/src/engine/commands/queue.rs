//! Plans that wait for the active rollout to end: into the queue, out of it, and what starts next.

use super::{Desk, Outcome, Stop, event};
use crate::engine::handle::CommandError;
use crate::engine::requests;
use crate::engine::stage::Cause;
use prost::Message as _;
use serinus_core::freeze::Freezes;
use serinus_core::plan;
use serinus_core::rollout::{self, MOST_WAITING, Waiting};
use serinus_proto::v1;
use uuid::Uuid;
use v1::event::Kind;

/// Who asks for something that has no state machine of its own.
pub(super) struct Order<'a> {
    pub(super) request_id: &'a str,
    pub(super) content: u64,
    pub(super) validate_only: bool,
    pub(super) actor: &'a str,
    pub(super) reason: &'a str,
}

impl Order<'_> {
    fn cause(&self) -> Cause {
        Cause {
            actor: self.actor.to_owned(),
            reason: self.reason.to_owned(),
            request: Some((self.request_id.to_owned(), self.content)),
            ..Cause::default()
        }
    }
}

impl Desk<'_> {
    /// Queues a plan; `None` if it need not wait. A plan that is active, or waits already, is the one that it is.
    pub(super) fn queue(
        &mut self,
        actor: &str,
        request: &v1::ApplyRequest,
        content: u64,
    ) -> Result<Option<Outcome>, Stop> {
        let asked = request.plan.clone().unwrap_or_default();
        let queue = self.book.queue(&asked.model);
        let active = self.book.active(&asked.model).map(|run| &run.rollout);
        let frozen = Freezes::of(&asked).at(self.now_ms).until_ms.is_some();
        if active.is_none() && queue.is_empty() && (!frozen || request.force) {
            return Ok(None);
        }
        let same = queue.iter().find(|waiting| waiting.plan == asked);
        let mut same = same.map(|waiting| waiting.id.clone());
        let full = queue.len() >= MOST_WAITING;
        let fitting = self.fitting(&asked)?;
        if let Some(active) = active {
            let is_it = plan::asked_plan(active.plan.clone()) == fitting;
            same = is_it.then(|| active.id.clone()).or(same);
        }
        if let Some(id) = same {
            if !request.validate_only {
                self.requests.idle(&request.request_id, content, &id);
            }
            return Ok(Some(Outcome::Rollout(id)));
        }
        if full {
            let (model, most) = (asked.model, MOST_WAITING);
            return Err(CommandError::QueueFull { model, most }.into());
        }
        let order = Order {
            request_id: &request.request_id,
            content,
            validate_only: request.validate_only,
            actor,
            reason: &request.reason,
        };
        self.enqueue(asked, &order).map(Some)
    }

    fn enqueue(&mut self, plan: v1::Plan, order: &Order<'_>) -> Result<Outcome, Stop> {
        let id = Uuid::now_v7().to_string();
        let model = plan.model.clone();
        let position = self.book.queue(&model).len() + 1;
        let kind = Kind::Queued(v1::Queued { plan: Some(plan) });
        if order.validate_only {
            let queued = event(&id, &model, &order.cause(), self.now_ms, kind);
            let position = u32::try_from(position).unwrap_or(u32::MAX);
            let waiting = Waiting::from_queued(&queued);
            let view = waiting.map(|waiting| waiting.view(position));
            return Ok(Outcome::WouldBe(Box::new(view.unwrap_or_default())));
        }
        self.emit(&id, &model, &order.cause(), vec![kind])?;
        Ok(Outcome::Rollout(id))
    }

    /// The plan, complete for one of the variants that may be stable when its turn comes: today's, or the canary of one
    /// that is before it.
    fn fitting(&self, asked: &v1::Plan) -> Result<v1::Plan, CommandError> {
        let refused = match self.complete(asked.clone()) {
            Ok(plan) => return Ok(plan),
            Err(refused) => refused,
        };
        let active = self.book.active(&asked.model).map(|run| &run.rollout.plan);
        let queue = self.book.queue(&asked.model).into_iter();
        let before = active.into_iter().chain(queue.map(|waiting| &waiting.plan));
        let canaries = before.flat_map(|plan| &plan.canaries);
        let fits = |stable| {
            let plan = plan::complete(asked.clone(), Some(stable)).ok();
            plan.filter(|plan| plan::unknown_gates(plan, self.gates).is_empty())
        };
        match canaries.into_iter().find_map(fits) {
            Some(plan) => self.judgeable(&plan).map(|()| plan),
            None => Err(refused),
        }
    }

    /// Takes one out of the queue.
    pub(super) fn cancel(
        &mut self,
        actor: &str,
        request: &v1::CommandRequest,
    ) -> Result<Outcome, Stop> {
        let content = requests::content("Cancel", &request.encode_to_vec());
        if let Some(done) = self.known(&request.request_id, content, request.validate_only)? {
            return Ok(Outcome::Rollout(done));
        }
        let order = Order {
            request_id: &request.request_id,
            content,
            validate_only: request.validate_only,
            actor,
            reason: &request.reason,
        };
        let not_found = || CommandError::NotFound {
            kind: "rollout",
            name: request.rollout.clone(),
        };
        let id = self.book.resolve(&request.rollout).ok_or_else(not_found)?;
        if let Some(waiting) = self.book.waiting.get(&id) {
            let kinds = waiting.cancel("cancel")?;
            return self.unqueue(&id, kinds, &order);
        }
        let rollout = self.book.rollout(&id).ok_or_else(not_found)?;
        Err(CommandError::NotQueued {
            id,
            model: rollout.model.clone(),
        }
        .into())
    }

    /// Does what was decided about one that waits.
    pub(super) fn unqueue(
        &mut self,
        id: &str,
        kinds: Vec<Kind>,
        order: &Order<'_>,
    ) -> Result<Outcome, Stop> {
        let Some(waiting) = self.book.waiting.get(id) else {
            return Ok(Outcome::Rollout(id.to_owned()));
        };
        let model = waiting.model.clone();
        if order.validate_only {
            let mut copy = waiting.clone();
            for kind in kinds {
                copy.apply(&event(id, &model, &order.cause(), self.now_ms, kind));
            }
            return Ok(Outcome::WouldBe(Box::new(copy.view(0))));
        }
        self.emit(id, &model, &order.cause(), kinds)?;
        Ok(Outcome::Rollout(id.to_owned()))
    }

    /// Starts what is next for a model that has no active rollout, unless its plan is frozen; what does not fit any more leaves the queue. The id of
    /// what has started.
    pub(in crate::engine) fn start_next(&mut self, model: &str) -> Result<Option<String>, Stop> {
        if self.book.active(model).is_some() {
            return Ok(None);
        }
        while let Some(next) = self.book.queue(model).first().copied() {
            if Freezes::of(&next.plan).at(self.now_ms).until_ms.is_some() {
                return Ok(None);
            }
            let next = next.clone();
            let plan = self.complete(next.plan.clone()).and_then(|plan| {
                let plan = plan::choose_ramp(plan, self.book.traffic_of(model, self.now_ms));
                self.judgeable(&plan).map(|()| plan)
            });
            match plan {
                Ok(plan) => {
                    let cause = Cause {
                        actor: next.actor,
                        reason: next.reason,
                        ..Cause::default()
                    };
                    self.emit(&next.id, model, &cause, rollout::create(&plan))?;
                    self.know_stable(model, &plan, &cause)?;
                    return Ok(Some(next.id));
                }
                Err(CommandError::Invalid(violations)) => {
                    let kinds = vec![rollout::unfit(violations)];
                    self.emit(&next.id, model, &Cause::own(), kinds)?;
                }
                Err(other) => return Err(other.into()),
            }
        }
        Ok(None)
    }
}
