//! What goes through the engine's mailbox.

use super::handle::{Assignments, Command, CommandError};
use super::origin::Origin;
use serinus_proto::{stored::v1 as stored, v1};
use std::sync::Arc;
use tokio::sync::{broadcast, oneshot, watch};

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<T>;

/// One entry of the mailbox.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "commands are few; what comes often is small"
)]
pub(super) enum Message {
    /// A command of a person or a program.
    Command {
        /// Who.
        origin: Origin,
        /// What.
        command: Command,
        /// Sent after the commit.
        reply: Reply<Result<v1::Rollout, CommandError>>,
    },
    /// A model's stable variant.
    SetStable {
        /// Who.
        origin: Origin,
        /// What.
        request: v1::SetStableRequest,
        /// Sent after the commit.
        reply: Reply<Result<v1::Model, CommandError>>,
    },
    /// A sidecar connected.
    Attach {
        /// Its first message.
        hello: v1::Hello,
        /// Sent after its issuer number is on disk.
        reply: Reply<Session>,
    },
    /// A sidecar whose streams break asks.
    Fetch {
        /// What it says of itself.
        hello: v1::Hello,
        /// Sent after the commit.
        reply: Reply<v1::Push>,
    },
    /// A sidecar says again what it holds.
    Resync {
        /// Whose.
        session: u64,
        /// What it holds.
        held: Vec<v1::HeldAssignment>,
    },
    /// A sidecar's answer to a push.
    Ack {
        /// Whose.
        session: u64,
        /// The answer.
        ack: v1::Ack,
    },
    /// What happened at a sidecar.
    Status {
        /// Whose.
        session: u64,
        /// What.
        status: v1::Status,
    },
    /// A stream ended.
    Detach {
        /// Whose.
        session: u64,
    },
    /// Finished cells.
    Report {
        /// The report.
        report: v1::ReportRequest,
        /// Sent after the commit.
        reply: Reply<v1::ReportAck>,
    },
    /// Finished rollouts of which the store keeps nothing any more, and incarnations not heard of since.
    Forget {
        /// The rollouts, by id.
        rollouts: Vec<String>,
        /// Incarnations that were heard of last before, unix milliseconds.
        silent_since_ms: u64,
    },
    /// A sidecar's reports are to count again.
    Release {
        /// Who asks.
        origin: Origin,
        /// What.
        request: v1::ReleaseSidecarRequest,
        /// Sent after the commit.
        reply: Reply<Result<v1::SidecarInfo, CommandError>>,
    },
    /// What a gate said.
    GateAnswered(GateAnswer),
    /// How far a webhook is.
    Notified {
        /// What to keep.
        webhook: stored::Webhook,
        /// Sent after the commit.
        reply: Reply<()>,
    },
    /// Outcomes.
    Outcomes {
        /// The outcomes.
        items: Vec<v1::Outcome>,
        /// Sent after the commit, in the same order.
        reply: Reply<Vec<v1::OutcomeStatus>>,
    },
}

/// The word of a gate.
#[derive(Clone, Debug)]
pub struct GateAnswer {
    /// Id of the rollout.
    pub rollout: String,
    /// Revision of the question.
    pub asked: u64,
    /// Its name.
    pub gate: String,
    /// Yes or no.
    pub approved: bool,
    /// Its words.
    pub reason: String,
}

/// A sidecar's stream, as the engine sees it.
#[derive(Debug)]
pub struct Session {
    /// Number of the stream.
    pub id: u64,
    /// The first answer.
    pub welcome: v1::Welcome,
    /// What the sidecar should hold; the newest wins.
    pub assignments: watch::Receiver<Arc<Assignments>>,
    /// To be sent at once.
    pub latches: broadcast::Receiver<v1::Latch>,
    /// Turns true when a newer stream of the same sidecar replaced this one.
    pub replaced: watch::Receiver<bool>,
}
