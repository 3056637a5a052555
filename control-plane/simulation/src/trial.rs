//! One replica: world, engine and state machine together.

mod lifecycle;
mod setup;

use crate::world::{Slice, Spec, World};
use lifecycle::{Lifecycle, Reach};
use serinus_evidence::{Arm, Counts, Engine, RequestSlice, Settings};
use serinus_proto::v1;

pub use setup::{Setup, SetupError};

/// Stable's traffic right before the rollout, as the control plane keeps it.
const BASELINE_S: f64 = 60.0;
/// How much of it is kept per second.
const HISTORY_S: u32 = 600;

/// What is simulated beside plan and world.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// After this the trial ends undecided, in seconds.
    pub horizon_s: f64,
    /// Whether the engine is told how stable did in the ten minutes before.
    pub history: bool,
    /// Distinct users that the requests come from, evenly; none: every request is another user's.
    pub users: Option<f64>,
}

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// It entered the step that gives the canary everything, or the end of a plan that has no such step.
    Promoted,
    /// Back to stable.
    RolledBack {
        /// Why.
        cause: v1::Cause,
        /// Positions of the guardrails to blame, if any.
        guardrails: Vec<usize>,
    },
    /// Held until a person does something.
    Held(v1::Cause),
    /// The horizon came first.
    Undecided,
}

/// The result of one replica.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// When, in seconds from the beginning.
    pub at_s: f64,
    /// Requests that the canary served since it differs from stable, until the end.
    pub canary: Counts,
    /// For each kind of label the canary's requests whose label came, and the events among them, since it differs.
    pub labels: Vec<Counts>,
    /// Slices folded.
    pub slices: u64,
}

/// One replica that can be run.
#[derive(Debug)]
pub struct Trial<'a> {
    setup: &'a Setup,
    options: Options,
    differs_from_s: f64,
    world: World,
    engine: Engine,
    lifecycle: Lifecycle,
    slice_s: f64,
}

impl<'a> Trial<'a> {
    /// A rollout that begins now in the world of this seed.
    ///
    /// # Errors
    /// Settings that the engine refuses.
    pub fn new(
        setup: &'a Setup,
        spec: &Spec,
        options: Options,
        seed: u64,
    ) -> Result<Self, SetupError> {
        let slice_s = slice_seconds(spec.rate);
        let mut world = World::new(spec.clone(), slice_s, seed);
        let stable_history = if options.history {
            world.history(HISTORY_S)
        } else {
            Vec::new()
        };
        let baseline = Some(world.baseline(BASELINE_S));
        let settings = Settings {
            baseline,
            stable_history,
            ..setup.settings().clone()
        };
        Ok(Self {
            setup,
            options,
            differs_from_s: spec.canary_differs_from_s,
            world,
            engine: Engine::new(settings)?,
            lifecycle: Lifecycle::new(setup, options.users),
            slice_s,
        })
    }

    /// Runs it to its end.
    #[must_use]
    pub fn run(mut self) -> Outcome {
        let mut outcome = Outcome {
            end: End::Undecided,
            at_s: 0.0,
            canary: Counts::default(),
            labels: vec![Counts::default(); self.setup.label_kinds()],
            slices: 0,
        };
        let slices = (self.options.horizon_s / self.slice_s).round() as u64;
        while outcome.slices < slices {
            outcome.slices += 1;
            let reach = self.slice(&mut outcome);
            outcome.at_s = self.world.now_s();
            if let Some(end) = reach {
                outcome.end = end;
                break;
            }
        }
        outcome
    }

    fn slice(&mut self, outcome: &mut Outcome) -> Option<End> {
        let share = self.lifecycle.canary_share();
        let timed = !self.lifecycle.is_warming_up();
        let slice = self.world.step(share, self.lifecycle.epoch(), timed);
        if self.world.now_s() > self.differs_from_s {
            count(outcome, &slice);
        }
        let totals = (slice.canary.requests, slice.stable.requests);
        self.fold(slice);
        let now_ms = (self.world.now_s() * 1e3).round() as u64;
        match self.lifecycle.observe(&self.engine, totals, now_ms) {
            Reach::Running => None,
            Reach::End(end) => Some(end),
        }
    }

    fn fold(&mut self, slice: Slice) {
        self.engine.fold_requests(&RequestSlice {
            epoch: self.lifecycle.epoch(),
            seconds: self.slice_s,
            canary: slice.canary,
            stable: slice.stable,
        });
        for &(guardrail, kind) in self.setup.labelled() {
            if let Some(labels) = slice.labels.get(kind).copied().flatten() {
                self.engine.fold_labels(guardrail, &labels);
            }
        }
    }
}

/// How long slices last: as few whole seconds as bring 20 requests on average.
pub(crate) fn slice_seconds(rate: f64) -> f64 {
    (20.0 / rate).ceil().max(1.0)
}

fn count(outcome: &mut Outcome, slice: &Slice) {
    let Arm {
        requests, errors, ..
    } = slice.canary;
    outcome.canary.n += requests;
    outcome.canary.x += errors;
    for (total, labels) in outcome.labels.iter_mut().zip(&slice.labels) {
        let canary = labels.map(|labels| labels.pair.canary).unwrap_or_default();
        total.n += canary.n;
        total.x += canary.x;
    }
}

#[cfg(test)]
mod tests;
