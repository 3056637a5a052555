//! Sidecars whose reports are refused, because one of them could not be true.

use serinus_proto::v1::{self, event::Kind};
use std::collections::BTreeMap;

/// As the log has it: a restart lets nobody out.
#[derive(Clone, Debug, Default)]
pub(super) struct Quarantine(BTreeMap<String, v1::SidecarQuarantined>);

impl Quarantine {
    /// Why an incarnation's reports are refused, if they are. A later incarnation begins anew.
    pub(super) fn why(&self, sidecar: &str, incarnation: u64) -> Option<&str> {
        let held = self.0.get(sidecar);
        let same = held.filter(|held| held.incarnation == incarnation);
        same.map(|held| held.why.as_str())
    }

    /// Follows an event of the log.
    pub(super) fn follow(&mut self, kind: &Kind) {
        match kind {
            Kind::SidecarQuarantined(of) => {
                self.0.insert(of.sidecar.clone(), of.clone());
            }
            Kind::SidecarReleased(of) if self.why(&of.sidecar, of.incarnation).is_some() => {
                self.0.remove(&of.sidecar);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_one_incarnation_until_it_is_released() {
        let mut quarantine = Quarantine::default();
        quarantine.follow(&Kind::SidecarQuarantined(v1::SidecarQuarantined {
            sidecar: "a".into(),
            incarnation: 7,
            why: "more errors than requests".into(),
        }));
        assert_eq!(quarantine.why("a", 7), Some("more errors than requests"));
        assert_eq!(quarantine.why("a", 8), None);
        assert_eq!(quarantine.why("b", 7), None);
        let release = |incarnation| {
            Kind::SidecarReleased(v1::SidecarReleased {
                sidecar: "a".into(),
                incarnation,
            })
        };
        quarantine.follow(&release(6));
        assert!(quarantine.why("a", 7).is_some());
        quarantine.follow(&release(7));
        assert!(quarantine.why("a", 7).is_none());
    }
}
