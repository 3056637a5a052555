//! What every store has to do. Each engine runs all of it.

use super::memory::{Disk, MemoryStore};
use super::sled::{Options, SledStore};
use super::{Batch, Store, StoreError};
use serinus_proto::stored::v1 as stored;
use serinus_proto::v1;

/// Somewhere a store can be opened again and again.
pub(super) trait Place {
    type Opened: Store;
    fn new() -> Self;
    /// Opens what is there, without a word to whoever had it before.
    fn open(&self) -> Self::Opened;
}

impl Place for Disk {
    type Opened = MemoryStore;

    fn new() -> Self {
        Self::default()
    }

    fn open(&self) -> MemoryStore {
        MemoryStore::open(self.clone())
    }
}

impl Place for tempfile::TempDir {
    type Opened = SledStore;

    fn new() -> Self {
        tempfile::tempdir().unwrap()
    }

    fn open(&self) -> SledStore {
        SledStore::open(&Options::new(self.path())).unwrap()
    }
}

/// A record whose event carries `reason`.
pub(super) fn record(revision: u64, reason: &str) -> stored::LogRecord {
    stored::LogRecord {
        event: Some(v1::Event {
            revision,
            rollout: "r1".into(),
            reason: reason.into(),
            kind: Some(v1::event::Kind::Paused(v1::Paused { cause: 1 })),
            ..v1::Event::default()
        }),
        request_id: format!("request-{revision}"),
        request_digest: revision * 7,
        ..stored::LogRecord::default()
    }
}

/// A batch of records `from..=to`.
pub(crate) fn records(from: u64, to: u64) -> Batch {
    let records = (from..=to).map(|revision| record(revision, "why"));
    Batch {
        records: records.collect(),
        ..Batch::default()
    }
}

/// A slice that takes about a kilobyte.
pub(crate) fn slice(epoch: u64) -> stored::Slice {
    let sketch = v1::Sketch {
        index_deltas: vec![1; 300],
        counts: vec![300; 300],
    };
    let arm = stored::Arm {
        requests: 90_000,
        errors: epoch,
        latency: Some(sketch),
    };
    stored::Slice {
        epoch,
        stable: Some(arm),
        seconds: 1.0,
        ..stored::Slice::default()
    }
}

/// A commit with everything in it, of this revision.
pub(crate) fn everything(revision: u64) -> Batch {
    let mut batch = records(revision, revision);
    if revision == 1 {
        // So that there is a rollout for the rest to belong to.
        if let Some(event) = &mut batch.records[0].event {
            event.kind = Some(v1::event::Kind::Created(v1::Created::default()));
        }
    }
    batch.slices = vec![("r1".into(), revision, slice(revision))];
    batch.pending = vec![("r1".into(), pending(revision as usize * 100))];
    batch.sources = vec![source(&format!("s{revision}"), 1, revision)];
    batch.seen = vec![(b"k".to_vec(), vec![revision as u8; 100])];
    batch
}

/// A commit that takes something away.
pub(crate) fn removal(revision: u64) -> Batch {
    Batch {
        drop_pending: vec!["r1".into()],
        seen: vec![(revision.to_be_bytes().to_vec(), vec![1])],
        ..Batch::default()
    }
}

/// Changes a byte of an event, past sled's own checksums.
pub(crate) fn spoil(directory: &std::path::Path, revision: u64) {
    let db = ::sled::open(directory).unwrap();
    let key = [&b"e"[..], &revision.to_be_bytes(), &[0, 0]].concat();
    let mut value = db.get(&key).unwrap().unwrap().to_vec();
    value[30] ^= 1;
    db.insert(key, value).unwrap();
    db.flush().unwrap();
}

fn pending(length: usize) -> stored::Pending {
    let keys = v1::KeyStatistics {
        registers: vec![7; length],
        ..v1::KeyStatistics::default()
    };
    stored::Pending {
        keys: vec![keys],
        ..stored::Pending::default()
    }
}

fn source(sidecar: &str, incarnation: u64, committed_seq: u64) -> stored::Source {
    stored::Source {
        sidecar: sidecar.into(),
        incarnation,
        committed_seq,
        id_key: vec![1; 16],
        ..stored::Source::default()
    }
}

fn revisions(events: &[v1::Event]) -> Vec<u64> {
    events.iter().map(|event| event.revision).collect()
}

