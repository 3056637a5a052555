//! From the sidecar's own file and the assignments it holds to a table; every mistake is reported.

mod rewrites;
mod targeting;

use super::matching::Index;
use super::{Address, Held, Ids, ModelSpec, Policy, Route, StaticSplit, Table, Variant};
use crate::breaker::Thresholds;
use crate::route::key::KeySource;
use crate::route::split::{HashRule, Split};
use http::HeaderValue;
use serinus_common::allocation::{Allocation, Lookup, Owned, Range};
use serinus_common::ppm::Ppm;
use serinus_proto::v1;
use std::sync::Arc;
use std::time::Duration;

const WHOLE: u64 = 1_000_000;

impl Table {
    /// Compiles a table. Each model has its file's stable variant, its static split, or the assignment that is held
    /// for it; assignments of models that are not in the file are left out. Without `ids`, prediction ids carry
    /// issuer 0.
    ///
    /// # Errors
    /// Every mistake, each with the model and the field it is in.
    pub fn compile(
        models: &[ModelSpec],
        held: &[Held],
        ids: Option<Ids>,
    ) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        let mut routes = Vec::new();
        for (at, model) in models.iter().enumerate() {
            if models[..at].iter().any(|other| other.name == model.name) {
                errors.push(format!("model {}: is there twice", model.name));
            }
            let of_model = held.iter().rev().find(|h| h.assignment.model == model.name);
            let mut found = Vec::new();
            if let Some(route) = route(model, of_model, &mut found) {
                routes.push(Arc::new(route));
            }
            errors.extend(found.iter().map(|e| format!("model {}: {e}", model.name)));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let index = Index::new(routes.iter().map(|r| (r.model.as_str(), &r.matcher)));
        let keyed = |route: &Arc<Route>| {
            route.split.sticky || matches!(route.split.key, KeySource::Json(_))
        };
        Ok(Self {
            looks_into_bodies: index.looks_into_bodies() || routes.iter().any(keyed),
            routes,
            index,
            ids: ids.unwrap_or_default(),
        })
    }
}

fn route(spec: &ModelSpec, held: Option<&Held>, errors: &mut Vec<String>) -> Option<Route> {
    let floor;
    let (assignment, latched, scale, frozen) = match held {
        Some(held) => {
            let latched = held.latched || held.assignment.rolled_back;
            (
                &held.assignment,
                latched,
                held.canary_scale_ppm,
                held.frozen,
            )
        }
        None => {
            floor = from_file(spec, errors)?;
            (&floor, false, 1_000_000, false)
        }
    };
    let rollout_id = rollout_id(&assignment.rollout, errors);
    let assigned = allocation(assignment, errors)?;
    let scale = if latched { 0 } else { scale };
    let in_force = scaled(&assigned, scale);
    let variants = variants(spec, assignment, &in_force, latched, errors);
    let split = split(assignment, &in_force, errors);
    let policy = policy(assignment.failure.as_ref(), frozen, errors);
    let targeting = targeting::of(&assignment.targeting, &variants, errors);
    Some(Route {
        rewrites_bodies: rewrites::touch_bodies(&variants),
        model: spec.name.clone(),
        rollout: assignment.rollout.clone(),
        epoch: assignment.epoch,
        variants,
        rollout_id: rollout_id?,
        matcher: spec.matcher.clone(),
        split: split?,
        targeting,
        ready_path: spec.ready_path.clone(),
        allow_override: assignment.allow_override_header,
        policy: policy?,
        frozen,
        killed: spec.killed,
    })
}

