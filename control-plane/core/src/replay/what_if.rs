//! The same slices under another plan.

mod differ;
mod limits;
mod takers;
mod times;

use super::fold::Fold;
use super::{Recording, ReplayError};
use crate::evidence::{self, Basis, Judged};
use crate::plan::view;
use crate::rollout::{self, Facts, Rollout};
use serinus_proto::v1;
use std::collections::BTreeSet;
use times::{Batch, batches};

/// What another plan would have found in the recorded slices, until it would have rolled back.
#[derive(Clone, Debug, PartialEq)]
pub struct WhatIf {
    /// When it would have rolled back, for a guardrail or the budget of extra errors.
    pub rolled_back: Option<Found>,
    /// Each step of the plan: when leaving it would have been allowed by the evidence.
    pub steps: Vec<StepFound>,
    /// Each guardrail of the plan.
    pub guardrails: Vec<GuardrailFound>,
    /// What really happened.
    pub passages: Vec<Passage>,
    /// From here on the traffic would have been split otherwise than it was; `None` if nothing tells so. Unix
    /// milliseconds.
    pub splits_differ_from_ms: Option<u64>,
    /// What this cannot tell, each as a sentence.
    pub limits: Vec<String>,
    /// After the last slice that was folded.
    pub end: Moment,
}

/// How much had been seen at some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Unix milliseconds.
    pub at_ms: u64,
    /// Slices of requests folded.
    pub slices: u64,
    /// Slices of labels folded.
    pub label_slices: u64,
    /// Canary requests in them.
    pub canary_requests: u64,
}

/// A moment at which the plan would have acted.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// When.
    pub moment: Moment,
    /// With the evidence and the sentence of the rule.
    pub decision: v1::Decision,
}

/// One step of the other plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepFound {
    /// The canary's share, 0..=1.
    pub share: f64,
    /// Kappa.
    pub tolerance: f64,
    /// When every required guardrail first was SAFE at it and nothing leaned towards harm.
    pub safe: Option<Moment>,
}

/// One guardrail of the other plan.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardrailFound {
    /// When it first was HARMFUL.
    pub harmful: Option<Moment>,
    /// When it first was SAFE at tolerance 1.
    pub safe: Option<Moment>,
    /// Its evidence at the end, at tolerance 1.
    pub last: v1::GuardrailEvidence,
}

/// Something that the recorded rollout did.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// Unix milliseconds.
    pub at_ms: u64,
    /// What.
    pub event: v1::Event,
}

/// Folds the recorded slices under `plan`, which must be complete, until it would have rolled back or there are no more.
///
/// # Errors
/// If the recording has no beginning, or the plan cannot be judged by this engine.
pub fn what_if(recording: &Recording, plan: &v1::Plan) -> Result<WhatIf, ReplayError> {
    let recorded = recording.plan()?;
    let fold = Fold::new(
        recording,
        recording.settings(plan),
        takers::takers(recorded, plan),
    )?;
    let mut search = Search::new(recording, plan, fold)?;
    for batch in batches(recording, recorded) {
        if search.take(&batch) {
            break;
        }
    }
    let passages = times::passages(recording);
    let mut found = search.finish();
    found.splits_differ_from_ms = differ::differ_from(recorded, plan, &found, &passages);
    found.passages = passages;
    found.limits = limits::limits(recording, plan, &found);
    Ok(found)
}

/// Looks at the evidence after everything that was folded at one time, as the control plane did.
struct Search<'a> {
    plan: &'a v1::Plan,
    recording: &'a Recording,
    fold: Fold<'a>,
    /// Of the other plan, in its first step: for the sentence.
    rollout: Rollout,
    epoch: u64,
    found: WhatIf,
}

