//! Every metric of the control plane: its name, its help text, and the one recorder of the process.

use crate::engine::Views;
use metrics::{describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serinus_proto::v1;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

/// Rollouts by state.
pub const ROLLOUTS: &str = "serinus_rollouts";
/// Sidecars with an open stream.
pub const SIDECARS: &str = "serinus_sidecars_connected";
/// Revision of the newest event on disk.
pub const REVISION: &str = "serinus_revision";
/// Events that were committed, by kind.
pub const EVENTS: &str = "serinus_events_total";
/// Commits that failed; the engine ends with one.
pub const COMMIT_FAILURES: &str = "serinus_commit_failures_total";
/// How long the parts of a turn of the engine take, by stage.
pub const STAGE_SECONDS: &str = "serinus_stage_seconds";
/// Messages that wait for the engine.
pub const WAITING: &str = "serinus_engine_waiting";
/// Seconds since the engine last showed what it knows.
pub const VIEWS_AGE: &str = "serinus_views_age_seconds";
/// Latches that went out.
pub const LATCHES: &str = "serinus_latches_total";
/// Pushes that were sent, before anything is known of their outcome.
pub const PUSHES_SENT: &str = "serinus_pushes_sent_total";
/// How long a push took until it was acknowledged.
pub const ACK_SECONDS: &str = "serinus_push_ack_seconds";
/// Leases that heartbeats renewed.
pub const LEASES: &str = "serinus_leases_renewed_total";
/// Models on connected sidecars, by how they stand.
pub const HOLDINGS: &str = "serinus_sidecar_models";
/// Commands by verb, result and code.
pub const COMMANDS: &str = "serinus_commands_total";
/// Pushes to sidecars by outcome.
pub const PUSHES: &str = "serinus_pushes_total";
/// Ended sidecar streams by reason.
pub const STREAMS_ENDED: &str = "serinus_sync_streams_ended_total";
/// Streams that were not let in.
pub const STREAMS_REFUSED: &str = "serinus_sync_streams_refused_total";
/// Sidecars that held something else than was thought, and were sent everything again.
pub const RESYNCS: &str = "serinus_resyncs_total";
/// Reports by result.
pub const REPORTS: &str = "serinus_reports_total";
/// Reports that were refused, by why.
pub const REPORTS_REFUSED: &str = "serinus_reports_refused_total";
/// Assignments that a sidecar holds with another content under the same fence.
pub const DIVERGED: &str = "serinus_diverged_total";
/// Whether a sidecar holds a later instruction than any of ours.
pub const FENCE_REGRESSED: &str = "serinus_fence_regressed";
/// Connected sidecars whose reports are refused.
pub const QUARANTINED: &str = "serinus_sidecars_quarantined";
/// Outcomes by status.
pub const OUTCOMES: &str = "serinus_outcomes_total";
/// Open event and rollout watches.
pub const WATCHES: &str = "serinus_watches";
/// Requests of the API that came over HTTP, by RPC and gRPC code.
pub const HTTP_REQUESTS: &str = "serinus_http_requests_total";
/// Calls that were refused for who made them, by why.
pub const DENIED: &str = "serinus_calls_denied_total";
/// Connections that were not let in, by why.
pub const CONNECTIONS_REFUSED: &str = "serinus_connections_refused_total";
/// Certificates and the token file read again, by file and result.
pub const RELOADS: &str = "serinus_reloads_total";
/// Guardrails that were found broken and do not roll back, by model, guardrail and action.
pub const BROKEN: &str = "serinus_guardrails_broken_total";
/// How long a commit took until it was on disk.
pub const COMMIT_SECONDS: &str = "serinus_commit_seconds";

/// 1 while there is too little room on the disk for what can wait.
pub const SHORT_OF_ROOM: &str = "serinus_store_short_of_room";

/// Seconds since the last export of the store.
pub const EXPORT_AGE: &str = "serinus_store_export_age_seconds";
/// Exports that could not be written.
pub const EXPORT_FAILURES: &str = "serinus_store_export_failures_total";

/// Attempts to deliver events to webhooks, by webhook and result.
pub const WEBHOOK_DELIVERIES: &str = "serinus_webhook_deliveries_total";
/// Events that a webhook was not told yet.
pub const WEBHOOK_LAG: &str = "serinus_webhook_lag_events";
/// How long ago the oldest of them happened.
pub const WEBHOOK_LAG_SECONDS: &str = "serinus_webhook_lag_seconds";

/// Answers of gates, by gate and result.
pub const GATE_ANSWERS: &str = "serinus_gate_answers_total";
/// Questions to gates that are open.
pub const GATES_WAITING: &str = "serinus_gates_waiting";

/// Upper edges of histogram buckets, seconds.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Nobody else drains the recorder: without this, memory grows with every sample until a scrape.
pub const UPKEEP: Duration = Duration::from_secs(5);

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// The recorder of this process. Every instance in it shares the one that was installed first, since there can be but
/// one.
pub fn install() -> PrometheusHandle {
    RECORDER.get_or_init(make).clone()
}

fn make() -> PrometheusHandle {
    // Without buckets a histogram would be a summary, whose first values after a silence are wrong.
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS);
    let builder = builder.unwrap_or_else(|_| PrometheusBuilder::new());
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    // An error means that the program around us has a recorder of its own; then ours stays empty.
    let _ = metrics::set_global_recorder(recorder);
    describe();
    handle
}

