mod silent;

use super::apply::{Applier, Holdings};
use super::cache::{Cache, Found};
use super::clock::Clock;
use super::follow::Standing;
use super::store::Store;
use super::*;
use crate::fake::{Fake, eventually, until};
use crate::kill::Switch;
use crate::table::ModelSpec;
use serinus_proto::v1::ack_result::Outcome;
use serinus_proto::v1::control_message::Message as FromControl;
use serinus_proto::v1::sidecar_message::Message as ToControl;
use serinus_runtime::shutdown;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinHandle;

const ROLLOUT: &str = "0198c0de-0000-7000-8000-000000000001";

/// A sidecar without its data path.
struct Sidecar {
    shared: Arc<Shared>,
    clock: Arc<AtomicU64>,
    holdings: watch::Receiver<Holdings>,
    contact: watch::Receiver<Contact>,
    probed: watch::Sender<Probed>,
    kill: Switch,
    reports: Reports,
    news: Arc<Notify>,
    leave: shutdown::Trigger,
    task: JoinHandle<()>,
}

impl Sidecar {
    fn start(directory: &Path, control_plane: &str) -> Self {
        let shared = Arc::new(Shared::new());
        let clock = Arc::new(AtomicU64::new(0));
        let reading = Arc::clone(&clock);
        let now = Clock::from_fn(move || reading.load(Ordering::SeqCst));
        let store = Store::new(Cache::open(directory).unwrap());
        let kill = Switch::new(Some(directory.join("kill")));
        let applier = Applier::start(
            vec![spec()],
            Arc::clone(&shared),
            store,
            now,
            0,
            kill.watch(),
        )
        .unwrap();
        let holdings = applier.holdings();
        let (said, contact) = watch::channel(Contact::default());
        let (probed, probes) = watch::channel(Probed::new());
        let news = Arc::new(Notify::new());
        let reports = Reports::new("host-a".into(), 1);
        let peer = Peer {
            name: "host-a".into(),
            labels: Default::default(),
            models: vec!["m".into()],
            control_plane: vec![control_plane.to_owned()],
            token_file: None,
            tls: Arc::new(Dial::system()),
            reports: reports.clone(),
            shared: Arc::clone(&shared),
            probed: probes,
            news: Arc::clone(&news),
            reconnect: Arc::new(Notify::new()),
        };
        let (leave, leaving) = shutdown::channel();
        let task = tokio::spawn(run(peer, applier, Arc::new(said), leaving));
        Self {
            shared,
            clock,
            holdings,
            contact,
            probed,
            kill,
            reports,
            news,
            leave,
            task,
        }
    }

    /// The canary's share in the table, ppm.
    fn share(&self) -> u32 {
        let table = self.shared.table();
        table.routes()[0]
            .variants
            .get(1)
            .map_or(0, |variant| variant.share_ppm)
    }

    async fn standing(&mut self, standing: Standing) {
        until(&mut self.holdings, |h| {
            h.in_force
                .first()
                .is_some_and(|held| held.standing == standing)
        })
        .await;
    }

    async fn stop(self) {
        self.leave.drain();
        self.task.await.unwrap();
    }
}

fn spec() -> ModelSpec {
    ModelSpec {
        name: "m".into(),
        stable_name: "v1".into(),
        stable: vec!["http://127.0.0.1:9001".into()],
        ..ModelSpec::default()
    }
}

fn assignment(revision: u64, ppm: u32) -> v1::Assignment {
    v1::Assignment {
        bucketing: Some(v1::Bucketing {
            key: "header:x-user-id".into(),
            salt: "s".into(),
            ..v1::Bucketing::default()
        }),
        ..follow::tests::assignment(ROLLOUT, revision, ppm)
    }
}

