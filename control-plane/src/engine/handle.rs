//! How the surfaces talk to the engine: commands go through its mailbox, reads come from what it last published.

use super::LATCH_AFTER;
use super::message::{GateAnswer, Message, Reply, Session};
use super::origin::Origin;
use crate::metrics::LATCHES;
use crate::store::{Shortage, Store, StoreError};
use serinus_common::fence::Fence;
use serinus_core::plan;
use serinus_core::rollout::Refused;
use serinus_core::selector::selects;
use serinus_proto::{stored::v1 as stored, v1};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Everything that can be read, as of the last commit.
#[derive(Clone, Debug, Default)]
pub struct Views {
    /// By id; ids sort by age.
    pub rollouts: BTreeMap<String, Arc<v1::Rollout>>,
    /// By name.
    pub models: BTreeMap<String, Arc<v1::Model>>,
    /// By name.
    pub sidecars: BTreeMap<String, Arc<v1::SidecarInfo>>,
    /// Of the last event that is in them.
    pub revision: u64,
    /// When they were shown, unix milliseconds; several times a second while the engine works.
    pub shown_ms: u64,
    /// What showed that a sidecar has a later instruction than any of ours; nothing is raised while there is one.
    pub fence_regressed: Option<v1::FenceRegressed>,
}

impl Views {
    /// By id, or by model: then the active rollout, else the latest one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<v1::Rollout>> {
        if let Some(rollout) = self.rollouts.get(name) {
            return Some(rollout);
        }
        let model = self.models.get(name)?;
        let id = if model.active_rollout.is_empty() {
            &model.latest_rollout
        } else {
            &model.active_rollout
        };
        self.rollouts.get(id)
    }
}

/// What every sidecar should hold, by model.
#[derive(Clone, Debug, Default)]
pub struct Assignments {
    /// By model; fence and digest are filled in.
    pub by_model: BTreeMap<String, Arc<v1::Assignment>>,
    /// By model, where the active rollout selects sidecars.
    pub narrowed: BTreeMap<String, Narrowed>,
}

/// A rollout for some sidecars only.
#[derive(Clone, Debug, PartialEq)]
pub struct Narrowed {
    /// Who gets what is in `by_model`.
    pub selector: v1::Selector,
    /// What all others get.
    pub others: Arc<v1::Assignment>,
}

impl Assignments {
    /// What a sidecar with these labels should hold of a model.
    #[must_use]
    pub fn of(
        &self,
        model: &str,
        labels: &BTreeMap<String, String>,
    ) -> Option<&Arc<v1::Assignment>> {
        let narrowed = self.narrowed.get(model);
        match narrowed.filter(|of| !selects(Some(&of.selector), labels)) {
            Some(narrowed) => Some(&narrowed.others),
            None => self.by_model.get(model),
        }
    }
}

/// A change asked for by a person or a program.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "commands are few, and each is moved twice"
)]
pub enum Command {
    /// Start a rollout.
    Apply(v1::ApplyRequest),
    /// Pause, resume, approve, reject or roll back.
    Verb(Verb, v1::CommandRequest),
    /// To the next step or to the end.
    Promote(v1::PromoteRequest),
    /// Change the running split.
    SetSplit(v1::SetSplitRequest),
    /// Take a promotion back.
    Undo(v1::CommandRequest),
    /// Take one out of the queue.
    Cancel(v1::CommandRequest),
}

/// The commands that carry nothing but themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Stop the ramp.
    Pause,
    /// Go on.
    Resume,
    /// Let the step be left.
    Approve,
    /// Refuse to.
    Reject,
    /// To stable.
    Rollback,
}

