use super::facts::{ControlPlane, Log, Refused, Sidecar, Web};
use super::finding::Severity;
use super::metrics::Metrics;
use super::web::Page;
use super::*;
use serde_json::Value;
use serinus_proto::v1::{self, event::Kind};
use tonic::Code;

const NOW: u64 = 1_000_000_000;

fn page(status: u16, text: &str) -> Page {
    Page {
        status,
        text: text.into(),
    }
}

/// Nothing is wrong here.
fn well() -> Facts {
    let served = v1::SidecarModel {
        model: "m".into(),
        rollout: "r".into(),
        current: true,
        stable_ready: true,
        canary_ready: true,
        ..Default::default()
    };
    let sidecar = v1::SidecarInfo {
        sidecar: "host-a".into(),
        version: "1".into(),
        connected: true,
        models: vec![served],
        ..Default::default()
    };
    let control_plane = ControlPlane {
        info: v1::Info {
            version: "1".into(),
            ..Default::default()
        },
        models: vec![v1::Model {
            name: "m".into(),
            active_rollout: "r".into(),
            ..Default::default()
        }],
        rollouts: vec![rollout(v1::State::Running, v1::Cause::Unspecified)],
        sidecars: vec![sidecar],
        log: log(&[(1, v1::event::Kind::CapLifted(v1::CapLifted {}))]),
    };
    Facts {
        now_ms: NOW,
        server: "http://s".into(),
        control_plane: Ok(control_plane),
        http: "s:7401".into(),
        web: Ok(Web {
            alive: page(200, "ok\n"),
            ready: page(200, "ready\n"),
            metrics: Metrics::parse("serinus_store_short_of_room 0\nserinus_diverged_total 0\n"),
        }),
        sidecars: Vec::new(),
    }
}

