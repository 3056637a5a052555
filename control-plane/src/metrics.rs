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
/// Commands by verb and result code.
pub const COMMANDS: &str = "serinus_commands_total";
/// Pushes to sidecars by outcome.
pub const PUSHES: &str = "serinus_pushes_total";
/// Ended sidecar streams by reason.
pub const STREAMS_ENDED: &str = "serinus_sync_streams_ended_total";
/// Reports by result.
pub const REPORTS: &str = "serinus_reports_total";
/// Outcomes by status.
pub const OUTCOMES: &str = "serinus_outcomes_total";
/// Open event and rollout watches.
pub const WATCHES: &str = "serinus_watches";
/// Refused credentials.
pub const DENIED: &str = "serinus_calls_denied_total";
/// How long a commit took until it was on disk.
pub const COMMIT_SECONDS: &str = "serinus_commit_seconds";

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
    describe_counter!(COMMANDS, "Commands by verb and gRPC code");
    describe_counter!(
        PUSHES,
        "Pushes to sidecars by outcome: applied, rejected, timeout"
    );
    describe_counter!(STREAMS_ENDED, "Sidecar streams that ended, by reason");
    describe_counter!(
        REPORTS,
        "Reports from sidecars by result: stored, resend, refused"
    );
    describe_counter!(OUTCOMES, "Outcomes by status");
    describe_gauge!(WATCHES, "Open watches of rollouts and events");
    describe_counter!(
        DENIED,
        "Calls with a missing, unknown or insufficient token"
    );
    describe_histogram!(
        COMMIT_SECONDS,
        "Seconds from a commit's start until it is on disk"
    );
}

/// Sets the gauges that follow from what is served; called before each scrape.
pub fn observe(views: &Views, revision: u64) {
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
    gauge!(REVISION).set(revision as f64);
}

const STATES: [v1::State; 7] = [
    v1::State::WarmingUp,
    v1::State::Running,
    v1::State::Paused,
    v1::State::Held,
    v1::State::Baking,
    v1::State::Promoted,
    v1::State::RolledBack,
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
        observe(&views, 7);
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
