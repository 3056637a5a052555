//! Scenario files: a world, its truth and the margins it is judged by.

mod check;
mod world;

use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What a canary is, and so which decision about it is wrong.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Truth {
    /// The same as stable.
    Null,
    /// At least as good as tolerated.
    Good,
    /// Worse than tolerated.
    Bad,
}

impl Truth {
    /// As it is written in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Good => "good",
            Self::Bad => "bad",
        }
    }
}

/// One scenario file. Rates of events are fractions, times are seconds, and what is left out has its default.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Scenario {
    /// Its name; part of the seed.
    pub name: String,
    /// What the canary is.
    pub truth: Truth,
    /// For people.
    #[serde(default)]
    pub note: String,
    /// Requests per second of both variants together.
    #[serde(default = "defaults::rate")]
    pub rate: f64,
    /// How long it is watched.
    #[serde(default = "defaults::horizon")]
    pub horizon: f64,
    /// Accepted and not used: requests are independent.
    #[serde(default)]
    pub users: Option<f64>,
    /// The variant that serves today.
    #[serde(default)]
    pub stable: StableFields,
    /// Where the canary differs from it.
    #[serde(default)]
    pub canary: CanaryFields,
    /// A canary that begins slow.
    #[serde(default)]
    pub canary_warmup: WarmupFields,
    /// Before this the canary is as stable is; times of a rollback are counted from here.
    #[serde(default)]
    pub canary_change_at: f64,
    /// The canary fails now and then.
    #[serde(default)]
    pub canary_blips: Option<FlappingFields>,
    /// Single failures.
    #[serde(default)]
    pub blips: Vec<BlipFields>,
    /// From here on every request of the canary fails.
    #[serde(default)]
    pub canary_dead_at: Option<f64>,
    /// How late labels come.
    #[serde(default)]
    pub label_delay: f64,
    /// Share of requests that get one.
    #[serde(default = "defaults::one")]
    pub label_fraction: f64,
    /// Traffic and error rate that swing, for both variants.
    #[serde(default)]
    pub diurnal: DiurnalFields,
    /// Clumps of errors that hit one variant.
    #[serde(default)]
    pub bursts: BurstFields,
    /// Outages that hit both variants.
    #[serde(default)]
    pub incidents: IncidentFields,
    /// Log error rate that wanders, for both variants alike.
    #[serde(default)]
    pub ou_shared: NoiseFields,
    /// The same for each variant on its own.
    #[serde(default)]
    pub ou_arm: NoiseFields,
    /// What is tolerated.
    #[serde(default)]
    pub margins: MarginFields,
    /// Paths of fields that no scenario has; they change nothing.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

