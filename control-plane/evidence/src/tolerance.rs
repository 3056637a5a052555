//! The step tolerances (kappa) for which promotion wealth is kept.

/// Distinct tolerances in ascending order; 1 is always among them.
#[derive(Clone, Debug)]
pub(crate) struct Tolerances(Vec<f64>);

impl Tolerances {
    pub(crate) fn new(asked: &[f64]) -> Self {
        let mut all = asked.to_vec();
        all.push(1.0);
        all.sort_by(f64::total_cmp);
        all.dedup();
        Self(all)
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.0
    }

    /// The index of the largest tolerance at or below `tolerance`: never a laxer one than asked.
    /// None if every one is laxer (or `tolerance` is not a number).
    pub(crate) fn index_for(&self, tolerance: f64) -> Option<usize> {
        self.0
            .iter()
            .rposition(|kept| *kept <= tolerance * (1.0 + 1e-9))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_that_is_not_kept_is_rounded_to_the_stricter_side() {
        let tolerances = Tolerances::new(&[10.0, 2.0, 2.0]);
        assert_eq!(tolerances.values(), [1.0, 2.0, 10.0]);
        assert_eq!(tolerances.index_for(2.0), Some(1));
        assert_eq!(tolerances.index_for(9.0), Some(1));
        assert_eq!(tolerances.index_for(11.0), Some(2));
        assert_eq!(tolerances.index_for(0.5), None);
        assert_eq!(tolerances.index_for(f64::NAN), None);
    }
}