fn describe() {
    describe_gauge!(ROLLOUTS, "Rollouts by state");
    describe_gauge!(SIDECARS, "Sidecars with an open stream");
    describe_gauge!(REVISION, "Revision of the newest event on disk");
    describe_counter!(
        COMMANDS,
        "Commands by verb, result (done, refused, unavailable) and gRPC code"
    );
    describe_counter!(EVENTS, "Events that were committed, by kind");
    describe_counter!(
        COMMIT_FAILURES,
        "Commits that failed; the control plane ends with one"
    );
    describe_histogram!(
        STAGE_SECONDS,
        "Seconds of the parts of a turn of the engine, by stage: take, look, commit, publish"
    );
    describe_gauge!(WAITING, "Messages that wait for the engine");
    describe_gauge!(
        VIEWS_AGE,
        "Seconds since the engine last showed what it knows; above a few seconds it hangs"
    );
    describe_counter!(
        LATCHES,
        "Latches that were pushed before their rollback was on disk"
    );
    describe_counter!(
        PUSHES_SENT,
        "Pushes that were sent to sidecars; serinus_pushes_total has how they ended"
    );
    describe_histogram!(
        ACK_SECONDS,
        "Seconds from a push until it was acknowledged or refused"
    );
    describe_counter!(LEASES, "Leases that heartbeats to sidecars renewed");
    describe_gauge!(
        HOLDINGS,
        "Models on connected sidecars: serving, current, rejected, warming, stale, reverted, breaker_open, killed, latched"
    );
    describe_counter!(
        PUSHES,
        "Pushes to sidecars by outcome: applied, rejected, stale, timeout"
    );
    describe_counter!(STREAMS_ENDED, "Sidecar streams that ended, by reason");
    describe_counter!(
        STREAMS_REFUSED,
        "Sidecar streams that were refused because too many came at once"
    );
    describe_counter!(
        RESYNCS,
        "Sidecars that held something else than was thought and were sent everything again"
    );
    describe_counter!(
        REPORTS,
        "Reports from sidecars by result: stored, resend, refused"
    );
    describe_counter!(
        REPORTS_REFUSED,
        "Reports that could not be true, by why, and those of sidecars in quarantine"
    );
    describe_counter!(
        DIVERGED,
        "Assignments of which a sidecar holds another content under the same fence"
    );
    describe_gauge!(
        FENCE_REGRESSED,
        "1 while a sidecar holds a later instruction than any of this control plane"
    );
    describe_gauge!(QUARANTINED, "Connected sidecars whose reports are refused");
    describe_counter!(OUTCOMES, "Outcomes by status");
    describe_gauge!(
        EXPORT_AGE,
        "Seconds since the store was exported, or found exported already"
    );
    describe_counter!(EXPORT_FAILURES, "Exports of the store that failed");
    describe_gauge!(
        SHORT_OF_ROOM,
        "1 while there is too little room on the disk for anything but taking canaries back"
    );
    describe_counter!(
        WEBHOOK_DELIVERIES,
        "Events for webhooks by result: delivered, failed (tried again), given_up, lost (not in the log any more)"
    );
    describe_gauge!(
        WEBHOOK_LAG,
        "Events in the log that a webhook was not told, or not asked whether it wants them"
    );
    describe_gauge!(
        WEBHOOK_LAG_SECONDS,
        "Seconds since the oldest event happened that a webhook was not told"
    );
    describe_counter!(
        GATE_ANSWERS,
        "Answers of gates by result: approve, deny, wait, failed (none that could be read)"
    );
    describe_gauge!(GATES_WAITING, "Rollouts that wait for the word of a gate");
    describe_gauge!(WATCHES, "Open watches of rollouts and events");
    describe_counter!(
        HTTP_REQUESTS,
        "Requests of the API that came over HTTP, by RPC and gRPC code"
    );
    describe_counter!(
        DENIED,
        "Calls refused for who made them, by why: missing, unknown, certificate, role, sidecar, model, unknown_call"
    );
    describe_counter!(
        CONNECTIONS_REFUSED,
        "Connections not let in, by why: too_many, too_many_of_one, handshake, slow_handshake, silent; flood for those ended later"
    );
    describe_counter!(
        RELOADS,
        "Changed certificates and token files, by what they are and whether they could be used"
    );
    describe_counter!(
        BROKEN,
        "Guardrails found broken that hold or notify, by model, guardrail and action"
    );
    describe_histogram!(
        COMMIT_SECONDS,
        "Seconds from a commit's start until it is on disk"
    );
}

