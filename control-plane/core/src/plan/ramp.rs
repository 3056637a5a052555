//! `ramp: auto`: from the traffic to the steps of a rollout.
//!
//! Bad requests until a bad canary is caught hardly depend on its share, but for the time that it takes to react at
//! all; only that asks for a small first share. From there on the evidence sets the pace: a step is left when its
//! tolerance is excluded, and steps whose tolerance is excluded already are passed over.

use super::{defaults, duration, view};
use serinus_common::ppm::Ppm;
use serinus_proto::v1::{Plan, Ramp, RampChoice, Step};

/// Shares between the first and the last. Left at tolerances 5, 2 and 1, so that share x harm still possible stays
/// about one half.
const BETWEEN: [u32; 3] = [100_000, 250_000, 500_000];
/// No ramp begins with more.
pub(super) const LARGEST_FIRST: f64 = 0.1;
/// Nor with less, in millionths: of too few users none may come at all.
const SMALLEST_FIRST: u32 = 100;
/// A canary that always fails is proven so by three slices, sometimes four, since no slice alone can say everything;
/// reports and pushes take a fraction of another one.
const REACTION_SLICES: f64 = 4.0;
/// Requests of a slice at the least, and its seconds.
const SLICE_REQUESTS: f64 = crate::ledger::cells::SLICE_REQUESTS as f64;
/// Where nothing is known of the traffic, requests per second.
const ASSUMED_RATE: f64 = 750.0;
/// Fewer failed requests prove nothing.
pub(super) const FEWEST_VICTIMS: u64 = 5;

/// Chooses the steps of a complete plan with an automatic ramp, and writes down why; any other plan stays as it is.
/// `requests_per_second` is the model's traffic just before, if it is known.
#[must_use]
pub fn choose(mut plan: Plan, requests_per_second: Option<f64>) -> Plan {
    let Some(mut ramp) = plan.ramp.take() else {
        return plan;
    };
    if ramp.choice.is_none() && plan.steps.is_empty() {
        let unit = unit(&plan);
        let choice = first(&ramp, unit, requests_per_second);
        plan.steps = steps(&plan, &ramp, &shares(&ramp, unit, choice.first_share));
        ramp.choice = Some(choice);
    }
    plan.ramp = Some(ramp);
    plan
}

/// The plan as it was asked for: without the steps that were chosen for it.
#[must_use]
pub fn asked(mut plan: Plan) -> Plan {
    if let Some(ramp) = &mut plan.ramp
        && ramp.choice.take().is_some()
    {
        plan.steps.clear();
    }
    plan
}

/// The smallest difference of shares, in millionths: buckets by division come in coarse pieces.
fn unit(plan: &Plan) -> u32 {
    let modulus = plan.bucketing.as_ref().map_or(0, |of| of.modulus);
    1_000_000_u32.checked_div(modulus).unwrap_or(1).max(1)
}

/// `min(10 %, victims / (rate x reaction))`, section 10 of the design, in whole pieces and two digits.
fn first(ramp: &Ramp, unit: u32, requests_per_second: Option<f64>) -> RampChoice {
    let known = requests_per_second.filter(|rate| rate.is_finite() && *rate > 0.0);
    let rate = known.unwrap_or(ASSUMED_RATE);
    let slice_seconds = (SLICE_REQUESTS / rate).ceil().max(1.0);
    let reaction_seconds = REACTION_SLICES * slice_seconds;
    let harmless = ramp.victims as f64 / (rate * reaction_seconds);
    // Within 0..=100,000.
    let ppm = (harmless.min(LARGEST_FIRST) * 1e6) as u32;
    let ppm = two_digits(ppm.max(SMALLEST_FIRST)) / unit * unit;
    let ppm = ppm.max(unit).min(ppm_of(ramp.max_share));
    RampChoice {
        requests_per_second: rate,
        assumed: known.is_none(),
        reaction_seconds,
        first_share: f64::from(ppm) / 1e6,
    }
}

fn ppm_of(share: f64) -> u32 {
    Ppm::from_fraction(share).map_or(0, Ppm::get)
}

/// Rounded down to what people read at a glance.
fn two_digits(ppm: u32) -> u32 {
    let mut digit = 1;
    while ppm / digit >= 100 {
        digit *= 10;
    }
    ppm / digit * digit
}

/// The canary's shares, ascending.
fn shares(ramp: &Ramp, unit: u32, first: f64) -> Vec<f64> {
    let (first, last) = (ppm_of(first), ppm_of(ramp.max_share));
    let mut shares = vec![first];
    let between = BETWEEN.map(|share| share / unit * unit);
    for share in between.into_iter().chain([last]) {
        if shares.last().is_some_and(|&before| share > before) && share <= last {
            shares.push(share);
        }
    }
    let fraction = |ppm| f64::from(ppm) / 1e6;
    shares.into_iter().map(fraction).collect()
}

fn steps(plan: &Plan, ramp: &Ramp, shares: &[f64]) -> Vec<Step> {
    let canary = view::canary(plan).map_or("", |canary| canary.name.as_str());
    let before_last = shares.len().checked_sub(2);
    let step = |(index, &share): (usize, &f64)| Step {
        split: defaults::split(canary, view::stable_name(plan), share),
        min_duration: ramp.min_duration,
        approval: ramp.approval.filter(|_| Some(index) == before_last),
        ..Step::default()
    };
    shares.iter().enumerate().map(step).collect()
}

/// What the ramp of a plan would do, in lines for a person; `None` for a plan that names its steps.
#[must_use]
pub fn outlook(plan: &Plan) -> Option<Vec<String>> {
    let stable = super::check::assumed_stable(plan);
    let plan = defaults::fill(asked(plan.clone()), Some(&stable));
    let ramp = plan.ramp.as_ref()?;
    let at = |rate: Option<f64>| choose(plan.clone(), rate);
    let first = |plan: &Plan| percent(view::asked(plan, 0));
    let rates = [20.0, 200.0, 2_000.0, 20_000.0];
    let known = rates.map(|rate| format!("{} at {rate} requests/s", first(&at(Some(rate)))));
    let unknown = at(None);
    let mut lines = vec![format!(
        "ramp: begins at {}, {} where the traffic is not known: at most about {} failed requests of a canary that always fails",
        known.join(", "),
        first(&unknown),
        ramp.victims
    )];
    let ways = (0..unknown.steps.len()).map(|step| {
        let last = step + 1 == unknown.steps.len();
        let share = percent(view::asked(&unknown, step));
        if last {
            return share;
        }
        format!("{share} (tolerance {})", view::kappa(&unknown, step))
    });
    let least = duration::format(duration::to_std(ramp.min_duration.as_ref()));
    lines.push(format!(
        "ramp: then {}; a step is left when its tolerance is excluded, not before {least}, and passed over when it is excluded already; the step at 50% is not passed over",
        ways.skip(1).collect::<Vec<_>>().join(", ")
    ));
    if ramp.approval.is_some() {
        lines.push("ramp: somebody must approve going to the last share".to_owned());
    }
    Some(lines)
}

fn percent(share: Ppm) -> String {
    let text = format!("{:.4}", share.fraction() * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}