/// Why a command was not done. Nothing has changed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The plan or the split has mistakes: INVALID_ARGUMENT with field violations.
    #[error("{}", list(.0))]
    Invalid(Vec<v1::Violation>),
    /// INVALID_ARGUMENT.
    #[error(
        "request_id is required: send a new UUID with each command, and the same one when you retry it"
    )]
    RequestIdMissing,
    /// INVALID_ARGUMENT, reason REQUEST_ID_REUSED.
    #[error("request_id {0} was used for another command; take a new one")]
    RequestIdReused(String),
    /// NOT_FOUND.
    #[error("there is no {kind} {name:?}; see `serinus {kind} list`")]
    NotFound {
        /// "rollout" or "model".
        kind: &'static str,
        /// What was asked for.
        name: String,
    },
    /// FAILED_PRECONDITION, reason ROLLOUT_ACTIVE.
    #[error(
        "rollout {id} of {model} is active; roll it back first, or apply with on_active = supersede or queue"
    )]
    Active {
        /// The model.
        model: String,
        /// The active rollout.
        id: String,
    },
    /// FAILED_PRECONDITION, reason FROZEN.
    #[error(
        "frozen until {until} by the plan: a rollout begins then at the earliest; apply with on_active = queue to wait, or with force and a reason"
    )]
    Frozen {
        /// When it ends at the earliest, in words.
        until: String,
    },
    /// FAILED_PRECONDITION, reason QUEUE_FULL.
    #[error(
        "{most} rollouts of {model} wait already; cancel one first, see `serinus rollout list --model {model}`"
    )]
    QueueFull {
        /// The model.
        model: String,
        /// How many may wait.
        most: usize,
    },
    /// FAILED_PRECONDITION, reason NOT_QUEUED.
    #[error(
        "rollout {id} of {model} does not wait in the queue: it has started; roll it back instead"
    )]
    NotQueued {
        /// What was asked for.
        id: String,
        /// Its model.
        model: String,
    },
    /// The state machine refused: ABORTED for a revision mismatch, INVALID_ARGUMENT for bad values, else
    /// FAILED_PRECONDITION.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// ABORTED.
    #[error("model {model} is at revision {actual}, not {expected}: read it again and decide anew")]
    ModelRevision {
        /// The model.
        model: String,
        /// What the command expected.
        expected: u64,
        /// What it is.
        actual: u64,
    },
    /// UNAVAILABLE: too little room on the disk. Taking a canary back is possible all the same.
    #[error("{0}")]
    Full(Shortage),
    /// FAILED_PRECONDITION, reason FENCE_REGRESSION.
    #[error(
        "nothing is raised: sidecar {sidecar} holds instruction {held}, later than {newest}, the newest one here. Another \
         control plane gives it orders, or a backup was restored without a new generation; start this one with \
         --generation {next}, or stop it"
    )]
    FenceRegressed {
        /// Who showed it.
        sidecar: String,
        /// What it holds.
        held: Fence,
        /// The newest instruction there was here.
        newest: Fence,
        /// The generation to start with.
        next: u64,
    },
    /// UNAVAILABLE: shutting down, or the store is failing.
    #[error("the control plane is stopping; retry with the same request_id")]
    Stopping,
}

fn list(violations: &[v1::Violation]) -> String {
    let lines: Vec<String> = violations
        .iter()
        .map(|v| format!("{}: {}", v.path, v.message))
        .collect();
    lines.join("\n")
}

/// Cheap to clone; one for each surface.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) mailbox: mpsc::Sender<Message>,
    pub(super) views: watch::Receiver<Arc<Views>>,
    pub(super) revision: watch::Receiver<u64>,
    pub(super) latches: broadcast::Sender<v1::Latch>,
    pub(super) shortage: watch::Receiver<Option<Shortage>>,
    pub(super) store: Arc<dyn Store>,
    pub(super) gates: Arc<BTreeSet<String>>,
    pub(super) info: v1::Info,
}

