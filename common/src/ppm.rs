//! Shares as parts per million: the resolution of a split.

use thiserror::Error;

/// A share in parts per million, 0..=1,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ppm(u32);

/// Why a number is no share.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum ShareError {
    /// NaN or infinite.
    #[error("is not a number; write a fraction such as 0.1 for 10 %")]
    NotFinite,
    /// Below 0.
    #[error("{0} is negative; write a fraction between 0 and 1, such as 0.1 for 10 %")]
    Negative(f64),
    /// Above 1.
    #[error("{0} is above 1; shares are fractions: write 0.1 for 10 %")]
    AboveOne(f64),
    /// Finer than one millionth.
    #[error("{0} is finer than one millionth, the resolution of a split")]
    TooFine(f64),
}

impl Ppm {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Everything.
    pub const ONE: Self = Self(1_000_000);

    /// From parts per million; `None` above one million.
    #[must_use]
    pub fn new(ppm: u32) -> Option<Self> {
        (ppm <= Self::ONE.0).then_some(Self(ppm))
    }

    /// From a fraction 0..=1 that is a whole number of millionths (within 1e-9).
    ///
    /// # Errors
    /// Says which of the rules the number breaks.
    pub fn from_fraction(fraction: f64) -> Result<Self, ShareError> {
        if !fraction.is_finite() {
            return Err(ShareError::NotFinite);
        }
        if fraction < 0.0 {
            return Err(ShareError::Negative(fraction));
        }
        if fraction > 1.0 + 1e-9 {
            return Err(ShareError::AboveOne(fraction));
        }
        let ppm = (fraction * 1e6).round();
        if (fraction - ppm / 1e6).abs() > 1e-9 {
            return Err(ShareError::TooFine(fraction));
        }
        // In 0..=1e6 by the checks above.
        Ok(Self((ppm as u32).min(Self::ONE.0)))
    }

    /// As parts per million.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// As a fraction 0..=1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    /// What is left of the whole.
    #[must_use]
    pub fn complement(self) -> Self {
        Self(Self::ONE.0 - self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_become_whole_millionths() {
        assert_eq!(Ppm::from_fraction(0.1), Ok(Ppm(100_000)));
        assert_eq!(Ppm::from_fraction(0.1 + 0.2), Ok(Ppm(300_000)));
        assert_eq!(Ppm::from_fraction(1.0), Ok(Ppm::ONE));
        assert_eq!(Ppm::from_fraction(0.0), Ok(Ppm::ZERO));
    }

    #[test]
    fn whatever_is_no_fraction_is_refused() {
        assert_eq!(Ppm::from_fraction(10.0), Err(ShareError::AboveOne(10.0)));
        assert_eq!(Ppm::from_fraction(-0.1), Err(ShareError::Negative(-0.1)));
        assert_eq!(Ppm::from_fraction(f64::NAN), Err(ShareError::NotFinite));
        assert_eq!(
            Ppm::from_fraction(0.000_000_5),
            Err(ShareError::TooFine(0.000_000_5))
        );
        assert!(ShareError::AboveOne(10.0).to_string().contains("write 0.1"));
    }
}
