//! The sidecars: who is connected, what each holds, how far each has reported.

use super::FORGET_AFTER_MS;
use super::quarantine::Quarantine;
use serinus_common::fence::Fence;
use serinus_common::prediction_id::IdKey;
use serinus_core::ledger::report::Pace;
use serinus_core::rollout::FleetFacts;
use serinus_core::selector::selects;
use serinus_proto::{stored::v1 as stored, v1};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::watch;

/// What one sidecar said about one model.
#[derive(Clone, Debug, Default)]
pub(super) struct Holding {
    pub(super) fence: Fence,
    /// No canary has been ready there since it got it.
    pub(super) warming: bool,
    /// For lack of contact the canaries' share is back with stable, or on its way.
    pub(super) reverted: bool,
    pub(super) rejection: Option<(Fence, String)>,
}

impl Holding {
    /// On the assignment, with its canaries.
    fn is_current(&self, wanted: Fence) -> bool {
        self.fence == wanted && !self.warming
    }

    /// Went back to stable under the present decision, whoever signed it.
    fn has_reverted(&self, wanted: Fence) -> bool {
        let decision = |fence: Fence| (fence.generation, fence.revision);
        self.reverted && decision(self.fence) == decision(wanted)
    }
}

/// One sidecar, by its name.
#[derive(Debug)]
pub(super) struct Sidecar {
    pub(super) incarnation: u64,
    /// Number of the incarnation.
    pub(super) issuer: u32,
    pub(super) version: String,
    pub(super) models: Vec<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) session: Option<Session>,
    pub(super) last_seen_ms: u64,
    pub(super) holding: BTreeMap<String, Holding>,
    pub(super) variants: Vec<v1::VariantStatus>,
    pub(super) reported_lost: bool,
    /// It has shown a later instruction than any of ours.
    pub(super) ahead: bool,
}

impl Sidecar {
    /// What it says that it holds.
    pub(super) fn holds(&mut self, held: &[v1::HeldAssignment]) {
        for held in held {
            if let Some(holding) = self.holding.get_mut(&held.model) {
                holding.fence = fence(held.fence.as_ref());
                holding.warming = held.warming;
                holding.reverted = held.reverted;
            }
        }
    }

    /// What it said of one model's canary.
    fn canary<'a>(
        &'a self,
        model: &'a str,
        canary: &'a str,
    ) -> impl Iterator<Item = &'a v1::VariantStatus> {
        let here = self.variants.iter().filter(move |of| of.model == model);
        here.filter(move |of| of.variant == canary)
    }
}

/// The stream of a connected sidecar.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: u64,
    pub(super) replaced: watch::Sender<bool>,
}

/// One incarnation, as its reports and prediction ids know it.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) sidecar: String,
    pub(super) incarnation: u64,
    pub(super) key: IdKey,
    /// Reports up to here have been taken; they are on disk after the next commit.
    pub(super) taken_seq: u64,
    /// When it was last heard of, unix milliseconds.
    pub(super) heard_ms: u64,
    /// How much it has reported, since the start of this process.
    pub(super) pace: Pace,
}

/// The sidecars that this process has seen lately, and every incarnation on disk.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    pub(super) sidecars: BTreeMap<String, Sidecar>,
    /// By issuer number.
    sources: BTreeMap<u32, Source>,
    /// Issuer number by name and incarnation: two sidecars may have drawn the same incarnation.
    issuers: BTreeMap<(String, u64), u32>,
    /// Name by number of the open stream.
    sessions: BTreeMap<u64, String>,
    last_session: u64,
    pub(super) last_issuer: u32,
    version: u64,
}

impl Fleet {
    /// Changes whenever anything does that [`Fleet::facts`] or [`Fleet::view`] answer.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Whether a sidecar says that it serves a model.
    pub(super) fn serves(&self, sidecar: &str, model: &str) -> bool {
        let known = self.sidecars.get(sidecar);
        known.is_some_and(|sidecar| sidecar.models.iter().any(|name| name == model))
    }

