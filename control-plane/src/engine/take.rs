//! One message at a time: the state changes in memory, the answer waits for the commit.

use super::audit::about;
use super::commands::{Desk, Named, Outcome, Stop};
use super::fleet::fence;
use super::handle::{Command, CommandError};
use super::message::{GateAnswer, Message, Reply, Session};
use super::stage::Cause;
use super::{Engine, EngineError, LOST_AFTER_MS, assign, outcomes};
use crate::store::Urgency;
use rand::RngExt as _;
use serinus_core::rollout;
use serinus_core::selector::selects;
use serinus_proto::v1::{self, event::Kind};

impl Engine {
    /// Takes one message.
    pub(super) fn take(&mut self, message: Message, now_ms: u64) -> Result<(), EngineError> {
        match message {
            Message::Command {
                origin,
                command,
                reply,
            } => self.audited(&origin, about(&command), |engine| {
                engine.command(&origin.name, &command, reply, now_ms)
            }),
            Message::SetStable {
                origin,
                request,
                reply,
            } => self.audited(&origin, &request.model, |engine| {
                engine.set_stable(&origin.name, &request, reply, now_ms)
            }),
            Message::Attach { hello, reply } => {
                let newcomer = !self.fleet.knows(&hello.sidecar, hello.incarnation);
                if newcomer && self.has_no_room_for_newcomers() {
                    return Ok(());
                }
                self.attach(&hello, reply, now_ms)
            }
            Message::Fetch { hello, reply } => self.fetch(&hello, reply, now_ms),
            Message::Resync { session, held } => {
                self.resync(session, &held, now_ms);
                Ok(())
            }
            Message::Ack { session, ack } => self.acknowledge(session, &ack, now_ms),
            Message::Status { session, status } => self.status(session, status, now_ms),
            Message::Detach { session } => {
                self.detach(session, now_ms);
                Ok(())
            }
            // Who asked hears that there is no answer, and asks again later.
            Message::Report { .. } | Message::Outcomes { .. } if self.shortage.is_some() => Ok(()),
            Message::GateAnswered(answer) => self.gate_answered(&answer, now_ms),
            Message::Notified { .. } if self.shortage.is_some() => Ok(()),
            Message::Notified { webhook, reply } => {
                self.stage.batch.webhooks.push(webhook);
                self.reply(reply, ());
                Ok(())
            }
            Message::Report { report, reply } => self.report(&report, reply, now_ms),
            Message::Forget {
                rollouts,
                silent_since_ms,
            } => {
                self.forget(rollouts, silent_since_ms);
                Ok(())
            }
            Message::Release {
                origin,
                request,
                reply,
            } => self.audited(&origin, "", |engine| {
                engine.release(&origin.name, &request, reply, now_ms)
            }),
            Message::Outcomes { items, reply } => self.outcomes(&items, reply, now_ms),
        }
    }

