use super::*;
use crate::engine::{Command, Engine, Verb};
use crate::store::Batch;
use crate::store::contract::slice;
use crate::store::sled::{Options, SledStore};
use serinus_proto::stored::v1 as stored;
use serinus_proto::v1;

const DAY_MS: u64 = 24 * 3_600_000;
const START_MS: u64 = 1_800_000_000_000;

struct Place {
    _home: tempfile::TempDir,
    store: Arc<SledStore>,
    engine: Engine,
    handle: Handle,
    now_ms: u64,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Arc::new(SledStore::open(&Options::new(home.path())).unwrap());
        let (engine, handle) = Engine::start(store.clone(), "test").unwrap();
        Self {
            _home: home,
            store,
            engine,
            handle,
            now_ms: START_MS,
        }
    }

    /// Drops everything and begins again from the disk.
    fn restart(self) -> Self {
        let Self {
            _home,
            store,
            engine,
            handle,
            now_ms,
        } = self;
        drop((store, engine, handle));
        let store = Arc::new(SledStore::open(&Options::new(_home.path())).unwrap());
        let (engine, handle) = Engine::start(store.clone(), "test").unwrap();
        Self {
            _home,
            store,
            engine,
            handle,
            now_ms,
        }
    }

    async fn command(&mut self, command: Command) -> v1::Rollout {
        let asked = self.handle.command("ana", command);
        let (done, turned) = tokio::join!(asked, self.engine.turn_at(self.now_ms));
        turned.unwrap();
        done.unwrap()
    }

    /// A rollout that ends at once, with some evidence.
    async fn ended(&mut self, model: &str, n: u64) -> String {
        let stable = Some(("v1", "http://127.0.0.1:1"));
        let plan = serinus_core::plan::short_form(model, stable, ("v2", "http://127.0.0.1:2"), 5.0);
        let applied = self
            .command(Command::Apply(v1::ApplyRequest {
                request_id: format!("apply {model} {n}"),
                plan: Some(plan.unwrap()),
                ..v1::ApplyRequest::default()
            }))
            .await;
        let id = applied.id;
        let bits = [
            &uuid::Uuid::parse_str(&id).unwrap().into_bytes()[..],
            &[0; 20],
        ]
        .concat();
        self.store
            .commit(&Batch {
                slices: (1..=5).map(|seq| (id.clone(), seq, slice(seq))).collect(),
                label_slices: vec![(id.clone(), 1, stored::LabelSlice::default())],
                seen: vec![(bits, vec![1])],
                ..Batch::default()
            })
            .unwrap();
        let request = v1::CommandRequest {
            rollout: id.clone(),
            request_id: format!("rollback {model} {n}"),
            ..v1::CommandRequest::default()
        };
        self.command(Command::Verb(Verb::Rollback, request)).await;
        id
    }

    async fn look(&mut self, keeper: &mut Keeper) {
        keeper.look(self.now_ms).await.unwrap();
        self.engine.turn_at(self.now_ms).await.unwrap();
    }

    fn keeper(&self, days: u64) -> Keeper {
        Keeper {
            store: self.store.clone(),
            handle: self.handle.clone(),
            retention_ms: days * DAY_MS,
            exported: Instant::now(),
            pruned: BTreeSet::new(),
        }
    }
}