fn saved(directory: &Path) -> saved::State {
    match Cache::open(directory).unwrap().load() {
        Found::State(state) => state,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_snapshot_is_on_disk_and_in_force_when_it_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let sidecar = Sidecar::start(directory.path(), &fake.url());
    let hello = fake.greet().await;
    assert_eq!(
        (hello.sidecar.as_str(), hello.models.as_slice()),
        ("host-a", &["m".to_owned()][..])
    );
    assert_eq!(hello.incarnation, sidecar.reports.incarnation());
    assert!(hello.held.is_empty() && hello.incarnation != 0 && hello.protocol == 1);
    let result = fake.push(1, assignment(5, 250_000)).await;
    assert_eq!(result.outcome(), Outcome::Applied);
    assert_eq!(sidecar.share(), 250_000);
    let entry = &saved(directory.path()).entries[0];
    assert_eq!(entry.assignment, Some(assignment(5, 250_000)));
    assert_eq!(
        fake.push(2, assignment(6, 50_000)).await.outcome(),
        Outcome::Applied
    );
    assert_eq!(sidecar.share(), 50_000);
    assert_eq!(
        saved(directory.path()).entries[0].fence.unwrap().revision,
        6
    );
    sidecar.stop().await;
}

#[tokio::test]
async fn a_refused_push_changes_nothing_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let sidecar = Sidecar::start(directory.path(), &fake.url());
    fake.greet().await;
    fake.push(1, assignment(5, 250_000)).await;
    type Change = fn(&mut v1::Assignment);
    let cases: [(Change, &str); 6] = [
        (|a| a.variants[1].endpoints.clear(), "v2: has no endpoint"),
        (
            |a| a.variants[1].endpoints = vec!["ftp://x".into()],
            "ftp://x",
        ),
        (
            |a| a.bucketing.as_mut().unwrap().key = "moon".into(),
            "bucketing.key",
        ),
        (|a| a.rollout = "r".into(), "no UUID"),
        (|a| a.ceiling_ppm = 1, "above the plan's highest step"),
        (|a| a.model = "x".into(), "no [[model]] named x"),
    ];
    for (nonce, (change, words)) in (2..).zip(cases) {
        let mut bad = assignment(9, 500_000);
        change(&mut bad);
        let result = fake.push(nonce, bad).await;
        assert_eq!(result.outcome(), Outcome::Rejected, "{words}");
        assert!(
            result.detail.contains(words) && !result.stale_fence,
            "{words}: {}",
            result.detail
        );
        assert_eq!(sidecar.share(), 250_000);
    }
    let stale = fake.push(20, assignment(4, 500_000)).await;
    assert!(stale.stale_fence && stale.fence.unwrap().revision == 5);
    sidecar.stop().await;
}

#[tokio::test]
async fn leases_run_out_and_heartbeats_renew_them() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let mut sidecar = Sidecar::start(directory.path(), &fake.url());
    fake.greet().await;
    fake.push(1, assignment(5, 200_000)).await;
    sidecar.clock.store(70_000, Ordering::SeqCst);
    sidecar.standing(Standing::Frozen).await;
    assert_eq!(sidecar.share(), 200_000);
    let lease = v1::LeaseRef {
        model: "m".into(),
        rollout: ROLLOUT.into(),
        fence: assignment(5, 0).fence,
        lease: None,
    };
    let leases = vec![lease.clone()];
    fake.send(FromControl::Heartbeat(v1::Heartbeat {
        leases,
        state_digest: None,
    }))
    .await;
    sidecar.standing(Standing::Fresh).await;
    sidecar.clock.store(70_000 + 990_000, Ordering::SeqCst);
    sidecar.standing(Standing::Reverting(500_000)).await;
    eventually(|| sidecar.share() == 100_000).await;
    sidecar.clock.store(70_000 + 1_020_000, Ordering::SeqCst);
    sidecar.standing(Standing::Reverting(0)).await;
    eventually(|| sidecar.share() == 0).await;
    let reverted = loop {
        if let ToControl::Status(status) = fake.any().await
            && status.variants.iter().any(|variant| variant.reverted)
        {
            break status;
        }
    };
    assert_eq!(reverted.variants[1].variant, "v2");
    // Contact alone does not raise it again; a newer decision does.
    fake.send(FromControl::Heartbeat(v1::Heartbeat {
        leases: vec![lease],
        state_digest: None,
    }))
    .await;
    assert_eq!(
        fake.push(2, assignment(6, 50_000)).await.outcome(),
        Outcome::Applied
    );
    assert_eq!(sidecar.share(), 50_000);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_latch_is_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let mut sidecar = Sidecar::start(directory.path(), &fake.url());
    fake.greet().await;
    fake.push(1, assignment(5, 200_000)).await;
    let latch = v1::Latch {
        rollout: ROLLOUT.into(),
        variant: String::new(),
    };
    fake.send(FromControl::Latch(latch)).await;
    until(&mut sidecar.holdings, |holdings| {
        holdings.in_force[0].latched
    })
    .await;
    assert_eq!(sidecar.share(), 0);
    let raced = fake.push(2, assignment(6, 500_000)).await;
    assert!(raced.detail.contains("latched"), "{}", raced.detail);
    assert_eq!(sidecar.share(), 0);
    sidecar.stop().await;
    let again = Sidecar::start(directory.path(), &fake.url());
    assert_eq!(again.share(), 0);
    let hello = fake.greet().await;
    assert!(hello.held[0].latched);
    fake.push(1, assignment(7, 500_000)).await;
    assert_eq!(again.share(), 0);
    again.stop().await;
}

