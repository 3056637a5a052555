//! What the models are worth on unseen images.

use super::*;
use crate::models::{Digits, accuracy};

#[test]
fn every_seed_gives_a_stable_a_better_and_a_worse_model() {
    for seed in 0..10 {
        let digits = Digits::split(seed);
        let measure = |kind| accuracy(&train(kind, &digits.train, seed).unwrap(), &digits.test);
        let stable = measure(ModelKind::Stable);
        let better = measure(ModelKind::Better);
        let worse = measure(ModelKind::Worse);
        println!("seed {seed}: stable {stable:.3}, better {better:.3}, worse {worse:.3}");
        assert!(stable <= 0.93, "seed {seed}: stable {stable}");
        assert!(
            better >= stable + 0.03,
            "seed {seed}: stable {stable}, better {better}"
        );
        assert!(worse < 0.7 && worse < stable, "seed {seed}: worse {worse}");
    }
}

#[test]
fn training_repeats_itself() {
    let digits = Digits::split(3);
    let answers = || {
        let model = train(ModelKind::Stable, &digits.train, 3).unwrap();
        digits
            .test
            .iter()
            .map(|s| model.predict(&s.pixels))
            .collect::<Vec<_>>()
    };
    assert_eq!(answers(), answers());
}

#[test]
fn what_cannot_be_trained_is_an_error() {
    let none = train(ModelKind::Worse, &[], 0).unwrap_err();
    assert!(
        matches!(
            none,
            ModelError::Fit {
                kind: ModelKind::Worse,
                ..
            }
        ),
        "{none}"
    );
    assert!(matches!(
        train(ModelKind::Echo, &[], 0),
        Err(ModelError::NotTrained(_))
    ));
}
