//! The state machine and the evidence engine together, second by second, with counted requests for traffic.

use serinus_core::ledger::history;
use serinus_core::plan::{self, view};
use serinus_core::rollout::{self, Facts, FleetFacts, Harm, Rollout, Stamp};
use serinus_evidence::{
    Arm, Assessment, Engine, GuardrailAssessment, HarmCause, RequestSlice, Verdict,
};
use serinus_proto::{stored::v1 as stored, v1};

const START_MS: u64 = 1_800_000_000_000;
const HEAD: &str = "model: m
stable: {name: v1, endpoints: [http://h:1]}
canary: {name: v2, endpoints: [http://h:2]}
";

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub(crate) struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A Poisson number (Knuth), in pieces so that nothing underflows.
    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        let (mut left, mut count) = (mean, 0);
        while left > 0.0 {
            let limit = (-left.min(200.0)).exp();
            left -= 200.0;
            let mut product = self.unit();
            while product > limit {
                product *= self.unit();
                count += 1;
            }
        }
        count
    }
}

/// One rollout in a simulated world.
pub(crate) struct World {
    pub(crate) random: Random,
    /// Requests per second.
    rate: f64,
    /// Error rates of stable and of the canary.
    errors: (f64, f64),
    pub(crate) rollout: Rollout,
    engine: Engine,
    now_ms: u64,
    slice: RequestSlice,
    slices: u64,
    in_step: u64,
    /// Failed canary requests.
    pub(crate) victims: u64,
    /// Shares on the way up, and whether all was SAFE at the tolerance of the step that was left; the end of a
    /// warm-up needs no proof.
    pub(crate) raises: Vec<(f64, bool)>,
}

impl World {
    /// A rollout of a plan whose stable variant was watched for a minute.
    pub(crate) fn new(lines: &str, rate: f64, errors: (f64, f64), seed: u64) -> Self {
        let plan = plan::parse(&format!("{HEAD}{lines}\n")).expect("a plan");
        let plan = plan::complete(plan, None).expect("a whole plan");
        let mut random = Random(seed);
        let requests: Vec<u64> = (0..60).map(|_| random.poisson(rate)).collect();
        let failed = |&n: &u64| (n as f64 * errors.0).round() as u64;
        let known = stored::StableHistory {
            errors: requests.iter().map(failed).collect(),
            requests,
            latency: None,
        };
        let plan = plan::choose_ramp(plan, Some(rate));
        let settings = history::begin_with(plan::evidence_settings(&plan), Some(&known));
        let events = rollout::stamp(rollout::create(&plan), &stamp(1, START_MS));
        let mut rollout = Rollout::from_created(&events[0]).expect("created");
        for event in &events[1..] {
            rollout::apply(&mut rollout, event);
        }
        Self {
            random,
            rate,
            errors,
            engine: Engine::new(settings).expect("settings"),
            now_ms: START_MS,
            rollout,
            slice: RequestSlice::default(),
            slices: 0,
            in_step: 0,
            victims: 0,
            raises: Vec::new(),
        }
    }

    /// The canary's share, 0..=1.
    pub(crate) fn share(&self) -> f64 {
        f64::from(self.rollout.canary_ppm()) / 1e6
    }

    fn arm(&mut self, rate: f64, errors: f64) -> Arm {
        let failed = self.random.poisson(rate * errors);
        let requests = failed + self.random.poisson(rate * (1.0 - errors));
        let mut left = requests;
        // Eight latencies, the same for everybody.
        let mut latency = Vec::new();
        for bucket in 0..8u16 {
            let part = self.random.poisson(requests as f64 / 8.0).min(left);
            left -= part;
            latency.push((500 + bucket, part));
        }
        Arm {
            requests,
            errors: failed,
            latency,
        }
    }

    /// A second passes, and is looked at.
    pub(crate) fn second(&mut self) {
        let share = self.share();
        let canary = self.arm(self.rate * share, self.errors.1);
        let stable = self.arm(self.rate * (1.0 - share), self.errors.0);
        self.victims += canary.errors;
        self.in_step += canary.requests;
        self.slice.canary.merge(&canary);
        self.slice.stable.merge(&stable);
        self.slice.seconds += 1.0;
        self.now_ms += 1000;
        if self.slice.canary.requests + self.slice.stable.requests >= 20 {
            self.close();
        }
        self.look();
    }

    fn close(&mut self) {
        let slice = RequestSlice {
            epoch: self.rollout.epoch,
            ..std::mem::take(&mut self.slice)
        };
        self.engine.fold_requests(&slice);
        self.slices += 1;
    }

    fn look(&mut self) {
        let before = self.rollout.clone();
        let kinds = rollout::look(&before, self.now_ms, &self.facts());
        let events = rollout::stamp(kinds, &stamp(before.revision + 1, self.now_ms));
        if self.rollout.canary_ppm() > 0 && raises(&before, &events) {
            let safe = self.assess(before.tolerance()).required_safe;
            self.raises.push((0.0, safe || before.warmup));
        }
        for event in &events {
            rollout::apply(&mut self.rollout, event);
        }
        rollout::invariants::check(&before, &events, &self.rollout).expect("no invariant breaks");
        let share = self.share();
        if let Some(raise) = self.raises.last_mut().filter(|raise| raise.0 == 0.0) {
            raise.0 = share;
        }
        if self.rollout.step_entered_ms != before.step_entered_ms {
            self.in_step = 0;
        }
    }

    fn assess(&self, tolerance: f64) -> Assessment {
        let of = &self.rollout;
        self.engine.assess(tolerance, of.epoch, of.expects_both())
    }

    fn facts(&self) -> Facts {
        let of = &self.rollout;
        let assessment = self.assess(of.tolerance());
        let paced = view::is_paced(&of.plan);
        let mut tolerances = view::tolerances(&of.plan).into_iter().filter(|_| paced);
        let rows = assessment.guardrails.iter().enumerate();
        Facts {
            guardrails: rows.map(row).collect(),
            harmful: assessment.harmful.as_ref().map(|harm| Harm {
                guardrails: harm.blamed.clone(),
                gross: harm.cause == HarmCause::GrossErrors,
                flapping: harm.cause == HarmCause::Flapping,
            }),
            log_e_rollback: assessment.log_e_rollback,
            log_threshold: assessment.log_threshold,
            budget_spent: assessment.budget_spent,
            slices: self.slices,
            canary_requests_in_step: self.in_step,
            safe_at_full: assessment.required_safe_fully,
            excluded_tolerance: tolerances.find(|&at| self.assess(at).required_safe),
            fleet: FleetFacts {
                connected: 1,
                current: 1,
                current_since_ms: Some(of.epoch_entered_ms),
                ..FleetFacts::default()
            },
            ..Facts::default()
        }
    }

    /// Seconds until it is so; `None` if that takes too long.
    pub(crate) fn until(&mut self, limit: u64, done: impl Fn(&Rollout) -> bool) -> Option<u64> {
        (1..=limit).find(|_| {
            self.second();
            done(&self.rollout)
        })
    }
}

fn stamp(first_revision: u64, at_ms: u64) -> Stamp {
    Stamp {
        first_revision,
        at_ms,
        rollout: "r".into(),
        model: "m".into(),
        ..Stamp::default()
    }
}

/// Whether events give the canary more.
fn raises(before: &Rollout, events: &[v1::Event]) -> bool {
    let mut after = before.clone();
    events
        .iter()
        .for_each(|event| rollout::apply(&mut after, event));
    after.canary_ppm() > before.canary_ppm()
}

fn row((index, one): (usize, &GuardrailAssessment)) -> v1::GuardrailEvidence {
    let verdict = match one.verdict {
        Verdict::Safe => v1::Verdict::Safe,
        Verdict::Harmful => v1::Verdict::Harmful,
        Verdict::NeedMore => v1::Verdict::NeedMore,
        Verdict::NoEvidence => v1::Verdict::NoEvidence,
    };
    v1::GuardrailEvidence {
        index: u32::try_from(index).expect("few guardrails"),
        verdict: verdict.into(),
        on_breach: v1::guardrail::Action::Rollback.into(),
        required: true,
        ..v1::GuardrailEvidence::default()
    }
}
