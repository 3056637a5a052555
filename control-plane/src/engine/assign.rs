//! What sidecars should hold: derived from the state, never commanded.

use super::book::{Book, Model};
use super::fleet::fence_to_wire;
use super::handle::Narrowed;
use prost::Message as _;
use serinus_common::digest::digest;
use serinus_common::fence::Fence;
use serinus_core::evidence::outcome_name;
use serinus_core::plan::view;
use serinus_core::rollout::Rollout;
use serinus_proto::v1;
use std::sync::Arc;
use std::time::Duration;
use v1::assignment::OnExpiry;

/// How long a canary's share is valid after the last contact.
const LEASE: Duration = Duration::from_secs(60);
/// How much longer it is kept, frozen.
const GRACE: Duration = Duration::from_secs(15 * 60);
/// Above this share an expired lease keeps the split: a fleet-wide jump to a stable that was scaled down is worse.
const REVERT_UP_TO: f64 = 0.25;

/// The assignment of a model.
pub(super) fn of(book: &Book, name: &str, generation: u64, term: u64) -> Option<v1::Assignment> {
    let model = book.models.get(name)?;
    let fence = Fence {
        generation,
        term,
        revision: model.assigned_at,
    };
    Some(one(book, name, model, fence))
}

/// Where the active rollout of a model selects sidecars, and what the others get: stable, as if there were none.
pub(super) fn narrowed(book: &Book, name: &str, generation: u64, term: u64) -> Option<Narrowed> {
    let model = book.models.get(name)?;
    let rollout = &book.active(name)?.rollout;
    let fence = Fence {
        generation,
        term,
        revision: model.assigned_at,
    };
    let stable = v1::Assignment {
        variants: rollout.plan.stable.iter().cloned().collect(),
        ..v1::Assignment::default()
    };
    Some(Narrowed {
        selector: rollout.selector.clone()?,
        others: Arc::new(signed(stable, name, fence)),
    })
}

fn one(book: &Book, name: &str, model: &Model, fence: Fence) -> v1::Assignment {
    let assignment = match book.active(name) {
        Some(run) => active(&run.rollout),
        None => idle(book, model),
    };
    signed(assignment, name, fence)
}

fn signed(mut assignment: v1::Assignment, name: &str, fence: Fence) -> v1::Assignment {
    name.clone_into(&mut assignment.model);
    assignment.digest = digest(&assignment.encode_to_vec());
    assignment.fence = Some(fence_to_wire(fence));
    assignment
}

fn idle(book: &Book, model: &Model) -> v1::Assignment {
    let latest = model
        .latest
        .as_ref()
        .and_then(|id| book.finished.get(id))
        .map(|f| &f.rollout);
    let rolled_back = latest.filter(|rollout| rollout.state == v1::State::RolledBack);
    v1::Assignment {
        variants: vec![model.stable.clone()],
        rolled_back: rolled_back.is_some(),
        rollout: rolled_back.map_or_else(String::new, |rollout| rollout.id.clone()),
        epoch: rolled_back.map_or(0, |rollout| rollout.epoch),
        ..v1::Assignment::default()
    }
}

fn active(rollout: &Rollout) -> v1::Assignment {
    let plan = &rollout.plan;
    let mut bucketing = plan.bucketing.clone().unwrap_or_default();
    if bucketing.salt.is_empty() {
        bucketing.salt.clone_from(&rollout.id);
    }
    let shares = shares(rollout);
    let canary_ppm: u32 = shares.iter().map(|share| share.ppm).sum();
    let leased = canary_ppm > 0;
    let revert = f64::from(canary_ppm) / 1e6 <= REVERT_UP_TO;
    let on_expiry = if revert {
        OnExpiry::Revert
    } else {
        OnExpiry::Keep
    };
    v1::Assignment {
        rollout: rollout.id.clone(),
        epoch: rollout.epoch,
        variants: plan.stable.iter().chain(&plan.canaries).cloned().collect(),
        shares,
        bucketing: Some(bucketing),
        lease: leased.then(|| proto(LEASE)),
        grace: leased.then(|| proto(GRACE)),
        on_expiry: on_expiry.into(),
        failure: plan.failure,
        allow_override_header: plan.allow_override_header,
        targeting: plan.targeting.clone(),
        ceiling_ppm: view::ceiling(plan).get(),
        outcomes: plan
            .guardrails
            .iter()
            .filter_map(outcome_name)
            .map(str::to_owned)
            .collect(),
        ..v1::Assignment::default()
    }
}

/// The canaries' buckets, for the wire.
fn shares(rollout: &Rollout) -> Vec<v1::Share> {
    let canaries = rollout.allocation.canaries().iter();
    canaries
        .map(|owned| v1::Share {
            variant: owned.variant.clone(),
            ppm: owned.size(),
            ranges: owned
                .ranges
                .iter()
                .map(|r| v1::BucketRange {
                    start: r.start,
                    end: r.end,
                })
                .collect(),
        })
        .collect()
}

fn proto(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: 0,
    }
}
