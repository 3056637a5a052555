//! Commands: checked against what is known, turned into events.

mod queue;
mod undo;

use super::book::{Book, BookError};
use super::fleet::fence;
use super::handle::{Command, CommandError, Verb};
use super::requests::{self, Known, Requests};
use super::shortage::only_lowers;
use super::stage::{Cause, Stage};
use crate::store::{Shortage, Urgency};
use prost::Message as _;
use queue::Order;
use serinus_core::freeze::{Freezes, moment};
use serinus_core::ledger::history;
use serinus_core::plan;
use serinus_core::rollout::{self, CommandKind, Refused, Rollout};
use serinus_evidence::Engine as Evidence;
use serinus_proto::v1;
use std::collections::BTreeSet;
use uuid::Uuid;
use v1::event::Kind;

/// What a command led to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The rollout it was about, as it is now.
    Rollout(String),
    /// `validate_only`: as it would be.
    WouldBe(Box<v1::Rollout>),
}

/// What naming a stable variant led to.
#[derive(Debug)]
pub(super) enum Named {
    /// The model it was about, as it is now.
    Model(String),
    /// `validate_only`: the variant that would be stable.
    WouldBe(v1::Variant),
}

/// Why a command stopped: refused, or the log cannot go on.
#[derive(Debug)]
pub(super) enum Stop {
    Refused(CommandError),
    Broken(BookError),
}

impl<E: Into<CommandError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// The parts of the engine that a command may change.
pub(super) struct Desk<'a> {
    pub(super) book: &'a mut Book,
    pub(super) requests: &'a mut Requests,
    pub(super) stage: &'a mut Stage,
    pub(super) shortage: Option<&'a Shortage>,
    pub(super) gates: &'a BTreeSet<String>,
    pub(super) generation: u64,
    pub(super) now_ms: u64,
}

