//! What a run left behind, one JSON object a line: the log, what sidecars held and counted, what users asked and got, what
//! was broken on purpose.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, Write};

/// (generation, term, revision).
pub type Fence = [u64; 3];

/// One thing that was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Unix milliseconds, by the clock of the one machine that everything runs on.
    pub at_ms: u64,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// A command was answered: from then on it must be in the log.
    Acknowledged {
        /// Of the history that answered.
        generation: u64,
        /// The rollout that it was about.
        rollout: String,
        /// Of the rollout's last event then.
        revision: u64,
        /// The command's own id.
        request_id: String,
    },
    /// An entry of the log, as it is on disk.
    Logged(Logged),
    /// The log could not be read.
    Damaged {
        /// Why.
        detail: String,
    },
    /// A watcher was sent an event.
    Watched {
        /// Number of the watch; a new one begins somewhere else.
        watch: u64,
        /// As the message said.
        generation: u64,
        /// Of the event.
        revision: u64,
        /// Of its bytes.
        digest: u64,
    },
    /// A sidecar told what it holds, and what it has counted.
    Held(Held),
    /// A sidecar acknowledged an assignment as applied, or warming.
    Applied {
        /// Its name.
        sidecar: String,
        /// The model.
        model: String,
        /// Of the assignment.
        fence: Fence,
    },
    /// A request ended at its user.
    Asked(Asked),
    /// Something was broken, or mended.
    Fault {
        /// What was done.
        fault: Fault,
        /// `control-plane`, a sidecar, or a variant.
        who: String,
    },
    /// A sidecar sent a report.
    Reported {
        /// Its name.
        sidecar: String,
        /// Its incarnation.
        incarnation: u64,
        /// Number of the report.
        seq: u64,
        /// Judged requests in it.
        cells: Vec<Cell>,
        /// No sidecar said so: it was made up on the way.
        #[serde(default)]
        forged: bool,
    },
    /// The control plane answered that it has stored a sidecar's reports.
    Stored {
        /// Its name.
        sidecar: String,
        /// Its incarnation.
        incarnation: u64,
        /// Up to this number.
        seq: u64,
    },
    /// What the store holds of a rollout's evidence, in slices or not.
    Merged {
        /// The rollout.
        rollout: String,
        /// Judged requests of stable.
        stable: u64,
        /// And of the canary.
        canary: u64,
        /// It takes reports still, of every epoch it had.
        open: bool,
    },
    /// The decisions of a rollout were made again from what is stored.
    Redecided {
        /// The rollout.
        rollout: String,
        /// How many there are.
        decisions: u64,
        /// What differs; empty if nothing does.
        difference: String,
    },
    /// A rollout at the end of the run.
    Left {
        /// The rollout.
        rollout: String,
        /// Its state, as in the protocol without its prefix.
        state: String,
        /// When its present assessment was made.
        decided_ms: u64,
    },
    /// A sidecar at the end of the run, as the control plane has it.
    Follows {
        /// Its name.
        sidecar: String,
        /// It has an open stream.
        connected: bool,
        /// It holds what it should.
        current: bool,
    },
    /// There was traffic that is not in the trace.
    Unseen,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    /// Of the history that it was read from.
    pub generation: u64,
    /// Its place in the log.
    pub revision: u64,
    /// Of its bytes.
    pub digest: u64,
    /// Of the command that made it, if one did.
    pub request_id: String,
    /// Position among the events of that command.
    pub part: u32,
    /// Empty for events about a model alone, or none.
    pub rollout: String,
    /// Who made it.
    pub actor: String,
    /// What it says.
    pub change: Change,
}

/// What an entry says, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A rollout begins.
    Created {
        /// Name of the variant that serves.
        stable: String,
        /// Name of the one under test.
        canary: String,
        /// What keys are hashed with; empty where keys are not hashed.
        salt: String,
        /// The canary's share in each step, ppm.
        steps: Vec<u32>,
        /// Its share in the warm-up, ppm.
        warmup: u32,
    },
    /// A step, or the warm-up, is entered.
    StepEntered {
        /// Its number.
        step: usize,
        /// The warm-up.
        warmup: bool,
    },
    /// The split changes.
    SplitChanged {
        /// The new epoch.
        epoch: u64,
        /// The canary's buckets, ends excluded.
        ranges: Vec<(u32, u32)>,
    },
    /// It is stopped by a person.
    Paused {
        /// The split was set by hand.
        manual: bool,
    },
    /// It goes on.
    Resumed {
        /// At this step.
        step: usize,
    },
    /// It stands still.
    Held {
        /// Why.
        cause: String,
    },
    /// The canary is the model's stable now.
    Promoted,
    /// Everybody is on stable.
    RolledBack {
        /// Why.
        cause: String,
    },
    /// The store came back from a copy; what was after that revision is lost.
    Restored {
        /// Of the last event that came back.
        revision: u64,
    },
    /// Anything else.
    Other {
        /// Its name.
        name: String,
    },
}

/// What a sidecar holds for one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Its name.
    pub sidecar: String,
    /// Number of its run.
    pub incarnation: u64,
    /// Empty where no rollout is held.
    pub rollout: String,
    /// Of the split that is held.
    pub epoch: u64,
    /// Of the instruction.
    pub fence: Fence,
    /// Its canaries are never served again here.
    pub ended: bool,
    /// `none`, `fresh`, `frozen`, `reverting` or `reverted`.
    pub lease: String,
    /// The variant that serves.
    pub stable: String,
    /// Share in force of every other one, ppm.
    pub shares: BTreeMap<String, u32>,
    /// Every one of these answers.
    pub ready: bool,
    /// Requests that did not go where the split says: rescued, diverted, and the openings behind that.
    pub astray: u64,
    /// Ended requests since the start of the run, but for cancelled ones, by variant.
    pub counted: BTreeMap<String, u64>,
    /// Reports that are not stored by the control plane.
    pub waiting: u64,
}

/// A request and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Who was asked.
    pub sidecar: String,
    /// The user; absent if the request names none.
    pub key: Option<String>,
    /// Who answered; empty if nobody said so.
    pub variant: String,
    /// Of the answer; absent if there was none.
    pub status: Option<u16>,
    /// Unix milliseconds.
    pub sent_ms: u64,
}

/// What is done to something on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It was killed.
    Killed,
    /// It runs again.
    Started,
    /// It was stopped by a signal.
    Stopped,
    /// It goes on.
    Continued,
    /// It was told to fail.
    Failing,
    /// It was told to be well.
    Well,
    /// Its store was replaced by an older one.
    Rewound,
}

/// Judged requests of one second of a rollout's epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The rollout.
    pub rollout: String,
    /// Its epoch.
    pub epoch: u64,
    /// Of stable.
    pub stable: u64,
    /// Of the canary.
    pub canary: u64,
}

/// Reads a trace, or several that were joined, into the order of time.
///
/// # Errors
/// If a line is no record, with its number.
pub fn read(lines: impl BufRead) -> anyhow::Result<Vec<Record>> {
    use anyhow::Context as _;
    let mut records: Vec<Record> = Vec::new();
    for (number, line) in lines.lines().enumerate() {
        let line = line?;
        if !line.trim().is_empty() {
            let record = serde_json::from_str(&line);
            records.push(record.with_context(|| format!("line {}", number + 1))?);
        }
    }
    records.sort_by_key(|record| record.at_ms);
    Ok(records)
}

/// Writes what [`read`] reads.
///
/// # Errors
/// If it cannot be written.
pub fn write(records: &[Record], out: &mut impl Write) -> anyhow::Result<()> {
    for record in records {
        serde_json::to_writer(&mut *out, record)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
