//! "What is missing" against what it then took: for an equal canary, at several points of the way, with and without
//! noise. One rollout is a matter of luck, so the median of many is judged.

use serinus_evidence::numeric::Moments;
use serinus_evidence::{
    Action, Arm, Assigned, Engine, Guardrail, LabelSlice, MeanSlice, Metric, Pair, RequestSlice,
    Settings, Verdict,
};

const SEEDS: u64 = 41;
const CANARY: u64 = 30;
const STABLE: u64 = 120;

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    }

    fn count(&mut self, n: u64, probability: f64) -> u64 {
        (0..n).map(|_| u64::from(self.unit() < probability)).sum()
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// A second of an equal canary, folded into an engine with one guardrail.
type Second = fn(&mut Engine, &mut Random);

fn engine(metric: Metric) -> Engine {
    let guardrail = Guardrail {
        metric,
        on_breach: Action::Rollback,
        weight: None,
        required: true,
    };
    Engine::new(Settings::new(vec![guardrail])).expect("valid settings")
}

fn requests(engine: &mut Engine, canary: Arm, stable: Arm) {
    engine.fold_requests(&RequestSlice {
        epoch: 1,
        seconds: 1.0,
        canary,
        stable,
    });
}

fn arm(requests: u64, errors: u64) -> Arm {
    Arm {
        requests,
        errors,
        latency: Vec::new(),
    }
}

fn errors(engine: &mut Engine, random: &mut Random) {
    let (canary, stable) = (random.count(CANARY, 0.03), random.count(STABLE, 0.03));
    requests(engine, arm(CANARY, canary), arm(STABLE, stable));
}

/// Errors come in fours.
fn noisy_errors(engine: &mut Engine, random: &mut Random) {
    let bursts = |random: &mut Random, n: u64| 4 * random.count(n / 4, 0.03);
    let (canary, stable) = (bursts(random, CANARY), bursts(random, STABLE));
    requests(engine, arm(CANARY, canary), arm(STABLE, stable));
}

fn latencies(engine: &mut Engine, random: &mut Random) {
    let mut timed = |n: u64| Arm {
        requests: n,
        errors: 0,
        latency: (0..n)
            .map(|_| (500 + (20.0 * random.normal()) as u16, 1))
            .collect(),
    };
    let (canary, stable) = (timed(CANARY), timed(STABLE));
    requests(engine, canary, stable);
}

fn labels(engine: &mut Engine, random: &mut Random) {
    requests(engine, arm(CANARY, 0), arm(STABLE, 0));
    let (canary, stable) = (random.count(CANARY, 0.9), random.count(STABLE, 0.9));
    engine.fold_labels(
        0,
        &LabelSlice {
            epoch: 1,
            seconds: 1.0,
            pair: Pair::new(canary, CANARY, stable, STABLE),
            assigned: Some(Assigned {
                canary: CANARY,
                stable: STABLE,
            }),
        },
    );
}

fn scores(engine: &mut Engine, random: &mut Random) {
    requests(engine, arm(CANARY, 0), arm(STABLE, 0));
    let mut moments = |n: u64| {
        (0..n).fold(Moments::default(), |sum, _| {
            let score = 5.0 + random.normal();
            Moments {
                n: sum.n + 1.0,
                sum: sum.sum + score,
                sum_of_squares: sum.sum_of_squares + score * score,
            }
        })
    };
    let (canary, stable) = (moments(CANARY), moments(STABLE));
    engine.fold_means(
        0,
        &MeanSlice {
            epoch: 1,
            seconds: 1.0,
            canary,
            stable,
        },
    );
}

/// The forecasts of one rollout, a second apart, until it is SAFE.
fn forecasts(metric: Metric, second: Second, seed: u64) -> Vec<Option<(f64, f64)>> {
    let (mut engine, mut random) = (engine(metric), Random(seed));
    let mut all = Vec::new();
    for _ in 0..5000 {
        second(&mut engine, &mut random);
        let guardrail = engine.assess(1.0, 1, true).guardrails.remove(0);
        if guardrail.verdict == Verdict::Safe {
            return all;
        }
        let missing = guardrail.missing;
        all.push(missing.map(|missing| (missing.seconds.expect("time was given"), missing.noise)));
    }
    panic!("seed {seed} never became safe");
}

/// Medians over rollouts: of what it took over what was forecast, at points in time that are parts of the usual time to
/// SAFE, among the rollouts that were not there yet; and of the noise said at the middle one.
fn medians(metric: &Metric, second: Second) -> (Vec<f64>, f64) {
    let run = |seed| forecasts(metric.clone(), second, seed);
    let runs: Vec<_> = (0..SEEDS).map(run).collect();
    let median = |mut values: Vec<f64>| {
        assert!(values.len() >= 8, "too few forecasts: {values:?}");
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let usual = median(runs.iter().map(|run| run.len() as f64).collect());
    let at = |part: f64| (part * usual) as usize;
    let point = |part: f64| {
        let ratio = |run: &Vec<Option<(f64, f64)>>| {
            let (forecast, _) = run.get(at(part)).copied().flatten()?;
            Some((run.len() - at(part)) as f64 / forecast)
        };
        median(runs.iter().filter_map(ratio).collect())
    };
    let ratios = [0.1, 0.3, 0.5, 0.7, 0.9].map(point).to_vec();
    let noise = |run: &Vec<Option<(f64, f64)>>| run.get(at(0.5))?.map(|(_, noise)| noise);
    (ratios, median(runs.iter().filter_map(noise).collect()))
}

fn assert_about_right(metric: Metric, second: Second) -> f64 {
    let (ratios, noise) = medians(&metric, second);
    println!("{metric:?}: needed over forecast {ratios:.2?}, noise {noise}");
    assert!(
        ratios.iter().all(|ratio| (0.5..2.0).contains(ratio)),
        "{metric:?}: {ratios:?}"
    );
    noise
}

#[test]
fn error_rates() {
    let noise = assert_about_right(Metric::ErrorRate { margin: 0.012 }, errors);
    assert!(noise < 1.5, "{noise}");
}

/// The forecast says that noise is what takes long.
#[test]
fn noisy_error_rates() {
    let noise = assert_about_right(Metric::ErrorRate { margin: 0.02 }, noisy_errors);
    assert!(noise >= 2.0, "{noise}");
}

#[test]
fn latency() {
    let metric = Metric::Latency {
        quantiles: vec![0.5, 0.95],
        ratio: 1.08,
        slack_ms: 0.0,
    };
    assert_about_right(metric, latencies);
}

#[test]
fn labelled_rates() {
    let metric = Metric::Labelled {
        name: "accuracy".to_owned(),
        higher_is_better: true,
        margin: 0.02,
    };
    assert_about_right(metric, labels);
}

#[test]
fn means() {
    let metric = Metric::Mean {
        name: "quality".to_owned(),
        higher_is_better: true,
        margin: 0.08,
    };
    assert_about_right(metric, scores);
}
