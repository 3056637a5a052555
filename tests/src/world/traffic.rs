//! What happens in one second at one sidecar.

use super::{Label, Sidecar, keys};
use rand::RngExt as _;
use rand::rngs::StdRng;
use serinus_common::bucket;
use serinus_common::class::Class;
use serinus_common::prediction_id::{IdKey, PredictionId};
use serinus_common::sketch;
use serinus_core::ledger::counts::Counts;
use serinus_proto::v1;
use uuid::Uuid;

/// How one variant behaves.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// Share of requests that fail, 0..=1.
    pub error_rate: f64,
    /// Median latency in milliseconds; log-normal with sigma 0.3.
    pub latency_ms: f64,
}

/// Beyond what [`Behaviour`] says.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    /// Every sidecar's breaker opens once in every second in which it sent the canary something.
    pub breaker: bool,
    /// The canary takes requests and finishes none.
    pub hangs: bool,
    /// Neither does stable.
    pub stable_hangs: bool,
    /// Share of predictions that turn out right: stable, canary.
    pub accuracy: (f64, f64),
    /// Share of predictions that get a label.
    pub labelled: f64,
    /// When a label comes, after its prediction.
    pub label_after_ms: u64,
    /// Users, each with a key and all alike; 0: requests have no keys.
    pub users: u64,
    /// The share that the canary really gets, as a multiple of what is asked.
    pub skew: f64,
}

impl Default for Trouble {
    fn default() -> Self {
        Self {
            breaker: false,
            hangs: false,
            stable_hangs: false,
            accuracy: (0.9, 0.9),
            labelled: 0.0,
            label_after_ms: 2_000,
            users: 0,
            skew: 1.0,
        }
    }
}

/// One second.
pub(super) struct Second<'a> {
    pub(super) assignment: &'a v1::Assignment,
    /// Unix second by the sidecar's clock, and milliseconds by ours.
    pub(super) second: u64,
    pub(super) now_ms: u64,
    pub(super) stable: Behaviour,
    pub(super) canary: Behaviour,
    pub(super) trouble: Trouble,
}

impl Second<'_> {
    /// Sends `n` requests: the cell, and the labels that will come.
    pub(super) fn send(
        &self,
        random: &mut StdRng,
        sidecar: &mut Sidecar,
        n: u64,
    ) -> (v1::Cell, [Counts; 2], Vec<Label>) {
        let shares = &self.assignment.shares;
        let share = shares.first().map_or(0.0, |s| f64::from(s.ppm) / 1e6) * self.trouble.skew;
        let mut counts = [Counts::default(), Counts::default()];
        let mut labels = Vec::new();
        for _ in 0..n {
            let key = self.key(random);
            let place = match &key {
                Some(key) => self.place(key),
                None => random.random_range(0.0..1.0),
            };
            let canary = place < share;
            let (of, hangs) = if canary {
                (self.canary, self.trouble.hangs)
            } else {
                (self.stable, self.trouble.stable_hangs)
            };
            let counts = &mut counts[usize::from(canary)];
            counts.assigned += 1;
            if !hangs {
                let failed = request(random, counts, of);
                if let Some(key) = &key {
                    let epoch = self.assignment.epoch;
                    sidecar.keys.count(epoch, usize::from(canary), key, failed);
                }
                labels.extend(self.label(random, sidecar, canary));
            }
        }
        if self.trouble.breaker && counts[1].assigned > 0 {
            counts[1].breaker_openings = 1;
        }
        let names = self.assignment.variants.iter();
        let cell = v1::Cell {
            rollout: self.assignment.rollout.clone(),
            epoch: self.assignment.epoch,
            second: self.second,
            variants: names
                .zip(&counts)
                .map(|(variant, counts)| counts.to_wire(&variant.name))
                .collect(),
            model: String::new(),
        };
        (cell, counts, labels)
    }

    /// Of the user who sends the next request, if users have keys.
    fn key(&self, random: &mut StdRng) -> Option<String> {
        let users = self.trouble.users;
        (users > 0).then(|| keys::key(random.random_range(0..users)))
    }

    /// Where a key falls, 0..1.
    fn place(&self, key: &str) -> f64 {
        let salt = self.assignment.bucketing.as_ref().map_or("", |of| &of.salt);
        f64::from(bucket::hashed(salt, key.as_bytes())) / f64::from(bucket::BUCKETS)
    }

    fn label(&self, random: &mut StdRng, sidecar: &mut Sidecar, canary: bool) -> Option<Label> {
        if random.random_range(0.0..1.0) >= self.trouble.labelled {
            return None;
        }
        let (issuer, key) = sidecar.issuer()?;
        sidecar.predictions += 1;
        let id = PredictionId {
            key_id: key.id,
            rollout: Uuid::parse_str(&self.assignment.rollout).ok()?.into_bytes(),
            epoch: u32::try_from(self.assignment.epoch).ok()?,
            variant: u8::from(canary),
            cluster: 255,
            issuer,
            sequence: sidecar.predictions,
            second: u32::try_from(self.second).ok()?,
        };
        let (stable_accuracy, canary_accuracy) = self.trouble.accuracy;
        let accuracy = if canary {
            canary_accuracy
        } else {
            stable_accuracy
        };
        let right = random.random_range(0.0..1.0) < accuracy;
        Some(Label {
            due_ms: self.now_ms + self.trouble.label_after_ms,
            rollout: self.assignment.rollout.clone(),
            outcome: v1::Outcome {
                prediction_id: id.encode(&key),
                metric: "accuracy".to_owned(),
                value: f64::from(u8::from(right)),
                row: 0,
            },
        })
    }
}

impl Sidecar {
    /// What it got at its last welcome.
    fn issuer(&self) -> Option<(u32, IdKey)> {
        let welcome = &self.session.as_ref()?.welcome;
        let key = IdKey {
            id: u8::try_from(welcome.id_key_id).ok()?,
            secret: welcome.id_key.as_slice().try_into().ok()?,
        };
        Some((u32::try_from(welcome.issuer).ok()?, key))
    }
}

/// What a sidecar that has no active rollout tells of `n` requests.
pub(super) fn idle(
    random: &mut StdRng,
    model: &str,
    held: Option<&v1::Assignment>,
    second: u64,
    stable: Behaviour,
    n: u64,
) -> v1::Cell {
    let mut counts = Counts {
        assigned: n,
        ..Counts::default()
    };
    for _ in 0..n {
        request(random, &mut counts, stable);
    }
    // Before any assignment it has the name that the sidecar's own file gives it.
    let name = held.and_then(|held| held.variants.first());
    let name = name.map_or("stable", |stable| &stable.name);
    let rollout = held.map_or("", |held| &held.rollout);
    v1::Cell {
        rollout: rollout.to_owned(),
        epoch: held.map_or(0, |held| held.epoch),
        second,
        variants: vec![counts.to_wire(name)],
        model: if rollout.is_empty() { model } else { "" }.to_owned(),
    }
}

/// Whether it failed.
fn request(random: &mut StdRng, counts: &mut Counts, of: Behaviour) -> bool {
    let failed = random.random_range(0.0..1.0) < of.error_rate;
    let class = if failed { Class::Model } else { Class::Ok };
    // Box and Muller: a standard normal from two uniforms.
    let (u, v): (f64, f64) = (
        random.random_range(1e-12..1.0),
        random.random_range(0.0..1.0),
    );
    let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
    let micros = of.latency_ms * 1000.0 * (0.3 * normal).exp();
    counts.classes[class as usize] += 1;
    counts.latency.add(sketch::index(micros as u64), 1);
    failed
}
