//! Who met the canary: merged estimates of distinct keys.

use serinus_common::distinct::Distinct;
use serinus_proto::v1;

/// The keys that met a rollout's canary, over every sidecar and epoch.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    met: Distinct,
    /// Of `met`: estimating takes thousands of steps, and is asked for at every look.
    exposed: u64,
}

impl Keys {
    /// Merges what a sidecar reported; malformed registers are ignored and reported as `false`.
    pub fn absorb(&mut self, statistics: &v1::KeyStatistics) -> bool {
        let Some(other) = Distinct::from_registers(&statistics.registers) else {
            return false;
        };
        self.met.merge(&other);
        self.exposed = self.met.estimate();
        true
    }

    /// Estimated number of distinct keys, about 2 %.
    #[must_use]
    pub fn exposed(&self) -> u64 {
        self.exposed
    }

    /// For the disk.
    #[must_use]
    pub fn to_wire(&self, rollout: &str, variant: &str) -> v1::KeyStatistics {
        v1::KeyStatistics {
            rollout: rollout.to_owned(),
            variant: variant.to_owned(),
            registers: self.met.registers().to_vec(),
            ..v1::KeyStatistics::default()
        }
    }
}
