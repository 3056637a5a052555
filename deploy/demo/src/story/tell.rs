//! The course of the story.

use super::fleet::Fleet;
use super::plans::{MODEL, plan};
use super::replay::replay_all;
use super::{Options, Screen, StepSplit, Story, Summary};
use crate::models::Digits;
use crate::traffic::{Config, Outcomes, Requests, Stats, Traffic};
use anyhow::{Context as _, Result, bail};
use serinus_proto::v1;
use serinus_proto::v1::rollouts_client::RolloutsClient;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use uuid::Uuid;

/// Neither rollout may take longer.
const LIMIT: Duration = Duration::from_secs(90);
/// The traffic ends by itself after this.
const TRAFFIC: Duration = Duration::from_secs(300);
/// How long a rate is tried before the story begins.
const TRIAL: Duration = Duration::from_secs(2);
/// Labels arrive this long after their prediction.
const LABEL_DELAY: Duration = Duration::from_secs(3);

pub(super) async fn tell(options: &Options, screen: &mut dyn Screen) -> Result<Summary> {
    screen.say("Training three models on the digits data set and starting a control plane, three sidecars and three model servers ...");
    let mut fleet = Fleet::start(options).await?;
    let traffic = start_traffic(options, &fleet)?;
    let rate = settle(options.rate, &traffic).await?;
    screen.say(&format!(
        "{rate:.0} requests/s from 20,000 users through 3 sidecars; true labels follow 3 s later."
    ));
    screen.say(&format!(
        "Watch it from another terminal: serinus --server http://{} rollout watch {MODEL}   (metrics: http://{}/metrics)",
        fleet.grpc, fleet.http
    ));
    let mut teller = Teller {
        rollouts: RolloutsClient::new(fleet.connect().await?),
        traffic,
        splits: Vec::new(),
    };
    screen.say("");
    screen.say("1. v1, a forest of 3 trees, serves. v2, a forest of 40, is better:");
    let better = plan(("v1", fleet.model("v1")?), ("v2", fleet.model("v2")?));
    let promoted = teller.rollout(&mut fleet, screen, &better, "v2").await?;
    screen.say("");
    screen.say("2. v2 serves. v3, a single small tree, is faster and never fails, and it is wrong every other time:");
    let worse = plan(("v2", fleet.model("v2")?), ("v3", fleet.model("v3")?));
    let rolled_back = teller.rollout(&mut fleet, screen, &worse, "v3").await?;
    let stats = teller.traffic.stop().await;
    let ids = [promoted.rollout.as_str(), rolled_back.rollout.as_str()];
    let replayed = replay_all(fleet.connect().await?, ids).await?;
    Ok(Summary {
        promoted,
        rolled_back,
        achieved_split: teller.splits,
        replayed,
        rate,
        requests: stats.ended,
        labels: stats.outcomes.delivered,
        seconds: stats.elapsed_ms as f64 / 1000.0,
        seed: options.seed,
    })
}

fn start_traffic(options: &Options, fleet: &Fleet) -> Result<Traffic> {
    let rows = Digits::split(options.seed).test;
    let mut config = Config::new(fleet.targets.clone(), Requests::digits(MODEL, &rows));
    config.rate = options.rate;
    config.duration = TRAFFIC;
    config.seed = options.seed;
    config.outcomes = Some(Outcomes {
        delay: LABEL_DELAY,
        ..Outcomes::default()
    });
    Ok(Traffic::start(config)?)
}

/// Lowers the rate until this machine carries it.
async fn settle(wanted: f64, traffic: &Traffic) -> Result<f64> {
    let mut rate = wanted;
    loop {
        let before = traffic.snapshot();
        sleep(TRIAL).await;
        let after = traffic.snapshot();
        let ended = (after.ended - before.ended) as f64;
        let carried = after.skipped == before.skipped && ended >= 0.9 * rate * TRIAL.as_secs_f64();
        if carried || rate <= 100.0 {
            return Ok(rate);
        }
        rate = (rate * 0.6).max(100.0);
        traffic.set_rate(rate)?;
    }
}

struct Teller {
    rollouts: RolloutsClient<Channel>,
    traffic: Traffic,
    splits: Vec<StepSplit>,
}