#[tokio::test]
async fn a_restart_without_a_control_plane_goes_on_from_disk() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let first = Sidecar::start(directory.path(), &fake.url());
    assert_eq!(first.share(), 0);
    fake.greet().await;
    fake.push(1, assignment(5, 200_000)).await;
    first.stop().await;
    let url = fake.url();
    fake.kill();
    let second = Sidecar::start(directory.path(), &url);
    assert_eq!(second.share(), 200_000);
    second.stop().await;
    std::fs::write(Cache::open(directory.path()).unwrap().path(), b"nonsense").unwrap();
    let third = Sidecar::start(directory.path(), &url);
    assert_eq!(third.share(), 0, "a bad file is not believed");
    third.stop().await;
}

#[tokio::test]
async fn a_killed_control_plane_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let mut sidecar = Sidecar::start(directory.path(), &fake.url());
    let before = fake.greet().await;
    fake.push(1, assignment(5, 200_000)).await;
    let (address, disk) = fake.kill();
    until(&mut sidecar.contact, |contact| {
        contact.session.is_none() && !contact.trouble.is_empty()
    })
    .await;
    assert_eq!(sidecar.share(), 200_000);
    let mut fake = Fake::restart(address, disk);
    let after = fake.greet().await;
    assert_eq!(before.incarnation, after.incarnation);
    let held = &after.held[0];
    assert_eq!(held.fence.unwrap().revision, 5);
    assert_eq!(
        (held.digest, held.rollout.as_str()),
        (assignment(5, 200_000).digest, ROLLOUT)
    );
    until(&mut sidecar.contact, |contact| contact.session.is_some()).await;
    // The greeting is answered by the same state: nothing changes, and it is acknowledged.
    assert_eq!(
        fake.push(1, assignment(5, 200_000)).await.outcome(),
        Outcome::Applied
    );
    fake.hang_up().await;
    fake.greet().await;
    fake.send(FromControl::Drain(v1::Drain::default())).await;
    fake.greet().await;
    sidecar.stop().await;
}

#[tokio::test]
async fn a_refused_sidecar_serves_on() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    fake.disk.lock().unwrap().refuse = Some(tonic::Status::unauthenticated("no token"));
    let mut sidecar = Sidecar::start(directory.path(), &fake.url());
    until(&mut sidecar.contact, |contact| {
        contact.trouble.contains("no token")
    })
    .await;
    assert_eq!(sidecar.shared.table().routes().len(), 1);
    sidecar.stop().await;
}

#[test]
fn a_refusal_is_not_tried_again_soon() {
    let peer = peer_of(&Reports::new("a".into(), 1));
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    let refused = Ended::Status(tonic::Status::permission_denied("x"));
    assert!(wait(&peer, &refused, Duration::ZERO, &mut backoff) >= Duration::from_secs(240));
    let failed = Ended::Status(tonic::Status::unavailable("x"));
    assert!(wait(&peer, &failed, Duration::ZERO, &mut backoff) <= Duration::from_millis(500));
    let later = Ended::Drained(Duration::from_secs(2));
    assert_eq!(
        wait(&peer, &later, Duration::ZERO, &mut backoff),
        Duration::from_secs(2)
    );
}

