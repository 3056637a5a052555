use super::*;
use crate::fake::{Fake, eventually};
use crate::kill::Switch;
use crate::sync::apply::Applier;
use crate::sync::clock::Clock;
use crate::sync::store::Store;
use crate::sync::{self, Peer, Probed};
use crate::table::ModelSpec;
use crate::tls::Dial;
use serinus_runtime::shutdown;
use tokio::task::JoinHandle;

/// The reporting half of a sidecar.
struct Reporting {
    reports: Reports,
    sealed: mpsc::UnboundedSender<Sealed>,
    reporting: JoinHandle<()>,
    syncing: JoinHandle<()>,
    leave: shutdown::Trigger,
    second: u64,
}

impl Reporting {
    fn start(url: &str) -> Self {
        let reports = Reports::new("host-a".into(), 1);
        let shared = Arc::new(crate::shared::Shared::new());
        let spec = ModelSpec {
            name: "m".into(),
            stable_name: "v1".into(),
            stable: vec!["http://127.0.0.1:9001".into()],
            ..ModelSpec::default()
        };
        let clock = Clock::from_fn(|| 0);
        let applier = Applier::start(
            vec![spec],
            Arc::clone(&shared),
            Store::nowhere(),
            clock,
            0,
            Switch::new(None).watch(),
        )
        .unwrap();
        let reconnect = Arc::new(Notify::new());
        let peer = Peer {
            name: "host-a".into(),
            labels: Default::default(),
            models: vec!["m".into()],
            control_plane: vec![url.to_owned()],
            token_file: None,
            tls: Arc::new(Dial::system()),
            reports: reports.clone(),
            shared,
            probed: watch::channel(Probed::new()).1,
            news: Arc::default(),
            reconnect: Arc::clone(&reconnect),
        };
        let (said, contact) = watch::channel(Contact::default());
        let (leave, leaving) = shutdown::channel();
        let syncing = tokio::spawn(sync::run(peer, applier, Arc::new(said), leaving));
        let (sealed, sealing) = mpsc::unbounded_channel();
        let reporting = tokio::spawn(run(reports.clone(), sealing, contact, reconnect));
        Self {
            reports,
            sealed,
            reporting,
            syncing,
            leave,
            second: 0,
        }
    }

    /// A second in which so much was counted.
    fn count(&mut self, ok: u64) {
        let cell = ledger::tests::cell(1, self.second, ok);
        self.second += 1;
        let sealed = Sealed {
            worker: 0,
            finished_before: self.second,
            cells: vec![cell],
            keys: Vec::new(),
        };
        self.sealed.send(sealed).unwrap();
    }

    async fn stored(&self, seq: u64) {
        eventually(|| self.reports.backlog() == (0, seq)).await;
    }

    async fn stop(self) {
        drop(self.sealed);
        self.reporting.await.unwrap();
        self.leave.drain();
        self.syncing.await.unwrap();
    }
}

fn total(fake: &Fake) -> u64 {
    ledger::tests::total(&fake.disk.lock().unwrap().cells)
}

#[tokio::test]
async fn reports_arrive_at_once_and_the_last_one_too() {
    let mut fake = Fake::start();
    let mut sidecar = Reporting::start(&fake.url());
    sidecar.count(3);
    fake.greet().await;
    sidecar.stored(1).await;
    sidecar.count(4);
    sidecar.stored(2).await;
    assert_eq!(total(&fake), 7);
    sidecar.count(5);
    sidecar.stop().await;
    assert_eq!(total(&fake), 12);
}

#[tokio::test]
async fn what_was_not_stored_is_sent_again_after_a_kill() {
    let mut fake = Fake::start();
    let mut sidecar = Reporting::start(&fake.url());
    fake.greet().await;
    sidecar.count(1);
    sidecar.stored(1).await;
    fake.disk.lock().unwrap().forgetful = true;
    sidecar.count(2);
    sidecar.count(3);
    let disk = Arc::clone(&fake.disk);
    eventually(|| disk.lock().unwrap().seqs.ends_with(&[2, 3])).await;
    let (address, disk) = fake.kill();
    sidecar.count(4);
    disk.lock().unwrap().forgetful = false;
    let mut fake = Fake::restart(address, disk);
    fake.greet().await;
    sidecar.stored(4).await;
    assert_eq!(total(&fake), 10);
    assert_eq!(fake.disk.lock().unwrap().seqs, [1, 2, 3, 2, 3, 4]);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_restored_control_plane_gets_a_new_incarnation() {
    let mut fake = Fake::start();
    let mut sidecar = Reporting::start(&fake.url());
    let before = fake.greet().await;
    sidecar.count(1);
    sidecar.count(2);
    sidecar.stored(2).await;
    let (address, disk) = fake.kill();
    disk.lock().unwrap().committed = 1;
    let mut fake = Fake::restart(address, disk);
    assert_eq!(fake.greet().await.incarnation, before.incarnation);
    fake.disk.lock().unwrap().committed = 0;
    let after = fake.greet().await;
    assert_ne!(after.incarnation, before.incarnation);
    sidecar.count(5);
    sidecar.stored(1).await;
    sidecar.stop().await;
}
