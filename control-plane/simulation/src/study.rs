//! Operating characteristics of a plan: what becomes of canaries that differ from stable by so many margins.

mod cases;
mod forecast;
mod tally;
mod traffic;

use crate::seed::seed;
use crate::trial::{Options, Outcome, Setup, SetupError, Trial};
use serinus_proto::v1;

pub use cases::{Canary, Case, Shift};
pub use forecast::{Forecast, Proof};
pub use tally::Tally;
pub use traffic::{LabelTraffic, Traffic};

/// No trial is followed for more slices than these: a canary on its margin is never decided.
const MOST_SLICES: f64 = 3600.0;
/// Every trial is followed for at least so long, if the plan lets it.
const LEAST_S: f64 = 1800.0;

/// A plan in a traffic, made ready for any number of replicas.
#[derive(Debug)]
pub struct Study {
    setup: Setup,
    cases: Vec<Case>,
    skipped: Vec<String>,
    forecast: Forecast,
    options: Options,
}

/// Why a plan cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// The engine compares one canary with stable.
    #[error("the plan has {0} canaries; one at a time can be simulated")]
    Canaries(usize),
    /// The plan does not fit the world.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

impl Study {
    /// The cases of a complete plan: an equal canary, one that is worse by each of these multiples of each guardrail's
    /// margin, and a dead one. Each trial is followed for `horizon_s` at most, or for twice the time that the forecast
    /// gives an equal canary.
    ///
    /// # Errors
    /// Plans that cannot be simulated.
    pub fn new(
        plan: v1::Plan,
        traffic: &Traffic,
        multiples: &[f64],
        horizon_s: Option<f64>,
    ) -> Result<Self, StudyError> {
        if plan.canaries.len() != 1 {
            return Err(StudyError::Canaries(plan.canaries.len()));
        }
        let names: Vec<&str> = traffic.labels.iter().map(|of| of.name.as_str()).collect();
        let setup = Setup::new(plan, &names)?;
        let forecast = Forecast::new(&setup, traffic);
        let horizon_s = horizon_s.unwrap_or_else(|| default_horizon(&forecast, traffic));
        let (cases, skipped) = cases::all(&setup, traffic, multiples);
        let options = Options {
            horizon_s,
            history: true,
            users: traffic.users,
        };
        Ok(Self {
            setup,
            cases,
            skipped,
            forecast,
            options,
        })
    }

    /// The cases, the equal canary first.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// What has no cases, and why.
    #[must_use]
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// What the planning formulas say.
    #[must_use]
    pub fn forecast(&self) -> &Forecast {
        &self.forecast
    }

    /// How long each trial is followed at most, in seconds.
    #[must_use]
    pub fn horizon_s(&self) -> f64 {
        self.options.horizon_s
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &v1::Plan {
        self.setup.plan()
    }

    /// One replica of one case, independent of every other.
    ///
    /// # Errors
    /// Settings that the engine refuses.
    pub fn replica(&self, case: usize, replica: usize, run: u64) -> Result<Outcome, SetupError> {
        let spec = &self.cases[case].spec;
        let seed = seed(&format!("case {case}"), replica, run);
        Ok(Trial::new(&self.setup, spec, self.options, seed)?.run())
    }
}

fn default_horizon(forecast: &Forecast, traffic: &Traffic) -> f64 {
    let most = MOST_SLICES * crate::trial::slice_seconds(traffic.rate);
    let wanted = (2.0 * forecast.to_full_s).max(LEAST_S).min(most);
    forecast
        .max_duration_s
        .map_or(wanted, |longest_s| wanted.min(longest_s))
}

#[cfg(test)]
mod tests;
