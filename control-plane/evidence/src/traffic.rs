//! Recent traffic: its rate and the canary's share. Used only to say how long missing evidence will
//! take.

use crate::counts::Pair;

/// What older slices still weigh after each slice.
const KEEP: f64 = 0.9;

/// Discounted sums over recent slices of the newest epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    epoch: u64,
    canary: f64,
    stable: f64,
    seconds: f64,
    slices: f64,
}

crate::state::state!(Traffic {
    epoch,
    canary,
    stable,
    seconds,
    slices
});

impl Traffic {
    pub(crate) fn fold(&mut self, epoch: u64, seconds: f64, pair: Pair) {
        if epoch < self.epoch {
            return;
        }
        if epoch > self.epoch {
            *self = Self {
                epoch,
                ..Self::default()
            };
        }
        let seconds = if seconds.is_finite() {
            seconds.max(0.0)
        } else {
            0.0
        };
        self.canary = KEEP * self.canary + pair.canary.n as f64;
        self.stable = KEEP * self.stable + pair.stable.n as f64;
        self.seconds = KEEP * self.seconds + seconds;
        self.slices = KEEP * self.slices + 1.0;
    }

    /// Takes a slice of units that belong to both variants at once.
    pub(crate) fn fold_one(&mut self, epoch: u64, seconds: f64, units: u64) {
        self.fold(epoch, seconds, Pair::new(0, units, 0, 0));
    }

    fn units(&self) -> f64 {
        self.canary + self.stable
    }

    /// The canary's share of recent units; none unless both variants had some.
    pub(crate) fn share(&self) -> Option<f64> {
        (self.canary > 0.0 && self.stable > 0.0).then(|| self.canary / self.units())
    }

    /// Units of both variants per slice.
    pub(crate) fn per_slice(&self) -> f64 {
        if self.slices > 0.0 {
            self.units() / self.slices
        } else {
            0.0
        }
    }

    /// Units of both variants per second, if time was measured.
    pub(crate) fn per_second(&self) -> Option<f64> {
        (self.seconds > 0.0 && self.units() > 0.0).then(|| self.units() / self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_epoch_forgets_the_old_split() {
        let mut traffic = Traffic::default();
        (0..50).for_each(|_| traffic.fold(1, 1.0, Pair::new(0, 10, 0, 90)));
        traffic.fold(2, 2.0, Pair::new(0, 50, 0, 50));
        traffic.fold(1, 1.0, Pair::new(0, 10, 0, 90));
        assert_eq!(traffic.share(), Some(0.5));
        assert_eq!(traffic.per_second(), Some(50.0));
    }

    #[test]
    fn time_that_is_no_number_is_ignored() {
        let mut traffic = Traffic::default();
        traffic.fold(1, f64::NAN, Pair::new(0, 10, 0, 90));
        traffic.fold(1, f64::INFINITY, Pair::new(0, 10, 0, 90));
        traffic.fold(1, -1.0, Pair::new(0, 10, 0, 90));
        assert_eq!(traffic.per_second(), None);
        assert!((traffic.per_slice() - 100.0).abs() < 1e-9);
    }
}