/// Sets the gauges that follow from what is served; called before each scrape.
pub fn observe(views: &Views, revision: u64, short_of_room: bool) {
    let mut states: BTreeMap<&'static str, u32> = BTreeMap::new();
    for state in STATES {
        states.insert(name(state), 0);
    }
    for rollout in views.rollouts.values() {
        *states.entry(name(rollout.state())).or_default() += 1;
    }
    for (state, count) in states {
        gauge!(ROLLOUTS, "state" => state).set(f64::from(count));
    }
    let connected = views
        .sidecars
        .values()
        .filter(|sidecar| sidecar.connected)
        .count();
    gauge!(SIDECARS).set(connected as f64);
    let quarantined = views
        .sidecars
        .values()
        .filter(|sidecar| sidecar.connected && !sidecar.quarantined.is_empty());
    gauge!(QUARANTINED).set(quarantined.count() as f64);
    for (how, is) in HOW {
        let sidecars = views.sidecars.values().filter(|sidecar| sidecar.connected);
        let models = sidecars.flat_map(|sidecar| &sidecar.models);
        let count = models.filter(|model| is(model)).count();
        gauge!(HOLDINGS, "how" => how).set(count as f64);
    }
    gauge!(FENCE_REGRESSED).set(f64::from(views.fence_regressed.is_some()));
    gauge!(REVISION).set(revision as f64);
    gauge!(SHORT_OF_ROOM).set(f64::from(u8::from(short_of_room)));
}

/// Sets the gauges of the engine itself; called before each scrape.
pub fn observe_engine(waiting: usize, silence: Duration) {
    gauge!(WAITING).set(waiting as f64);
    gauge!(VIEWS_AGE).set(silence.as_secs_f64());
}

type Is = fn(&v1::SidecarModel) -> bool;

/// How a model on a sidecar may stand.
const HOW: [(&str, Is); 9] = [
    ("serving", |_| true),
    ("current", |model| model.current),
    ("rejected", |model| !model.rejection.is_empty()),
    ("warming", |model| model.warming),
    ("stale", |model| model.stale),
    ("reverted", |model| model.reverted),
    ("breaker_open", |model| model.breaker_open),
    ("killed", |model| model.killed),
    ("latched", |model| model.latched),
];

const STATES: [v1::State; 9] = [
    v1::State::WarmingUp,
    v1::State::Running,
    v1::State::Paused,
    v1::State::Held,
    v1::State::Baking,
    v1::State::Promoted,
    v1::State::RolledBack,
    v1::State::Queued,
    v1::State::Cancelled,
];

fn name(state: v1::State) -> &'static str {
    match state {
        v1::State::Unspecified => "unknown",
        v1::State::WarmingUp => "warming_up",
        v1::State::Running => "running",
        v1::State::Paused => "paused",
        v1::State::Held => "held",
        v1::State::Baking => "baking",
        v1::State::Promoted => "promoted",
        v1::State::RolledBack => "rolled_back",
        v1::State::Queued => "queued",
        v1::State::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_second_instance_in_one_process_shares_the_recorder() {
        let (first, second) = (install(), install());
        let mut views = Views::default();
        let mut rollout = v1::Rollout::default();
        rollout.set_state(v1::State::Held);
        views.rollouts.insert("r".into(), Arc::new(rollout));
        observe(&views, 7, false);
        metrics::histogram!("serinus_test_seconds").record(0.003);
        for handle in [first, second] {
            handle.run_upkeep();
            let text = handle.render();
            assert!(text.contains("serinus_rollouts{state=\"held\"}"), "{text}");
            assert!(
                text.contains("# HELP serinus_revision Revision of the newest"),
                "{text}"
            );
            assert!(
                text.contains("serinus_test_seconds_bucket{le=\"0.005\"} 1"),
                "{text}"
            );
        }
    }
}
