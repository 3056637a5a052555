//! Models without training, for tests that must start at once.

use super::{Model, PIXELS};

/// Answers with the first pixel, rounded: the caller can tell that its own data arrived.
#[derive(Clone, Copy, Debug)]
pub struct Echo;

impl Model for Echo {
    fn predict(&self, pixels: &[f32; PIXELS]) -> u8 {
        pixels[0].round() as u8
    }
}

/// Answers always the same digit: the caller can tell which model answered.
#[derive(Clone, Copy, Debug)]
pub struct Constant(pub u8);

impl Model for Constant {
    fn predict(&self, _: &[f32; PIXELS]) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echo_gives_back_the_first_pixel_within_the_range_of_a_byte() {
        for (pixel, digit) in [(7.0, 7), (6.6, 7), (-1.0, 0), (300.0, 255), (f32::NAN, 0)] {
            let mut pixels = [1.0; PIXELS];
            pixels[0] = pixel;
            assert_eq!(Echo.predict(&pixels), digit, "{pixel}");
        }
    }
}
