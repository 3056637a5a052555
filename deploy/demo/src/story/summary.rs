//! What the story showed, in numbers.

use serde::Serialize;

/// Both rollouts.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The one that should be promoted.
    pub promoted: Story,
    /// The one that should be rolled back.
    pub rolled_back: Story,
    /// What each step asked for and got.
    pub achieved_split: Vec<StepSplit>,
    /// Both rollouts once more, from what is stored.
    pub replayed: Replayed,
    /// Requests per second.
    pub rate: f64,
    /// Requests in all.
    pub requests: u64,
    /// Labels that were delivered.
    pub labels: u64,
    /// Seconds from the first request to the last.
    pub seconds: f64,
    /// Seed of the run.
    pub seed: u64,
}

/// One rollout.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// The canary.
    pub variant: String,
    /// Its rollout.
    pub rollout: String,
    /// PROMOTED or ROLLED_BACK.
    pub state: String,
    /// Why, if it was rolled back.
    pub cause: String,
    /// The sentence of the last decision.
    pub decision: String,
    /// From its start to its end.
    pub seconds_to_verdict: f64,
    /// Distinct users whom the canary answered meanwhile.
    pub exposed_users: u64,
    /// Failed answers that reached a user meanwhile, of both variants.
    pub user_visible_errors: u64,
    /// Share of the canary's answers that were right.
    pub accuracy: Option<f64>,
    /// Share of stable's answers that were right meanwhile.
    pub stable_accuracy: Option<f64>,
}

/// The decisions of both rollouts, made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// All of them.
    pub decisions: usize,
    /// Those that came out the same to the last bit.
    pub reproduced: usize,
}

/// The canary's share in one epoch.
#[derive(Clone, Debug, Serialize)]
pub struct StepSplit {
    /// The canary.
    pub variant: String,
    /// Step, from 1.
    pub step: u32,
    /// Asked for, 0..=1.
    pub asked: f64,
    /// Measured by the sidecars, 0..=1.
    pub achieved: f64,
}

impl Summary {
    /// Whether both rollouts ended as they should, no user saw an error, and every decision can be made again.
    #[must_use]
    pub fn as_it_should(&self) -> bool {
        let unharmed = |story: &Story| story.user_visible_errors == 0;
        let replayed = self.replayed;
        self.promoted.state == "PROMOTED"
            && self.rolled_back.state == "ROLLED_BACK"
            && unharmed(&self.promoted)
            && unharmed(&self.rolled_back)
            && replayed.decisions > 0
            && replayed.reproduced == replayed.decisions
    }
}
