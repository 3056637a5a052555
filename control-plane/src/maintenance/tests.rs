use super::*;
use crate::engine::{Command, Engine, Verb};
use crate::store::sled::{Options, SledStore};
use crate::store::{Batch, Store as _, contract};
use serinus_proto::v1;
use std::fs;
use std::sync::Arc;

fn open(path: &Path) -> SledStore {
    SledStore::open(&Options::new(path)).unwrap()
}

/// A store with a log, slices, sources and the rest.
fn filled(path: &Path, last: u64) -> SledStore {
    let store = open(path);
    for revision in 1..=last {
        store.commit(&contract::everything(revision)).unwrap();
    }
    store
}

fn backup(store: &SledStore, file: &Path) {
    store.copy_to(&mut fs::File::create(file).unwrap()).unwrap();
}

fn put_back(file: &Path, into: &Path) -> Result<Done, RestoreError> {
    let restore = Restore {
        file: file.to_owned(),
        data_dir: into.to_owned(),
        generation: 0,
    };
    restore.run()
}

#[test]
fn a_backup_is_the_store_as_it_was_whatever_is_committed_meanwhile() {
    let home = tempfile::tempdir().unwrap();
    let store = Arc::new(filled(&home.path().join("a"), 300));
    let before = store.load().unwrap();
    let records = store.records(0, usize::MAX).unwrap();
    // Commits between any two bytes of the copy.
    struct Meanwhile<'a>(&'a SledStore, Vec<u8>, u64);
    impl std::io::Write for Meanwhile<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1.extend_from_slice(bytes);
            if self.1.len() as u64 / 5000 > self.2 - 300 {
                self.2 += 1;
                self.0.commit(&contract::everything(self.2)).unwrap();
                self.0.commit(&contract::removal(self.2)).unwrap();
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut out = Meanwhile(&store, Vec::new(), 300);
    let header = store.copy_to(&mut out).unwrap();
    assert_eq!(header.revision, 300);
    assert!(out.2 > 310, "{} commits are too few", out.2 - 300);
    let file = home.path().join("backup");
    fs::write(&file, &out.1).unwrap();
    let done = put_back(&file, &home.path().join("b")).unwrap();
    assert_eq!((done.sound.generation, done.sound.revision), (2, 300));
    let restored = open(&home.path().join("b"));
    let after = restored.load().unwrap();
    assert_eq!(
        (after.sources, after.pending),
        (before.sources, before.pending)
    );
    assert_eq!(restored.records(0, usize::MAX).unwrap(), records);
    assert_eq!(restored.slices("r1", 0, usize::MAX).unwrap().len(), 300);
    assert_eq!(after.meta.last_issuer, before.meta.last_issuer);
    assert!(
        after
            .restored
            .unwrap()
            .detail
            .contains("backup of generation 1")
    );
}

#[test]
fn nothing_is_overwritten_and_no_damage_is_restored() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("backup");
    backup(&filled(&home.path().join("a"), 20), &file);
    let error = put_back(&file, &home.path().join("a")).unwrap_err();
    assert!(matches!(error, RestoreError::NotEmpty(_)), "{error}");
    assert_eq!(exit_code(&error), 1);
    let whole = fs::read(&file).unwrap();
    for step in 0..40 {
        let mut broken = whole.clone();
        broken[whole.len() * step / 40] ^= 1;
        fs::write(&file, broken).unwrap();
        let into = home.path().join(format!("b{step}"));
        let error = put_back(&file, &into).unwrap_err();
        assert_eq!(exit_code(&error), DAMAGED, "{error}");
        assert_eq!(fs::read_dir(&into).unwrap().count(), 0);
    }
}

#[test]
fn a_half_restored_store_is_not_opened() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("backup");
    backup(&filled(&home.path().join("a"), 20), &file);
    let into = home.path().join("b");
    put_back(&file, &into).unwrap();
    fs::remove_file(into.join("HEAD")).unwrap();
    let error = SledStore::open(&Options::new(&into)).unwrap_err();
    assert!(error.to_string().contains("HEAD is missing"), "{error}");
}

#[test]
fn what_was_checked_is_told() {
    let home = tempfile::tempdir().unwrap();
    let store = filled(home.path(), 20);
    let verify = |data_dir: Option<&Path>, file: Option<&Path>| {
        let verify = Store::Verify {
            data_dir: data_dir.map(Into::into),
            file: file.map(Into::into),
        };
        verify.run()
    };
    let file = home.path().join("exports-of-mine");
    backup(&store, &file);
    drop(store);
    for done in [verify(Some(home.path()), None), verify(None, Some(&file))] {
        let Done { text, sound, .. } = done.unwrap();
        assert_eq!((sound.events, sound.slices, sound.sources), (20, 20, 20));
        assert!(text.contains("events      20, the last is 20"), "{text}");
    }
    let missing = verify(Some(&home.path().join("none")), None).unwrap_err();
    assert_eq!(exit_code(&missing), 1);
    fs::write(home.path().join("HEAD"), "x").unwrap();
    let damaged = verify(Some(home.path()), None).unwrap_err();
    assert_eq!(exit_code(&damaged), DAMAGED);
    assert!(
        damaged.to_string().contains("serinus store repair"),
        "{damaged}"
    );
}