/// Each open is a new term, and nothing is lost between two.
fn everything_comes_back<P: Place>() {
    let place = P::new();
    let store = place.open();
    let meta = store.load().unwrap().meta;
    assert_eq!((meta.generation, meta.term), (1, 1));
    let mut batch = records(1, 3);
    batch.slices = vec![("r1".into(), 1, slice(4)), ("r2".into(), 1, slice(5))];
    batch.label_slices = vec![(
        "r1".into(),
        1,
        stored::LabelSlice {
            epoch: 6,
            ..Default::default()
        },
    )];
    batch.pending = vec![("r1".into(), pending(10)), ("r2".into(), pending(11))];
    batch.sources = vec![source("b", 1, 5), source("a", 2, 6)];
    batch.seen = vec![(b"key".to_vec(), vec![1, 2, 3])];
    let webhook = |name: &str, read| stored::Webhook {
        name: name.into(),
        read,
        outstanding: vec![2, 3],
    };
    batch.webhooks = vec![webhook("b", 3), webhook("a", 1), webhook("a", 2)];
    batch.meta = Some(stored::Meta {
        last_issuer: 9,
        ..meta
    });
    store.commit(&batch).unwrap();
    let before = store.load().unwrap();
    drop(store);

    let store = place.open();
    let after = store.load().unwrap();
    assert_eq!(
        after.meta,
        stored::Meta {
            term: 2,
            ..before.meta
        }
    );
    assert_eq!(after.meta.last_issuer, 9);
    assert_eq!(store.records(0, usize::MAX).unwrap(), batch.records);
    assert_eq!(after.sources, [source("a", 2, 6), source("b", 1, 5)]);
    assert_eq!(after.pending, batch.pending);
    assert_eq!(store.slices("r1", 0, usize::MAX).unwrap(), [(1, slice(4))]);
    assert_eq!(
        store.label_slices("r1", 0, usize::MAX).unwrap()[0].1.epoch,
        6
    );
    assert_eq!(store.seen(b"key").unwrap(), Some(vec![1, 2, 3]));
    assert_eq!(store.seen(b"ke").unwrap(), None);
    assert_eq!(
        store.webhooks().unwrap(),
        [webhook("a", 2), webhook("b", 3)]
    );
}

/// A log is read from any revision on, in order, without holes.
fn events_are_read_from_a_revision<P: Place>() {
    let place = P::new();
    let store = place.open();
    assert_eq!(
        (store.oldest_revision().unwrap(), store.last_revision()),
        (0, 0)
    );
    assert!(store.events(0, 10).unwrap().is_empty());
    store.commit(&records(1, 2)).unwrap();
    store.commit(&records(3, 300)).unwrap();
    assert_eq!(
        (store.oldest_revision().unwrap(), store.last_revision()),
        (1, 300)
    );
    assert_eq!(revisions(&store.events(0, 3).unwrap()), [1, 2, 3]);
    assert_eq!(
        revisions(&store.events(254, 4).unwrap()),
        [255, 256, 257, 258]
    );
    assert_eq!(revisions(&store.events(299, 9).unwrap()), [300]);
    assert!(store.events(300, 9).unwrap().is_empty());
    assert!(store.events(u64::MAX, 9).unwrap().is_empty());
}

/// A batch with a mistake changes nothing, and the store goes on.
fn mistakes_are_refused_whole<P: Place>() {
    let place = P::new();
    let store = place.open();
    store.commit(&records(1, 2)).unwrap();
    let meta = store.load().unwrap().meta;
    let other_term = stored::Meta {
        term: meta.term + 1,
        ..meta
    };
    let mut headless = records(3, 3);
    headless.records[0].event = None;
    let wrong = [
        records(2, 3),
        records(4, 4),
        headless,
        Batch {
            records: vec![record(3, ""), record(5, "")],
            ..Batch::default()
        },
        Batch {
            slices: vec![("r".into(), 0, slice(1))],
            ..records(3, 3)
        },
        Batch {
            meta: Some(other_term),
            ..records(3, 3)
        },
    ];
    for (position, batch) in wrong.iter().enumerate() {
        let error = store.commit(batch).unwrap_err();
        assert!(
            matches!(error, StoreError::Refused(_)),
            "{position}: {error}"
        );
        assert_eq!(store.last_revision(), 2, "{position}");
        assert_eq!(store.events(0, 9).unwrap().len(), 2, "{position}");
    }
    store.commit(&records(3, 3)).unwrap();
    assert_eq!(store.last_revision(), 3);
}

