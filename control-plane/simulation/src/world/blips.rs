//! Failures at given times.

use super::spec::{Flapping, Spec};

impl Spec {
    /// The error rate of a variant in a slice, `usual` but for the part of the slice that lies in a failure.
    pub(super) fn with_blips(&self, usual: f64, of_canary: bool, from_s: f64, seconds: f64) -> f64 {
        let mut rate = usual;
        let mut fail = |part: f64, errors: f64| rate += part.clamp(0.0, 1.0) * (errors - rate);
        for blip in self.blips.iter().filter(|blip| of_canary || blip.both) {
            let until_s = (blip.at_s + blip.seconds).min(from_s + seconds);
            fail((until_s - blip.at_s.max(from_s)) / seconds, blip.errors);
        }
        if let Some(flapping) = self.flapping.filter(|_| of_canary) {
            let failed_s =
                flapping.failed_before(from_s + seconds) - flapping.failed_before(from_s);
            fail(failed_s / seconds, flapping.errors);
        }
        if let Some(dead_at_s) = self.canary_dead_at_s.filter(|_| of_canary) {
            fail((from_s + seconds - dead_at_s) / seconds, 1.0);
        }
        rate
    }
}

impl Flapping {
    /// How long the canary has been failing before a time.
    fn failed_before(&self, at_s: f64) -> f64 {
        let since_s = (at_s - self.start_s).max(0.0);
        let periods = (since_s / self.period_s).floor();
        periods * self.seconds + (since_s - periods * self.period_s).min(self.seconds)
    }
}