/// Why a file is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It cannot be read.
    #[error("{}: {source}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no JSON, or a field is missing or of the wrong type; the source names it and where it stands.
    #[error("{}: {source}", file.display())]
    Shape {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A value makes no sense.
    #[error("{}: {field} {problem}", file.display())]
    Value {
        /// Which file.
        file: PathBuf,
        /// The path of the field, such as `stable.err`.
        field: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

impl Scenario {
    /// Reads one file.
    ///
    /// # Errors
    /// The first mistake, with the file and the field.
    pub fn read(file: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(file).map_err(|source| ScenarioError::Read {
            file: file.to_owned(),
            source,
        })?;
        Self::parse(&text, file)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// The first mistake, with the file and the field.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ScenarioError> {
        let mut unknown = Vec::new();
        let mut json = serde_json::Deserializer::from_str(text);
        let read = serde_ignored::deserialize(&mut json, |path| unknown.push(path.to_string()));
        let read = read.and_then(|scenario| json.end().map(|()| scenario));
        let scenario = read.map_err(|source| ScenarioError::Shape {
            file: file.to_owned(),
            source,
        })?;
        let scenario = Self {
            unknown,
            ..scenario
        };
        match check::first_mistake(&scenario) {
            Some((field, problem)) => Err(ScenarioError::Value {
                file: file.to_owned(),
                field,
                problem,
            }),
            None => Ok(scenario),
        }
    }
}

mod defaults {
    pub(super) fn rate() -> f64 {
        300.0
    }

    pub(super) fn horizon() -> f64 {
        3600.0
    }

    pub(super) fn one() -> f64 {
        1.0
    }
}

/// `stable`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(default)]
pub struct StableFields {
    /// Error rate.
    pub err: f64,
    /// Accuracy; none: not measured.
    pub acc: Option<f64>,
    /// Conversion rate; none: not measured.
    pub conv: Option<f64>,
    /// Median latency in milliseconds.
    pub lat_ms: f64,
    /// Standard deviation of log latency.
    pub sigma: f64,
    /// Share of a slower mode, and how many times slower it is.
    pub tail: [f64; 2],
}

impl Default for StableFields {
    fn default() -> Self {
        Self {
            err: 0.005,
            acc: None,
            conv: None,
            lat_ms: 100.0,
            sigma: 0.5,
            tail: [0.0, 1.0],
        }
    }
}

/// `canary`: what it has differently.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct CanaryFields {
    /// Error rate.
    pub err: Option<f64>,
    /// Accuracy.
    pub acc: Option<f64>,
    /// Conversion rate.
    pub conv: Option<f64>,
    /// Median latency in milliseconds.
    pub lat_ms: Option<f64>,
    /// Standard deviation of log latency.
    pub sigma: Option<f64>,
    /// Share of a slower mode, and how many times slower it is.
    pub tail: Option<[f64; 2]>,
}

/// `canary_warmup`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(default)]
pub struct WarmupFields {
    /// How long it is slow.
    pub seconds: f64,
    /// By what factor.
    pub lat_mult: f64,
}

impl Default for WarmupFields {
    fn default() -> Self {
        Self {
            seconds: 0.0,
            lat_mult: 1.0,
        }
    }
}

/// `canary_blips`: `seconds` out of every `period`, from `start` on, with this error rate.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub struct FlappingFields {
    /// When the first one begins.
    pub start: f64,
    /// From the beginning of one to the next.
    pub period: f64,
    /// How long each lasts.
    pub seconds: f64,
    /// Error rate meanwhile.
    pub err: f64,
}

/// One of `blips`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub struct BlipFields {
    /// When it begins.
    pub at: f64,
    /// How long it lasts.
    pub seconds: f64,
    /// Error rate meanwhile.
    pub err: f64,
    /// Whether it hits stable as well.
    #[serde(default)]
    pub both: bool,
}

/// `diurnal`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(default)]
pub struct DiurnalFields {
    /// Relative swing of the traffic, 0..=1.
    pub amp: f64,
    /// Length of one swing.
    pub period: f64,
    /// Swing of the log error rate.
    pub err_amp: f64,
}

impl Default for DiurnalFields {
    fn default() -> Self {
        Self {
            amp: 0.0,
            period: 3600.0,
            err_amp: 0.0,
        }
    }
}

/// `bursts`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct BurstFields {
    /// Clumps per second, of both variants together.
    pub per_second: f64,
    /// Mean number of errors in one.
    pub mean_size: f64,
}

/// `incidents`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(default)]
pub struct IncidentFields {
    /// How many there are.
    pub per_hour: f64,
    /// How long each lasts.
    pub seconds: f64,
    /// Added to both error rates.
    pub err_add: f64,
    /// Slows both variants.
    pub lat_mult: f64,
}

impl Default for IncidentFields {
    fn default() -> Self {
        Self {
            per_hour: 0.0,
            seconds: 60.0,
            err_add: 0.0,
            lat_mult: 1.0,
        }
    }
}

/// `ou_shared` and `ou_arm`: an Ornstein-Uhlenbeck process.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct NoiseFields {
    /// Standard deviation of the log error rate.
    pub sd: f64,
    /// Correlation time; 60 for shared noise and 20 for that of one variant if left out.
    pub tau: Option<f64>,
}

/// `margins`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(default)]
pub struct MarginFields {
    /// Tolerated rise of the error rate.
    pub err: f64,
    /// Tolerated ratio of latencies.
    pub lat_ratio: f64,
    /// Tolerated fall of accuracy.
    pub acc: f64,
    /// Tolerated fall of conversion.
    pub conv: f64,
}

impl Default for MarginFields {
    fn default() -> Self {
        Self {
            err: 0.0025,
            lat_ratio: 1.10,
            acc: 0.01,
            conv: 0.0025,
        }
    }
}

#[cfg(test)]
mod tests;
