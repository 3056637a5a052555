//! Damage, crashes and full disks.

use super::{Options, SledStore};
use crate::store::contract::{everything, record, records, slice};
use crate::store::{Batch, Store, StoreError, Urgency};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

fn open(path: &Path) -> Result<SledStore, StoreError> {
    SledStore::open(&Options::new(path))
}

/// A copy of a directory as it is now: what a kill leaves.
fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_into(from, to.path());
    to
}

fn copy_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_into(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn refusal(path: &Path) -> String {
    let error = open(path).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    error.to_string()
}

#[test]
fn every_acknowledged_commit_survives_a_kill() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    for revision in 1..=40 {
        let mut batch = records(revision, revision);
        batch.slices = vec![("r1".into(), revision, slice(revision))];
        store.commit(&batch).unwrap();
        if revision % 10 == 0 {
            let killed = copy(home.path());
            let again = open(killed.path()).unwrap();
            assert_eq!(again.last_revision(), revision);
            assert_eq!(
                again.slices("r1", 0, usize::MAX).unwrap().len() as u64,
                revision
            );
            assert_eq!(again.load().unwrap().meta.term, 2);
        }
    }
}

#[test]
fn no_blob_files_appear() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    for revision in 1..=60 {
        let large = record(revision, &"x".repeat(60_000));
        store
            .commit(&Batch {
                records: vec![large],
                ..Batch::default()
            })
            .unwrap();
    }
    assert_eq!(fs::read_dir(home.path().join("blobs")).unwrap().count(), 0);
}

#[test]
fn a_lost_tail_is_told_by_head() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    store.commit(&records(1, 5)).unwrap();
    let old = copy(home.path());
    store.commit(&records(6, 6)).unwrap();
    fs::copy(home.path().join("HEAD"), old.path().join("HEAD")).unwrap();
    let message = refusal(old.path());
    assert!(
        message.contains("newest part is lost") && message.contains("event 6"),
        "{message}"
    );
    assert!(message.contains("--generation 2"), "{message}");
}

#[test]
fn a_lost_tail_without_events_is_told_too() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    store.commit(&records(1, 5)).unwrap();
    let old = copy(home.path());
    let slices = vec![("r1".into(), 1, slice(1))];
    store
        .commit(&Batch {
            slices,
            ..Batch::default()
        })
        .unwrap();
    fs::copy(home.path().join("HEAD"), old.path().join("HEAD")).unwrap();
    assert!(refusal(old.path()).contains("newest part is lost"));
}

#[test]
fn events_beyond_head_are_kept() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    store.commit(&records(1, 5)).unwrap();
    let head = fs::read(home.path().join("HEAD")).unwrap();
    store.commit(&records(6, 7)).unwrap();
    let killed = copy(home.path());
    fs::write(killed.path().join("HEAD"), head).unwrap();
    assert_eq!(open(killed.path()).unwrap().last_revision(), 7);
}

#[test]
fn a_cut_off_or_missing_head_is_refused() {
    let home = tempfile::tempdir().unwrap();
    open(home.path()).unwrap().commit(&records(1, 5)).unwrap();
    let head = fs::read(home.path().join("HEAD")).unwrap();
    fs::write(home.path().join("HEAD"), &head[..20]).unwrap();
    assert!(refusal(home.path()).contains("HEAD (20 bytes) is damaged"));
    fs::remove_file(home.path().join("HEAD")).unwrap();
    assert!(refusal(home.path()).contains("HEAD is missing"));
    fs::write(home.path().join("HEAD"), &head).unwrap();
    assert_eq!(open(home.path()).unwrap().last_revision(), 5);
}

#[test]
fn another_history_is_told() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    open(home.path()).unwrap().commit(&records(1, 5)).unwrap();
    let mut different = records(1, 5);
    different.records[2] = record(3, "another reason");
    open(other.path()).unwrap().commit(&different).unwrap();
    fs::copy(home.path().join("HEAD"), other.path().join("HEAD")).unwrap();
    assert!(refusal(other.path()).contains("event 5 is not the one"));
}

#[test]
fn a_flipped_byte_in_a_value_is_told() {
    let home = tempfile::tempdir().unwrap();
    open(home.path()).unwrap().commit(&records(1, 20)).unwrap();
    for (key, what) in [
        (super::key::event(7), "event 7"),
        (vec![super::key::META], "the counters"),
    ] {
        let broken = copy(home.path());
        let db = sled::open(broken.path()).unwrap();
        let piece = [&key[..], &[0, 0]].concat();
        let mut value = db.get(&piece).unwrap().unwrap().to_vec();
        value[9] ^= 0x10;
        db.insert(piece, value).unwrap();
        db.flush().unwrap();
        drop(db);
        let message = refusal(broken.path());
        assert!(
            message.contains(what) && message.contains("checksum"),
            "{message}"
        );
    }
}