fn rollout(state: v1::State, cause: v1::Cause) -> v1::Rollout {
    let mut rollout = v1::Rollout {
        id: "r".into(),
        model: "m".into(),
        revision: 1,
        split: [("v2".into(), 0.1), ("v1".into(), 0.9)].into(),
        plan: Some(v1::Plan {
            canaries: vec![v1::Variant {
                name: "v2".into(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        traffic: Some(v1::Traffic {
            requests_per_second: 5.0,
            ..Default::default()
        }),
        ..Default::default()
    };
    rollout.set_state(state);
    rollout.set_cause(cause);
    rollout
}

fn log(events: &[(u64, Kind)]) -> Log {
    let event = |(revision, kind): &(u64, Kind)| v1::Event {
        revision: *revision,
        time: Some(prost_types::Timestamp {
            seconds: i64::try_from(NOW / 1000).unwrap(),
            nanos: 0,
        }),
        model: "m".into(),
        kind: Some(kind.clone()),
        ..Default::default()
    };
    Log {
        events: events.iter().map(event).collect(),
        ..Log::default()
    }
}

fn found(facts: &Facts) -> Vec<(Severity, &'static str)> {
    let found = diagnose(facts);
    for finding in &found {
        assert!(
            !finding.says.is_empty() && !finding.way_out.is_empty(),
            "{finding:?}"
        );
    }
    found.iter().map(|of| (of.severity, of.code)).collect()
}

/// The facts with something changed in what the control plane knows.
fn known(change: impl FnOnce(&mut ControlPlane)) -> Facts {
    let mut facts = well();
    change(facts.control_plane.as_mut().unwrap());
    facts
}

fn served(change: impl FnOnce(&mut v1::SidecarModel)) -> Facts {
    known(|known| change(&mut known.sidecars[0].models[0]))
}

fn metric(line: &str) -> Facts {
    let mut facts = well();
    facts.web.as_mut().unwrap().metrics = Metrics::parse(line);
    facts
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(found(&well()), []);
    // Nothing was ever released: nothing is known of what is ready.
    let fresh = known(|known| {
        known.models.clear();
        known.rollouts.clear();
        known.sidecars[0].models[0] = v1::SidecarModel {
            model: "m".into(),
            ..Default::default()
        };
    });
    assert_eq!(found(&fresh), []);
}

#[test]
fn each_fault_has_its_finding() {
    use Severity::{Note, Problem, Warning};
    let cases = [
        (
            served(|m| m.stable_ready = false),
            Problem,
            "STABLE_NOT_READY",
        ),
        (
            served(|m| m.rejection = "no".into()),
            Problem,
            "ASSIGNMENT_REJECTED",
        ),
        (served(|m| m.breaker_open = true), Problem, "BREAKER_OPEN"),
        (
            served(|m| m.canary_ready = false),
            Warning,
            "CANARY_NOT_READY",
        ),
        (served(|m| m.reverted = true), Warning, "REVERTED"),
        (served(|m| m.stale = true), Warning, "LEASE_RAN_OUT"),
        (served(|m| m.killed = true), Note, "KILLED"),
        (served(|m| m.current = false), Warning, "BEHIND"),
        (known(|k| k.sidecars.clear()), Problem, "NO_SIDECARS"),
        (
            known(|k| k.sidecars[0].quarantined = "x".into()),
            Problem,
            "QUARANTINED",
        ),
        (
            known(|k| k.sidecars[0].ahead = true),
            Problem,
            "SIDECAR_AHEAD",
        ),
        (
            known(|k| k.sidecars[0].version = "2".into()),
            Note,
            "OTHER_VERSION",
        ),
        (
            known(|k| k.info.fence_regressed = Some(v1::FenceRegressed::default())),
            Problem,
            "FENCE_REGRESSION",
        ),
        (
            known(|k| k.rollouts[0].traffic = None),
            Warning,
            "NO_TRAFFIC",
        ),
        (
            known(|k| k.rollouts[0] = rollout(v1::State::Paused, v1::Cause::Operator)),
            Note,
            "PAUSED",
        ),
        (
            known(|k| k.log.broken = Some("cut".into())),
            Problem,
            "LOG_UNREADABLE",
        ),
        (metric("serinus_store_short_of_room 1"), Problem, "NO_ROOM"),
        (
            metric("serinus_store_export_age_seconds 90000"),
            Warning,
            "OLD_EXPORT",
        ),
        (metric("serinus_engine_waiting 4000"), Warning, "OVERLOADED"),
        (metric("serinus_diverged_total 1"), Problem, "DIVERGED"),
        (
            metric("serinus_store_export_failures_total 2"),
            Warning,
            "EXPORTS_FAIL",
        ),
        (
            metric("serinus_reports_refused_total{why=\"x\"} 2"),
            Warning,
            "REPORTS_REFUSED",
        ),
        (
            metric("serinus_pushes_total{outcome=\"timeout\"} 2"),
            Warning,
            "PUSHES_LATE",
        ),
        (
            metric("serinus_calls_denied_total{why=\"role\"} 2"),
            Note,
            "CALLS_DENIED",
        ),
        (
            metric(
                "serinus_commit_seconds_bucket{le=\"0.25\"} 500\nserinus_commit_seconds_count 1000",
            ),
            Warning,
            "SLOW_DISK",
        ),
    ];
    for (facts, severity, code) in cases {
        assert_eq!(found(&facts), [(severity, code)]);
    }
}

#[test]
fn every_cause_of_a_hold_has_a_way_out() {
    for number in 1..40 {
        let Ok(cause) = v1::Cause::try_from(number) else {
            continue;
        };
        let facts = known(|known| known.rollouts[0] = rollout(v1::State::Held, cause));
        let found = diagnose(&facts);
        assert_eq!(found[0].code, "HELD");
        let held = format!("HELD({})", crate::output::words::cause(cause));
        assert!(found[0].says.contains(&held), "{found:?}");
        assert!(!found[0].way_out.is_empty());
    }
}

#[test]
fn a_control_plane_that_says_nothing() {
    for (code, expected) in [
        (Code::Unavailable, "UNREACHABLE"),
        (Code::Unauthenticated, "TOKEN_REFUSED"),
        (Code::PermissionDenied, "ROLE_REFUSED"),
    ] {
        let mut facts = well();
        facts.control_plane = Err(Refused {
            code,
            message: "why\nmore".into(),
        });
        assert_eq!(found(&facts), [(Severity::Problem, expected)]);
    }
    let mut facts = well();
    facts.web = Err("refused".into());
    assert_eq!(found(&facts), [(Severity::Warning, "HTTP_UNREACHABLE")]);
    let mut facts = well();
    let web = facts.web.as_mut().unwrap();
    web.alive = page(503, "the engine has ended\n");
    web.ready = page(503, "stopping\n");
    let expected = [
        (Severity::Problem, "NOT_ALIVE"),
        (Severity::Warning, "NOT_READY"),
    ];
    assert_eq!(found(&facts), expected);
}

#[test]
fn holes_and_restless_sidecars_are_in_the_log() {
    let lost = || {
        Kind::SidecarLost(v1::SidecarLost {
            sidecar: "host-b".into(),
        })
    };
    let hole = known(|known| known.log = log(&[(1, lost()), (3, lost())]));
    assert_eq!(found(&hole), [(Severity::Problem, "LOG_HOLE")]);
    let events: Vec<(u64, Kind)> = (1..=5).map(|revision| (revision, lost())).collect();
    let flapping = known(|known| known.log = log(&events));
    assert_eq!(found(&flapping), [(Severity::Warning, "FLAPPING")]);
    // Yesterday's do not count.
    let mut old = known(|known| known.log = log(&events));
    old.now_ms += 24 * 3600 * 1000;
    assert_eq!(found(&old), []);
}

fn asked(change: impl FnOnce(&mut Value)) -> Facts {
    let mut status = serde_json::json!({
        "name": "host-a", "unsaved": null, "killed": [],
        "control_plane": {"connected": true, "url": "http://s", "trouble": null},
        "reports": {"waiting": 0, "refused": null},
        "outcomes": {"dropped": 0, "waiting_bytes": 0},
        "models": [{
            "name": "m", "assignment": {"lease": "fresh"},
            "variants": [
                {"name": "v1", "stable": true, "ready": true, "endpoints": {"http://a": ""}, "breaker": null},
                {"name": "v2", "stable": false, "ready": true, "endpoints": {}, "breaker": {"open": false}},
            ],
        }],
    });
    change(&mut status);
    let mut facts = well();
    let sidecar = Sidecar {
        ready: page(200, "ready\n"),
        status,
    };
    facts.sidecars.push(("127.0.0.1:7411".into(), Ok(sidecar)));
    facts
}

#[test]
fn a_sidecar_tells_more_than_the_control_plane_knows() {
    use Severity::{Note, Problem, Warning};
    assert_eq!(found(&asked(|_| {})), []);
    let cases: [(&str, Value, Severity, &str); 11] = [
        ("/control_plane", Value::Null, Note, "STATIC"),
        (
            "/control_plane/connected",
            false.into(),
            Problem,
            "NO_CONTACT",
        ),
        ("/name", "host-z".into(), Problem, "OTHER_CONTROL_PLANE"),
        ("/unsaved", "full".into(), Problem, "UNSAVED"),
        (
            "/reports/refused",
            "x".into(),
            Problem,
            "REPORTS_NOT_COUNTED",
        ),
        ("/reports/waiting", 90.into(), Warning, "REPORTS_WAIT"),
        ("/outcomes/dropped", 3.into(), Warning, "OUTCOMES_DROPPED"),
        ("/killed", serde_json::json!(["*"]), Note, "KILLED"),
        (
            "/models/0/assignment/lease",
            "frozen".into(),
            Warning,
            "LEASE_RAN_OUT",
        ),
        (
            "/models/0/variants/1/breaker/open",
            true.into(),
            Problem,
            "BREAKER_OPEN",
        ),
        (
            "/models/0/variants/1/endpoints",
            serde_json::json!({"http://b": "refused"}),
            Warning,
            "ENDPOINT_DOWN",
        ),
    ];
    for (path, value, severity, code) in cases {
        let facts = asked(|status| *status.pointer_mut(path).unwrap() = value);
        assert_eq!(found(&facts), [(severity, code)], "{path}");
    }
    let mut facts = well();
    facts.sidecars.push(("x:1".into(), Err("refused".into())));
    assert_eq!(found(&facts), [(Problem, "SIDECAR_UNREACHABLE")]);
}

#[test]
fn the_worst_comes_first() {
    let facts = known(|known| {
        known.sidecars[0].version = "2".into();
        known.sidecars[0].models[0].stale = true;
        known.sidecars[0].ahead = true;
    });
    let severities: Vec<Severity> = diagnose(&facts).iter().map(|of| of.severity).collect();
    let expected = [Severity::Problem, Severity::Warning, Severity::Note];
    assert_eq!(severities, expected);
}