impl Desk<'_> {
    /// Does a command.
    pub(super) fn command(&mut self, actor: &str, command: &Command) -> Result<Outcome, Stop> {
        match command {
            Command::Apply(request) => self.apply(actor, request),
            Command::Undo(request) => self.undo(actor, request),
            Command::Cancel(request) => self.cancel(actor, request),
            Command::Verb(verb, request) => {
                let kind = match verb {
                    Verb::Pause => CommandKind::Pause,
                    Verb::Resume => CommandKind::Resume,
                    Verb::Approve => CommandKind::Approve,
                    Verb::Reject => CommandKind::Reject,
                    Verb::Rollback => CommandKind::Rollback,
                };
                let ask = Ask {
                    force: request.force,
                    ..Ask::new(
                        &request.rollout,
                        &request.request_id,
                        request.validate_only,
                        kind,
                    )
                };
                let content = requests::content(&format!("{verb:?}"), &request.encode_to_vec());
                self.change(
                    actor,
                    ask,
                    content,
                    request.expected_revision,
                    &request.reason,
                )
            }
            Command::Promote(request) => {
                let kind = CommandKind::Promote { all: request.all };
                let ask = Ask {
                    force: request.force,
                    ..Ask::new(
                        &request.rollout,
                        &request.request_id,
                        request.validate_only,
                        kind,
                    )
                };
                let content = requests::content("Promote", &request.encode_to_vec());
                self.change(
                    actor,
                    ask,
                    content,
                    request.expected_revision,
                    &request.reason,
                )
            }
            Command::SetSplit(request) => {
                let kind = CommandKind::SetSplit {
                    split: request.split.clone(),
                    force: request.force,
                };
                let ask = Ask::new(
                    &request.rollout,
                    &request.request_id,
                    request.validate_only,
                    kind,
                );
                let content = requests::content("SetSplit", &request.encode_to_vec());
                self.change(
                    actor,
                    ask,
                    content,
                    request.expected_revision,
                    &request.reason,
                )
            }
        }
    }

    fn apply(&mut self, actor: &str, request: &v1::ApplyRequest) -> Result<Outcome, Stop> {
        let content = requests::content("Apply", &request.encode_to_vec());
        if let Some(done) = self.known(&request.request_id, content, request.validate_only)? {
            return Ok(Outcome::Rollout(done));
        }
        if request.on_active() == v1::apply_request::OnActive::Queue
            && let Some(queued) = self.queue(actor, request, content)?
        {
            return Ok(queued);
        }
        let plan = self.complete(request.plan.clone().unwrap_or_default())?;
        let model = plan.model.clone();
        let active = self.book.active(&model).map(|run| {
            let rollout = &run.rollout;
            (
                rollout.id.clone(),
                plan::asked_plan(rollout.plan.clone()) == plan,
            )
        });
        if let Some((id, true)) = active {
            if !request.validate_only {
                self.requests.idle(&request.request_id, content, &id);
            }
            return Ok(Outcome::Rollout(id));
        }
        let supersede = request.on_active() == v1::apply_request::OnActive::Supersede;
        if let Some((id, _)) = active.as_ref().filter(|_| !supersede) {
            return Err(CommandError::Active {
                model,
                id: id.clone(),
            }
            .into());
        }
        self.may_raise()?;
        let id = Uuid::now_v7().to_string();
        let cause = Cause {
            actor: actor.to_owned(),
            reason: request.reason.clone(),
            request: Some((request.request_id.clone(), content)),
            ..Cause::default()
        };
        let plan = plan::choose_ramp(plan, self.book.traffic_of(&model, self.now_ms));
        self.judgeable(&plan)?;
        self.not_frozen(&plan, request)?;
        let kinds = rollout::create(&plan);
        if request.validate_only {
            return Ok(Outcome::WouldBe(Box::new(would_be(
                &id,
                &model,
                &cause,
                self.now_ms,
                kinds,
            ))));
        }
        self.has_room()?;
        if let Some((old, _)) = active {
            self.supersede(&old, &model, &cause, &id)?;
        }
        self.emit(&id, &model, &cause, kinds)?;
        self.know_stable(&model, &plan, &cause)?;
        Ok(Outcome::Rollout(id))
    }

    /// While a sidecar shows that somebody else gives orders, or that history was lost, nobody is given a canary.
    fn may_raise(&self) -> Result<(), CommandError> {
        let Some(shown) = self.book.regression(self.generation) else {
            return Ok(());
        };
        let held = fence(shown.held.as_ref());
        Err(CommandError::FenceRegressed {
            sidecar: shown.sidecar.clone(),
            held,
            newest: fence(shown.newest.as_ref()),
            next: held.generation.max(self.generation) + 1,
        })
    }

    /// Fills in and checks a plan, against the model's stable variant too.
    fn complete(&self, plan: v1::Plan) -> Result<v1::Plan, CommandError> {
        let known = self.book.models.get(&plan.model).map(|model| &model.stable);
        let plan = plan::complete(plan, known).map_err(CommandError::Invalid)?;
        let unknown = plan::unknown_gates(&plan, self.gates);
        if !unknown.is_empty() {
            return Err(CommandError::Invalid(unknown));
        }
        self.judgeable(&plan)?;
        Ok(plan)
    }

    /// A rollout does not begin in a freeze of its plan, but by force and with a reason.
    fn not_frozen(&self, plan: &v1::Plan, request: &v1::ApplyRequest) -> Result<(), CommandError> {
        match Freezes::of(plan).at(self.now_ms).until_ms {
            Some(_) if request.force && request.reason.trim().is_empty() => {
                Err(Refused::ReasonRequired.into())
            }
            Some(until_ms) if !request.force => Err(CommandError::Frozen {
                until: moment(until_ms),
            }),
            _ => Ok(()),
        }
    }

    /// What cannot be judged must not get into the log: no engine would start from it.
    fn judgeable(&self, plan: &v1::Plan) -> Result<(), CommandError> {
        let stable = self.book.known_of_stable(&plan.model, self.now_ms);
        let settings = history::begin_with(plan::evidence_settings(plan), stable.as_ref());
        match Evidence::new(settings) {
            Ok(_) => Ok(()),
            Err(error) => Err(CommandError::Invalid(vec![v1::Violation {
                path: error.field().to_owned(),
                message: error.to_string(),
            }])),
        }
    }

    fn supersede(&mut self, old: &str, model: &str, cause: &Cause, by: &str) -> Result<(), Stop> {
        let Some(run) = self.book.runs.get(old) else {
            return Ok(());
        };
        let kinds = rollout::supersede(&run.rollout);
        let reason = format!("superseded by {by}");
        self.emit(
            old,
            model,
            &Cause {
                reason,
                request: None,
                ..cause.clone()
            },
            kinds,
        )
    }

    /// The first plan of a model, or one with other addresses, says what its stable is.
    fn know_stable(&mut self, model: &str, plan: &v1::Plan, cause: &Cause) -> Result<(), Stop> {
        let known = self.book.models.get(model).map(|model| &model.stable);
        if known == plan.stable.as_ref() {
            return Ok(());
        }
        let changed = v1::ModelChanged {
            stable: plan.stable.clone(),
        };
        self.emit(
            "",
            model,
            &Cause {
                request: None,
                ..cause.clone()
            },
            vec![Kind::ModelChanged(changed)],
        )
    }

    fn change(
        &mut self,
        actor: &str,
        ask: Ask<'_>,
        content: u64,
        expected_revision: u64,
        reason: &str,
    ) -> Result<Outcome, Stop> {
        if let Some(done) = self.known(ask.request_id, content, ask.validate_only)? {
            return Ok(Outcome::Rollout(done));
        }
        let not_found = || CommandError::NotFound {
            kind: "rollout",
            name: ask.rollout.to_owned(),
        };
        let id = self.book.resolve(ask.rollout).ok_or_else(not_found)?;
        let command = rollout::Command {
            kind: ask.kind,
            expected_revision,
            reason: reason.to_owned(),
            force: ask.force,
        };
        if let Some(waiting) = self.book.waiting.get(&id) {
            let kinds = waiting.command(&command)?;
            let order = Order {
                request_id: ask.request_id,
                content,
                validate_only: ask.validate_only,
                actor,
                reason,
            };
            return self.unqueue(&id, kinds, &order);
        }
        let rollout = self.book.rollout(&id).ok_or_else(not_found)?;
        let kinds = rollout::command(rollout, self.now_ms, &command)?;
        let model = rollout.model.clone();
        let cause = Cause {
            actor: actor.to_owned(),
            reason: reason.to_owned(),
            request: Some((ask.request_id.to_owned(), content)),
            ..Cause::default()
        };
        let mut copy = rollout.clone();
        preview(&mut copy, &id, &model, &cause, self.now_ms, kinds.clone());
        if raises(rollout, &copy) {
            self.may_raise()?;
        }
        if ask.validate_only {
            return Ok(Outcome::WouldBe(Box::new(rollout::view(&copy))));
        }
        if !kinds.is_empty() && only_lowers(rollout, &kinds) {
            self.stage.batch.urgency = Urgency::Lowers;
        } else if !kinds.is_empty() {
            self.has_room()?;
        }
        if kinds.is_empty() {
            self.requests.idle(ask.request_id, content, &id);
        }
        self.emit(&id, &model, &cause, kinds)?;
        Ok(Outcome::Rollout(id))
    }

    /// Names a model's stable variant.
    pub(super) fn set_stable(
        &mut self,
        actor: &str,
        request: &v1::SetStableRequest,
    ) -> Result<Named, Stop> {
        if request.request_id.is_empty() && !request.validate_only {
            let mut violations = vec![v1::Violation {
                path: "request_id".to_owned(),
                message: CommandError::RequestIdMissing.to_string(),
            }];
            let stable = request.stable.clone().unwrap_or_default();
            violations.extend(check_stable(&request.model, &stable));
            return Err(CommandError::Invalid(violations).into());
        }
        let content = requests::content("SetStable", &request.encode_to_vec());
        if let Some(done) = self.known(&request.request_id, content, request.validate_only)? {
            return Ok(Named::Model(done));
        }
        self.has_room()?;
        let stable = request.stable.clone().unwrap_or_default();
        let violations = check_stable(&request.model, &stable);
        if !violations.is_empty() {
            return Err(CommandError::Invalid(violations).into());
        }
        if let Some(run) = self.book.active(&request.model) {
            let id = run.rollout.id.clone();
            return Err(CommandError::Active {
                model: request.model.clone(),
                id,
            }
            .into());
        }
        let actual = self
            .book
            .models
            .get(&request.model)
            .map_or(0, |model| model.revision);
        if request.expected_revision != 0 && request.expected_revision != actual {
            let (model, expected) = (request.model.clone(), request.expected_revision);
            return Err(CommandError::ModelRevision {
                model,
                expected,
                actual,
            }
            .into());
        }
        if request.validate_only {
            return Ok(Named::WouldBe(stable));
        }
        let cause = Cause {
            actor: actor.to_owned(),
            reason: request.reason.clone(),
            request: Some((request.request_id.clone(), content)),
            ..Cause::default()
        };
        let changed = v1::ModelChanged {
            stable: Some(stable),
        };
        self.emit(
            "",
            &request.model,
            &cause,
            vec![Kind::ModelChanged(changed)],
        )?;
        Ok(Named::Model(request.model.clone()))
    }

    /// Puts events into the log; a promotion makes its canary the model's stable.
    pub(super) fn emit(
        &mut self,
        id: &str,
        model: &str,
        cause: &Cause,
        kinds: Vec<Kind>,
    ) -> Result<(), Stop> {
        let promoted = kinds.iter().find_map(|kind| match kind {
            Kind::Promoted(promoted) => Some(promoted.variant.clone()),
            _ => None,
        });
        let emit = |desk: &mut Self, id: &str, cause: &Cause, kinds| {
            let done = desk.stage.emit(
                desk.book,
                desk.requests,
                (id, model),
                cause,
                kinds,
                desk.now_ms,
            );
            done.map_err(Stop::Broken)
        };
        emit(self, id, cause, kinds)?;
        let plan = self.book.rollout(id).map(|rollout| &rollout.plan);
        let winner =
            promoted.and_then(|name| plan?.canaries.iter().find(|v| v.name == name).cloned());
        let Some(winner) = winner else { return Ok(()) };
        let changed = v1::ModelChanged {
            stable: Some(winner),
        };
        let cause = Cause {
            request: None,
            look: None,
            reason: format!("promoted by rollout {id}"),
            ..cause.clone()
        };
        emit(self, "", &cause, vec![Kind::ModelChanged(changed)])
    }

    /// What can wait is not begun without room on the disk.
    pub(super) fn has_room(&self) -> Result<(), CommandError> {
        match self.shortage {
            Some(shortage) => Err(CommandError::Full(shortage.clone())),
            None => Ok(()),
        }
    }

    fn known(
        &self,
        id: &str,
        content: u64,
        validate_only: bool,
    ) -> Result<Option<String>, CommandError> {
        if validate_only {
            return Ok(None);
        }
        if id.is_empty() {
            return Err(CommandError::RequestIdMissing);
        }
        match self.requests.look_up(id, content) {
            Known::New => Ok(None),
            Known::Same(about) => Ok(Some(about)),
            Known::Other => Err(CommandError::RequestIdReused(id.to_owned())),
        }
    }
}