#[test]
fn a_missing_event_is_told() {
    let home = tempfile::tempdir().unwrap();
    open(home.path()).unwrap().commit(&records(1, 20)).unwrap();
    for (revision, problem) in [
        (7, "lacks event 7"),
        (1, "lacks event 1"),
        (20, "newest part is lost"),
    ] {
        let broken = copy(home.path());
        let db = sled::open(broken.path()).unwrap();
        db.remove([&super::key::event(revision)[..], &[0, 0]].concat())
            .unwrap();
        db.flush().unwrap();
        drop(db);
        assert!(refusal(broken.path()).contains(problem), "{revision}");
    }
}

/// sled may repair, refuse, panic or loop; what never happens is that something acknowledged is missing or different, and
/// that nobody is told why.
#[test]
fn flipped_bits_in_the_files_never_change_history() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    for revision in 1..=60 {
        store.commit(&everything(revision)).unwrap();
    }
    let said = |store: &SledStore| {
        let loaded = store.load().unwrap();
        let slices = store.slices("r1", 0, usize::MAX).unwrap();
        let records = store.records(0, usize::MAX).unwrap();
        let block = store.seen(b"k").unwrap();
        (records, slices, loaded.sources, loaded.pending, block)
    };
    let expected = said(&store);
    drop(store);
    let files = ["db", "conf", "HEAD"].map(|name| home.path().join(name));
    let snapshots = fs::read_dir(home.path()).unwrap();
    let snapshots = snapshots.map(|entry| entry.unwrap().path());
    let snapshots = snapshots.filter(|path| path.to_string_lossy().contains("snap."));
    let files: Vec<_> = files.into_iter().chain(snapshots).collect();
    let mut random = StdRng::seed_from_u64(flips("SERINUS_FLIP_SEED", 1));
    let (mut refused, mut same) = (0, 0);
    for flip in 0..flips("SERINUS_FLIPS", 200) {
        let broken = copy(home.path());
        // Half of them in the file that has nearly everything.
        let from = if flip % 2 == 0 {
            0
        } else {
            random.random_range(0..files.len())
        };
        let path = broken.path().join(files[from].file_name().unwrap());
        let mut bytes = fs::read(&path).unwrap();
        let used = bytes.iter().rposition(|&byte| byte != 0).unwrap_or(0);
        let at = random.random_range(0..=used);
        bytes[at] ^= 1 << random.random_range(0..8);
        fs::write(&path, bytes).unwrap();
        let options = Options {
            patience: Duration::from_secs(60),
            ..Options::new(broken.path())
        };
        match SledStore::open(&options) {
            Ok(store) => {
                assert_eq!(said(&store), expected, "{path:?} at {at}");
                same += 1;
            }
            Err(error) => {
                let told = error.to_string();
                let ways_out = told.contains("serinus restore") && told.contains("store repair");
                assert!(
                    ways_out && !told.contains("has not opened"),
                    "{path:?} at {at}: {told}"
                );
                refused += 1;
            }
        }
    }
    println!("{refused} refused, {same} with everything in place");
    assert!(refused > 0 && same > 0, "{refused} refused, {same} opened");
}

fn flips(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn damage_that_a_reader_meets_ends_the_store_and_says_the_ways_out() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    store.commit(&records(1, 5)).unwrap();
    let piece = [&super::key::event(3)[..], &[0, 0]].concat();
    let mut value = store.db.get(&piece).unwrap().unwrap().to_vec();
    value[30] ^= 1;
    store.db.insert(piece, value).unwrap();
    assert!(store.soundness().is_ok());
    let error = store.events(2, 1).unwrap_err().to_string();
    assert!(
        error.contains("event 3") && error.contains("store repair"),
        "{error}"
    );
    for error in [
        store.soundness().unwrap_err(),
        store.commit(&records(6, 6)).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_second_process_is_told() {
    let home = tempfile::tempdir().unwrap();
    let first = open(home.path()).unwrap();
    let lock_wait = Duration::ZERO;
    let second = SledStore::open(&Options {
        lock_wait,
        ..Options::new(home.path())
    });
    let error = second.unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    drop(first);
    open(home.path()).unwrap();
}

#[test]
fn the_lock_of_a_dying_process_is_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let first = open(home.path()).unwrap();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            let lock_wait = Duration::from_secs(60);
            SledStore::open(&Options {
                lock_wait,
                ..Options::new(home.path())
            })
        });
        drop(first);
        second.join().unwrap().unwrap();
    });
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_full_disk_is_an_answer_and_not_the_end() {
    let home = tempfile::tempdir().unwrap();
    let options = Options {
        reserve_bytes: u64::MAX,
        ..Options::new(home.path())
    };
    let store = SledStore::open(&options).unwrap();
    let error = store.commit(&records(1, 1)).unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert_eq!((store.last_revision(), error.is_fatal()), (0, false));
    let small = Batch {
        urgency: Urgency::Small,
        ..records(1, 1)
    };
    assert!(store.commit(&small).is_err());
    let lowers = Batch {
        urgency: Urgency::Lowers,
        ..records(1, 1)
    };
    store.commit(&lowers).unwrap();
    assert_eq!(store.last_revision(), 1);
}