impl<'a> Search<'a> {
    fn new(
        recording: &'a Recording,
        plan: &'a v1::Plan,
        fold: Fold<'a>,
    ) -> Result<Self, ReplayError> {
        let (first, created) = recording.created()?;
        let created = v1::Created {
            plan: Some(plan.clone()),
            ..created.clone()
        };
        let event = v1::Event {
            kind: Some(v1::event::Kind::Created(created)),
            ..first.clone()
        };
        let rollout = Rollout::from_created(&event).ok_or(ReplayError::NoBeginning)?;
        let steps = (0..plan.steps.len()).map(|step| StepFound {
            share: view::asked(plan, step).fraction(),
            tolerance: view::kappa(plan, step),
            safe: None,
        });
        let found = WhatIf {
            rolled_back: None,
            steps: steps.collect(),
            guardrails: Vec::new(),
            passages: Vec::new(),
            splits_differ_from_ms: None,
            limits: Vec::new(),
            end: Moment {
                at_ms: rollout.created_ms,
                ..Moment::default()
            },
        };
        Ok(Self {
            plan,
            recording,
            fold,
            rollout,
            epoch: 0,
            found,
        })
    }

    /// Folds a batch and looks; true if the rollout would have ended.
    fn take(&mut self, batch: &Batch) -> bool {
        for slice in &self.recording.slices[self.fold.slices..batch.slices] {
            self.epoch = self.epoch.max(slice.epoch);
            let canary = slice.canary.as_ref().map_or(0, |arm| arm.requests);
            self.found.end.canary_requests += canary;
        }
        while self.fold.slices < batch.slices {
            self.fold.slice();
        }
        while self.fold.label_slices < batch.label_slices {
            self.fold.labels();
        }
        let end = &mut self.found.end;
        end.at_ms = batch.at_ms;
        end.slices = self.fold.slices as u64;
        end.label_slices = self.fold.label_slices as u64;
        self.look()
    }

    fn judge(&self, tolerance: f64) -> Judged {
        let basis = Basis {
            tolerance,
            epoch: self.epoch,
            expects_both: true,
        };
        evidence::judge(&self.fold.engine, self.plan, basis)
    }

    fn look(&mut self) -> bool {
        let full = self.judge(1.0);
        self.note_guardrails(&full);
        if full.assessment.harmful.is_some() || full.assessment.budget_spent {
            self.found.rolled_back = Some(self.rolled_back(&full));
            return true;
        }
        self.note_steps();
        false
    }

    fn rolled_back(&self, judged: &Judged) -> Found {
        let moment = self.found.end;
        let look = v1::Look {
            engine_version: serinus_evidence::ENGINE_VERSION,
            slices: moment.slices,
            label_slices: moment.label_slices,
            ..v1::Look::default()
        };
        let facts = Facts::new(judged, &look);
        Found {
            moment,
            decision: rollout::decision(&self.rollout, moment.at_ms, &facts),
        }
    }

    fn note_guardrails(&mut self, full: &Judged) {
        let moment = self.found.end;
        if self.found.guardrails.is_empty() {
            let found = |row: &v1::GuardrailEvidence| GuardrailFound {
                harmful: None,
                safe: None,
                last: row.clone(),
            };
            self.found.guardrails = full.guardrails.iter().map(found).collect();
        }
        for (found, row) in self.found.guardrails.iter_mut().zip(&full.guardrails) {
            found.last = row.clone();
            match row.verdict() {
                v1::Verdict::Harmful => found.harmful = found.harmful.or(Some(moment)),
                v1::Verdict::Safe => found.safe = found.safe.or(Some(moment)),
                _ => {}
            }
        }
    }

    fn note_steps(&mut self) {
        let open = self.found.steps.iter().filter(|step| step.safe.is_none());
        let tolerances: BTreeSet<u64> = open.map(|step| step.tolerance.to_bits()).collect();
        for bits in tolerances {
            let assessment = self.judge(f64::from_bits(bits)).assessment;
            if !assessment.required_safe || assessment.leaning_harmful {
                continue;
            }
            let moment = self.found.end;
            for step in &mut self.found.steps {
                if step.tolerance.to_bits() == bits {
                    step.safe = step.safe.or(Some(moment));
                }
            }
        }
    }

    fn finish(mut self) -> WhatIf {
        if self.found.guardrails.is_empty() {
            let full = self.judge(1.0);
            self.note_guardrails(&full);
        }
        self.found
    }
}