fn peer_of(reports: &Reports) -> Peer {
    Peer {
        name: "a".into(),
        labels: Default::default(),
        models: Vec::new(),
        control_plane: Vec::new(),
        token_file: None,
        tls: Arc::new(Dial::system()),
        reports: reports.clone(),
        shared: Arc::new(Shared::new()),
        probed: watch::channel(Probed::new()).1,
        news: Arc::default(),
        reconnect: Arc::default(),
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_not_raised() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("state");
    let mut fake = Fake::start();
    let mut sidecar = Sidecar::start(&directory, &fake.url());
    fake.greet().await;
    fake.push(1, assignment(5, 200_000)).await;
    std::fs::remove_dir_all(&directory).unwrap();
    let raise = fake.push(2, assignment(6, 400_000)).await;
    assert_eq!(raise.outcome(), Outcome::Rejected);
    assert!(
        raise.detail.contains("cannot write its state file"),
        "{}",
        raise.detail
    );
    assert_eq!(sidecar.share(), 200_000);
    // Lowering never waits for a disk.
    let lower = fake.push(3, assignment(7, 100_000)).await;
    assert_eq!(lower.outcome(), Outcome::Rejected);
    assert_eq!(sidecar.share(), 100_000);
    std::fs::create_dir_all(&directory).unwrap();
    until(&mut sidecar.holdings, |holdings| holdings.unsaved.is_none()).await;
    let hello = fake.greet().await;
    assert_eq!(
        hello.held[0].fence.unwrap().revision,
        7,
        "the control plane is told"
    );
    assert_eq!(saved(&directory).entries[0].fence.unwrap().revision, 7);
    sidecar.stop().await;
}

#[tokio::test]
async fn news_is_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let sidecar = Sidecar::start(directory.path(), &fake.url());
    fake.greet().await;
    fake.push(1, assignment(5, 200_000)).await;
    let ready = ProbedVariant {
        ready: true,
        ..ProbedVariant::default()
    };
    sidecar.probed.send_modify(|probed| {
        probed.insert(("m".into(), "v2".into()), ready);
    });
    sidecar.news.notify_one();
    loop {
        if let ToControl::Status(status) = fake.any().await
            && status
                .variants
                .iter()
                .any(|variant| variant.variant == "v2" && variant.ready)
        {
            break;
        }
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn a_removed_model_is_back_on_the_own_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let sidecar = Sidecar::start(directory.path(), &fake.url());
    fake.greet().await;
    fake.push(1, assignment(5, 200_000)).await;
    let push = v1::Push {
        nonce: 2,
        removed: vec!["m".into()],
        ..v1::Push::default()
    };
    fake.send(FromControl::Push(push)).await;
    assert_eq!(fake.ack().await.nonce, 2);
    assert_eq!(sidecar.share(), 0);
    assert_eq!(sidecar.shared.table().routes()[0].rollout, "");
    assert!(saved(directory.path()).entries[0].assignment.is_none());
    sidecar.stop().await;
}

impl Sidecar {
    /// The checks find the canary as it is.
    fn probe(&self, ready: bool) {
        let found = ProbedVariant {
            ready,
            ..ProbedVariant::default()
        };
        self.probed.send_modify(|probed| {
            probed.insert(("m".into(), "v2".into()), found);
        });
        self.news.notify_one();
    }
}

/// Waits for a status with something that was warming.
async fn applied(fake: &mut Fake) -> v1::AckResult {
    loop {
        if let ToControl::Status(mut status) = fake.any().await
            && let Some(result) = status.applied.pop()
        {
            return result;
        }
    }
}

#[tokio::test]
async fn an_assignment_is_warming_until_its_canary_is_ready() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    fake.capabilities = vec!["warming".into()];
    let sidecar = Sidecar::start(directory.path(), &fake.url());
    assert_eq!(fake.greet().await.capabilities, ["warming"]);
    let nobody = fake.push(1, assignment(4, 0)).await;
    assert_eq!(
        nobody.outcome(),
        Outcome::Applied,
        "no canary is waited for"
    );
    let first = fake.push(2, assignment(5, 50_000)).await;
    assert_eq!(first.outcome(), Outcome::Warming);
    assert_eq!(sidecar.share(), 50_000, "in force, for the probes to find");
    // The stream breaks; it is still what it was.
    fake.hang_up().await;
    assert!(fake.greet().await.held[0].warming);
    let again = fake.push(1, assignment(5, 50_000)).await;
    assert_eq!(again.outcome(), Outcome::Warming);
    sidecar.probe(true);
    let result = applied(&mut fake).await;
    assert_eq!(result.outcome(), Outcome::Applied);
    assert_eq!(result.fence, assignment(5, 0).fence);
    // The next step has it from the start; that it is gone for a moment is another matter.
    let next = fake.push(2, assignment(6, 100_000)).await;
    assert_eq!(next.outcome(), Outcome::Applied);
    sidecar.probe(false);
    let renewed = fake.push(3, assignment(6, 100_000)).await;
    assert_eq!(renewed.outcome(), Outcome::Applied);
    let raised = fake.push(4, assignment(7, 200_000)).await;
    assert_eq!(raised.outcome(), Outcome::Warming);
    let rolled_back = v1::Assignment {
        rolled_back: true,
        ..assignment(8, 0)
    };
    let back = fake.push(5, rolled_back).await;
    assert_eq!(back.outcome(), Outcome::Applied);
    sidecar.stop().await;
}