    /// Takes back what is on disk.
    /// Those of before it was kept when they were heard of are heard of now.
    pub(super) fn restore(&mut self, sources: &[stored::Source], last_issuer: u64, now_ms: u64) {
        self.last_issuer = u32::try_from(last_issuer).unwrap_or(u32::MAX);
        for stored in sources {
            let secret = stored.id_key.as_slice().try_into().unwrap_or([0; 16]);
            let id = u8::try_from(stored.id_key_id % 256).unwrap_or(0);
            let issuer = u32::try_from(stored.issuer).unwrap_or(0);
            self.last_issuer = self.last_issuer.max(issuer);
            let name = (stored.sidecar.clone(), stored.incarnation);
            self.issuers.insert(name, issuer);
            let source = Source {
                sidecar: stored.sidecar.clone(),
                incarnation: stored.incarnation,
                key: IdKey { id, secret },
                taken_seq: stored.committed_seq,
                heard_ms: match stored.heard_ms {
                    0 => now_ms,
                    heard_ms => heard_ms,
                },
                pace: Pace::default(),
            };
            self.sources.insert(issuer, source);
        }
    }

    /// The source of an incarnation, by its issuer number; a new one gets a number that was never used, and the key
    /// `secret`. Whether it is new: then it must be on disk before anybody hears of the number.
    pub(super) fn source(
        &mut self,
        sidecar: &str,
        incarnation: u64,
        secret: [u8; 16],
    ) -> (u32, &mut Source, bool) {
        let name = (sidecar.to_owned(), incarnation);
        let known = self.issuers.get(&name).copied();
        let issuer = known.unwrap_or_else(|| {
            self.last_issuer += 1;
            self.issuers.insert(name, self.last_issuer);
            self.last_issuer
        });
        let source = self.sources.entry(issuer).or_insert_with(|| Source {
            sidecar: sidecar.to_owned(),
            incarnation,
            key: IdKey { id: 1, secret },
            taken_seq: 0,
            heard_ms: 0,
            pace: Pace::default(),
        });
        (issuer, source, known.is_none())
    }

    /// Whether an incarnation has a number already.
    pub(super) fn knows(&self, sidecar: &str, incarnation: u64) -> bool {
        self.issuers
            .contains_key(&(sidecar.to_owned(), incarnation))
    }

    /// An incarnation as it is stored.
    pub(super) fn stored(&self, issuer: u32) -> Option<stored::Source> {
        let source = self.sources.get(&issuer)?;
        Some(stored::Source {
            sidecar: source.sidecar.clone(),
            incarnation: source.incarnation,
            issuer: issuer.into(),
            committed_seq: source.taken_seq,
            id_key: source.key.secret.to_vec(),
            id_key_id: source.key.id.into(),
            heard_ms: source.heard_ms,
        })
    }

    /// Name of the sidecar behind a source.
    pub(super) fn name_of(&self, source: u64) -> String {
        let issuer = u32::try_from(source).unwrap_or(0);
        let source = self.sources.get(&issuer);
        source.map_or_else(
            || format!("source {issuer}"),
            |source| source.sidecar.clone(),
        )
    }

    /// How much an incarnation has reported.
    pub(super) fn pace(&self, issuer: u32) -> Pace {
        let source = self.sources.get(&issuer);
        source.map(|source| source.pace).unwrap_or_default()
    }

    pub(super) fn set_pace(&mut self, issuer: u32, pace: Pace) {
        if let Some(source) = self.sources.get_mut(&issuer) {
            source.pace = pace;
        }
    }

    /// Who issued a prediction id.
    pub(super) fn issuer(&self, issuer: u32) -> Option<&Source> {
        self.sources.get(&issuer)
    }

    /// A stream of an incarnation began; an earlier one of the same sidecar is told that it was replaced. Returns the
    /// number of the stream, the incarnation that is gone (if another one was there), by its issuer number, and the
    /// notice of its own replacement.
    pub(super) fn attach(
        &mut self,
        hello: &v1::Hello,
        issuer: u32,
        now_ms: u64,
    ) -> (u64, Option<u32>, watch::Receiver<bool>) {
        self.version += 1;
        self.last_session += 1;
        let (replaced, notice) = watch::channel(false);
        let session = Session {
            id: self.last_session,
            replaced,
        };
        self.sessions.insert(session.id, hello.sidecar.clone());
        let before = self.sidecars.remove(&hello.sidecar);
        let mut sidecar = Sidecar {
            incarnation: hello.incarnation,
            issuer,
            version: hello.version.clone(),
            models: hello.models.clone(),
            labels: hello.labels.clone(),
            session: Some(session),
            last_seen_ms: now_ms,
            holding: holding(hello, before.as_ref()),
            variants: Vec::new(),
            reported_lost: false,
            ahead: false,
        };
        let gone = before.and_then(|before| {
            if let Some(old) = &before.session {
                self.sessions.remove(&old.id);
                old.replaced.send_replace(true);
            }
            if before.issuer == issuer {
                // A new stream of the same process: its breakers are as they were.
                sidecar.variants = before.variants;
                return None;
            }
            Some(before.issuer)
        });
        self.sidecars.insert(hello.sidecar.clone(), sidecar);
        (self.last_session, gone, notice)
    }