#[test]
fn a_failed_sync_ends_the_store() {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(home.path()).unwrap();
    store.commit(&records(1, 1)).unwrap();
    // What cannot be written: a handle that only reads.
    let read_only = fs::File::open(home.path().join("HEAD")).unwrap();
    let writable = std::mem::replace(&mut store.head.0, read_only);
    let error = store.commit(&records(2, 2)).unwrap_err();
    assert!(
        error.is_fatal() && error.to_string().contains("write HEAD"),
        "{error}"
    );
    store.head.0 = writable;
    let error = store.commit(&records(2, 2)).unwrap_err();
    assert!(error.is_fatal(), "{error}");
    assert_eq!(
        (store.last_revision(), store.events(0, 9).unwrap().len()),
        (1, 1)
    );
}

#[test]
fn a_higher_generation_stays() {
    let home = tempfile::tempdir().unwrap();
    let meta = |generation| {
        let options = Options {
            generation,
            ..Options::new(home.path())
        };
        let meta = SledStore::open(&options).unwrap().load().unwrap().meta;
        (meta.generation, meta.term)
    };
    assert_eq!(
        [meta(0), meta(3), meta(2), meta(0)],
        [(1, 1), (3, 2), (3, 3), (3, 4)]
    );
}

#[test]
fn a_newer_layout_is_not_opened() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    let mut meta = store.load().unwrap().meta;
    meta.schema += 1;
    let batch = Batch {
        meta: Some(meta),
        ..Batch::default()
    };
    store.write_batch(&mut store.writer(), &batch).unwrap();
    drop(store);
    let error = open(home.path()).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::TooNew {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_record_for_a_later_reader_is_not_opened() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    let mut batch = records(1, 3);
    batch.records[1].min_reader = crate::store::READER + 1;
    store.commit(&batch).unwrap();
    drop(store);
    let error = open(home.path()).unwrap_err();
    assert!(matches!(error, StoreError::TooNewValue { .. }), "{error}");
    let told = error.to_string();
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        told.contains(&format!("event 2 was written by Serinus {version}")),
        "{told}"
    );
}

/// `cargo test --release -p serinus-control-plane commit_latency -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn commit_latency() {
    let home = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    let store = open(home.path()).unwrap();
    let measure = |what: &str, batch: &dyn Fn(u64) -> Batch| {
        let mut times: Vec<Duration> = (1..=400)
            .map(|seq| {
                let batch = batch(seq);
                let started = Instant::now();
                store.commit(&batch).unwrap();
                started.elapsed()
            })
            .collect();
        times.sort();
        println!("{what}: p50 {:?}, p99 {:?}", times[200], times[396]);
    };
    let slices = |seq| {
        (0..10)
            .map(|r| (format!("rollout-{r}"), seq, slice(seq)))
            .collect()
    };
    measure("10 slices of a kilobyte", &|seq| Batch {
        slices: slices(seq),
        ..Batch::default()
    });
    measure("one event", &|seq| records(seq, seq));
    let started = Instant::now();
    drop(store);
    let store = open(home.path()).unwrap();
    println!(
        "reopen and verify {} events: {:?}",
        store.last_revision(),
        started.elapsed()
    );
}

#[test]
fn the_audit_log_goes_on_where_its_beginning_was_removed() {
    use crate::store::prune::Prune;
    use serinus_core::audit::{Broken, Head};
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    let mut head = Head::default();
    let mut batch = records(1, 6);
    for record in &mut batch.records {
        let event = record.event.as_mut().unwrap();
        if event.revision > 4 {
            event.rollout = "r2".into();
        }
        if event.revision != 2 && event.revision != 4 {
            head.seal(record, serinus_proto::v1::Audit::default());
        }
    }
    store.commit(&batch).unwrap();
    assert_eq!(store.audit_base().unwrap(), Head::default());
    let prune = Prune {
        through: 4,
        forgotten: [("r1".to_owned(), 4)].into(),
        ..Prune::default()
    };
    while store.prune(&prune).unwrap() {}
    drop(store);
    let store = open(home.path()).unwrap();
    let base = store.audit_base().unwrap();
    assert_eq!(base.number, 2);
    let left = store.records(0, usize::MAX).unwrap();
    assert_eq!(left.len(), 2);
    let mut followed = Head::default();
    for record in &left {
        followed.follow(record, &base).unwrap();
    }
    assert_eq!(followed, head);
    let missing = Head::default().follow(&left[0], &Head::default());
    assert_eq!(missing, Err(Broken::Missing { first: 1, last: 2 }));
}