#[tokio::test]
async fn who_does_not_know_warming_is_not_told_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let sidecar = Sidecar::start(directory.path(), &fake.url());
    fake.greet().await;
    let result = fake.push(1, assignment(5, 50_000)).await;
    assert_eq!(result.outcome(), Outcome::Applied);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_control_plane_that_is_mistaken_is_asked_for_everything() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let sidecar = Sidecar::start(directory.path(), &fake.url());
    fake.greet().await;
    fake.push(1, assignment(5, 50_000)).await;
    let beat = |state_digest| {
        FromControl::Heartbeat(v1::Heartbeat {
            leases: Vec::new(),
            state_digest,
        })
    };
    let fence = follow::fence(&assignment(5, 0).fence.unwrap());
    let right = serinus_common::digest::of_held([("m", fence, assignment(5, 50_000).digest)]);
    fake.send(beat(None)).await;
    fake.send(beat(Some(right))).await;
    fake.send(beat(Some(right ^ 1))).await;
    let ToControl::Resync(resync) = fake.next().await else {
        panic!("no question")
    };
    assert_eq!(resync.held[0].fence, assignment(5, 0).fence);
    // Only once: the two before were in order.
    assert_eq!(
        fake.push(2, assignment(6, 50_000)).await.outcome(),
        Outcome::Applied
    );
    sidecar.stop().await;
}

#[tokio::test]
async fn what_a_deposed_control_plane_says_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut fake = Fake::start();
    let sidecar = Sidecar::start(directory.path(), &fake.url());
    fake.greet().await;
    let of_term = |term, revision, ppm| {
        let mut assignment = assignment(revision, ppm);
        assignment.fence.as_mut().unwrap().term = term;
        assignment
    };
    fake.push(1, of_term(2, 7, 50_000)).await;
    // The old one wakes up with pushes, heartbeats and removals that it had begun; its revisions may be higher.
    for (nonce, revision) in [(2, 6), (3, 7), (4, 900)] {
        let stale = fake.push(nonce, of_term(1, revision, 900_000)).await;
        assert!(stale.stale_fence, "{stale:?}");
        assert_eq!(
            stale.fence,
            of_term(2, 7, 0).fence,
            "it is told what is newer"
        );
        assert_eq!(sidecar.share(), 50_000);
    }
    let held = &saved(directory.path()).entries[0];
    assert_eq!(held.fence.unwrap().term, 2);
    // The same instruction with another content is a forgery.
    let forged = v1::Assignment {
        digest: 1,
        ..of_term(2, 7, 900_000)
    };
    let result = fake.push(5, forged).await;
    assert!(result.diverged && result.outcome() == Outcome::Rejected);
    assert_eq!(sidecar.share(), 50_000);
    sidecar.stop().await;
}
