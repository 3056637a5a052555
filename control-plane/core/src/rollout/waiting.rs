//! A rollout that waits until its model's active one has ended.

use super::time::{millis, timestamp};
use super::{Command, CommandKind, Refused};
use serinus_proto::v1::event::Kind;
use serinus_proto::v1::{self, Cause, State};

/// So many may wait per model.
pub const MOST_WAITING: usize = 8;

/// One that was queued and has not started. Times are unix milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// UUID v7 as text; the rollout keeps it when it starts.
    pub id: String,
    /// What is to be rolled out.
    pub model: String,
    /// As it was asked for: what stable is by then is not known yet.
    pub plan: v1::Plan,
    /// Who queued it.
    pub actor: String,
    /// Their words.
    pub reason: String,
    /// Of the last event.
    pub revision: u64,
    /// When it was queued.
    pub queued_ms: u64,
    /// Why it was taken out of the queue, in words, and when.
    pub cancelled: Option<(Cause, String, u64)>,
}

impl Waiting {
    /// The state after the event that queued it; `None` if this is no such event.
    #[must_use]
    pub fn from_queued(event: &v1::Event) -> Option<Self> {
        let Some(Kind::Queued(queued)) = &event.kind else {
            return None;
        };
        Some(Self {
            id: event.rollout.clone(),
            model: event.model.clone(),
            plan: queued.plan.clone()?,
            actor: event.actor.clone(),
            reason: event.reason.clone(),
            revision: event.revision,
            queued_ms: event.time.as_ref().map_or(0, millis),
            cancelled: None,
        })
    }

    /// Folds an event into the state; what is not about its place in the queue changes nothing.
    pub fn apply(&mut self, event: &v1::Event) {
        let Some(Kind::Cancelled(cancelled)) = &event.kind else {
            return;
        };
        let mistakes = || {
            let of = cancelled.violations.iter();
            let lines: Vec<String> = of.map(|v| format!("{}: {}", v.path, v.message)).collect();
            lines.join("; ")
        };
        let words = match event.reason.as_str() {
            "" => mistakes(),
            said => said.to_owned(),
        };
        let at_ms = event.time.as_ref().map_or(0, millis);
        self.revision = event.revision;
        self.cancelled = Some((cancelled.cause(), words, at_ms));
    }

    /// Whether it still waits.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        self.cancelled.is_none()
    }

    /// The state, for readers.
    #[must_use]
    pub fn state(&self) -> State {
        if self.is_queued() {
            State::Queued
        } else {
            State::Cancelled
        }
    }

    /// The public form; `position` is its place in the queue, from 1.
    #[must_use]
    pub fn view(&self, position: u32) -> v1::Rollout {
        let (cause, reason, ended_ms) = match &self.cancelled {
            Some((cause, words, at_ms)) => (*cause, words.clone(), Some(*at_ms)),
            None => (Cause::Unspecified, self.reason.clone(), None),
        };
        v1::Rollout {
            id: self.id.clone(),
            model: self.model.clone(),
            plan: Some(self.plan.clone()),
            state: self.state().into(),
            cause: cause.into(),
            revision: self.revision,
            created: Some(timestamp(self.queued_ms)),
            updated: Some(timestamp(ended_ms.unwrap_or(self.queued_ms))),
            finished: ended_ms.map(timestamp),
            verbs: self.verbs().into_iter().map(str::to_owned).collect(),
            reason,
            actor: self.actor.clone(),
            queue_position: position,
            ..v1::Rollout::default()
        }
    }

    fn verbs(&self) -> Vec<&'static str> {
        if self.is_queued() {
            vec!["cancel"]
        } else {
            Vec::new()
        }
    }

    /// The events that a command leads to: a rollback of what never began is its cancellation.
    ///
    /// # Errors
    /// If it is neither that nor allowed.
    pub fn command(&self, command: &Command) -> Result<Vec<Kind>, Refused> {
        match (&command.kind, self.is_queued()) {
            (CommandKind::Rollback, true) => self.cancel("rollback"),
            (kind, _) => Err(self.refuse(kind.verb())),
        }
    }

    /// The events that take it out of the queue on somebody's word; `verb` is what they asked for.
    ///
    /// # Errors
    /// If it is out already.
    pub fn cancel(&self, verb: &'static str) -> Result<Vec<Kind>, Refused> {
        if !self.is_queued() {
            return Err(self.refuse(verb));
        }
        Ok(vec![Kind::Cancelled(v1::Cancelled {
            cause: Cause::Operator.into(),
            violations: Vec::new(),
        })])
    }

    fn refuse(&self, verb: &'static str) -> Refused {
        Refused::WrongState {
            verb,
            state: self.state(),
            verbs: self.verbs(),
        }
    }
}

/// The event that takes a plan out of the queue that does not fit the model any more.
#[must_use]
pub fn unfit(violations: Vec<v1::Violation>) -> Kind {
    Kind::Cancelled(v1::Cancelled {
        cause: Cause::Unfit.into(),
        violations,
    })
}
