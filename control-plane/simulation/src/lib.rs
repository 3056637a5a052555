//! Simulated rollouts: a seeded world makes traffic, the decision engine judges it, and the state machine of the plan
//! does what it would do in the control plane.
//!
//! One replica is a [`Trial`]: a [`World`] drawn from a seed, slice by slice, and the decisions that follow. Replicas
//! are independent and each is a pure function of its seed, so that [`parallel::map`] gives the same results whatever
//! the number of threads. There is no I/O here but [`Scenario::read`].

mod draw;
mod latency;
mod oracle;
pub mod parallel;
mod proportion;
mod quantile;
mod reference;
mod scenario;
mod seed;
mod study;
mod trial;
mod world;

pub use latency::{Grid, Latency};
pub use oracle::oracle_seconds;
pub use proportion::{Interval, clopper_pearson};
pub use quantile::quantile;
pub use reference::reference_plan;
pub use scenario::{Scenario, ScenarioError, Truth};
pub use seed::seed;
pub use study::{
    Canary, Case, Forecast, LabelTraffic, Proof, Shift, Study, StudyError, Tally, Traffic,
};
pub use trial::{End, Options, Outcome, Setup, SetupError, Trial};
pub use world::{
    Behaviour, Blip, Bursts, Diurnal, Flapping, Incidents, Labels, Noise, Slice, Spec, Warming,
    World,
};
