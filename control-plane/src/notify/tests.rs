use super::*;
use crate::config;
use crate::engine::{Command, Engine, Verb};
use crate::store::contract;
use crate::store::memory::{Disk, MemoryStore};
use serinus_proto::v1;
use serinus_runtime::shutdown;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A receiver that answers as it is told, and keeps what it took.
#[derive(Clone, Default)]
struct Receiver {
    took: Arc<Mutex<Vec<(String, serde_json::Value)>>>,
    refused: Arc<Mutex<usize>>,
    /// Models, by the beginning of their names, whose events are refused.
    refuses: Arc<Mutex<Option<String>>>,
}

impl Receiver {
    async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let receiver = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = receiver.clone();
                tokio::spawn(async move { receiver.serve(stream).await });
            }
        });
        url
    }

    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let (mut id, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            let line = line.trim().to_lowercase();
            if let Some(value) = line.strip_prefix("webhook-id: ") {
                id = value.to_owned();
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let value: serde_json::Value = serde_json::from_slice(&body).ok()?;
        let refuses = self.refuses.lock().unwrap().clone();
        let model = value["data"]["model"].as_str().unwrap_or_default();
        let answer = if refuses.is_some_and(|refused| model.starts_with(&refused)) {
            *self.refused.lock().unwrap() += 1;
            "HTTP/1.1 503 Later\r\ncontent-length: 0\r\n\r\n"
        } else {
            self.took.lock().unwrap().push((id, value));
            "HTTP/1.1 204 Taken\r\n\r\n"
        };
        stream.write_all(answer.as_bytes()).await.ok()
    }

    fn took(&self) -> Vec<(String, String)> {
        let took = self.took.lock().unwrap();
        let of = |(_, value): &(String, serde_json::Value)| {
            let text = |of: &serde_json::Value| of.as_str().unwrap_or_default().to_owned();
            (text(&value["data"]["model"]), text(&value["type"]))
        };
        took.iter().map(of).collect()
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let waited = async {
            while !wanted(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), waited).await;
        assert!(waited.is_ok(), "{what}: {:?}", self.took());
    }
}

fn webhook(url: &str) -> Vec<Webhook> {
    let text = format!("name = 'w'\nurl = {url:?}");
    let table: toml::Table = text.parse().unwrap();
    let webhook: config::Webhook = table.try_into().unwrap();
    load(&[webhook]).unwrap()
}

/// An engine on a disk, and the delivery to `url`.
struct Running {
    handle: Handle,
    stop: shutdown::Trigger,
    stop_engine: shutdown::Trigger,
    tasks: JoinSet<()>,
    engine: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(disk: &Disk, url: &str) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::open(disk.clone()));
        let (engine, handle) = Engine::start(store.clone(), "test").unwrap();
        let webhooks = begin(store.as_ref(), webhook(url)).unwrap();
        let (stop, drain) = shutdown::channel();
        let (stop_engine, engine_drain) = shutdown::channel();
        let engine = tokio::spawn(async move { engine.run(engine_drain).await.unwrap() });
        let tasks = super::start(webhooks, &handle, &drain);
        Self {
            handle,
            stop,
            stop_engine,
            tasks,
            engine,
        }
    }

    async fn apply(&self, model: &str) {
        let stable = Some(("v1", "http://127.0.0.1:9001"));
        let plan =
            serinus_core::plan::short_form(model, stable, ("v2", "http://127.0.0.1:9002"), 5.0);
        let request = v1::ApplyRequest {
            request_id: format!("apply-{model}"),
            plan: Some(plan.unwrap()),
            ..v1::ApplyRequest::default()
        };
        let applied = self.handle.command("ana", Command::Apply(request)).await;
        applied.unwrap();
    }

    async fn pause(&self, model: &str) {
        let request = v1::CommandRequest {
            rollout: model.into(),
            request_id: format!("pause-{model}"),
            ..v1::CommandRequest::default()
        };
        let paused = self
            .handle
            .command("ana", Command::Verb(Verb::Pause, request));
        paused.await.unwrap();
    }

    async fn end(mut self) {
        self.stop.drain();
        while self.tasks.join_next().await.is_some() {}
        self.stop_engine.drain();
        self.engine.await.unwrap();
    }
}

#[tokio::test]
async fn events_arrive_in_order_and_a_refused_rollout_holds_up_no_other() {
    let receiver = Receiver::default();
    *receiver.refuses.lock().unwrap() = Some("a".into());
    let url = receiver.listen().await;
    let disk = Disk::default();
    let running = Running::start(&disk, &url);
    running.apply("a").await;
    running.apply("b").await;
    running.pause("b").await;
    let paused = |model: &'static str| {
        move |of: &Receiver| of.took().contains(&(model.into(), "paused".into()))
    };
    receiver.until("b is told", paused("b")).await;
    receiver
        .until("a is tried", |of| *of.refused.lock().unwrap() > 0)
        .await;
    assert!(receiver.took().iter().all(|(model, _)| model != "a"));
    running.pause("a").await;
    // Stopped and started again, it goes on with what is outstanding only.
    running.end().await;
    let before = receiver.took().len();
    *receiver.refuses.lock().unwrap() = None;
    let running = Running::start(&disk, &url);
    receiver.until("a is told", paused("a")).await;
    running.end().await;
    let took = receiver.took();
    assert!(
        took[before..].iter().all(|(model, _)| model == "a"),
        "{took:?}"
    );
    for model in ["a", "b"] {
        let took: Vec<u64> = {
            let took = receiver.took.lock().unwrap();
            let of = took
                .iter()
                .filter(|(_, value)| value["data"]["model"] == model);
            let revision = |value: &serde_json::Value| {
                value["data"]["revision"].as_str().unwrap().parse().unwrap()
            };
            of.map(|(_, value)| revision(value)).collect()
        };
        assert!(took.len() > 2 && took.is_sorted(), "{model}: {took:?}");
    }
    let ids: std::collections::BTreeSet<String> = receiver
        .took
        .lock()
        .unwrap()
        .iter()
        .map(|(id, _)| id.clone())
        .collect();
    assert_eq!(ids.len(), took.len(), "each id once, since nothing crashed");
}

#[test]
fn a_new_webhook_begins_with_the_next_event_and_a_known_one_goes_on() {
    let store = MemoryStore::open(Disk::default());
    store.commit(&contract::records(1, 5)).unwrap();
    let url = "http://127.0.0.1:1/";
    let begun = begin(&store, webhook(url)).unwrap();
    assert_eq!(begun[0].1.read, 5);
    assert_eq!(
        store.webhooks().unwrap(),
        [begun[0].1.clone()],
        "on disk already"
    );
    store.commit(&contract::records(6, 9)).unwrap();
    let begun = begin(&store, webhook(url)).unwrap();
    assert_eq!(begun[0].1.read, 5, "nothing since is passed over");
    // A repair has cut the log.
    let ahead = stored::Webhook {
        name: "w".into(),
        read: 20,
        outstanding: vec![7, 12],
    };
    let batch = Batch {
        webhooks: vec![ahead],
        ..Batch::default()
    };
    store.commit(&batch).unwrap();
    let begun = begin(&store, webhook(url)).unwrap();
    assert_eq!(
        (begun[0].1.read, &begun[0].1.outstanding[..]),
        (9, &[7][..])
    );
}
