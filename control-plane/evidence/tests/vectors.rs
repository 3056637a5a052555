//! The engine against the reference vectors of the design (`tests/data/decision-engine.json`, or
//! the file named by `SERINUS_VECTORS`).

use serde_json::Value;
use serinus_evidence::count::{CountMonitor, Worse};
use serinus_evidence::histogram::Histogram;
use serinus_evidence::latency::{LatencyMonitor, StableLatency};
use serinus_evidence::numeric::{Moments, NumericMonitor};
use serinus_evidence::srm::{SampleRatio, dirichlet_log_e};
use serinus_evidence::wealth::{BURN_IN, CAP, RESTART_EVERY, TEMPERING};
use serinus_evidence::{Counts, Pair, information, interval, margin, wealth};

const TOLERANCE: f64 = 1e-9;

fn read_vectors() -> Value {
    let path = std::env::var("SERINUS_VECTORS").unwrap_or_else(|_| {
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/data/decision-engine.json"
        )
        .to_owned()
    });
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field]
        .as_array()
        .unwrap_or_else(|| panic!("{field} is no list"))
}

/// A number, or one of the strings "-inf" and "nan".
fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("-inf") => f64::NEG_INFINITY,
        Some("inf") => f64::INFINITY,
        Some("nan") => f64::NAN,
        _ => value
            .as_f64()
            .unwrap_or_else(|| panic!("{value} is no number")),
    }
}

fn float(value: &Value, field: &str) -> f64 {
    number(&value[field])
}

fn whole(value: &Value) -> u64 {
    let number = number(value);
    assert!(
        number >= 0.0 && number.fract() == 0.0,
        "{value} is no count"
    );
    number as u64
}

fn floats(value: &Value, field: &str) -> Vec<f64> {
    list(value, field).iter().map(number).collect()
}

fn assert_close(actual: f64, expected: f64, what: &str) {
    let equal = actual == expected || (actual.is_nan() && expected.is_nan());
    let near = (actual - expected).abs() <= TOLERANCE * expected.abs().max(1.0);
    assert!(equal || near, "{what}: {actual} instead of {expected}");
}

fn slice(value: &Value) -> Pair {
    Pair::new(
        whole(&value[0]),
        whole(&value[1]),
        whole(&value[2]),
        whole(&value[3]),
    )
}

fn slice_e_values(all: &Value) -> usize {
    for case in list(all, "log_e_2x2") {
        let count = |field: &str| whole(&case[field]);
        let pair = Pair::new(count("xc"), count("nc"), count("xs"), count("ns"));
        let (theta, guess) = (float(case, "theta1"), float(case, "phat"));
        let log_e = margin::log_e(pair, float(case, "margin"), theta, guess);
        assert_close(log_e, float(case, "log_e"), &case.to_string());
    }
    list(all, "log_e_2x2").len()
}

fn limits(all: &Value) -> usize {
    for case in list(all, "log_e_slo") {
        let counts = Counts {
            x: whole(&case["x"]),
            n: whole(&case["n"]),
        };
        let log_e = margin::log_e_limit(counts, float(case, "slo"), float(case, "theta1"));
        assert_close(log_e, float(case, "log_e"), &case.to_string());
    }
    list(all, "log_e_slo").len()
}

fn count_monitors(all: &Value) -> usize {
    let mut checks = 0;
    for case in list(all, "count_monitor") {
        let worse = if float(case, "sign") > 0.0 {
            Worse::Higher
        } else {
            Worse::Lower
        };
        let baseline = match &case["baseline"] {
            Value::Null => Counts::default(),
            base => Counts {
                x: whole(&base["x"]),
                n: whole(&base["n"]),
            },
        };
        let margin = float(case, "margin");
        let mut monitor = CountMonitor::new(worse, margin, floats(case, "kappas"), baseline);
        for (counts, after) in list(case, "slices").iter().zip(list(case, "after_each")) {
            monitor.fold(slice(counts));
            let process = monitor.process();
            assert_close(
                process.log_e_rollback(),
                float(after, "rollback"),
                "rollback",
            );
            assert_close(process.phi(), float(after, "phi"), "phi");
            assert_close(monitor.stable_guess(), float(after, "phat_next"), "phat");
            for (index, expected) in floats(after, "promote").into_iter().enumerate() {
                assert_close(process.log_e_promote(index), expected, "promote");
            }
            checks += 1;
        }
    }
    checks
}

fn histogram(counts: &Value) -> Histogram {
    let counts = counts.as_array().expect("a list of counts");
    let sparse: Vec<(u16, u64)> = counts
        .iter()
        .enumerate()
        .map(|(bucket, count)| (bucket as u16, whole(count)))
        .collect();
    Histogram::from_sparse(&sparse)
}

