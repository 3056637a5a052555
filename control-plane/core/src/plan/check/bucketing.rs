//! The key of a request, and how it is hashed.

use crate::plan::parse::KEY_FORM;
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use crate::plan::share;
use crate::plan::suggest::nearest;
use serinus_common::bucket::BUCKETS;
use serinus_proto::v1::bucketing::Hash;
use serinus_proto::v1::{Bucketing, Plan};

const KINDS: [&str; 6] = ["header", "cookie", "query", "metadata", "json", "path"];

/// Checks the bucketing, and every share against a modulus.
pub(super) fn check(plan: &Plan, problems: &Problems) {
    let Some(bucketing) = &plan.bucketing else {
        return;
    };
    let path = Path::of("bucketing");
    if let Err(message) = key(&bucketing.key) {
        problems.add(&path.field("key"), message);
    }
    if bucketing.sticky {
        sticky(bucketing, &path.field("sticky"), problems);
    }
    if bucketing.salt.len() > 256 {
        let message = format!("{} bytes long; at most 256", bucketing.salt.len());
        problems.add(&path.field("salt"), message);
    }
    match bucketing.hash() {
        Hash::Modulo => modulo(plan, bucketing, &path, problems),
        Hash::Xxh3 if bucketing.modulus != 0 => problems.add(
            &path.field("modulus"),
            "goes with hash: modulo only; leave it out, or write hash: modulo",
        ),
        Hash::Xxh3 => {}
        Hash::Unspecified => problems.add(&path.field("hash"), "unknown; write xxh3 or modulo"),
    }
}

fn sticky(bucketing: &Bucketing, path: &Path, problems: &Problems) {
    if !bucketing.key.starts_with("cookie:") {
        problems.add(
            path,
            "goes with a cookie only; write key: cookie:NAME, or leave it out",
        );
    } else if bucketing.hash() == Hash::Modulo {
        problems.add(
            path,
            "gives keys that are no integers; leave it out, or use hash: xxh3",
        );
    }
}

fn key(key: &str) -> Result<(), String> {
    let shown: String = key
        .chars()
        .take(60)
        .flat_map(char::escape_default)
        .collect();
    if key == "none" {
        return Ok(());
    }
    let Some((kind, name)) = key.split_once(':') else {
        return Err(format!("\"{shown}\" names no place; write {KEY_FORM}"));
    };
    if !KINDS.contains(&kind) {
        let hint = nearest(kind, KINDS)
            .map(|kind| format!("; did you mean {kind}:?"))
            .unwrap_or_default();
        return Err(format!("\"{shown}\" is unknown; write {KEY_FORM}{hint}"));
    }
    match kind {
        "json" if is_pointer(name) => return Ok(()),
        "json" => {
            return Err(format!(
                "\"{shown}\" has no JSON pointer (RFC 6901); write such as json:/user/id or json:/inputs/0/name"
            ));
        }
        "path" if name.parse().is_ok_and(|n: u32| (1..=99).contains(&n)) => return Ok(()),
        "path" => {
            return Err(format!(
                "\"{shown}\" names no segment; write path:1 for the first one, up to path:99"
            ));
        }
        _ => {}
    }
    if name.is_empty() || name.len() > 128 || !name.chars().all(is_token) {
        return Err(format!(
            "\"{shown}\" has no usable name; write such as {kind}:{}",
            if kind == "query" { "user" } else { "x-user-id" }
        ));
    }
    if kind == "header" && name.starts_with("x-serinus-") {
        return Err(format!(
            "{name} is stripped from requests; use a header of your own, such as x-user-id"
        ));
    }
    Ok(())
}

/// As sidecars read it: a member or an element after each slash, `~0` for `~` and `~1` for `/`.
fn is_pointer(text: &str) -> bool {
    let mut escapes = text.split('~').skip(1);
    text.starts_with('/')
        && text.len() <= 256
        && text.matches('/').count() <= 32
        && !text.chars().any(char::is_control)
        && escapes.all(|rest| rest.starts_with(['0', '1']))
}

/// A character of an HTTP token (RFC 9110, 5.6.2).
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

fn modulo(plan: &Plan, bucketing: &Bucketing, path: &Path, problems: &Problems) {
    if bucketing.key == "none" {
        problems.add(
            &path.field("key"),
            "none has no integer to divide; hash: modulo needs a key",
        );
    }
    if !bucketing.salt.is_empty() {
        problems.add(
            &path.field("salt"),
            "has no effect with hash: modulo; leave it out",
        );
    }
    let modulus = bucketing.modulus;
    if modulus == 0 || !BUCKETS.is_multiple_of(modulus) {
        let wrong = if modulus == 0 {
            "missing; hash: modulo needs".to_owned()
        } else {
            format!("{modulus} does not divide 1000000; write")
        };
        let message = format!("{wrong} a modulus that divides 1000000, such as 10, 100 or 1000");
        return problems.add(&path.field("modulus"), message);
    }
    for (path, value) in all_shares(plan) {
        if let Ok(ppm) = share::checked(value)
            && !(u64::from(ppm.get()) * u64::from(modulus)).is_multiple_of(1_000_000)
        {
            let message = format!(
                "{value} x {modulus} is not whole; with modulus {modulus} shares are multiples of {}",
                1.0 / f64::from(modulus)
            );
            problems.add(&path, message);
        }
    }
}

/// Every share that becomes a range of buckets, with its path.
fn all_shares(plan: &Plan) -> Vec<(Path, f64)> {
    let full = |share: &f64| *share >= 1.0;
    let mut shares = Vec::new();
    for (index, step) in plan.steps.iter().enumerate() {
        let path = Path::of("steps").item(index).field("split");
        shares.extend(
            step.split
                .iter()
                .map(|(name, &share)| (path.field(name), share)),
        );
    }
    if let Some(warmup) = &plan.warmup {
        shares.push((Path::of("warmup").field("share"), warmup.share));
    }
    if let Some(ramp) = &plan.ramp {
        shares.push((Path::of("ramp").field("max_share"), ramp.max_share));
    }
    let ramp_full = plan.ramp.as_ref().is_some_and(|ramp| full(&ramp.max_share));
    let ends_full = ramp_full
        || plan.steps.last().is_some_and(|step| {
            plan.canaries
                .iter()
                .any(|canary| step.split.get(&canary.name).is_some_and(full))
        });
    if let (true, Some(holdback)) = (ends_full, plan.bake.as_ref().and_then(|bake| bake.holdback)) {
        shares.push((Path::of("bake").field("holdback"), holdback));
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn keys() {
        for right in [
            "none",
            "header:x-user-id",
            "cookie:sid",
            "query:user",
            "metadata:user-id",
            "json:/user",
            "json:/inputs/0/a~1b",
            "json:/",
            "path:2",
        ] {
            assert_eq!(key(right), Ok(()), "{right}");
        }
        for wrong in [
            "",
            "x-user-id",
            "header:",
            "header:a b",
            "hedder:x",
            "header:x-serinus-variant",
            "header:\n",
            "json:",
            "json:user",
            "json:/a~2",
            "json:/a~",
            "path:0",
            "path:x",
            "path:100",
        ] {
            assert!(key(wrong).is_err(), "{wrong}");
        }
        assert!(
            key("hedder:x")
                .unwrap_err()
                .contains("did you mean header:?")
        );
    }
}
