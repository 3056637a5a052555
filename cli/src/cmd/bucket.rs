//! `serinus bucket`: what anyone can recompute.

use super::{model, rollout};
use crate::args::Global;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Session, emit};
use crate::view;
use clap::ValueEnum;
use serde_json::{Value, json};
use serinus_common::allocation::{Allocation, Owned, Range};
use serinus_common::bucket;
use serinus_proto::v1::{self, bucketing::Hash as ProtoHash, event::Kind};

const EXAMPLES: &str = "\
Examples:
  serinus bucket --salt s --key user-1 -o json               # {\"bucket\": 929407}
  serinus bucket --model recommender --key user-1            # also the variant that user-1 gets now
  serinus bucket --hash modulo --modulus 10 --key 23

The same in Python: xxhash.xxh3_64_intdigest((salt + \":\" + key).encode()) % 1000000";

/// `bucket`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Salt; with --model that of its rollout
    #[arg(long, allow_hyphen_values = true)]
    salt: Option<String>,
    /// Key, such as a user's id
    #[arg(long, allow_hyphen_values = true)]
    key: String,
    /// How keys become buckets; with --model as its rollout says
    #[arg(long, value_enum)]
    hash: Option<Hash>,
    /// Modulus, a divisor of 1,000,000
    #[arg(long, required_if_eq("hash", "modulo"))]
    modulus: Option<u32>,
    /// Also print the variant that this model's rollout gives the key
    #[arg(long)]
    model: Option<String>,
}

/// How keys become buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Hash {
    /// xxh3_64(salt + ":" + key) mod 1,000,000
    Xxh3,
    /// (key mod modulus) * 1,000,000 / modulus
    Modulo,
}

pub(crate) async fn run(
    args: &Args,
    global: &Global,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let (bucket, variant) = match &args.model {
        None => (bucket(args, &v1::Bucketing::default())?, None),
        Some(name) => {
            let session = Session::new(global, console)?;
            let (bucket, variant) = of_model(args, name, &session).await?;
            (bucket, Some(variant))
        }
    };
    let as_json = || answer(bucket, variant.as_deref());
    let as_text = || match &variant {
        Some(variant) => format!("{bucket}  {variant}\n"),
        None => format!("{bucket}\n"),
    };
    emit(console, global.output, as_json, as_text)?;
    Ok(Exit::Ok)
}

fn answer(bucket: u32, variant: Option<&str>) -> Value {
    match variant {
        Some(variant) => json!({ "bucket": bucket, "variant": variant }),
        None => json!({ "bucket": bucket }),
    }
}

/// The bucket by the flags, and by `known` where they are silent.
fn bucket(args: &Args, known: &v1::Bucketing) -> Result<u32, Failure> {
    let hash = args.hash.unwrap_or_else(|| match known.hash() {
        ProtoHash::Modulo => Hash::Modulo,
        _ => Hash::Xxh3,
    });
    match hash {
        Hash::Xxh3 => {
            let known = (!known.salt.is_empty()).then_some(&known.salt);
            let salt = args.salt.as_ref().or(known).ok_or_else(|| {
                Failure::bad_input("--salt is missing")
                    .hint("it is in the plan, or the rollout's id; --model MODEL looks it up")
            })?;
            Ok(bucket::hashed(salt, args.key.as_bytes()))
        }
        Hash::Modulo => modulo(args.modulus.unwrap_or(known.modulus), &args.key),
    }
}

fn modulo(modulus: u32, key: &str) -> Result<u32, Failure> {
    if modulus == 0 || !bucket::BUCKETS.is_multiple_of(modulus) {
        let what = format!("--modulus: {modulus} does not divide 1,000,000");
        return Err(Failure::bad_input(what).hint("take 10, 100 or 1000"));
    }
    bucket::modulo(modulus, key.as_bytes()).ok_or_else(|| {
        Failure::bad_input(format!("--key: `{key}` is no whole number")).hint(
            "with --hash modulo such a key counts as no key: its requests are spread at random",
        )
    })
}