    pub(super) fn desk(&mut self, now_ms: u64) -> Desk<'_> {
        Desk {
            book: &mut self.book,
            requests: &mut self.requests,
            stage: &mut self.stage,
            shortage: self.shortage.as_ref(),
            gates: &self.gates,
            generation: self.generation,
            now_ms,
        }
    }

    fn command(
        &mut self,
        actor: &str,
        command: &Command,
        reply: Reply<Result<v1::Rollout, CommandError>>,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        let answer = match self.desk(now_ms).command(actor, command) {
            Ok(Outcome::Rollout(id)) => {
                self.connect_sources(&id);
                self.rollout_view(&id, now_ms)
                    .ok_or(CommandError::NotFound {
                        kind: "rollout",
                        name: id,
                    })
            }
            Ok(Outcome::WouldBe(rollout)) => Ok(*rollout),
            Err(Stop::Refused(refused)) => Err(refused),
            Err(Stop::Broken(error)) => return Err(error.into()),
        };
        self.reply(reply, answer);
        Ok(())
    }

    /// The word itself is all that is taken; the next look acts on it.
    fn gate_answered(&mut self, answer: &GateAnswer, now_ms: u64) -> Result<(), EngineError> {
        let Some(run) = self.book.runs.get_mut(&answer.rollout) else {
            return Ok(());
        };
        let kinds = rollout::gate_answered(&run.rollout, answer.asked, answer.approved);
        if kinds.is_empty() {
            return Ok(());
        }
        run.touched = true;
        let model = run.rollout.model.clone();
        let cause = Cause {
            actor: format!("gate {}", answer.gate),
            reason: answer.reason.clone(),
            ..Cause::default()
        };
        self.emit(&answer.rollout, &model, &cause, kinds, now_ms)
    }

    fn set_stable(
        &mut self,
        actor: &str,
        request: &v1::SetStableRequest,
        reply: Reply<Result<v1::Model, CommandError>>,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        let answer = match self.desk(now_ms).set_stable(actor, request) {
            Ok(Named::Model(name)) => self.model_view(&name).ok_or(CommandError::NotFound {
                kind: "model",
                name,
            }),
            Ok(Named::WouldBe(stable)) => {
                let known = self.model_view(&request.model).unwrap_or_default();
                Ok(v1::Model {
                    name: request.model.clone(),
                    stable: Some(stable),
                    ..known
                })
            }
            Err(Stop::Refused(refused)) => Err(refused),
            Err(Stop::Broken(error)) => return Err(error.into()),
        };
        self.reply(reply, answer);
        Ok(())
    }

    /// The answer goes out after the commit that holds what it speaks of.
    pub(super) fn reply<T: Send + 'static>(&mut self, reply: Reply<T>, answer: T) {
        self.stage.after.push(Box::new(move || {
            // An error means that the caller has gone away.
            let _ = reply.send(answer);
        }));
    }

    fn attach(
        &mut self,
        hello: &v1::Hello,
        reply: Reply<Session>,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        let secret = rand::rng().random();
        let (issuer, source, new) = self.fleet.source(&hello.sidecar, hello.incarnation, secret);
        source.heard_ms = now_ms;
        let welcome = v1::Welcome {
            issuer: issuer.into(),
            id_key: source.key.secret.to_vec(),
            id_key_id: source.key.id.into(),
            committed_seq: source.taken_seq,
            report_interval: None,
            capabilities: vec!["warming".to_owned()],
        };
        if new {
            self.stage.sources.insert(issuer);
            self.stage.batch.meta = Some(self.meta());
            self.stage.batch.urgency = self.stage.batch.urgency.max(Urgency::Small);
        }
        let (id, gone, replaced) = self.fleet.attach(hello, issuer, now_ms);
        for run in self.book.runs.values_mut() {
            if let Some(gone) = gone {
                run.progress.disconnect(gone.into());
            }
            if hello.models.contains(&run.rollout.model) {
                run.progress.connect(issuer.into());
            } else {
                run.progress.disconnect(issuer.into());
            }
        }
        self.compare_fences(hello, now_ms)?;
        self.follow_latches(hello, now_ms)?;
        self.follow_labels(hello, now_ms)?;
        let session = Session {
            id,
            welcome: v1::Welcome {
                report_interval: Some(self.report_interval()),
                ..welcome
            },
            assignments: self.published.assignments(),
            latches: self.published.latches(),
            replaced,
        };
        self.reply(reply, session);
        Ok(())
    }

    /// For a sidecar whose streams break. It is not connected: what it holds is known as of now, and nothing waits for it.
    fn fetch(
        &mut self,
        hello: &v1::Hello,
        reply: Reply<v1::Push>,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        self.fleet.heard(hello, now_ms);
        self.compare_fences(hello, now_ms)?;
        self.follow_latches(hello, now_ms)?;
        let assignments = self.published.assignments();
        let (models, labels) = (hello.models.clone(), hello.labels.clone());
        let held = hello.held.clone();
        // What is published after the commit that these messages are in.
        self.stage.after.push(Box::new(move || {
            let table = assignments.borrow();
            let wanted = models.iter().filter_map(|model| table.of(model, &labels));
            let removed = held.into_iter().map(|held| held.model);
            let push = v1::Push {
                nonce: 0,
                assignments: wanted.map(|assignment| (**assignment).clone()).collect(),
                removed: removed
                    .filter(|model| !table.by_model.contains_key(model))
                    .collect(),
                snapshot_complete: true,
            };
            // An error means that the caller has gone away.
            let _ = reply.send(push);
        }));
        Ok(())
    }

    /// What a sidecar holds is not what it was thought to.
    fn resync(&mut self, session: u64, held: &[v1::HeldAssignment], now_ms: u64) {
        if let Some((name, sidecar)) = self.fleet.by_session(session) {
            tracing::warn!(sidecar = name, "what it holds is not what was thought");
            sidecar.last_seen_ms = now_ms;
            sidecar.holds(held);
        }
    }

    /// A sidecar that holds the present instruction as it is for others: its labels have changed. It is told anew, under
    /// another fence, since one fence has one content.
    fn follow_labels(&mut self, hello: &v1::Hello, now_ms: u64) -> Result<(), EngineError> {
        for held in &hello.held {
            let Some(run) = self.book.active(&held.model) else {
                continue;
            };
            let Some(selector) = run.rollout.selector.clone() else {
                continue;
            };
            let id = run.rollout.id.clone();
            let assigned_at = self
                .book
                .models
                .get(&held.model)
                .map_or(0, |of| of.assigned_at);
            let same_fence = fence(held.fence.as_ref()) == self.fence(assigned_at);
            let selected = selects(Some(&selector), &hello.labels);
            let (generation, term) = (self.generation, self.term);
            let wanted = if selected {
                assign::of(&self.book, &held.model, generation, term).map(|of| of.digest)
            } else {
                let narrowed = assign::narrowed(&self.book, &held.model, generation, term);
                narrowed.map(|of| of.others.digest)
            };
            if !same_fence || wanted == Some(held.digest) {
                continue;
            }
            let kind = Kind::SelectionChanged(v1::SelectionChanged {
                sidecar: hello.sidecar.clone(),
                selected,
            });
            self.emit(&id, &held.model, &Cause::own(), vec![kind], now_ms)?;
        }
        Ok(())
    }

    /// A latch that a sidecar was sent before its rollback was on disk: the rollback follows now.
    fn follow_latches(&mut self, hello: &v1::Hello, now_ms: u64) -> Result<(), EngineError> {
        for held in hello.held.iter().filter(|held| held.latched) {
            let Some(run) = self.book.runs.get(&held.rollout) else {
                continue;
            };
            let command = serinus_core::rollout::Command {
                kind: serinus_core::rollout::CommandKind::Rollback,
                expected_revision: 0,
                reason: format!("latched at sidecar {}", hello.sidecar),
                force: false,
            };
            let Ok(kinds) = serinus_core::rollout::command(&run.rollout, now_ms, &command) else {
                continue;
            };
            let (id, model) = (run.rollout.id.clone(), run.rollout.model.clone());
            let cause = Cause {
                reason: command.reason,
                ..Cause::own()
            };
            self.emit(&id, &model, &cause, kinds, now_ms)?;
        }
        Ok(())
    }

    fn detach(&mut self, session: u64, now_ms: u64) {
        let Some(issuer) = self.fleet.detach(session, now_ms) else {
            return;
        };
        for run in self.book.runs.values_mut() {
            run.progress.disconnect(issuer.into());
        }
    }

    /// Sidecars that have been gone for a while, with the active rollouts that they served.
    pub(super) fn lost(&mut self, now_ms: u64) -> Vec<(String, String, String)> {
        let mut lost = Vec::new();
        for (name, sidecar) in &mut self.fleet.sidecars {
            let gone = sidecar.session.is_none() && sidecar.last_seen_ms + LOST_AFTER_MS <= now_ms;
            if !gone || std::mem::replace(&mut sidecar.reported_lost, true) {
                continue;
            }
            for run in self
                .book
                .runs
                .values()
                .filter(|run| sidecar.models.contains(&run.rollout.model))
            {
                lost.push((
                    name.clone(),
                    run.rollout.id.clone(),
                    run.rollout.model.clone(),
                ));
            }
        }
        lost
    }

    /// Nothing of this is in the log: a start reads what the store has.
    fn forget(&mut self, rollouts: Vec<String>, silent_since_ms: u64) {
        for id in rollouts {
            // Its views go too.
            if self.book.finished.remove(&id).is_some() {
                self.stale.rollouts.insert(id);
            }
        }
        let silent = self.fleet.forget_silent(silent_since_ms);
        self.stage.batch.drop_sources.extend(silent);
    }

    fn outcomes(
        &mut self,
        items: &[v1::Outcome],
        reply: Reply<Vec<v1::OutcomeStatus>>,
        now_ms: u64,
    ) -> Result<(), EngineError> {
        let mut statuses = Vec::with_capacity(items.len());
        for item in items {
            let status = outcomes::take(
                &mut self.book,
                &self.fleet,
                &mut self.seen,
                self.store.as_ref(),
                item,
                now_ms,
            )?;
            statuses.push(status);
        }
        self.reply(reply, statuses);
        Ok(())
    }

    /// A new rollout waits for the sidecars that serve its model.
    pub(super) fn connect_sources(&mut self, id: &str) {
        let Some(run) = self.book.runs.get_mut(id) else {
            return;
        };
        let model = run.rollout.model.clone();
        for (_, sidecar) in self.fleet.serving(&model) {
            run.progress.connect(sidecar.issuer.into());
        }
    }
}
