//! A control plane in small: slices come in, looks are taken, everything is recorded.

use crate::evidence::{Basis, judge, label_slice, request_slice};
use crate::plan::{complete, evidence_settings, parse};
use crate::replay::Recording;
use crate::rollout::{self, Command, CommandKind, Facts, Rollout, Stamp};
use serinus_evidence::{ENGINE_VERSION, Engine};
use serinus_proto::{stored::v1 as stored, v1};

const PLAN: &str = r#"
model: digits
stable: {name: v1, endpoints: ["http://127.0.0.1:1"]}
canary: {name: v2, endpoints: ["http://127.0.0.1:2"]}
steps:
  - {split: {v2: 0.2, v1: 0.8}, min_duration: 3s}
  - {split: {v2: 0.5, v1: 0.5}, min_duration: 3s}
  - {split: {v2: 1.0}, min_duration: 3s}
bake: {duration: 5s, holdback: 0.2}
guardrails:
  - {metric: error_rate, margin: 0.05}
  - {metric: latency, ratio: 2, slack: 20ms}
  - {metric: accuracy, margin: 0.2, label_window: 3s}
"#;

pub(super) const START_MS: u64 = 1_700_000_000_000;

/// What happens within one second.
#[derive(Clone, Debug)]
pub(super) struct Second {
    pub(super) requests: u64,
    /// Shares of the canary's answers that fail and that are wrong, 0..=1; stable's are 1 % and 10 %.
    pub(super) errors: f64,
    pub(super) wrong: f64,
    pub(super) command: Option<CommandKind>,
    /// Of three sidecars, those on the present epoch.
    pub(super) current: u32,
}

pub(super) fn plan() -> v1::Plan {
    of(PLAN)
}

pub(super) fn of(text: &str) -> v1::Plan {
    complete(parse(text).unwrap(), None).unwrap()
}

/// A rollout and its recording so far.
pub(super) struct Story {
    now_ms: u64,
    rollout: Rollout,
    engine: Engine,
    recording: Recording,
}

impl Story {
    pub(super) fn of(seconds: &[Second]) -> Self {
        let mut story = Self::begin();
        for second in seconds {
            if story.rollout.is_terminal() {
                break;
            }
            story.second(second);
        }
        story
    }

    pub(super) fn recording(self) -> Recording {
        self.recording
    }

    fn begin() -> Self {
        let plan = plan();
        let stamp = stamp(1, START_MS, "ada");
        let events = rollout::stamp(rollout::create(&plan), &stamp);
        let mut story = Self {
            now_ms: START_MS,
            rollout: Rollout::from_created(&events[0]).unwrap(),
            engine: Engine::new(evidence_settings(&plan)).unwrap(),
            recording: Recording::default(),
        };
        story.record(events, None);
        story
    }

    fn record(&mut self, events: Vec<v1::Event>, mut look: Option<v1::Look>) {
        for (part, event) in (0..).zip(events) {
            rollout::apply(&mut self.rollout, &event);
            self.recording.events.push(v1::RecordedEvent {
                event: Some(event),
                look: look.take(),
                part,
                ..v1::RecordedEvent::default()
            });
        }
    }

    fn second(&mut self, second: &Second) {
        self.now_ms += 1000;
        self.fold(second);
        self.look(second);
        if let Some(kind) = &second.command {
            let command = Command {
                kind: kind.clone(),
                expected_revision: self.rollout.revision,
                reason: "lunch".to_owned(),
                force: false,
            };
            // What the state does not allow is refused, and leaves nothing behind.
            if let Ok(kinds) = rollout::command(&self.rollout, self.now_ms, &command) {
                let stamp = stamp(self.rollout.revision + 1, self.now_ms, "ada");
                self.record(rollout::stamp(kinds, &stamp), None);
            }
        }
    }

    fn fold(&mut self, second: &Second) {
        let share = f64::from(self.rollout.canary_ppm()) / 1e6;
        let canary = (second.requests as f64 * share) as u64;
        let stable = second.requests - canary;
        let of = |n: u64, rate: f64| (n as f64 * rate) as u64;
        let slice = stored::Slice {
            epoch: self.rollout.epoch,
            first_second: self.now_ms / 1000,
            last_second: self.now_ms / 1000,
            canary: Some(arm(canary, of(canary, second.errors))),
            stable: Some(arm(stable, of(stable, 0.01))),
            seconds: 1.0,
            folded_ms: self.now_ms,
            ..stored::Slice::default()
        };
        self.engine.fold_requests(&request_slice(&slice));
        self.recording.slices.push(slice);
        if self.now_ms < START_MS + 5000 {
            return;
        }
        let labels = stored::LabelSlice {
            guardrail: 2,
            epoch: self.rollout.epoch,
            first_second: self.now_ms / 1000 - 3,
            seconds: 1.0,
            canary_labels: canary,
            canary_sum_ppm: of(canary, 1.0 - second.wrong) * 1_000_000,
            stable_labels: stable,
            stable_sum_ppm: of(stable, 0.9) * 1_000_000,
            folded_ms: self.now_ms,
            ..stored::LabelSlice::default()
        };
        self.engine.fold_labels(2, &label_slice(&labels));
        self.recording.label_slices.push(labels);
    }

    fn look(&mut self, second: &Second) {
        let look = v1::Look {
            engine_version: ENGINE_VERSION,
            slices: self.recording.slices.len() as u64,
            label_slices: self.recording.label_slices.len() as u64,
            canary_requests_in_step: second.requests,
            exposed_keys: 17,
            connected: 3,
            current: second.current,
            current_since_ms: Some(self.rollout.epoch_entered_ms),
            ..v1::Look::default()
        };
        let judged = judge(&self.engine, &self.rollout.plan, Basis::of(&self.rollout));
        let facts = Facts::new(&judged, &look);
        let kinds = rollout::look(&self.rollout, self.now_ms, &facts);
        let stamp = stamp(self.rollout.revision + 1, self.now_ms, "serinus");
        self.record(rollout::stamp(kinds, &stamp), Some(look));
    }
}

fn stamp(first_revision: u64, at_ms: u64, actor: &str) -> Stamp {
    Stamp {
        first_revision,
        at_ms,
        rollout: "r1".to_owned(),
        model: "digits".to_owned(),
        actor: actor.to_owned(),
        reason: String::new(),
    }
}

fn arm(requests: u64, errors: u64) -> stored::Arm {
    let sketch = v1::Sketch {
        index_deltas: vec![400, 3],
        counts: vec![requests / 2, requests - requests / 2],
    };
    stored::Arm {
        requests,
        errors,
        latency: (requests > 1).then_some(sketch),
    }
}
