//! The data: 1797 scanned digits (Optical Recognition of Handwritten Digits, UCI), split by a seed.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use smartcore::dataset::digits;

/// How many pixels an image has: 8 x 8.
pub const PIXELS: usize = 64;

/// The fraction of the images that training never sees.
const HELD_OUT: f64 = 0.25;

/// One image and what it shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Ink per pixel, 0..=16, row by row from the top left.
    pub pixels: [f32; PIXELS],
    /// The digit that was written, 0..=9.
    pub digit: u8,
}

/// The images in two parts that share none.
#[derive(Clone, Debug)]
pub struct Digits {
    /// Three quarters, to learn from.
    pub train: Vec<Sample>,
    /// The held-out quarter: users' requests, and the only fair measure of accuracy.
    pub test: Vec<Sample>,
}

impl Digits {
    /// Shuffles the data set by `seed` and holds a quarter out. The same seed gives the same split in any process.
    pub fn split(seed: u64) -> Self {
        let mut samples = load();
        samples.shuffle(&mut StdRng::seed_from_u64(seed));
        let held_out = (samples.len() as f64 * HELD_OUT).round() as usize;
        let train = samples.split_off(held_out);
        Self {
            train,
            test: samples,
        }
    }
}

fn load() -> Vec<Sample> {
    let data = digits::load_dataset();
    let (images, _) = data.data.as_chunks::<PIXELS>();
    let sample = |(pixels, digit): (&[f32; PIXELS], &f32)| Sample {
        pixels: *pixels,
        digit: *digit as u8,
    };
    images.iter().zip(&data.target).map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_holds_out_a_quarter_and_loses_nothing() {
        let split = Digits::split(1);
        assert_eq!((split.train.len(), split.test.len()), (1348, 449));
        let mut all = [split.train, split.test].concat();
        let mut expected = load();
        let order = |a: &Sample, b: &Sample| a.pixels.partial_cmp(&b.pixels).unwrap();
        all.sort_by(order);
        expected.sort_by(order);
        assert_eq!(all, expected);
    }

    #[test]
    fn the_data_is_what_the_protocol_promises() {
        for sample in load() {
            assert!(
                sample
                    .pixels
                    .iter()
                    .all(|p| (0.0..=16.0).contains(p) && p.fract() == 0.0)
            );
            assert!(sample.digit <= 9);
        }
    }

    #[test]
    fn a_seed_repeats_its_split_and_another_seed_does_not() {
        assert_eq!(Digits::split(5).test, Digits::split(5).test);
        assert_ne!(Digits::split(5).test, Digits::split(6).test);
    }
}