#[test]
fn a_repair_saves_the_beginning_and_says_what_is_lost() {
    let home = tempfile::tempdir().unwrap();
    let damaged = home.path().join("a");
    drop(filled(&damaged, 20));
    contract::spoil(&damaged, 15);
    assert!(SledStore::open(&Options::new(&damaged)).is_err());
    let repair = Store::Repair {
        data_dir: damaged,
        into: None,
        bump_generation: true,
    };
    let done = repair.run().unwrap();
    assert_eq!((done.sound.revision, done.sound.generation), (14, 2));
    let lost = done.lost.join("\n");
    assert!(
        lost.contains("every event after 14: event 15 fails its checksum"),
        "{lost}"
    );
    assert!(lost.contains("the acknowledged events 15 to 20"), "{lost}");
    assert!(done.text.contains("left over"), "{}", done.text);
    let saved = open(&home.path().join("a.repaired"));
    assert_eq!(saved.last_revision(), 14);
    assert!(
        saved
            .load()
            .unwrap()
            .restored
            .unwrap()
            .detail
            .contains("repaired")
    );
    saved.commit(&contract::records(15, 16)).unwrap();
    let again = repair.run().unwrap_err();
    assert!(matches!(again, RestoreError::NotEmpty(_)), "{again}");
}

#[test]
fn a_lost_mark_is_repaired_without_loss() {
    let home = tempfile::tempdir().unwrap();
    let damaged = home.path().join("a");
    drop(filled(&damaged, 5));
    fs::remove_file(damaged.join("HEAD")).unwrap();
    let repair = Store::Repair {
        data_dir: damaged,
        into: None,
        bump_generation: true,
    };
    let done = repair.run().unwrap();
    assert_eq!(done.sound.revision, 5);
    assert_eq!(done.lost, ["HEAD, so how far the log went is not known"]);
}

fn plan(model: &str) -> v1::Plan {
    let stable = Some(("v1", "http://127.0.0.1:1"));
    serinus_core::plan::short_form(model, stable, ("v2", "http://127.0.0.1:2"), 5.0).unwrap()
}

async fn command(
    engine: &mut Engine,
    handle: &crate::engine::Handle,
    command: Command,
) -> v1::Rollout {
    let asked = handle.command("ana", command);
    let (done, turned) = tokio::join!(asked, engine.turn_at(1_800_000_000_000));
    turned.unwrap();
    done.unwrap()
}

fn apply(model: &str) -> Command {
    Command::Apply(v1::ApplyRequest {
        request_id: format!("apply {model}"),
        plan: Some(plan(model)),
        ..v1::ApplyRequest::default()
    })
}

fn verb(verb: Verb, rollout: &str, expected_revision: u64) -> Command {
    let request = v1::CommandRequest {
        rollout: rollout.into(),
        request_id: format!("{verb:?} {rollout}"),
        expected_revision,
        ..v1::CommandRequest::default()
    };
    Command::Verb(verb, request)
}

#[tokio::test]
async fn rollouts_come_back_held_or_rolled_back_and_never_running() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("backup");
    let store = Arc::new(open(&home.path().join("a")));
    let (mut engine, handle) = Engine::start(store.clone(), "test").unwrap();
    command(&mut engine, &handle, apply("running")).await;
    let back = command(&mut engine, &handle, apply("back")).await;
    command(&mut engine, &handle, verb(Verb::Rollback, "back", 0)).await;
    backup(&store, &file);
    put_back(&file, &home.path().join("b")).unwrap();

    let store = Arc::new(open(&home.path().join("b")));
    let (mut engine, handle) = Engine::start(store.clone(), "test").unwrap();
    engine.turn_at(1_800_000_001_000).await.unwrap();
    let views = handle.views();
    let held = views.find("running").unwrap();
    assert_eq!(
        (held.state(), held.cause()),
        (v1::State::Held, v1::Cause::Restored)
    );
    assert_eq!(held.fence.unwrap().generation, 2);
    assert_eq!(views.find(&back.id).unwrap().state(), v1::State::RolledBack);
    let told = store.events(0, usize::MAX).unwrap();
    let told = told.iter().filter_map(|event| match &event.kind {
        Some(v1::event::Kind::Restored(restored)) => Some(restored.generation),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [2]);
    // A person lets it go on; another start does not hold it again.
    let resumed = command(
        &mut engine,
        &handle,
        verb(Verb::Resume, "running", held.revision),
    )
    .await;
    assert_eq!(resumed.state(), v1::State::Running);
    drop((engine, handle, views, store));
    let (mut engine, handle) =
        Engine::start(Arc::new(open(&home.path().join("b"))), "test").unwrap();
    engine.turn_at(1_800_000_002_000).await.unwrap();
    assert_eq!(
        handle.views().find("running").unwrap().state(),
        v1::State::Running
    );
}

#[test]
fn a_copy_that_nobody_takes_ends_and_the_store_goes_on() {
    struct Gone;
    impl std::io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let home = tempfile::tempdir().unwrap();
    let store = filled(home.path(), 5);
    let error = store.copy_to(&mut Gone).unwrap_err();
    assert!(matches!(error, StoreError::Copy(_)), "{error}");
    store
        .commit(&Batch {
            ..contract::everything(6)
        })
        .unwrap();
    backup(&store, &home.path().join("copy"));
}
