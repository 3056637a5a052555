//! Everything at once, in virtual time: crashes before and after a commit, sidecars that restart, lose and repeat their
//! reports, commands right and wrong, labels late and twice. `SERINUS_CHAOS_SEEDS=FIRST..LAST` runs other seeds.

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serinus_control_plane::engine::{Command, CommandError, Verb};
use serinus_control_plane::store::Store as _;
use serinus_control_plane::store::memory::Disk;
use serinus_proto::v1::{self, State};
use serinus_tests::world::oracle::Oracle;
use serinus_tests::world::{Behaviour, Fault, Label, World};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use uuid::Uuid;

const MODEL: &str = "digits";
/// Virtual seconds of a run.
const SECONDS: u64 = 150;
const SEEDS: RangeInclusive<u64> = 1..=16;

fn seeds() -> Result<RangeInclusive<u64>> {
    let Ok(text) = std::env::var("SERINUS_CHAOS_SEEDS") else {
        return Ok(SEEDS);
    };
    let (first, last) = text.split_once("..").context("FIRST..LAST")?;
    Ok(first.parse()?..=last.parse()?)
}

/// A plan of short steps for whatever is stable now.
fn plan(random: &mut StdRng, canary: &str) -> Result<v1::Plan> {
    let warmup = match random.random_range(0..4) {
        0 => "warmup: {duration: 3s, share: 0.1}\n",
        1 => "warmup: {duration: 3s, share: 0.02}\n",
        _ => "",
    };
    let approval = if random.random_range(0..4) == 0 {
        ", approval: {timeout: 20s, then: hold}"
    } else {
        ""
    };
    let breach = ["rollback", "hold", "notify"][random.random_range(0..3)];
    let text = format!(
        "model: {MODEL}
stable: {{name: v0, endpoints: [\"http://127.0.0.1:1\"]}}
canary: {{name: {canary}, endpoints: [\"http://127.0.0.1:2\"]}}
{warmup}steps:
  - {{split: {{{canary}: 0.1, v0: 0.9}}, min_duration: 2s}}
  - {{split: {{{canary}: 0.5, v0: 0.5}}, min_duration: 2s{approval}}}
  - {{split: {{{canary}: 1.0}}, min_duration: 2s}}
bake: {{duration: 4s, holdback: 0.1}}
max_duration: 60s
on_no_evidence: {{after: 15s, then: hold}}
guardrails:
  - {{metric: error_rate, margin: 0.02}}
  - {{metric: latency, ratio: 2, slack: 20ms, on_breach: {breach}}}
  - {{metric: accuracy, margin: 0.1, label_window: 5s, required: false}}
"
    );
    serinus_core::plan::parse(&text).map_err(|mistakes| anyhow::anyhow!("{mistakes:?}"))
}

struct Chaos {
    world: World,
    oracle: Oracle,
    random: StdRng,
    /// Commands that were sent, with the answer if there was one.
    sent: Vec<(Command, Option<Result<String, String>>)>,
    names: u64,
    /// How rarely things go wrong, 1 or more.
    calm: u32,
    /// Labels that were sent once, to be sent again.
    labelled: Vec<Label>,
    seen: BTreeMap<&'static str, u64>,
}

impl Chaos {
    async fn new(seed: u64) -> Result<Self> {
        let mut world = World::new(Disk::default(), MODEL, 1 + seed % 4, seed).await?;
        world.rate = 150;
        world.trouble.labelled = 0.3;
        Ok(Self {
            world,
            oracle: Oracle::default(),
            random: StdRng::seed_from_u64(seed ^ 0xc4a0),
            sent: Vec::new(),
            names: 0,
            calm: [1, 3, 10][(seed % 3) as usize],
            labelled: Vec::new(),
            seen: BTreeMap::new(),
        })
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.random_range(0..n) == 0
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    async fn run(&mut self) -> Result<()> {
        for second in 0..SECONDS {
            self.second()
                .await
                .with_context(|| format!("second {second}"))?;
        }
        self.settle().await
    }

    async fn second(&mut self) -> Result<()> {
        self.weather();
        if self.one_in(3 + self.calm) {
            self.command().await?;
        }
        self.people().await?;
        let pushed = self.world.push().await;
        self.survive(pushed).await?;
        self.world.traffic();
        for number in 0..self.world.sidecars.len() {
            self.reports(number).await?;
        }
        self.labels().await?;
        if self.one_in(12 * self.calm) {
            self.note("crash");
            self.restart().await?;
        }
        self.oracle.follow(&self.world)?;
        self.oracle.check(&self.world)?;
        if self.one_in(10) {
            self.oracle.replay(&self.world)?;
        }
        Ok(())
    }

    /// How the variants behave, and the network.
    fn weather(&mut self) {
        if self.one_in(15 * self.calm) {
            let errors = [0.005, 0.005, 0.005, 0.03, 0.1, 1.0][self.random.random_range(0..6)];
            self.world.canary = Behaviour {
                error_rate: errors,
                latency_ms: [20.0, 20.0, 25.0, 90.0][self.random.random_range(0..4)],
            };
            self.world.trouble.breaker = errors > 0.5;
            self.world.trouble.hangs = self.one_in(12);
            self.world.trouble.accuracy.1 = [0.9, 0.9, 0.5][self.random.random_range(0..3)];
            self.world.rate = [0, 20, 150, 150, 150][self.random.random_range(0..5)];
            self.world.trouble.label_after_ms =
                [500, 2_000, 4_500, 9_000][self.random.random_range(0..4)];
        }
        if self.one_in(6 * self.calm) {
            let fault = if self.one_in(2) {
                Fault::Before
            } else {
                Fault::After
            };
            self.world.store.fail(fault);
        }
    }

    /// Sidecars that come and go.
    async fn people(&mut self) -> Result<()> {
        for number in 0..self.world.sidecars.len() {
            let of = &mut self.world.sidecars[number];
            match self.random.random_range(0..40 * self.calm) {
                0 => {
                    of.restart(self.random.random_range(1..=u64::MAX));
                    self.note("sidecar restart");
                }
                1 => of.clock_ms = self.random.random_range(-10_000..=10_000),
                2 => of.refuses = !of.refuses,
                3 => {
                    let gone = self.world.detach(number).await;
                    self.survive(gone).await?;
                }
                _ => {}
            }
            if !self.one_in(3) {
                let back = self.world.attach(number).await;
                self.survive(back).await?;
            }
        }
        Ok(())
    }

    /// After a failed commit the process ends, and another one starts.
    async fn survive<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(done) => Ok(Some(done)),
            Err(error) if self.world.is_up() => Err(error),
            Err(_) => {
                self.note("failed commit");
                self.nothing_was_shown_too_early()?;
                self.restart().await?;
                Ok(None)
            }
        }
    }

    /// What the engine that has just ended let be seen is on disk.
    fn nothing_was_shown_too_early(&self) -> Result<()> {
        let on_disk = self.world.store.last_revision();
        let views = self.world.handle.views();
        let rollouts = views.rollouts.values().map(|rollout| rollout.revision);
        let models = views.models.values().map(|model| model.revision);
        let told = *self.world.handle.watch_revision().borrow();
        let shown = rollouts.chain(models).chain([told]).max();
        ensure!(shown <= Some(on_disk), "{shown:?} of {on_disk}");
        Ok(())
    }

    async fn restart(&mut self) -> Result<()> {
        self.world.start()?;
        self.world.turn().await?;
        self.oracle.follow(&self.world)?;
        for number in 0..self.world.sidecars.len() {
            if !self.one_in(4) {
                self.world.attach(number).await?;
            }
        }
        Ok(())
    }

    /// Delivers, loses, repeats and reorders reports; the sidecar keeps them until they are acknowledged.
    async fn reports(&mut self, number: usize) -> Result<()> {
        let mut queue = self.world.sidecars[number].unacknowledged.clone();
        match self.random.random_range(0..12) {
            0 => queue.clear(),
            1 => queue.extend(queue.clone()),
            2 if queue.len() > 1 => queue.swap(0, 1),
            3 => queue.truncate(1),
            _ => {}
        }
        for report in queue {
            self.report(number, report).await?;
        }
        Ok(())
    }

    async fn report(&mut self, number: usize, report: v1::ReportRequest) -> Result<()> {
        // What was decided by now changes what the report counts for.
        self.oracle.follow(&self.world)?;
        let before = self.stored_seq(&report)?;
        let sent = self.world.send(number, report.clone()).await;
        // On disk is what counts, acknowledged or not.
        let stored = self.stored_seq(&report)?;
        if before < report.seq && stored >= report.seq {
            self.oracle.reported(&report, self.world.now_ms);
        }
        if let Ok(ack) = &sent {
            ensure!(ack.committed_seq == stored, "{ack:?}, {stored} on disk");
            ensure!(!ack.resend || report.seq > stored, "{ack:?}");
            self.oracle.forgotten(&report, ack.committed_seq)?;
        }
        self.survive(sent).await?;
        self.oracle.follow(&self.world)
    }

    fn stored_seq(&self, report: &v1::ReportRequest) -> Result<u64> {
        let sources = self.world.store.load()?.sources;
        let of = sources.iter().find(|source| {
            (source.sidecar.as_str(), source.incarnation)
                == (report.sidecar.as_str(), report.incarnation)
        });
        Ok(of.map_or(0, |source| source.committed_seq))
    }

    async fn labels(&mut self) -> Result<()> {
        let mut items = self.world.take_due();
        if self.one_in(3) {
            items.extend(items.clone());
        }
        for _ in 0..3 {
            if !self.labelled.is_empty() {
                let again = self.random.random_range(0..self.labelled.len());
                items.push(self.labelled[again].clone());
            }
        }
        self.labelled.extend(items.iter().cloned());
        // Until an answer comes.
        for _ in 0..3 {
            if items.is_empty() {
                break;
            }
            let outcomes = items.iter().map(|label| label.outcome.clone()).collect();
            let sent = self.world.send_labels(outcomes).await;
            let Some(statuses) = self.survive(sent).await? else {
                continue;
            };
            for (item, status) in items.iter().zip(statuses) {
                self.oracle.labelled(item, status)?;
                self.note(status.as_str_name());
            }
            break;
        }
        Ok(())
    }

    async fn command(&mut self) -> Result<()> {
        let command = match self.random.random_range(0..10) {
            // One that was sent before, answered or not.
            0 | 1 if !self.sent.is_empty() => {
                let again = self.random.random_range(0..self.sent.len());
                self.note("command again");
                return self.again(again).await;
            }
            _ => self.invent()?,
        };
        self.sent.push((command, None));
        self.again(self.sent.len() - 1).await
    }

    /// Sends a command until it is answered. What was answered before is answered alike.
    async fn again(&mut self, index: usize) -> Result<()> {
        for _ in 0..3 {
            let command = self.sent[index].0.clone();
            let revision = self.world.store.last_revision();
            let sent = self.world.command(command).await;
            let Some(answer) = self.survive(sent).await? else {
                continue;
            };
            self.oracle.follow(&self.world)?;
            let answer = answer
                .map(|done| done.id)
                .map_err(|error: CommandError| error.to_string());
            let known = self.sent[index].1.replace(answer.clone());
            if let (Some(Ok(before)), true) = (known, self.is_logged(index)?) {
                ensure!(
                    answer.as_ref() == Ok(&before),
                    "{answer:?}, before {before}"
                );
            }
            self.note(if answer.is_ok() { "done" } else { "refused" });
            self.is_on_disk(index, &answer, revision)?;
            return Ok(());
        }
        Ok(())
    }

    fn is_logged(&self, index: usize) -> Result<bool> {
        let id = request_id(&self.sent[index].0);
        let records = self.world.store.records(0, usize::MAX)?;
        Ok(records.iter().any(|record| record.request_id == id))
    }

    /// A command that was acknowledged and changed something is in the log under its request id.
    fn is_on_disk(
        &self,
        index: usize,
        answer: &Result<String, String>,
        revision: u64,
    ) -> Result<()> {
        let records = self.world.store.records(0, usize::MAX)?;
        let mut later = records.iter().filter(|record| {
            let event = record.event.as_ref();
            event.is_some_and(|event| event.revision > revision && event.actor == "operator")
        });
        let id = request_id(&self.sent[index].0);
        ensure!(
            answer.is_ok() || later.next().is_none(),
            "refused, and done all the same"
        );
        let all = later.all(|record| record.request_id == id || record.request_id.is_empty());
        ensure!(all, "an event of another command");
        Ok(())
    }

    /// Something that an operator may ask for, sensible or not.
    fn invent(&mut self) -> Result<Command> {
        let views = self.world.handle.views();
        let now = views.find(MODEL);
        let active = now.filter(|of| !matches!(of.state(), State::Promoted | State::RolledBack));
        let revision = match self.random.random_range(0..4) {
            0 => 0,
            1 => self.random.random_range(0..100),
            _ => now.map_or(0, |rollout| rollout.revision),
        };
        let request_id = Uuid::now_v7().to_string();
        let queued = views
            .rollouts
            .values()
            .find(|of| of.state() == State::Queued);
        if let Some(queued) = queued.filter(|_| self.one_in(12)) {
            return Ok(Command::Cancel(v1::CommandRequest {
                rollout: queued.id.clone(),
                request_id,
                ..v1::CommandRequest::default()
            }));
        }
        if active.is_none() && self.one_in(4) {
            return Ok(Command::Undo(v1::CommandRequest {
                rollout: MODEL.to_owned(),
                request_id,
                ..v1::CommandRequest::default()
            }));
        }
        if active.is_none() || self.one_in(25) {
            self.names += 1;
            let mut plan = plan(&mut self.random, &format!("v{}", self.names))?;
            if let Some(model) = views.models.get(MODEL) {
                stands_on(&mut plan, model.stable.as_ref());
            }
            let mut request = v1::ApplyRequest {
                request_id,
                plan: Some(plan),
                ..v1::ApplyRequest::default()
            };
            if self.one_in(2) {
                request.set_on_active(v1::apply_request::OnActive::Supersede);
            } else if self.one_in(2) {
                request.set_on_active(v1::apply_request::OnActive::Queue);
            }
            return Ok(Command::Apply(request));
        }
        let rollout = MODEL.to_owned();
        let plain = v1::CommandRequest {
            rollout: rollout.clone(),
            request_id: request_id.clone(),
            expected_revision: revision,
            reason: "chaos".to_owned(),
            validate_only: self.one_in(10),
            force: false,
        };
        Ok(match self.random.random_range(0..12) {
            0 => Command::Verb(Verb::Pause, plain),
            1..4 => Command::Verb(Verb::Resume, plain),
            4 | 5 => Command::Verb(Verb::Approve, plain),
            6 if self.one_in(4) => Command::Verb(Verb::Rollback, plain),
            6 if self.one_in(4) => Command::Verb(Verb::Reject, plain),
            7 => Command::SetSplit(self.split(active.map(|of| &**of), plain)),
            _ => Command::Promote(v1::PromoteRequest {
                rollout,
                request_id,
                expected_revision: revision,
                all: self.one_in(8),
                ..v1::PromoteRequest::default()
            }),
        })
    }

    fn split(
        &mut self,
        active: Option<&v1::Rollout>,
        of: v1::CommandRequest,
    ) -> v1::SetSplitRequest {
        let share = [0.0, 0.05, 0.3, 0.7, 1.0, 1.5][self.random.random_range(0..6)];
        let plan = active
            .and_then(|active| active.plan.clone())
            .unwrap_or_default();
        let canary = plan.canaries.first().map_or("", |canary| &canary.name);
        let stable = plan.stable.as_ref().map_or("", |stable| &stable.name);
        v1::SetSplitRequest {
            rollout: of.rollout,
            request_id: of.request_id,
            expected_revision: of.expected_revision,
            reason: of.reason,
            split: [(canary.to_owned(), share), (stable.to_owned(), 1.0 - share)].into(),
            force: self.one_in(2),
            ..v1::SetSplitRequest::default()
        }
    }

    /// The faults stop: within a minute every sidecar is where it should be.
    async fn settle(&mut self) -> Result<()> {
        self.world.store.fail(Fault::None);
        for of in &mut self.world.sidecars {
            of.refuses = false;
            of.clock_ms = 0;
        }
        for number in 0..self.world.sidecars.len() {
            // What was refused is not sent again on the same stream.
            self.world.detach(number).await?;
        }
        self.world.attach_all().await?;
        for _ in 0..5 {
            self.world.push().await?;
            self.world.traffic();
            for number in 0..self.world.sidecars.len() {
                for report in self.world.sidecars[number].unacknowledged.clone() {
                    self.report(number, report).await?;
                }
            }
            self.labels().await?;
        }
        self.oracle.follow(&self.world)?;
        self.oracle.check(&self.world)?;
        self.oracle.replay(&self.world)?;
        for of in &self.world.sidecars {
            ensure!(of.unacknowledged.is_empty(), "{of:?}");
        }
        let fences: BTreeSet<_> = self
            .world
            .sidecars
            .iter()
            .map(|of| format!("{:?}", of.held().map(|held| held.fence)))
            .collect();
        ensure!(fences.len() == 1, "{fences:?}");
        Ok(())
    }
}

/// The plan's splits under the name that the stable variant has by now.
fn stands_on(plan: &mut v1::Plan, stable: Option<&v1::Variant>) {
    let Some(stable) = stable else { return };
    plan.stable = None;
    for step in &mut plan.steps {
        if let Some(share) = step.split.remove("v0") {
            step.split.insert(stable.name.clone(), share);
        }
    }
}

fn request_id(command: &Command) -> &str {
    match command {
        Command::Apply(request) => &request.request_id,
        Command::Verb(_, request) | Command::Undo(request) | Command::Cancel(request) => {
            &request.request_id
        }
        Command::Promote(request) => &request.request_id,
        Command::SetSplit(request) => &request.request_id,
    }
}

async fn all(seeds: RangeInclusive<u64>) -> Result<BTreeMap<&'static str, u64>> {
    let mut seen: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in seeds {
        let mut chaos = Chaos::new(seed).await?;
        chaos
            .run()
            .await
            .with_context(|| format!("seed {seed}; before that {:?}", chaos.seen))?;
        for rollout in chaos.oracle.rollouts().values() {
            *seen.entry(rollout.state.as_str_name()).or_default() += 1;
        }
        for (what, n) in chaos.seen {
            *seen.entry(what).or_default() += n;
        }
    }
    Ok(seen)
}

#[tokio::test]
async fn whatever_happens_nothing_is_lost_and_nothing_counted_twice() -> Result<()> {
    let seen = Box::pin(all(seeds()?)).await?;
    println!("{seen:#?}");
    if std::env::var_os("SERINUS_CHAOS_SEEDS").is_some() {
        return Ok(());
    }
    for what in [
        "crash",
        "failed commit",
        "sidecar restart",
        "command again",
        "done",
        "refused",
        "OUTCOME_STATUS_JOINED",
        "OUTCOME_STATUS_DUPLICATE",
        "OUTCOME_STATUS_EXPIRED",
        "STATE_PROMOTED",
        "STATE_ROLLED_BACK",
    ] {
        ensure!(seen.contains_key(what), "{what} never happened");
    }
    Ok(())
}
