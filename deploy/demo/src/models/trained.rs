//! Forests and trees fitted to the digits.

use smartcore::ensemble::random_forest_classifier::{
    RandomForestClassifier, RandomForestClassifierParameters,
};
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::tree::decision_tree_classifier::{
    DecisionTreeClassifier, DecisionTreeClassifierParameters,
};

use super::{Model, ModelError, ModelKind, PIXELS, Sample};

type Pixels = DenseMatrix<f32>;
type Forest = RandomForestClassifier<f32, u32, Pixels, Vec<u32>>;
type Tree = DecisionTreeClassifier<f32, u32, Pixels, Vec<u32>>;

const STABLE_TREES: u16 = 3;
const BETTER_TREES: u16 = 40;
const WORSE_DEPTH: u16 = 4;

/// A fitted model.
#[derive(Debug)]
pub struct TrainedModel(Fitted);

#[derive(Debug)]
enum Fitted {
    Forest(Forest),
    Tree(Tree),
}

/// Fits `kind` to `samples`. The same kind, samples and seed give the same model.
///
/// # Errors
/// [`ModelError::NotTrained`] for a kind that learns nothing, [`ModelError::Fit`] if the data cannot be fitted.
pub fn train(kind: ModelKind, samples: &[Sample], seed: u64) -> Result<TrainedModel, ModelError> {
    let why = |error: smartcore::error::Failed| ModelError::Fit {
        kind,
        why: error.to_string(),
    };
    let values = samples.iter().flat_map(|s| s.pixels).collect();
    let x = DenseMatrix::new(samples.len(), PIXELS, values, false).map_err(why)?;
    let y = samples.iter().map(|s| u32::from(s.digit)).collect();
    let forest = |trees| {
        let parameters = RandomForestClassifierParameters::default().with_n_trees(trees);
        Forest::fit(&x, &y, parameters.with_seed(seed)).map(Fitted::Forest)
    };
    let fitted = match kind {
        ModelKind::Stable => forest(STABLE_TREES),
        ModelKind::Better => forest(BETTER_TREES),
        ModelKind::Worse => {
            let parameters =
                DecisionTreeClassifierParameters::default().with_max_depth(WORSE_DEPTH);
            Tree::fit(
                &x,
                &y,
                DecisionTreeClassifierParameters {
                    seed: Some(seed),
                    ..parameters
                },
            )
            .map(Fitted::Tree)
        }
        ModelKind::Echo | ModelKind::Constant(_) => return Err(ModelError::NotTrained(kind)),
    };
    fitted.map(TrainedModel).map_err(why)
}

impl Model for TrainedModel {
    fn predict(&self, pixels: &[f32; PIXELS]) -> u8 {
        let row = DenseMatrix::new(1, PIXELS, pixels.to_vec(), false)
            .expect("64 values make one row of 64");
        let digits = match &self.0 {
            Fitted::Forest(forest) => forest.predict(&row),
            Fitted::Tree(tree) => tree.predict(&row),
        };
        let digits = digits.expect("a fitted model predicts any row as wide as its training data");
        digits[0] as u8
    }
}

#[cfg(test)]
mod tests;
