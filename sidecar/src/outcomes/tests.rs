use super::*;
use crate::fake::{Fake, eventually};
use crate::sync::{Session, link_for_tests};
use spool::Spool;
use std::path::Path;
use tokio::task::JoinHandle;

struct Open {
    desk: Desk,
    contact: watch::Sender<Contact>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Open {
    fn start(directory: &Path) -> Self {
        let (spool, _) = Spool::open(directory, 1 << 20).unwrap();
        let (contact, heard) = watch::channel(Contact::default());
        let desk = Desk::new(Writer::start(spool).unwrap(), heard);
        let (stop, stopping) = watch::channel(false);
        let forwarding = desk.clone();
        let task = tokio::spawn(async move { forwarding.forward(stopping).await });
        Self {
            desk,
            contact,
            stop,
            task,
        }
    }

    async fn connect(&self, fake: &Fake) {
        let link = link_for_tests(&fake.url()).await;
        let session = Session {
            link,
            url: fake.url(),
            since_ms: 0,
        };
        self.contact
            .send_modify(|contact| contact.session = Some(session));
    }

    async fn take(&self, text: &str, wait: bool) -> Vec<&'static str> {
        self.desk
            .take(text.as_bytes(), false, wait)
            .await
            .unwrap()
            .statuses
    }
}

fn outcome(sequence: u64, metric: &str) -> String {
    let id = body::tests::id(1, sequence);
    format!("{{\"prediction_id\":\"{id}\",\"metric\":\"{metric}\",\"value\":1}}")
}

#[tokio::test]
async fn accepted_outcomes_reach_the_control_plane() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let open = Open::start(directory.path());
    open.connect(&fake).await;
    let both = format!("[{},{}]", outcome(1, "accuracy"), outcome(2, "unknown"));
    assert_eq!(open.take(&both, false).await, ["accepted", "accepted"]);
    eventually(|| open.desk.waiting_bytes() == 0).await;
    let by_status: std::collections::BTreeMap<_, _> = open.desk.tally().by_status().collect();
    assert_eq!((by_status["joined"], by_status["unknown_metric"]), (1, 1));
    assert_eq!(open.desk.tally().accepted(), 2);
    assert_eq!(fake.disk.lock().unwrap().outcomes.len(), 1);
}

#[tokio::test]
async fn who_waits_gets_final_answers() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let open = Open::start(directory.path());
    // Not in contact yet: taken all the same.
    assert_eq!(open.take(&outcome(1, "accuracy"), true).await, ["accepted"]);
    open.connect(&fake).await;
    eventually(|| open.desk.waiting_bytes() == 0).await;
    let bad = "{\"prediction_id\":\"x\",\"metric\":\"accuracy\",\"value\":1}";
    let all = format!(
        "[{},{bad},{},{}]",
        outcome(1, "accuracy"),
        outcome(2, "accuracy"),
        outcome(3, "unknown")
    );
    assert_eq!(
        open.take(&all, true).await,
        ["duplicate", "bad_id", "joined", "unknown_metric"]
    );
}

#[tokio::test]
async fn outcomes_survive_restarts_and_wait_for_the_control_plane() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let open = Open::start(directory.path());
    open.take(&outcome(1, "accuracy"), false).await;
    // Killed: nothing is closed, nothing is flushed.
    open.task.abort();
    let open = Open::start(directory.path());
    assert!(open.desk.waiting_bytes() > 0);
    fake.disk.lock().unwrap().refuse = Some(tonic::Status::unavailable("later"));
    open.connect(&fake).await;
    eventually(|| open.desk.tally().failed_calls() > 0).await;
    fake.disk.lock().unwrap().refuse = None;
    eventually(|| open.desk.waiting_bytes() == 0).await;
    assert_eq!(fake.disk.lock().unwrap().outcomes.len(), 1);
    open.stop.send_replace(true);
    open.task.await.unwrap();
}

#[tokio::test]
async fn a_stop_waits_for_what_is_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let open = Open::start(directory.path());
    open.take(&outcome(1, "accuracy"), false).await;
    open.stop.send_replace(true);
    open.connect(&fake).await;
    open.task.await.unwrap();
    assert_eq!(fake.disk.lock().unwrap().outcomes.len(), 1);
}