fn latency_monitors(all: &Value) -> usize {
    let mut checks = 0;
    for case in list(all, "latency_monitor") {
        let mut monitor = LatencyMonitor::new(
            float(case, "gamma"),
            float(case, "ratio"),
            0.0,
            &floats(case, "quantiles"),
            floats(case, "kappas"),
        );
        let mut history = StableLatency::new(histogram(&case["baseline"]));
        let slices = list(case, "slices_canary_stable");
        for (counts, after) in slices.iter().zip(list(case, "after_each")) {
            let (canary, stable) = (histogram(&counts[0]), histogram(&counts[1]));
            monitor.fold(&history.tail(), &canary.tail(), &stable.tail());
            history.fold(&stable);
            assert_close(
                monitor.log_e_rollback(),
                float(after, "rollback"),
                "latency rollback",
            );
            for (index, expected) in floats(after, "promote").into_iter().enumerate() {
                assert_close(monitor.log_e_promote(index), expected, "latency promote");
            }
            checks += 1;
        }
    }
    checks
}

fn moments(value: &Value) -> Moments {
    let (n, sum, sum_of_squares) = (number(&value[0]), number(&value[1]), number(&value[2]));
    Moments {
        n,
        sum,
        sum_of_squares,
    }
}

fn numeric_monitors(all: &Value) -> usize {
    let mut checks = 0;
    for case in list(all, "numeric_monitor") {
        let (sign, margin) = (float(case, "sign"), float(case, "margin"));
        let mut monitor = NumericMonitor::new(sign, margin, vec![1.0], Moments::default());
        let slices = list(case, "slices_canary_stable_n_sum_sumsq");
        for (values, after) in slices.iter().zip(list(case, "after_each")) {
            monitor.fold(moments(&values[0]), moments(&values[1]));
            assert_close(
                monitor.log_e_rollback(0),
                float(after, "rollback"),
                "numeric rollback",
            );
            assert_close(
                monitor.log_e_promote(0, 0),
                float(after, "promote"),
                "numeric promote",
            );
            checks += 1;
        }
    }
    checks
}

fn sample_ratios(all: &Value) -> usize {
    for case in list(all, "srm") {
        let mut ratio = SampleRatio::default();
        let stable = list(case, "ns").iter().zip(list(case, "w"));
        for (canary, (stable, share)) in list(case, "nc").iter().zip(stable) {
            ratio.fold(whole(canary), whole(stable), number(share));
        }
        assert_close(ratio.log_e(), float(case, "log_e"), "srm");
    }
    for case in list(all, "srm_dirichlet") {
        let (canary, stable) = (whole(&case["nc"]), whole(&case["ns"]));
        let log_e = dirichlet_log_e(canary, stable, float(case, "w"), float(case, "k"));
        assert_close(log_e, float(case, "log_e"), &case.to_string());
    }
    list(all, "srm").len() + list(all, "srm_dirichlet").len()
}

fn intervals(all: &Value) -> usize {
    for case in list(all, "normal_mixture_cs") {
        let (d, u) = (float(case, "sum_d"), float(case, "sum_u"));
        let v = float(case, "phi") * float(case, "sum_v");
        let radius =
            interval::normal_mixture_radius(v, float(case, "rho"), float(case, "alpha")) / u;
        assert_close(d / u - radius, float(case, "lower"), "lower");
        assert_close(d / u + radius, float(case, "upper"), "upper");
    }
    list(all, "normal_mixture_cs").len()
}

fn informations(all: &Value) -> usize {
    for case in list(all, "kl_inf") {
        let (canary, stable) = (float(case, "pc"), float(case, "ps"));
        let nats = information::boundary_information(
            canary,
            stable,
            float(case, "margin"),
            float(case, "w"),
        );
        let expected = float(case, "nats_per_request");
        let allowed = float(case, "tolerance_rel") * expected.abs();
        assert!((nats - expected).abs() <= allowed, "{case}: {nats}");
    }
    list(all, "kl_inf").len()
}

fn restart_weights(all: &Value) -> usize {
    for case in list(all, "restart_weight") {
        let opportunity = whole(&case["k"]);
        assert_close(
            wealth::start_weight(opportunity),
            float(case, "w"),
            "start weight",
        );
        assert_close(
            wealth::cash_after(opportunity),
            float(case, "cash_after"),
            "cash",
        );
    }
    list(all, "restart_weight").len()
}

#[test]
fn constants() {
    let all = read_vectors();
    let constants = &all["constants"];
    assert_eq!(floats(constants, "eta_grid"), margin::ROLLBACK_TILTS);
    assert_eq!(floats(constants, "promote_mult"), margin::PROMOTE_TILTS);
    assert_eq!(floats(constants, "phi_grid"), TEMPERING);
    assert_eq!(float(constants, "cap"), CAP);
    assert_eq!(float(constants, "burn"), BURN_IN as f64);
    assert_eq!(float(constants, "restart_every"), RESTART_EVERY as f64);
}

#[test]
fn vectors() {
    let all = read_vectors();
    let checks = slice_e_values(&all)
        + limits(&all)
        + count_monitors(&all)
        + latency_monitors(&all)
        + numeric_monitors(&all)
        + sample_ratios(&all)
        + intervals(&all)
        + informations(&all)
        + restart_weights(&all);
    println!("{checks} checks");
    assert!(checks > 0, "the file holds no vectors");
}