    /// Something was heard of an incarnation outside of a stream.
    pub(super) fn heard(&mut self, hello: &v1::Hello, now_ms: u64) {
        self.version += 1;
        let known = self.sidecars.get_mut(&hello.sidecar);
        if let Some(sidecar) = known.filter(|of| of.incarnation == hello.incarnation) {
            sidecar.last_seen_ms = now_ms;
            sidecar.holds(&hello.held);
        }
    }

    /// The sidecar of a stream, unless a newer stream replaced it. The caller is about to change it.
    pub(super) fn by_session(&mut self, session: u64) -> Option<(&str, &mut Sidecar)> {
        self.version += 1;
        let name = self.sessions.get(&session)?;
        let sidecar = self.sidecars.get_mut(name)?;
        Some((name, sidecar))
    }

    /// The stream of a sidecar ended; the incarnation that it belonged to, by its issuer number.
    pub(super) fn detach(&mut self, session: u64, now_ms: u64) -> Option<u32> {
        let (_, sidecar) = self.by_session(session)?;
        sidecar.session = None;
        sidecar.last_seen_ms = now_ms;
        let issuer = sidecar.issuer;
        self.sessions.remove(&session);
        Some(issuer)
    }

    /// Forgets sidecars that have been gone for long. Their sources stay: labels may come for days.
    pub(super) fn forget(&mut self, now_ms: u64) {
        let known = self.sidecars.len();
        self.sidecars.retain(|_, sidecar| {
            sidecar.session.is_some() || sidecar.last_seen_ms + FORGET_AFTER_MS > now_ms
        });
        self.version += u64::from(self.sidecars.len() != known);
    }

    /// Forgets incarnations that were not heard of since, and are not connected; their names and numbers. The numbers
    /// are never given again.
    pub(super) fn forget_silent(&mut self, since_ms: u64) -> Vec<(String, u64)> {
        let connected: BTreeSet<u32> = self
            .sidecars
            .values()
            .filter(|sidecar| sidecar.session.is_some())
            .map(|sidecar| sidecar.issuer)
            .collect();
        let silent: Vec<u32> = self
            .sources
            .iter()
            .filter(|(issuer, source)| source.heard_ms < since_ms && !connected.contains(issuer))
            .map(|(issuer, _)| *issuer)
            .collect();
        let removed = silent
            .iter()
            .filter_map(|issuer| self.sources.remove(issuer));
        let silent: Vec<_> = removed
            .map(|source| (source.sidecar, source.incarnation))
            .collect();
        for name in &silent {
            self.issuers.remove(name);
        }
        silent
    }