/// The common part of a command about a rollout.
struct Ask<'a> {
    rollout: &'a str,
    request_id: &'a str,
    validate_only: bool,
    kind: CommandKind,
    force: bool,
}

impl<'a> Ask<'a> {
    fn new(rollout: &'a str, request_id: &'a str, validate_only: bool, kind: CommandKind) -> Self {
        Self {
            rollout,
            request_id,
            validate_only,
            kind,
            force: false,
        }
    }
}

/// A rollout as events that are not in the log would make it.
fn would_be(id: &str, model: &str, cause: &Cause, now_ms: u64, kinds: Vec<Kind>) -> v1::Rollout {
    let mut kinds = kinds.into_iter();
    let first = kinds
        .next()
        .map(|kind| event(id, model, cause, now_ms, kind));
    let Some(mut rollout) = first.as_ref().and_then(Rollout::from_created) else {
        return v1::Rollout::default();
    };
    preview(&mut rollout, id, model, cause, now_ms, kinds.collect());
    rollout::view(&rollout)
}

/// Whether somebody is given the canary who did not have it.
fn raises(before: &Rollout, after: &Rollout) -> bool {
    let of = |rollout: &Rollout, variant: &str| {
        let mut canaries = rollout.allocation.canaries().iter();
        canaries
            .find(|owned| owned.variant == variant)
            .map_or(0, |owned| owned.size())
    };
    let mut after_all = after.allocation.canaries().iter();
    after.state == v1::State::Promoted
        || after_all.any(|owned| owned.size() > of(before, &owned.variant))
}