async fn of_model(
    args: &Args,
    name: &str,
    session: &Session<'_, '_>,
) -> Result<(u32, String), Failure> {
    let rollout = session.rollout(name).await?;
    let plan = rollout.plan.clone().unwrap_or_default();
    let mut bucketing = plan.bucketing.clone().unwrap_or_default();
    if bucketing.salt.is_empty() {
        bucketing.salt.clone_from(&rollout.id);
    }
    let bucket = bucket(args, &bucketing)?;
    if view::is_terminal(rollout.state()) {
        let model = model::get(&rollout.model, session)
            .await
            .map_err(|status| session.client.failure(&status))?;
        return Ok((bucket, model.stable.unwrap_or_default().name));
    }
    let events = rollout::history(&rollout.id, 0, session).await?;
    let shares = events.into_iter().rev().find_map(|event| match event.kind {
        Some(Kind::SplitChanged(changed)) => Some(changed.shares),
        _ => None,
    });
    let stable = plan.stable.unwrap_or_default().name;
    let variant = owner(bucket, &shares.unwrap_or_default())?.unwrap_or(stable);
    Ok((bucket, variant))
}

/// The canary that owns a bucket; `None` is stable.
fn owner(bucket: u32, shares: &[v1::Share]) -> Result<Option<String>, Failure> {
    let owned = shares.iter().map(|share| Owned {
        variant: share.variant.clone(),
        ranges: share.ranges.iter().map(range).collect(),
    });
    let allocation = Allocation::from_owned(owned.collect())
        .map_err(|error| Failure::error(format!("the control plane sent a bad split: {error}")))?;
    let canary = allocation
        .owner(bucket)
        .and_then(|at| allocation.canaries().get(at));
    Ok(canary.map(|canary| canary.variant.clone()))
}

fn range(range: &v1::BucketRange) -> Range {
    Range {
        start: range.start,
        end: range.end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(hash: Option<Hash>, modulus: Option<u32>, salt: Option<&str>, key: &str) -> Args {
        Args {
            salt: salt.map(str::to_owned),
            key: key.to_owned(),
            hash,
            modulus,
            model: None,
        }
    }

    fn of(args: &Args) -> Result<u32, Failure> {
        bucket(args, &v1::Bucketing::default())
    }

    #[test]
    fn known_vectors() {
        assert_eq!(of(&args(None, None, Some("s"), "user-1")), Ok(929_407));
        let modulo = |key| of(&args(Some(Hash::Modulo), Some(10), None, key));
        assert_eq!(modulo("20"), Ok(0));
        assert_eq!(modulo("23"), Ok(300_000));
    }

    #[test]
    fn bad_input_says_what_to_do() {
        let text = |args: Args| of(&args).unwrap_err().to_string();
        assert!(text(args(None, None, None, "k")).contains("--model MODEL"));
        assert!(text(args(Some(Hash::Modulo), Some(7), None, "1")).contains("does not divide"));
        assert!(text(args(Some(Hash::Modulo), Some(10), None, "ana")).contains("no whole number"));
    }

    #[test]
    fn the_plan_fills_in_what_the_flags_leave_out() {
        let known = v1::Bucketing {
            hash: ProtoHash::Modulo.into(),
            modulus: 10,
            ..Default::default()
        };
        assert_eq!(bucket(&args(None, None, None, "23"), &known), Ok(300_000));
        let salted = v1::Bucketing {
            salt: "s".into(),
            ..Default::default()
        };
        assert_eq!(
            bucket(&args(None, None, None, "user-1"), &salted),
            Ok(929_407)
        );
    }

    #[test]
    fn shares_tell_the_variant() {
        let shares = [v1::Share {
            variant: "v2".into(),
            ppm: 100_000,
            ranges: vec![v1::BucketRange {
                start: 0,
                end: 100_000,
            }],
        }];
        assert_eq!(owner(99_999, &shares), Ok(Some("v2".to_owned())));
        assert_eq!(owner(100_000, &shares), Ok(None));
        assert_eq!(answer(7, Some("v2")), json!({"bucket": 7, "variant": "v2"}));
        assert_eq!(answer(7, None), json!({"bucket": 7}));
    }
}
