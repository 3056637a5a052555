//! Models that answer which digit an image of 8 x 8 pixels shows.

mod digits;
mod plain;
mod trained;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use digits::{Digits, PIXELS, Sample};
pub use plain::{Constant, Echo};
pub use trained::{TrainedModel, train};

/// A classifier of 8 x 8 images.
pub trait Model: Send + Sync + fmt::Debug {
    /// The digit in `pixels`: 64 values in 0..=16, row by row from the top left.
    fn predict(&self, pixels: &[f32; PIXELS]) -> u8;
}

/// The fraction (0..=1) of `samples` that `model` gets right; 0 without samples.
pub fn accuracy(model: &dyn Model, samples: &[Sample]) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    let right = samples
        .iter()
        .filter(|s| model.predict(&s.pixels) == s.digit)
        .count();
    right as f64 / samples.len() as f64
}

/// Which model to build. Its text form is `echo`, `constant:N`, `stable`, `better` or `worse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelKind {
    /// Answers with the first pixel; needs no training.
    Echo,
    /// Answers always the same digit; needs no training.
    Constant(u8),
    /// A small forest: right for at most 93 % of unseen images.
    Stable,
    /// A forest of 40 trees: right for about 97 %.
    Better,
    /// A tree of depth 4: fast, never an error, right for about half.
    Worse,
}

impl ModelKind {
    /// Builds the model; the trained kinds fit the training part of [`Digits::split`] with `seed`.
    ///
    /// # Errors
    /// [`ModelError::Fit`] if the training data cannot be fitted.
    pub fn build(self, seed: u64) -> Result<Arc<dyn Model>, ModelError> {
        match self {
            Self::Echo => Ok(Arc::new(Echo)),
            Self::Constant(digit) => Ok(Arc::new(Constant(digit))),
            trained => Ok(Arc::new(train(trained, &Digits::split(seed).train, seed)?)),
        }
    }
}

impl fmt::Display for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Echo => f.write_str("echo"),
            Self::Constant(digit) => write!(f, "constant:{digit}"),
            Self::Stable => f.write_str("stable"),
            Self::Better => f.write_str("better"),
            Self::Worse => f.write_str("worse"),
        }
    }
}

impl FromStr for ModelKind {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        match text {
            "echo" => Ok(Self::Echo),
            "stable" => Ok(Self::Stable),
            "better" => Ok(Self::Better),
            "worse" => Ok(Self::Worse),
            _ => text
                .strip_prefix("constant:")
                .and_then(|digit| digit.parse().ok())
                .map(Self::Constant)
                .ok_or_else(|| ModelError::UnknownKind(text.to_owned())),
        }
    }
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The text names no [`ModelKind`].
    #[error(
        "model: `{0}` is not known; write echo, constant:N (N from 0 to 255), stable, better or worse"
    )]
    UnknownKind(String),
    /// [`train`] was asked for a kind that is not trained.
    #[error("model: `{0}` needs no training; build it with ModelKind::build")]
    NotTrained(ModelKind),
    /// The learning algorithm refused the data.
    #[error("the model `{kind}` could not be trained: {why}")]
    Fit {
        /// What was to be trained.
        kind: ModelKind,
        /// What the algorithm says.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_back_what_they_print() {
        use ModelKind::{Better, Constant, Echo, Stable, Worse};
        for kind in [Echo, Constant(7), Stable, Better, Worse] {
            assert_eq!(kind.to_string().parse::<ModelKind>().unwrap(), kind);
        }
    }

    #[test]
    fn an_unknown_kind_is_refused_with_the_correct_forms() {
        for text in ["best", "constant", "constant:", "constant:300", "Echo"] {
            let error = text.parse::<ModelKind>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{text}`")) && error.contains("constant:N"),
                "{error}"
            );
        }
    }

    #[test]
    fn accuracy_is_the_fraction_that_is_right() {
        let sample = |digit| Sample {
            pixels: [0.0; PIXELS],
            digit,
        };
        let samples = [sample(3), sample(3), sample(3), sample(4)];
        assert_eq!(accuracy(&Constant(3), &samples), 0.75);
        assert_eq!(accuracy(&Constant(3), &[]), 0.0);
    }
}