/// The floor: stable alone, or the file's own split.
fn from_file(spec: &ModelSpec, errors: &mut Vec<String>) -> Option<v1::Assignment> {
    let mut variants = vec![named(&spec.stable_name)];
    let mut assignment = v1::Assignment {
        model: spec.name.clone(),
        bucketing: Some(v1::Bucketing {
            key: "none".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    if let Some(split) = &spec.split {
        let targets = static_targets(split, errors)?;
        let allocation = match Allocation::default().reallocate(&targets) {
            Ok(allocation) => allocation,
            Err(error) => {
                errors.push(format!("split: {error}"));
                return None;
            }
        };
        variants.extend(targets.iter().map(|(name, _)| named(name)));
        assignment.shares = allocation.canaries().iter().map(to_share).collect();
        assignment.bucketing = Some(v1::Bucketing {
            key: split.key.clone(),
            salt: split.salt.clone(),
            sticky: split.sticky,
            ..Default::default()
        });
        assignment.targeting.clone_from(&split.targeting);
    }
    assignment.variants = variants;
    Some(assignment)
}

fn static_targets<'a>(
    split: &'a StaticSplit,
    errors: &mut Vec<String>,
) -> Option<Vec<(&'a str, Ppm)>> {
    let before = errors.len();
    let mut targets = Vec::new();
    for (name, &share) in &split.shares {
        match Ppm::from_fraction(share) {
            Ok(ppm) => targets.push((name.as_str(), ppm)),
            Err(error) => errors.push(format!("split.{name}: {error}")),
        }
    }
    (errors.len() == before).then_some(targets)
}

fn named(name: &str) -> v1::Variant {
    v1::Variant {
        name: name.to_owned(),
        ..Default::default()
    }
}

fn to_share(owned: &Owned) -> v1::Share {
    let ranges = owned.ranges.iter();
    v1::Share {
        variant: owned.variant.clone(),
        ppm: owned.size(),
        ranges: ranges
            .map(|range| v1::BucketRange {
                start: range.start,
                end: range.end,
            })
            .collect(),
    }
}

fn rollout_id(rollout: &str, errors: &mut Vec<String>) -> Option<[u8; 16]> {
    if rollout.is_empty() {
        return Some([0; 16]);
    }
    match uuid::Uuid::parse_str(rollout) {
        Ok(id) => Some(id.into_bytes()),
        Err(_) => {
            errors.push(format!("rollout: {rollout:?} is no UUID"));
            None
        }
    }
}

/// The canaries' buckets, in the order of the variants, so that positions agree.
fn allocation(assignment: &v1::Assignment, errors: &mut Vec<String>) -> Option<Allocation> {
    let Some((_, canaries)) = assignment.variants.split_first() else {
        errors.push("variants: there is none; the first one is stable".into());
        return None;
    };
    let known = |name: &str| canaries.iter().any(|variant| variant.name == name);
    for share in assignment.shares.iter().filter(|s| !known(&s.variant)) {
        errors.push(format!(
            "shares: {:?} is no canary of this assignment",
            share.variant
        ));
    }
    let ranges = |name: &str| {
        let shares = assignment.shares.iter().filter(|s| s.variant == name);
        shares
            .flat_map(|share| &share.ranges)
            .map(|range| Range {
                start: range.start,
                end: range.end,
            })
            .collect()
    };
    let owned = canaries.iter().map(|variant| Owned {
        variant: variant.name.clone(),
        ranges: ranges(&variant.name),
    });
    match Allocation::from_owned(owned.collect()) {
        Ok(allocation) => Some(allocation),
        Err(error) => {
            errors.push(format!("shares: {error}"));
            None
        }
    }
}

/// Every canary keeps its lowest buckets, scaled; so users only move back to stable.
fn scaled(assigned: &Allocation, scale_ppm: u32) -> Allocation {
    let share = |owned: &Owned| {
        let kept = u64::from(owned.size()) * u64::from(scale_ppm).min(WHOLE) / WHOLE;
        // At most the size, which is a u32 and at most one million.
        Ppm::new(kept as u32).unwrap_or(Ppm::ZERO)
    };
    let targets: Vec<_> = assigned
        .canaries()
        .iter()
        .map(|owned| (owned.variant.as_str(), share(owned)))
        .collect();
    assigned
        .reallocate(&targets)
        .unwrap_or_else(|_| Allocation::default())
}

fn variants(
    spec: &ModelSpec,
    assignment: &v1::Assignment,
    in_force: &Allocation,
    latched: bool,
    errors: &mut Vec<String>,
) -> Vec<Variant> {
    let owned: u32 = in_force.canaries().iter().map(Owned::size).sum();
    let mut out: Vec<Variant> = Vec::new();
    for (at, variant) in assignment.variants.iter().enumerate() {
        let share_ppm = match at.checked_sub(1) {
            None => 1_000_000 - owned,
            Some(canary) => in_force.canaries().get(canary).map_or(0, Owned::size),
        };
        let Ok(header) = HeaderValue::from_str(&variant.name) else {
            errors.push(format!(
                "variants[{at}].name: {:?} is no name",
                variant.name
            ));
            continue;
        };
        if out.iter().any(|other| other.name == variant.name) {
            errors.push(format!(
                "variants[{at}].name: {:?} is there twice",
                variant.name
            ));
        }
        out.push(Variant {
            name: variant.name.clone(),
            share_ppm,
            endpoints: endpoints(spec, variant, at, errors),
            rewrite: rewrites::of(spec, variant, errors),
            stream: rewrites::stream(spec, variant),
            header,
            allowed: at == 0 || !latched,
            breaker: None,
            health: Vec::new(),
        });
    }
    if out.len() > 255 {
        errors.push("variants: there are more than 255".into());
    }
    out
}

/// The file's entry for the variant, else the plan's, else, for stable, the floor.
fn endpoints(
    spec: &ModelSpec,
    variant: &v1::Variant,
    at: usize,
    errors: &mut Vec<String>,
) -> Vec<Address> {
    let local = spec.endpoints.get(&variant.name);
    let local = local.or_else(|| (variant.name == spec.stable_name).then_some(&spec.stable));
    let urls = match local {
        Some(urls) if !urls.is_empty() => urls,
        _ if !variant.endpoints.is_empty() => &variant.endpoints,
        _ if at == 0 => &spec.stable,
        _ => &variant.endpoints,
    };
    if urls.is_empty() {
        errors.push(format!(
            "variant {0}: has no endpoint; name one in the plan or as endpoints.{0} in this file",
            variant.name
        ));
    }
    let mut out = Vec::new();
    for url in urls {
        match Address::parse(url) {
            Ok(address) => out.push(address),
            Err(error) => errors.push(format!("variant {}: endpoint {error}", variant.name)),
        }
    }
    out
}

fn split(
    assignment: &v1::Assignment,
    in_force: &Allocation,
    errors: &mut Vec<String>,
) -> Option<Split> {
    let bucketing = assignment.bucketing.clone().unwrap_or_default();
    let key = match bucketing.key.parse() {
        Ok(key) => Some(key),
        Err(error) => {
            errors.push(format!("bucketing.key: {error}"));
            None
        }
    };
    let salt = match bucketing.salt.as_str() {
        "" => &assignment.rollout,
        salt => salt,
    };
    let hash = match bucketing.hash() {
        v1::bucketing::Hash::Modulo if !valid_modulus(bucketing.modulus) => {
            errors.push(format!(
                "bucketing.modulus: {} does not divide 1000000",
                bucketing.modulus
            ));
            None
        }
        v1::bucketing::Hash::Modulo => Some(HashRule::Modulo(bucketing.modulus)),
        _ => Some(HashRule::Xxh3(salt.into())),
    };
    let mut split = Split::new(key?, hash?, Lookup::new(in_force));
    split.sticky = bucketing.sticky && matches!(split.key, KeySource::Cookie(_));
    Some(split)
}

fn valid_modulus(modulus: u32) -> bool {
    modulus > 0 && 1_000_000u32.is_multiple_of(modulus)
}

fn policy(failure: Option<&v1::Failure>, frozen: bool, errors: &mut Vec<String>) -> Option<Policy> {
    let failure = failure.cloned().unwrap_or_default();
    let breaker = failure.breaker.unwrap_or_default();
    let before = errors.len();
    let mut duration = |field: &str, value: Option<prost_types::Duration>, default: u64| {
        let value = value.map_or_else(|| Ok(Duration::from_secs(default)), Duration::try_from);
        match value {
            Ok(value) if !value.is_zero() => value,
            _ => {
                errors.push(format!("failure.{field}: must be above 0"));
                Duration::ZERO
            }
        }
    };
    let timeout = duration("timeout", failure.timeout, 10);
    let attempt_timeout = duration("attempt_timeout", failure.attempt_timeout, 5);
    let thresholds = thresholds(breaker, errors);
    (errors.len() == before).then_some(Policy {
        rescue: failure.fallback != v1::failure::Fallback::None as i32,
        timeout,
        attempt_timeout,
        thresholds: if frozen {
            thresholds.halved()
        } else {
            thresholds
        },
    })
}

fn thresholds(breaker: v1::Breaker, errors: &mut Vec<String>) -> Thresholds {
    if !(0.0..=1.0).contains(&breaker.error_ratio) {
        errors.push(format!(
            "failure.breaker.error_ratio: {} is no fraction between 0 and 1",
            breaker.error_ratio
        ));
    }
    let or = |value: f64, default: f64| if value == 0.0 { default } else { value };
    Thresholds {
        consecutive: match breaker.consecutive {
            0 => 5,
            n => n,
        },
        error_ratio: or(breaker.error_ratio, 0.5),
    }
}

#[cfg(test)]
mod tests;