impl Teller {
    /// Applies a plan and shows it until it has ended.
    async fn rollout(
        &mut self,
        fleet: &mut Fleet,
        screen: &mut dyn Screen,
        plan: &str,
        canary: &str,
    ) -> Result<Story> {
        let before = self.traffic.snapshot();
        let plan =
            serinus_core::plan::parse(plan).map_err(|mistakes| anyhow::anyhow!("{mistakes:?}"))?;
        let stable = plan
            .stable
            .as_ref()
            .map_or_else(String::new, |stable| stable.name.clone());
        let request_id = Uuid::new_v4().to_string();
        let request = v1::ApplyRequest {
            request_id,
            plan: Some(plan),
            ..v1::ApplyRequest::default()
        };
        let id = self
            .rollouts
            .apply(request)
            .await
            .context("apply the plan")?
            .into_inner()
            .id;
        let ended = timeout(LIMIT, self.watch(fleet, screen, &id, canary)).await;
        let rollout = ended.with_context(|| {
            format!("{canary} was neither promoted nor rolled back in {LIMIT:?}")
        })??;
        let after = self.traffic.snapshot();
        Ok(story(&rollout, (&stable, canary), &before, &after))
    }

    async fn watch(
        &mut self,
        fleet: &mut Fleet,
        screen: &mut dyn Screen,
        id: &str,
        canary: &str,
    ) -> Result<v1::Rollout> {
        let request = v1::WatchRolloutRequest {
            rollout: id.to_owned(),
            min_interval: None,
        };
        let mut stream = self.rollouts.watch(request).await?.into_inner();
        while let Some(rollout) = stream.message().await? {
            fleet.all_alive()?;
            self.note_split(&rollout, canary);
            screen.rollout(&rollout);
            if matches!(rollout.state(), v1::State::Promoted | v1::State::RolledBack) {
                return Ok(rollout);
            }
        }
        bail!("the stream of the rollout ended early")
    }

    /// Keeps the last measured share of each step.
    fn note_split(&mut self, rollout: &v1::Rollout, canary: &str) {
        let (Some(achieved), Some(&asked)) = (rollout.achieved_share, rollout.split.get(canary))
        else {
            return;
        };
        let ended = matches!(rollout.state(), v1::State::Promoted | v1::State::RolledBack);
        if ended || asked <= 0.0 {
            return;
        }
        let step = rollout.step + 1;
        let now = StepSplit {
            variant: canary.to_owned(),
            step,
            asked,
            achieved,
        };
        match self
            .splits
            .iter_mut()
            .find(|split| split.variant == canary && split.step == step)
        {
            Some(split) => *split = now,
            None => self.splits.push(now),
        }
    }
}

fn story(
    rollout: &v1::Rollout,
    (stable, canary): (&str, &str),
    before: &Stats,
    after: &Stats,
) -> Story {
    let accuracy = |variant: &str| {
        let (then, now) = (before.variant(variant), after.variant(variant));
        let judged = now.judged.saturating_sub(then.judged);
        (judged > 0).then(|| now.right.saturating_sub(then.right) as f64 / judged as f64)
    };
    let cause = match rollout.cause() {
        v1::Cause::Unspecified => String::new(),
        cause => cause.as_str_name().trim_start_matches("CAUSE_").to_owned(),
    };
    Story {
        variant: canary.to_owned(),
        rollout: rollout.id.clone(),
        state: rollout
            .state()
            .as_str_name()
            .trim_start_matches("STATE_")
            .to_owned(),
        cause,
        decision: rollout
            .decision
            .as_ref()
            .map(|decision| decision.sentence.clone())
            .unwrap_or_default(),
        seconds_to_verdict: seconds(rollout),
        exposed_users: after
            .variant(canary)
            .exposed_users
            .saturating_sub(before.variant(canary).exposed_users),
        user_visible_errors: after.errors - before.errors,
        accuracy: accuracy(canary),
        stable_accuracy: accuracy(stable),
    }
}

/// From the rollout's creation to its end.
fn seconds(rollout: &v1::Rollout) -> f64 {
    let at = |time: Option<&prost_types::Timestamp>| {
        time.map_or(0.0, |time| {
            time.seconds as f64 + f64::from(time.nanos) / 1e9
        })
    };
    at(rollout.finished.as_ref()) - at(rollout.created.as_ref())
}
