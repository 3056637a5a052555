//! The sidecars: who is connected, what each holds, how far each has reported.

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
    pub(super) issuer: u32,
    pub(super) key: IdKey,
    /// Reports up to here have been taken; they are on disk after the next commit.
    pub(super) taken_seq: u64,
}

/// Every sidecar that was ever seen by this process, and every incarnation on disk.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    pub(super) sidecars: BTreeMap<String, Sidecar>,
    pub(super) sources: BTreeMap<u64, Source>,
    issuers: BTreeMap<u32, u64>,
    last_session: u64,
    pub(super) last_issuer: u32,
}

impl Fleet {
    /// Takes back what is on disk.
    pub(super) fn restore(&mut self, sources: &[stored::Source], last_issuer: u64) {
        self.last_issuer = u32::try_from(last_issuer).unwrap_or(u32::MAX);
        for stored in sources {
            let secret = stored.id_key.as_slice().try_into().unwrap_or([0; 16]);
            let id = u8::try_from(stored.id_key_id % 256).unwrap_or(0);
            let issuer = u32::try_from(stored.issuer).unwrap_or(0);
            self.issuers.insert(issuer, stored.incarnation);
            let source = Source {
                sidecar: stored.sidecar.clone(),
                issuer,
                key: IdKey { id, secret },
                taken_seq: stored.committed_seq,
            };
            self.sources.insert(stored.incarnation, source);
        }
    }

    /// The source of an incarnation; a new one gets a number that was never used, and the key `secret`. Whether it is
    /// new: then it must be on disk before anybody hears of the number.
    pub(super) fn source(
        &mut self,
        sidecar: &str,
        incarnation: u64,
        secret: [u8; 16],
    ) -> (&mut Source, bool) {
        let new = !self.sources.contains_key(&incarnation);
        if new {
            self.last_issuer += 1;
            self.issuers.insert(self.last_issuer, incarnation);
        }
        let issuer = self.last_issuer;
        let source = self.sources.entry(incarnation).or_insert_with(|| Source {
            sidecar: sidecar.to_owned(),
            issuer,
            key: IdKey { id: 1, secret },
            taken_seq: 0,
        });
        (source, new)
    }

    /// An incarnation as it is stored.
    pub(super) fn stored(&self, incarnation: u64) -> Option<stored::Source> {
        let source = self.sources.get(&incarnation)?;
        Some(stored::Source {
            sidecar: source.sidecar.clone(),
            incarnation,
            issuer: source.issuer.into(),
            committed_seq: source.taken_seq,
            id_key: source.key.secret.to_vec(),
            id_key_id: source.key.id.into(),
        })
    }

    /// Who issued a prediction id.
    pub(super) fn issuer(&self, issuer: u32) -> Option<&Source> {
        self.sources.get(self.issuers.get(&issuer)?)
    }

    /// A stream began; an earlier one of the same sidecar is told that it was replaced. Returns the number of the
    /// stream, the incarnation that is gone (if another one was there), and the notice of its own replacement.
    pub(super) fn attach(
        &mut self,
        hello: &v1::Hello,
        now_ms: u64,
    ) -> (u64, Option<u64>, watch::Receiver<bool>) {
        self.last_session += 1;
        let (replaced, notice) = watch::channel(false);
        let session = Session {
            id: self.last_session,
            replaced,
        };
        let held = hello.held.iter().map(|held| {
            let fence = fence(held.fence.as_ref());
            (
                held.model.clone(),
                Holding {
                    fence,
                    rejection: None,
                },
            )
        });
        let sidecar = Sidecar {
            incarnation: hello.incarnation,
            version: hello.version.clone(),
            models: hello.models.clone(),
            session: Some(session),
            last_seen_ms: now_ms,
            holding: held.collect(),
            variants: Vec::new(),
            reported_lost: false,
        };
        let before = self.sidecars.insert(hello.sidecar.clone(), sidecar);
        let gone = before.and_then(|before| {
            if let Some(old) = &before.session {
                old.replaced.send_replace(true);
            }
            (before.incarnation != hello.incarnation).then_some(before.incarnation)
        });
        (self.last_session, gone, notice)
    }

    /// The sidecar of a stream, unless a newer stream replaced it.
    pub(super) fn by_session(&mut self, session: u64) -> Option<(&str, &mut Sidecar)> {
        self.sidecars
            .iter_mut()
            .find(|(_, sidecar)| sidecar.session.as_ref().is_some_and(|s| s.id == session))
            .map(|(name, sidecar)| (name.as_str(), sidecar))
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
            facts.current += u32::from(holding.fence >= wanted);
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
