//! What all replicas of one plan share.

use serinus_core::plan;
use serinus_evidence::{Metric, Settings, SettingsError};
use serinus_proto::v1;

/// A plan made ready for any number of replicas.
#[derive(Clone, Debug)]
pub struct Setup {
    plan: v1::Plan,
    settings: Settings,
    /// Position of a guardrail and of its kind of label in the world.
    labelled: Vec<(usize, usize)>,
    label_kinds: usize,
}

/// Why a plan cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A guardrail needs labels that the world does not make.
    #[error("guardrails[{index}] needs labels of {name}, which the simulated world does not have")]
    NoLabels {
        /// Position of the guardrail.
        index: usize,
        /// `accuracy` or the outcome's name.
        name: String,
    },
    /// The engine refuses the settings.
    #[error("{0}")]
    Settings(#[from] SettingsError),
}

impl Setup {
    /// A complete plan in a world with these kinds of labels, `accuracy` or an outcome's name each.
    ///
    /// # Errors
    /// [`SetupError::NoLabels`] for a guardrail that no kind belongs to.
    pub fn new(plan: v1::Plan, label_kinds: &[&str]) -> Result<Self, SetupError> {
        let settings = plan::evidence_settings(&plan);
        let mut labelled = Vec::new();
        for (index, guardrail) in settings.guardrails.iter().enumerate() {
            if let Metric::Labelled { name, .. } = &guardrail.metric {
                let kind = label_kinds.iter().position(|kind| kind == name);
                let missing = || SetupError::NoLabels {
                    index,
                    name: name.clone(),
                };
                labelled.push((index, kind.ok_or_else(missing)?));
            }
        }
        Ok(Self {
            plan,
            settings,
            labelled,
            label_kinds: label_kinds.len(),
        })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &v1::Plan {
        &self.plan
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn labelled(&self) -> &[(usize, usize)] {
        &self.labelled
    }

    pub(super) fn label_kinds(&self) -> usize {
        self.label_kinds
    }
}