fn preview(
    rollout: &mut Rollout,
    id: &str,
    model: &str,
    cause: &Cause,
    now_ms: u64,
    kinds: Vec<Kind>,
) {
    for kind in kinds {
        rollout::apply(rollout, &event(id, model, cause, now_ms, kind));
    }
}

fn event(id: &str, model: &str, cause: &Cause, now_ms: u64, kind: Kind) -> v1::Event {
    v1::Event {
        revision: 0,
        time: Some(rollout::timestamp(now_ms)),
        rollout: id.to_owned(),
        model: model.to_owned(),
        actor: cause.actor.clone(),
        reason: cause.reason.clone(),
        kind: Some(kind),
    }
}

/// What a stable variant needs to be routed to: what a plan that names it would need, and an address.
fn check_stable(model: &str, stable: &v1::Variant) -> Vec<v1::Violation> {
    let plan = v1::Plan {
        model: model.to_owned(),
        stable: Some(stable.clone()),
        ..v1::Plan::default()
    };
    let violations = plan::complete(plan, None).err().unwrap_or_default();
    let of_these = |path: &str| path == "model" || path.starts_with("stable");
    let mut violations: Vec<v1::Violation> = violations
        .into_iter()
        .filter(|violation| of_these(&violation.path))
        .collect();
    if stable.endpoints.is_empty() {
        violations.push(v1::Violation {
            path: "stable.endpoints".to_owned(),
            message: "needs at least one address, e.g. http://127.0.0.1:9001".to_owned(),
        });
    }
    violations
}
