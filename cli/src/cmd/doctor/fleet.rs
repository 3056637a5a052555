//! The sidecars, as the control plane sees them.

use super::facts::ControlPlane;
use super::finding::Finding;
use super::finding::Severity::{Note, Problem, Warning};
use crate::view::number;
use serinus_proto::v1;

/// A sidecar that was not seen for longer was taken away.
const GONE_MS: u64 = 24 * 3600 * 1000;

pub(super) fn examine(known: &ControlPlane, now_ms: u64, findings: &mut Vec<Finding>) {
    for sidecar in &known.sidecars {
        let about = format!("sidecar {}", sidecar.sidecar);
        whole(known, sidecar, &about, now_ms, findings);
        if sidecar.connected {
            for model in &sidecar.models {
                serves(model, &about, findings);
            }
        }
    }
    for model in &known.models {
        let serves = |sidecar: &&v1::SidecarInfo| {
            sidecar.connected && sidecar.models.iter().any(|of| of.model == model.name)
        };
        if !model.active_rollout.is_empty() && known.sidecars.iter().find(serves).is_none() {
            findings.push(Finding::new(
                Problem,
                "NO_SIDECARS",
                format!("model {}", model.name),
                "a rollout is active, and no connected sidecar serves the model",
                format!(
                    "start a sidecar that names [[model]] name = \"{}\" and this control plane, or correct the name there",
                    model.name
                ),
            ));
        }
    }
}

fn whole(
    known: &ControlPlane,
    sidecar: &v1::SidecarInfo,
    about: &str,
    now_ms: u64,
    findings: &mut Vec<Finding>,
) {
    if !sidecar.connected {
        let seen = sidecar.last_seen.as_ref().map_or(0, number::unix_ms);
        let ago = now_ms.saturating_sub(seen);
        if ago < GONE_MS {
            findings.push(Finding::new(
                Warning,
                "SIDECAR_LOST",
                about,
                format!("was last heard of {} ago", number::clock(ago)),
                "if its host should be up: see that the sidecar runs and reaches the control plane; it goes on by its last \
                 instruction until its lease runs out, then takes its users back to stable",
            ));
        }
        return;
    }
    if !sidecar.quarantined.is_empty() {
        findings.push(Finding::new(
            Problem,
            "QUARANTINED",
            about,
            format!("what it reports is not counted: {}", sidecar.quarantined),
            format!(
                "find the fault (its version, its clock, what is between), restart it, or release it: `serinus sidecars \
                 --release {}`",
                sidecar.sidecar
            ),
        ));
    }
    if sidecar.ahead {
        findings.push(Finding::new(
            Problem,
            "SIDECAR_AHEAD",
            about,
            "holds a later instruction than any from here, and obeys nothing from here",
            "see that it follows one control plane alone; after a restore start the control plane with a new --generation",
        ));
    }
    if sidecar.version != known.info.version {
        findings.push(Finding::new(
            Note,
            "OTHER_VERSION",
            about,
            format!(
                "runs {}, the control plane {}",
                sidecar.version, known.info.version
            ),
            "good for the time of an upgrade; then bring both to the same version",
        ));
    }
}

fn serves(model: &v1::SidecarModel, about: &str, findings: &mut Vec<Finding>) {
    let about = format!("{about}, model {}", model.model);
    let mut find = |severity, code, says: String, way_out: &str| {
        findings.push(Finding::new(severity, code, about.clone(), says, way_out));
    };
    // Sidecars tell what they hold by order of the control plane: of a model that it has never released it knows nothing.
    let released = !model.rollout.is_empty();
    if released && !model.stable_ready {
        let says = "the stable variant is not ready there: users get errors".to_owned();
        find(
            Problem,
            "STABLE_NOT_READY",
            says,
            "start the stable model server, or correct its address; the sidecar's /status says why each endpoint fails",
        );
    }
    if !model.rejection.is_empty() {
        find(
            Problem,
            "ASSIGNMENT_REJECTED",
            format!("refused its instruction: {}", model.rejection),
            "apply a plan that it can follow, or correct its own file; the same instruction is not sent to it again",
        );
    }
    if model.breaker_open {
        find(
            Problem,
            "BREAKER_OPEN",
            "its breaker on the canary is open: stable answers instead".to_owned(),
            "look at the canary's model server; three bad seconds in a minute roll the rollout back",
        );
    }
    let has_canary = released && !model.not_selected;
    if has_canary && !model.canary_ready && !model.breaker_open {
        let says = match model.warming {
            true => "the canary has never been ready there since it was assigned",
            false => "the canary is not ready there now",
        };
        find(
            Warning,
            "CANARY_NOT_READY",
            says.to_owned(),
            "see that the canary's model server runs and answers its readiness question at the address of the plan",
        );
    }
    if model.reverted {
        find(
            Warning,
            "REVERTED",
            "took its users back to stable, for its lease had run out".to_owned(),
            "it has contact again: `serinus rollout resume` gives it the canary, if the rollout is held",
        );
    } else if model.stale {
        find(
            Warning,
            "LEASE_RAN_OUT",
            "was out of contact for longer than its lease".to_owned(),
            "see the network between it and the control plane; leases are renewed every 15 s or so",
        );
    }
    if model.killed {
        find(
            Note,
            "KILLED",
            "an operator of its host has stopped the canary there".to_owned(),
            "only that host lets it go on: remove the kill file, or PUT the kill switch of its admin port",
        );
    }
    if released && !model.current && model.rejection.is_empty() && !model.reverted {
        find(
            Warning,
            "BEHIND",
            "is not on the present instruction yet".to_owned(),
            "give it a few seconds; if it stays so, see its log and `serinus_pushes_total`",
        );
    }
}