/// What is overwritten or dropped is gone, whatever its size was.
fn newest_values_win<P: Place>() {
    let place = P::new();
    let store = place.open();
    for length in [10, 200_000, 3, 20_000] {
        let batch = Batch {
            pending: vec![("r1".into(), pending(9)), ("r1".into(), pending(length))],
            sources: vec![source("a", 1, length as u64)],
            seen: vec![(b"k".to_vec(), vec![1; length])],
            ..Batch::default()
        };
        store.commit(&batch).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!(loaded.pending, [("r1".into(), pending(length))]);
        assert_eq!(loaded.sources[0].committed_seq, length as u64);
        assert_eq!(store.seen(b"k").unwrap(), Some(vec![1; length]));
    }
    store
        .commit(&Batch {
            drop_pending: vec!["r1".into(), "none".into()],
            ..Batch::default()
        })
        .unwrap();
    assert!(store.load().unwrap().pending.is_empty());
    let both = Batch {
        drop_pending: vec!["r1".into()],
        pending: vec![("r1".into(), pending(5))],
        ..Batch::default()
    };
    store.commit(&both).unwrap();
    drop(store);
    assert_eq!(place.open().load().unwrap().pending, both.pending);
}

/// Slices of one rollout come in order and never with those of another, however names begin.
fn slices_belong_to_their_rollout<P: Place>() {
    let place = P::new();
    let store = place.open();
    for seq in [300, 1, 256, 255, 2] {
        let slices = ["r", "r1", "r10", "s"].map(|rollout| (rollout.to_owned(), seq, slice(seq)));
        store
            .commit(&Batch {
                slices: slices.into(),
                ..Batch::default()
            })
            .unwrap();
    }
    for rollout in ["r", "r1", "r10", "s"] {
        let numbers: Vec<_> = store
            .slices(rollout, 0, usize::MAX)
            .unwrap()
            .iter()
            .map(|(seq, s)| (*seq, s.epoch))
            .collect();
        assert_eq!(numbers, [1, 2, 255, 256, 300].map(|n| (n, n)), "{rollout}");
    }
    let page = store.slices("r1", 2, 2).unwrap();
    assert_eq!(
        page.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        [255, 256]
    );
    assert!(store.slices("r1", u64::MAX, 2).unwrap().is_empty());
    assert!(store.slices("", 0, usize::MAX).unwrap().is_empty());
    assert!(store.label_slices("r", 0, usize::MAX).unwrap().is_empty());
}

/// Checkpoints come oldest first, and those that were replaced are gone.
fn checkpoints_belong_to_their_rollout<P: Place>() {
    let place = P::new();
    let store = place.open();
    let of = |slices: u64| stored::Checkpoint {
        slices,
        evidence: vec![slices as u8; 100_000],
        ..stored::Checkpoint::default()
    };
    for slices in [600, 1200, 1800] {
        let batch = Batch {
            checkpoints: vec![("r".into(), of(slices)), ("r1".into(), of(slices + 1))],
            drop_checkpoints: vec![("r".into(), slices.saturating_sub(1200))],
            ..Batch::default()
        };
        store.commit(&batch).unwrap();
    }
    drop(store);
    let store = place.open();
    assert_eq!(store.checkpoints("r").unwrap(), [of(1200), of(1800)]);
    assert_eq!(store.checkpoints("r1").unwrap().len(), 3);
    assert_eq!(store.checkpoints("").unwrap(), []);
}

/// An event of any size is kept, also one that is far larger than a page.
fn large_events_come_back<P: Place>() {
    let place = P::new();
    let store = place.open();
    let large = Batch {
        records: vec![record(1, &"x".repeat(300_000)), record(2, "y")],
        ..Batch::default()
    };
    store.commit(&large).unwrap();
    drop(store);
    let store = place.open();
    assert_eq!(store.records(0, usize::MAX).unwrap(), large.records);
    store.commit(&records(3, 3)).unwrap();
    assert_eq!(revisions(&store.events(1, 5).unwrap()), [2, 3]);
}

macro_rules! contract {
    ($engine:ident, $place:ty: $($rule:ident),+ $(,)?) => {
        mod $engine {
            $(#[test]
            fn $rule() {
                super::$rule::<$place>();
            })+
        }
    };
    ($($rule:ident),+ $(,)?) => {
        contract!(memory, crate::store::memory::Disk: $($rule),+);
        contract!(sled, tempfile::TempDir: $($rule),+);
    };
}

contract!(
    everything_comes_back,
    events_are_read_from_a_revision,
    mistakes_are_refused_whole,
    newest_values_win,
    slices_belong_to_their_rollout,
    large_events_come_back,
    checkpoints_belong_to_their_rollout,
);