    /// Connected sidecars that serve a model.
    pub(super) fn serving<'a>(
        &'a self,
        model: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Sidecar)> {
        self.sidecars
            .iter()
            .filter(move |(_, s)| s.session.is_some() && s.models.iter().any(|name| name == model))
    }

    /// Sidecars with an open stream.
    pub(super) fn connected(&self) -> usize {
        self.sessions.len()
    }

    /// Something changed that the answers depend on and that is not kept here.
    pub(super) fn touch(&mut self) {
        self.version += 1;
    }

    /// The part of the requests to a model, 0..=1, that sidecars in quarantine answer, as far as is known.
    pub(super) fn quarantined_share(&self, model: &str, quarantine: &Quarantine) -> f64 {
        let (mut refused, mut all) = (0.0, 0.0);
        for (name, sidecar) in self.serving(model) {
            let source = self.sources.get(&sidecar.issuer);
            let rate = source.map_or(0.0, |source| source.pace.rate());
            all += rate;
            if quarantine.why(name, sidecar.incarnation).is_some() {
                refused += rate;
            }
        }
        if all > 0.0 { refused / all } else { 0.0 }
    }

    /// What the state machine wants to know about them. `wanted`: the fence of the model's present assignment.
    pub(super) fn facts(
        &self,
        (model, canary): (&str, &str),
        wanted: Fence,
        selector: Option<&v1::Selector>,
        quarantine: &Quarantine,
    ) -> FleetFacts {
        let mut facts = FleetFacts::default();
        for (name, sidecar) in self.serving(model) {
            facts.serving += 1;
            if !selects(selector, &sidecar.labels) {
                continue;
            }
            facts.connected += 1;
            facts.not_ready += u32::from(sidecar.canary(model, canary).any(|of| !of.ready));
            let refused = quarantine.why(name, sidecar.incarnation).is_some();
            facts.quarantined += u32::from(refused);
            let Some(holding) = sidecar.holding.get(model) else {
                continue;
            };
            // One that holds a later fence is somebody else's.
            facts.current += u32::from(holding.is_current(wanted));
            facts.warming += u32::from(holding.fence == wanted && holding.warming);
            facts.reverted += u32::from(holding.has_reverted(wanted));
            if let Some((_, detail)) = holding
                .rejection
                .as_ref()
                .filter(|(fence, _)| *fence == wanted)
            {
                facts.rejected += 1;
                if facts.rejection.is_empty() {
                    facts.rejection.clone_from(detail);
                }
            }
        }
        facts
    }

    /// The same for display.
    pub(super) fn view(
        &self,
        (model, canary): (&str, &str),
        wanted: Fence,
        selector: Option<&v1::Selector>,
        quarantine: &Quarantine,
    ) -> v1::Fleet {
        let facts = self.facts((model, canary), wanted, selector, quarantine);
        let mut fleet = v1::Fleet {
            serving: facts.serving,
            connected: facts.connected,
            current: facts.current,
            rejected: facts.rejected,
            rejection: facts.rejection,
            stable_ready: facts.connected > 0,
            canary_ready: facts.connected > 0,
            breakers_open: 0,
            warming: facts.warming,
            canary_not_ready: facts.not_ready,
            killed: 0,
            reverted: facts.reverted,
            stale: 0,
            quarantined: facts.quarantined,
        };
        let serving = self.serving(model);
        for (_, sidecar) in serving.filter(|(_, of)| selects(selector, &of.labels)) {
            let has = |what: fn(&v1::VariantStatus) -> bool| {
                u32::from(sidecar.canary(model, canary).any(what))
            };
            fleet.killed += has(|of| of.killed);
            fleet.stale += has(|of| of.stale);
            for variant in sidecar
                .variants
                .iter()
                .filter(|variant| variant.model == model)
            {
                if variant.variant == canary {
                    fleet.canary_ready &= variant.ready;
                    fleet.breakers_open += u32::from(variant.breaker_open);
                } else {
                    fleet.stable_ready &= variant.ready;
                }
            }
        }
        fleet
    }
}

/// What a sidecar says that it holds. What it refused before it refuses still, until it says otherwise: else each new
/// stream would refuse it as if for the first time.
fn holding(hello: &v1::Hello, before: Option<&Sidecar>) -> BTreeMap<String, Holding> {
    let models = hello.models.iter().map(|model| {
        let before = before.and_then(|before| before.holding.get(model));
        let rejection = before.and_then(|holding| holding.rejection.clone());
        let holding = Holding {
            rejection,
            ..Holding::default()
        };
        (model.clone(), holding)
    });
    let mut holding: BTreeMap<String, Holding> = models.collect();
    for held in &hello.held {
        if let Some(holding) = holding.get_mut(&held.model) {
            holding.fence = fence(held.fence.as_ref());
            holding.warming = held.warming;
            holding.reverted = held.reverted;
        }
    }
    holding
}

/// A fence from the wire; the least one if there is none.
pub(super) fn fence(wire: Option<&v1::Fence>) -> Fence {
    wire.map_or_else(Fence::default, |fence| Fence {
        generation: fence.generation,
        term: fence.term,
        revision: fence.revision,
    })
}

/// A fence for the wire.
pub(super) fn fence_to_wire(fence: Fence) -> v1::Fence {
    v1::Fence {
        generation: fence.generation,
        term: fence.term,
        revision: fence.revision,
    }
}
