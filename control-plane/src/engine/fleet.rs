//! The sidecars: who is connected, what each holds, how far each has reported.

use super::FORGET_AFTER_MS;
use serinus_common::fence::Fence;
use serinus_common::prediction_id::IdKey;
use serinus_core::rollout::FleetFacts;
use serinus_proto::{stored::v1 as stored, v1};
use std::collections::BTreeMap;
use tokio::sync::watch;

/// What one sidecar said about one model.
#[derive(Clone, Debug, Default)]
pub(super) struct Holding {
    pub(super) fence: Fence,
    pub(super) rejection: Option<(Fence, String)>,
}

/// One sidecar, by its name.
#[derive(Debug)]
pub(super) struct Sidecar {
    pub(super) incarnation: u64,
    /// Number of the incarnation.
    pub(super) issuer: u32,
    pub(super) version: String,
    pub(super) models: Vec<String>,
    pub(super) session: Option<Session>,
    pub(super) last_seen_ms: u64,
    pub(super) holding: BTreeMap<String, Holding>,
    pub(super) variants: Vec<v1::VariantStatus>,
    pub(super) reported_lost: bool,
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
    pub(super) fn restore(&mut self, sources: &[stored::Source], last_issuer: u64) {
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
        });
        (issuer, source, known.is_none())
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
        })
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
            session: Some(session),
            last_seen_ms: now_ms,
            holding: holding(hello, before.as_ref()),
            variants: Vec::new(),
            reported_lost: false,
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

    /// Connected sidecars that serve a model.
    pub(super) fn serving<'a>(
        &'a self,
        model: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Sidecar)> {
        self.sidecars
            .iter()
            .filter(move |(_, s)| s.session.is_some() && s.models.iter().any(|name| name == model))
    }

    /// What the state machine wants to know about them. `wanted`: the fence of the model's present assignment.
    pub(super) fn facts(&self, model: &str, wanted: Fence) -> FleetFacts {
        let mut facts = FleetFacts::default();
        for (_, sidecar) in self.serving(model) {
            facts.connected += 1;
            let Some(holding) = sidecar.holding.get(model) else {
                continue;
            };
            // One that holds a later fence is somebody else's.
            facts.current += u32::from(holding.fence == wanted);
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
    pub(super) fn view(&self, model: &str, canary: &str, wanted: Fence) -> v1::Fleet {
        let facts = self.facts(model, wanted);
        let mut fleet = v1::Fleet {
            connected: facts.connected,
            current: facts.current,
            rejected: facts.rejected,
            rejection: facts.rejection,
            stable_ready: facts.connected > 0,
            canary_ready: facts.connected > 0,
            breakers_open: 0,
        };
        for (_, sidecar) in self.serving(model) {
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
        let fence = Fence::default();
        (model.clone(), Holding { fence, rejection })
    });
    let mut holding: BTreeMap<String, Holding> = models.collect();
    for held in &hello.held {
        if let Some(holding) = holding.get_mut(&held.model) {
            holding.fence = fence(held.fence.as_ref());
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
