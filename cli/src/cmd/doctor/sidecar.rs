//! A sidecar as it sees itself.

use super::facts::{ControlPlane, Sidecar};
use super::finding::Finding;
use super::finding::Severity::{Note, Problem, Warning};
use serde_json::Value;

/// Reports that wait: seconds, when all is well none or one.
const BACKLOG: u64 = 30;
/// Outcomes that wait for the control plane, bytes.
const SPOOLED: u64 = 1 << 20;

pub(super) fn examine(
    address: &str,
    looked: &Result<Sidecar, String>,
    known: Option<&ControlPlane>,
    findings: &mut Vec<Finding>,
) {
    let sidecar = match looked {
        Ok(sidecar) => sidecar,
        Err(why) => {
            findings.push(Finding::new(
                Problem,
                "SIDECAR_UNREACHABLE",
                format!("sidecar at {address}"),
                format!("its admin port does not answer: {why}"),
                "start it, or name its `admin` address; from another host that must be more than loopback",
            ));
            return;
        }
    };
    let status = &sidecar.status;
    let name = text(&status["name"]);
    let about = format!("sidecar {name} at {address}");
    if sidecar.ready.status != 200 {
        findings.push(Finding::new(
            Problem,
            "SIDECAR_NOT_READY",
            about.clone(),
            format!("/readyz answers {}: {}", sidecar.ready.status, sidecar.ready.text.trim()),
            "it is ready as soon as every model's stable is: start the stable model server, or correct its address",
        ));
    }
    contact(status, &about, &name, known, findings);
    counts(status, &about, findings);
    for model in status["models"].as_array().into_iter().flatten() {
        let about = format!("{about}, model {}", text(&model["name"]));
        serves(model, &about, findings);
    }
}

fn contact(
    status: &Value,
    about: &str,
    name: &str,
    known: Option<&ControlPlane>,
    findings: &mut Vec<Finding>,
) {
    let contact = &status["control_plane"];
    if contact.is_null() {
        findings.push(Finding::new(
            Note,
            "STATIC",
            about,
            "follows no control plane: only its own file counts",
            "set `control_plane` in its file if it should take part in rollouts",
        ));
        return;
    }
    if contact["connected"] != true {
        let why = match contact["trouble"].as_str() {
            Some(why) => format!(": {why}"),
            None => String::new(),
        };
        findings.push(Finding::new(
            Problem,
            "NO_CONTACT",
            about,
            format!("has no contact with its control plane{why}"),
            "see `control_plane` in its file, the token, and the network; it serves on, and raises nothing",
        ));
        return;
    }
    let listed = known.map(|known| {
        let mut sidecars = known.sidecars.iter();
        sidecars.any(|of| of.sidecar == name && of.connected)
    });
    if listed == Some(false) {
        findings.push(Finding::new(
            Problem,
            "OTHER_CONTROL_PLANE",
            about,
            format!(
                "is connected to {}, and not to the control plane that was asked",
                text(&contact["url"])
            ),
            "let both name the same control plane",
        ));
    }
}

fn counts(status: &Value, about: &str, findings: &mut Vec<Finding>) {
    let mut find = |severity, code, says: String, way_out: &str| {
        findings.push(Finding::new(severity, code, about, says, way_out));
    };
    if let Some(why) = status["unsaved"].as_str() {
        find(
            Problem,
            "UNSAVED",
            format!("cannot write its state: {why}"),
            "let it write into state_dir: after a restart it would not know its last instruction or a latch",
        );
    }
    if let Some(why) = status["reports"]["refused"].as_str() {
        find(
            Problem,
            "REPORTS_NOT_COUNTED",
            format!("the control plane does not count its reports: {why}"),
            "find the fault, and restart it, or release it with `serinus sidecars --release`",
        );
    }
    let waiting = status["reports"]["waiting"].as_u64().unwrap_or(0);
    if waiting > BACKLOG {
        find(
            Warning,
            "REPORTS_WAIT",
            format!(
                "{waiting} reports wait for the control plane; above 120 s they are summed, then lost"
            ),
            "see whether it has contact, and whether the control plane has room on its disk",
        );
    }
    let dropped = status["outcomes"]["dropped"].as_u64().unwrap_or(0);
    if dropped > 0 {
        find(
            Warning,
            "OUTCOMES_DROPPED",
            format!("{dropped} outcomes were dropped: its spool was full or damaged"),
            "give the spool more room, and see why outcomes were not forwarded",
        );
    }
    let spooled = status["outcomes"]["waiting_bytes"].as_u64().unwrap_or(0);
    if spooled > SPOOLED {
        find(
            Warning,
            "OUTCOMES_WAIT",
            format!("{spooled} bytes of outcomes wait to be forwarded"),
            "see whether it has contact, and whether the control plane has room on its disk",
        );
    }
    let killed: Vec<String> = strings(&status["killed"]);
    if !killed.is_empty() {
        find(
            Note,
            "KILLED",
            format!(
                "an operator of the host has stopped the canaries of {}",
                killed.join(", ")
            ),
            "remove the kill file, or PUT the kill switch of its admin port",
        );
    }
}

fn serves(model: &Value, about: &str, findings: &mut Vec<Finding>) {
    let lease = model["assignment"]["lease"].as_str().unwrap_or("none");
    if matches!(lease, "frozen" | "reverting" | "reverted") {
        findings.push(Finding::new(
            Warning,
            "LEASE_RAN_OUT",
            about,
            match lease {
                "frozen" => "its lease has run out: the canary's share is frozen",
                _ => "its lease has run out for long: users are back on stable, or on their way",
            },
            "give it contact with the control plane again",
        ));
    }
    for variant in model["variants"].as_array().into_iter().flatten() {
        let about = format!("{about}, variant {}", text(&variant["name"]));
        let endpoints = variant["endpoints"].as_object().into_iter().flatten();
        for (endpoint, why) in endpoints.filter(|(_, why)| !text(why).is_empty()) {
            let stable_is_down = variant["stable"] == true && variant["ready"] != true;
            findings.push(Finding::new(
                if stable_is_down { Problem } else { Warning },
                "ENDPOINT_DOWN",
                about.clone(),
                format!("{endpoint} does not answer: {}", text(why)),
                "start that model server, or take its address out of the plan or the file",
            ));
        }
        if variant["breaker"]["open"] == true {
            findings.push(Finding::new(
                Problem,
                "BREAKER_OPEN",
                about,
                "its breaker is open: stable answers instead",
                "look at that variant's model server; the breaker closes by itself when it answers",
            ));
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.map(text).collect()
}