#[tokio::test]
async fn what_is_old_goes_and_what_is_needed_stays() {
    let mut place = Place::new();
    let first = place.ended("m", 1).await;
    let second = place.ended("m", 2).await;
    let other = place.ended("n", 1).await;
    let mut keeper = place.keeper(30);
    // The first look only exports: before that nothing is in an export.
    place.look(&mut keeper).await;
    assert_eq!(place.store.exports().unwrap().len(), 1);
    place.now_ms += 29 * DAY_MS;
    place.look(&mut keeper).await;
    assert_eq!(place.store.slices(&first, 0, 9).unwrap().len(), 5);
    // The log is compacted all the same: a watcher cannot begin at its beginning any more.
    let oldest = place.store.oldest_revision().unwrap();
    assert!(
        oldest > 1 && oldest <= place.store.last_revision(),
        "{oldest}"
    );
    let views = place.handle.views();
    assert_eq!(views.rollouts.len(), 3);

    place.now_ms += 2 * DAY_MS;
    place.look(&mut keeper).await;
    let left: Vec<String> = place.handle.views().rollouts.keys().cloned().collect();
    let mut expected = vec![second.clone(), other.clone()];
    expected.sort();
    assert_eq!(left, expected, "the latest of each model stay");
    for id in [&first, &second, &other] {
        assert_eq!(place.store.slices(id, 0, 9).unwrap(), []);
        assert_eq!(place.store.label_slices(id, 0, 9).unwrap(), []);
        let bits = [
            &uuid::Uuid::parse_str(id).unwrap().into_bytes()[..],
            &[0; 20],
        ]
        .concat();
        assert_eq!(place.store.seen(&bits).unwrap(), None);
    }
    let models = place.handle.views().models.clone();
    let views = place.handle.views();

    drop(keeper);
    let mut place = place.restart();
    assert_eq!(place.handle.views().models, models);
    for (id, rollout) in &views.rollouts {
        let again = &place.handle.views().rollouts[id];
        assert_eq!(
            (again.state(), again.revision),
            (rollout.state(), rollout.revision)
        );
    }
    // A command of the forgotten rollout is known still, and not done again.
    let revision = place.store.last_revision();
    let request = v1::CommandRequest {
        rollout: first.clone(),
        request_id: "rollback m 1".into(),
        ..v1::CommandRequest::default()
    };
    let asked = place
        .handle
        .command("ana", Command::Verb(Verb::Rollback, request));
    let (again, turned) = tokio::join!(asked, place.engine.turn_at(place.now_ms));
    turned.unwrap();
    assert!(again.unwrap_err().to_string().contains(&first));
    assert_eq!(place.store.last_revision(), revision);
    // And the log goes on.
    place.ended("m", 3).await;
}

#[tokio::test]
async fn without_an_export_nothing_goes() {
    let mut place = Place::new();
    place.ended("m", 1).await;
    let id = place.ended("m", 2).await;
    place.now_ms += 100 * DAY_MS;
    let mut keeper = place.keeper(30);
    keeper.prune(&[], place.now_ms).await.unwrap();
    assert_eq!(place.store.slices(&id, 0, 9).unwrap().len(), 5);
    assert_eq!(place.store.oldest_revision().unwrap(), 1);
}

#[tokio::test]
async fn the_newest_three_exports_are_kept_and_hold_everything() {
    let mut place = Place::new();
    for n in 1..=5 {
        place.ended("m", n).await;
        place.store.export().unwrap();
    }
    let exports = place.store.exports().unwrap();
    assert_eq!(exports.len(), 3);
    assert_eq!(exports[2].revision, place.store.last_revision());
    let home = place._home.path().join("exports");
    assert_eq!(std::fs::read_dir(home).unwrap().count(), 3);
    let again = place.restart();
    assert_eq!(again.store.exports().unwrap(), exports);
}

#[tokio::test]
async fn a_compacted_store_is_backed_up_and_restored() {
    let mut place = Place::new();
    for n in 1..=3 {
        place.ended("m", n).await;
    }
    let mut keeper = place.keeper(30);
    place.look(&mut keeper).await;
    place.now_ms += 31 * DAY_MS;
    place.look(&mut keeper).await;
    place.ended("m", 4).await;
    let file = place._home.path().join("backup");
    place
        .store
        .copy_to(&mut std::fs::File::create(&file).unwrap())
        .unwrap();
    let into = tempfile::tempdir().unwrap();
    let sound = crate::store::sled::restore::restore(&file, into.path(), 0).unwrap();
    assert_eq!(sound.revision, place.store.last_revision());
    assert_eq!(
        sound.begins_after + 1,
        place.store.oldest_revision().unwrap()
    );
    let store = Arc::new(SledStore::open(&Options::new(into.path())).unwrap());
    let (_, handle) = Engine::start(store, "test").unwrap();
    let (ours, theirs) = (handle.views(), place.handle.views());
    assert!(ours.rollouts.keys().eq(theirs.rollouts.keys()));
}
