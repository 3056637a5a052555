//! The decision engine of Serinus: sequential evidence from counts.
//!
//! It answers one question per guardrail, at any time and as often as wanted: is the canary proven
//! worse than its margin (`HARMFUL`), proven not worse than the tolerance of the present step
//! (`SAFE`), or is evidence missing? Every metric becomes 2x2 counts per slice; every slice yields
//! an e-value that is valid whatever the stable rate of that slice is; slices multiply. So drift,
//! shared incidents and changing splits cannot inflate it.
//!
//! Everything is a pure function of the slices folded so far: no clock, no randomness, no I/O, no
//! hash map. Logarithms and exponentials come from `libm` and sums have a fixed order, so a replay
//! on any machine gives the same bits.
//!
//! ```
//! use serinus_evidence::{Action, Arm, Engine, Guardrail, Metric, RequestSlice, Settings, Verdict};
//!
//! let guardrail = Guardrail {
//!     metric: Metric::ErrorRate { margin: 0.01 },
//!     on_breach: Action::Rollback,
//!     weight: None,
//!     required: true,
//! };
//! let mut engine = Engine::new(Settings::new(vec![guardrail])).expect("the settings are valid");
//! let arm = |requests, errors| Arm { requests, errors, latency: Vec::new() };
//! for _ in 0..30 {
//!     let slice = RequestSlice {
//!         epoch: 1,
//!         seconds: 1.0,
//!         canary: arm(250, 1),
//!         stable: arm(250, 1),
//!     };
//!     engine.fold_requests(&slice);
//! }
//! assert_eq!(engine.assess(1.0, 1, true).guardrails[0].verdict, Verdict::Safe);
//! ```

/// Version of the rules by which evidence is made; stored with every rollout and every decision. It rises whenever the
/// same slices could give other bits.
pub const ENGINE_VERSION: u32 = 2;

mod assessment;
mod budget;
mod clusters;
mod contrast;
pub mod count;
mod counts;
pub mod dispersion;
pub mod drift;
mod engine;
mod flapping;
mod gross;
pub mod histogram;
pub mod information;
pub mod interval;
mod label_rate;
mod labelled;
pub mod latency;
mod limit;
mod logs;
pub mod margin;
mod mean;
mod missing;
mod monitor;
mod noise;
pub mod numeric;
pub mod process;
mod quantile;
#[cfg(test)]
mod random;
mod reading;
mod sample_ratio;
mod settings;
pub mod shadow;
mod shifts;
mod shown_latency;
pub mod srm;
mod stable_rate;
mod state;
mod tempered;
mod tolerance;
mod traffic;
pub mod wealth;
mod weights;

pub use assessment::{
    Assessment, DriftAssessment, ExtraErrors, GuardrailAssessment, Harm, HarmCause,
    LabelAssessment, LabelRateAssessment, LateLabelAssessment, Missing, QuantileAssessment,
    RatioEvidence, SampleRatioAssessment, Standing, Verdict,
};
pub use clusters::{CLUSTERS, ClusterSlice, ClusterTotals};
pub use counts::{
    Arm, Assigned, Counts, LabelSlice, MeanSlice, Pair, RequestSlice, ScoreSlice, ShadowSlice, Sum,
    Sums,
};
pub use engine::Engine;
pub use settings::{Action, Guardrail, Metric, ScoreDriftPolicy, Settings, SettingsError};
