//! The story that `serinus demo` tells: a better model is promoted, then a worse one that is faster and returns no
//! errors is caught by its labels and rolled back. Every process is a real one.

mod fleet;
mod plans;
mod process;
mod replay;
mod summary;
mod tell;

pub use summary::{Replayed, StepSplit, Story, Summary};

use serinus_proto::v1;
use std::path::PathBuf;

/// What the story is told with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `serinus` program: it is the control plane, the sidecars and the model servers.
    pub program: PathBuf,
    /// For the split of the data, the forests and the traffic.
    pub seed: u64,
    /// Requests per second to begin with; lowered if this machine does not carry them.
    pub rate: f64,
}

/// Where the story is shown.
pub trait Screen {
    /// One line of the story.
    fn say(&mut self, line: &str);
    /// The rollout as it is now; comes about five times a second.
    fn rollout(&mut self, rollout: &v1::Rollout);
}

/// Tells the story. It ends by itself within about two minutes.
///
/// # Errors
/// If a process does not come up or goes away, or a rollout ends in neither way in time. A rollout that ends the wrong
/// way is no error here: see [`Summary::as_it_should`].
pub async fn run(options: &Options, screen: &mut dyn Screen) -> anyhow::Result<Summary> {
    tell::tell(options, screen).await
}