impl Handle {
    /// Does a command; the answer comes when it is on disk. `origin` says who asks, for the audit log. A rollback whose
    /// answer takes over 250 ms is pushed as a latch first.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn command(
        &self,
        origin: impl Into<Origin>,
        command: Command,
    ) -> Result<v1::Rollout, CommandError> {
        let origin = origin.into();
        let stops = self.stops(&command);
        let answer = self.ask(|reply| Message::Command {
            origin,
            command,
            reply,
        });
        let answer = match stops {
            Some(rollout) => self.or_latch(rollout, answer).await,
            None => answer.await,
        };
        answer.ok_or(CommandError::Stopping)?
    }

    /// The active rollout that a command ends, where it is a rollback.
    fn stops(&self, command: &Command) -> Option<String> {
        let Command::Verb(Verb::Rollback, request) = command else {
            return None;
        };
        let views = self.views();
        let rollout = views.find(&request.rollout)?;
        let ended = matches!(rollout.state(), v1::State::Promoted | v1::State::RolledBack);
        let begun = !matches!(rollout.state(), v1::State::Queued | v1::State::Cancelled);
        let active = begun && !ended;
        (active && !request.validate_only).then(|| rollout.id.clone())
    }

    /// A rollback may wait in the mailbox for the commit of something else. If that takes long, its latch does not wait.
    async fn or_latch<T>(&self, rollout: String, answer: impl Future<Output = T>) -> T {
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            () = tokio::time::sleep(LATCH_AFTER) => {}
        }
        self.latch(v1::Latch {
            rollout,
            variant: String::new(),
        });
        answer.await
    }

    /// Names a model's stable variant.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn set_stable(
        &self,
        origin: impl Into<Origin>,
        request: v1::SetStableRequest,
    ) -> Result<v1::Model, CommandError> {
        let origin = origin.into();
        self.ask(|reply| Message::SetStable {
            origin,
            request,
            reply,
        })
        .await
        .ok_or(CommandError::Stopping)?
    }

    /// Lets the reports of a quarantined sidecar count again.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn release(
        &self,
        origin: impl Into<Origin>,
        request: v1::ReleaseSidecarRequest,
    ) -> Result<v1::SidecarInfo, CommandError> {
        let origin = origin.into();
        self.ask(|reply| Message::Release {
            origin,
            request,
            reply,
        })
        .await
        .ok_or(CommandError::Stopping)?
    }

    /// A sidecar's Hello. `None` when the engine is stopping or has no room to write it down. The issuer number in the
    /// welcome is on disk.
    pub async fn attach(&self, hello: v1::Hello) -> Option<Session> {
        self.ask(|reply| Message::Attach { hello, reply }).await
    }

    /// Everything that a sidecar should hold, without a stream. `None` when the engine is stopping.
    pub async fn fetch(&self, hello: v1::Hello) -> Option<v1::Push> {
        self.ask(|reply| Message::Fetch { hello, reply }).await
    }

    /// A sidecar says again what it holds.
    pub async fn resync(&self, session: u64, held: Vec<v1::HeldAssignment>) {
        self.tell(Message::Resync { session, held }).await;
    }

    /// A sidecar's answer to a push.
    pub async fn acknowledge(&self, session: u64, ack: v1::Ack) {
        self.tell(Message::Ack { session, ack }).await;
    }

    /// What happened at a sidecar.
    pub async fn status(&self, session: u64, status: v1::Status) {
        self.tell(Message::Status { session, status }).await;
    }

    /// The stream of a session ended.
    pub async fn detach(&self, session: u64) {
        self.tell(Message::Detach { session }).await;
    }

    /// Takes a report; the answer comes when it is on disk. `None` when the engine is stopping or has no room for it.
    pub async fn report(&self, report: v1::ReportRequest) -> Option<v1::ReportAck> {
        self.ask(|reply| Message::Report { report, reply }).await
    }

    /// Takes outcomes; the statuses, in the same order, come when they are on disk. `None` when the engine is stopping or
    /// has no room for them.
    pub async fn record_outcomes(&self, items: Vec<v1::Outcome>) -> Option<Vec<v1::OutcomeStatus>> {
        self.ask(|reply| Message::Outcomes { items, reply }).await
    }

    /// Keeps how far a webhook is. Whether that is on disk now; it is not while the engine is stopping or there is too
    /// little room.
    pub async fn notified(&self, webhook: stored::Webhook) -> bool {
        let kept = self.ask(|reply| Message::Notified { webhook, reply });
        kept.await.is_some()
    }

    /// Fills in a plan's defaults and checks it, its gates too, given the model's stable variant.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn complete(&self, plan: v1::Plan) -> Result<v1::Plan, Vec<v1::Violation>> {
        let views = self.views();
        let model = views.models.get(&plan.model);
        let plan = plan::complete(plan, model.and_then(|model| model.stable.as_ref()))?;
        match plan::unknown_gates(&plan, &self.gates) {
            unknown if unknown.is_empty() => Ok(plan),
            unknown => Err(unknown),
        }
    }

    /// What a gate said to a question.
    pub async fn gate_answered(&self, answer: GateAnswer) {
        self.tell(Message::GateAnswered(answer)).await;
    }

    /// Forgets finished rollouts of which the store keeps nothing any more, and incarnations of sidecars that were not
    /// heard of since `silent_since_ms`, unix milliseconds.
    pub async fn forget(&self, rollouts: Vec<String>, silent_since_ms: u64) {
        self.tell(Message::Forget {
            rollouts,
            silent_since_ms,
        })
        .await;
    }

    /// What was last published.
    #[must_use]
    pub fn views(&self) -> Arc<Views> {
        self.views.borrow().clone()
    }

    /// Changes whenever something that can be read changed.
    #[must_use]
    pub fn watch_views(&self) -> watch::Receiver<Arc<Views>> {
        self.views.clone()
    }

    /// Revision of the last event on disk.
    #[must_use]
    pub fn watch_revision(&self) -> watch::Receiver<u64> {
        self.revision.clone()
    }

    /// Too little room on the disk, as of the last turn: then nothing is taken but what takes a canary back.
    #[must_use]
    pub fn shortage(&self) -> Option<Shortage> {
        self.shortage.borrow().clone()
    }

    /// Messages that wait for the engine.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.mailbox.max_capacity() - self.mailbox.capacity()
    }

    /// How long the engine has shown nothing new: it waits for a commit, or hangs.
    #[must_use]
    pub fn silence(&self) -> Duration {
        match self.views.borrow().shown_ms {
            // It has only just begun.
            0 => Duration::ZERO,
            shown => Duration::from_millis(super::time::now_ms().saturating_sub(shown)),
        }
    }

    /// Pushes a latch to every connected sidecar at once, before anything is on disk: for a rollback whose commit is
    /// slow.
    pub fn latch(&self, latch: v1::Latch) {
        metrics::counter!(LATCHES).increment(1);
        // An error means that no sidecar is connected.
        let _ = self.latches.send(latch);
    }

    /// Events after a revision, oldest first, at most `limit`.
    ///
    /// # Errors
    /// What the store says.
    pub async fn events(&self, after: u64, limit: usize) -> Result<Vec<v1::Event>, StoreError> {
        self.read(move |store| store.events(after, limit)).await
    }

    /// Reads from the store without making others wait.
    ///
    /// # Errors
    /// What the store says.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || read(store.as_ref()));
        // A join error is a panic of the read or the end of the runtime.
        read.await
            .unwrap_or_else(|error| Err(StoreError::Fatal(format!("read the store: {error}"))))
    }

    /// Oldest revision that is kept; 0 for an empty log.
    ///
    /// # Errors
    /// What the store says.
    pub fn oldest_revision(&self) -> Result<u64, StoreError> {
        self.store.oldest_revision()
    }

    /// The control plane about itself.
    #[must_use]
    pub fn info(&self) -> v1::Info {
        v1::Info {
            fence_regressed: self.views().fence_regressed.clone(),
            ..self.info.clone()
        }
    }

    async fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.mailbox.send(message(reply)).await.ok()?;
        answer.await.ok()
    }

    async fn tell(&self, message: Message) {
        // An error means that the engine is stopping, and everything else with it.
        let _ = self.mailbox.send(message).await;
    }
}
