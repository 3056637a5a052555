//! Sidecars.

use super::time;
use serde_json::{Value, json};
use serinus_proto::v1;

/// One sidecar and the models that it serves. `incarnation` is text: it is random and may be larger than the whole
/// numbers that JSON readers keep.
#[must_use]
pub fn sidecar(sidecar: &v1::SidecarInfo) -> Value {
    json!({
        "sidecar": sidecar.sidecar,
        "incarnation": sidecar.incarnation.to_string(),
        "version": sidecar.version,
        "connected": sidecar.connected,
        "last_seen": time(sidecar.last_seen.as_ref()),
        "labels": sidecar.labels,
        "models": sidecar.models.iter().map(model).collect::<Vec<_>>(),
        "committed_seq": sidecar.committed_seq,
        "quarantined": sidecar.quarantined,
        "ahead": sidecar.ahead,
    })
}

fn model(model: &v1::SidecarModel) -> Value {
    json!({
        "model": model.model,
        "rollout": model.rollout,
        "epoch": model.epoch,
        "current": model.current,
        "rejection": model.rejection,
        "stable_ready": model.stable_ready,
        "canary_ready": model.canary_ready,
        "breaker_open": model.breaker_open,
        "reverted": model.reverted,
        "not_selected": model.not_selected,
        "warming": model.warming,
        "killed": model.killed,
        "stale": model.stale,
        "latched": model.latched,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_incarnations_survive() {
        let value = sidecar(&v1::SidecarInfo {
            sidecar: "host-a".into(),
            incarnation: u64::MAX,
            models: vec![v1::SidecarModel {
                model: "m".into(),
                epoch: 4,
                ..Default::default()
            }],
            ..Default::default()
        });
        assert_eq!(value["incarnation"], "18446744073709551615");
        assert_eq!(value["models"][0]["epoch"], 4);
        assert_eq!(value["last_seen"], Value::Null);
    }
}
