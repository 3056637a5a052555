//! Writes down what happens in a cluster, for the oracle.

use crate::load::get;
use crate::oracle::trace::{Asked, Fault, Held, Record, What, write};
use crate::oracle::{self, Size, Violation};
use anyhow::{Context as _, Result, bail};
use prost::Message as _;
use serde_json::Value;
use serinus_common::digest::digest;
use serinus_demo::traffic::Seen;
use serinus_proto::v1::{self, events_client::EventsClient};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// Between two looks at a sidecar.
const LOOK: Duration = Duration::from_millis(100);
/// Before a watch that broke is begun again.
const AGAIN: Duration = Duration::from_millis(100);

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Everything that was seen. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began: Instant,
    began_ms: u64,
    records: Mutex<Vec<Record>>,
}

impl Default for Trace {
    fn default() -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            began_ms: now_ms(),
            records: Mutex::default(),
        }))
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

impl Trace {
    /// Notes something that is seen now.
    pub fn note(&self, what: What) {
        self.note_at(self.ms(Instant::now()), what);
    }

    /// Notes something that was seen then, unix milliseconds.
    pub fn note_at(&self, at_ms: u64, what: What) {
        let records = &self.0.records;
        let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
        records.push(Record { at_ms, what });
    }

    /// Notes what was done to something.
    pub fn fault(&self, fault: Fault, who: &str) {
        let who = who.to_owned();
        self.note(What::Fault { fault, who });
    }

    /// Notes a command that was answered.
    pub fn acknowledged(&self, request_id: &str, answer: &v1::Rollout) {
        self.note(What::Acknowledged {
            generation: answer.fence.unwrap_or_default().generation,
            rollout: answer.id.clone(),
            revision: answer.revision,
            request_id: request_id.to_owned(),
        });
    }

    /// Notes a request that ended.
    pub(crate) fn asked(&self, sidecar: &str, prefix: &str, seen: &Seen<'_>) {
        let unknown = seen.variant == serinus_demo::traffic::UNKNOWN_VARIANT;
        let asked = Asked {
            sidecar: sidecar.to_owned(),
            key: seen.user.map(|user| format!("{prefix}{user}")),
            variant: if unknown { "" } else { seen.variant }.to_owned(),
            status: seen.status,
            sent_ms: self.ms(seen.sent),
        };
        self.note_at(self.ms(seen.ended), What::Asked(asked));
    }

    fn ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.0.began);
        self.0.began_ms + since.as_millis() as u64
    }

    /// Requests that ended.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let records = &self.0.records;
        let records = records.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = records
            .iter()
            .filter(|of| matches!(of.what, What::Asked(_)));
        asked.count() as u64
    }

    /// Everything so far, in the order of time.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let records = &self.0.records;
        let mut records = records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        records.sort_by_key(|record| record.at_ms);
        records
    }

    /// Lets the oracle check everything; the trace is kept where `SERINUS_TRACES` says, or if something is wrong.
    ///
    /// # Errors
    /// What must not be, with the records that show it.
    pub fn check(&self) -> Result<Size> {
        let records = self.records();
        let violations = oracle::check(&records);
        let wanted = std::env::var_os("SERINUS_TRACES").map(PathBuf::from);
        if wanted.is_none() && violations.is_empty() {
            return Ok(oracle::size(&records));
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("serinus-trace-{}-{number}.jsonl", std::process::id());
        let path = wanted.unwrap_or_else(std::env::temp_dir).join(name);
        let mut bytes = Vec::new();
        write(&records, &mut bytes)?;
        std::fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        if violations.is_empty() {
            return Ok(oracle::size(&records));
        }
        let shown = violations.iter().take(10).map(Violation::to_string);
        let shown: Vec<String> = shown.collect();
        bail!(
            "{} violations; the trace is {}\n{}",
            violations.len(),
            path.display(),
            shown.join("\n")
        )
    }

    /// Looks at a sidecar again and again.
    pub(super) fn follow_sidecar(&self, name: &str, admin: &str) -> Follower {
        let (trace, name, admin) = (self.clone(), name.to_owned(), admin.to_owned());
        Follower(tokio::spawn(async move {
            loop {
                // Whoever is dead or stopped shows nothing.
                let looked =
                    tokio::time::timeout(Duration::from_secs(5), trace.look(&name, &admin));
                let _ = looked.await;
                tokio::time::sleep(LOOK).await;
            }
        }))
    }

    /// Looks at a sidecar now.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn look(&self, name: &str, admin: &str) -> Result<Held> {
        let (status, body) = get(admin, "/status").await?;
        anyhow::ensure!(status == 200, "status of {name}: {status}");
        let held = held(name, &serde_json::from_str(&body)?).context("a status of one model")?;
        self.note(What::Held(held.clone()));
        Ok(held)
    }

    /// Watches the log from its beginning on.
    pub(super) fn follow_events(&self, channel: Channel) -> Follower {
        let trace = self.clone();
        Follower(tokio::spawn(async move {
            let mut at = Cursor::default();
            loop {
                let ended = trace
                    .watch(EventsClient::new(channel.clone()), &mut at)
                    .await;
                if ended.is_err_and(|status| status.code() == tonic::Code::OutOfRange) {
                    at = Cursor {
                        watch: at.watch + 1,
                        ..Cursor::default()
                    };
                }
                tokio::time::sleep(AGAIN).await;
            }
        }))
    }

    async fn watch(
        &self,
        mut client: EventsClient<Channel>,
        at: &mut Cursor,
    ) -> Result<(), tonic::Status> {
        let request = v1::WatchEventsRequest {
            after_revision: at.revision,
            generation: at.generation,
            follow: true,
            ..v1::WatchEventsRequest::default()
        };
        let mut stream = client.watch(request).await?.into_inner();
        while let Some(response) = stream.message().await? {
            at.generation = response.generation;
            let Some(v1::watch_events_response::Message::Event(event)) = response.message else {
                continue;
            };
            at.revision = event.revision;
            self.note(What::Watched {
                watch: at.watch,
                generation: at.generation,
                revision: event.revision,
                digest: digest(&event.encode_to_vec()),
            });
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Cursor {
    watch: u64,
    generation: u64,
    revision: u64,
}

/// A task that looks; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Follower(JoinHandle<()>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The status of a sidecar of one model.
fn held(name: &str, status: &Value) -> Option<Held> {
    let model = status["models"].as_array()?.first()?;
    let assignment = &model["assignment"];
    let variants = model["variants"].as_array()?;
    let stable = variants.iter().find(|of| of["stable"] == true)?;
    let name_of = |of: &Value| of["name"].as_str().map(str::to_owned);
    let ppm = |of: &Value| (of["share"].as_f64().unwrap_or_default() * 1e6).round() as u32;
    let number = |of: &Value| of.as_u64().unwrap_or_default();
    let counted = |of: &Value| {
        let classes = of["requests"].as_object()?;
        let judged = classes.iter().filter(|(class, _)| *class != "cancelled");
        Some((name_of(of)?, judged.map(|(_, n)| number(n)).sum()))
    };
    let others = || variants.iter().filter(|of| of["stable"] != true);
    let astray = |of: &Value| {
        number(&of["rescued"]) + number(&of["diverted"]) + number(&of["breaker"]["openings"])
    };
    Some(Held {
        sidecar: name.to_owned(),
        incarnation: number(&status["incarnation"]),
        rollout: assignment["rollout"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        epoch: number(&assignment["epoch"]),
        fence: fence(assignment["fence"].as_str().unwrap_or_default()),
        ended: assignment["latched"] == true || assignment["rolled_back"] == true,
        lease: assignment["lease"].as_str().unwrap_or_default().to_owned(),
        stable: name_of(stable)?,
        shares: others()
            .filter_map(|of| Some((name_of(of)?, ppm(of))))
            .collect(),
        ready: variants.iter().all(|of| of["ready"] == true),
        astray: others().map(astray).sum(),
        counted: variants
            .iter()
            .filter_map(counted)
            .collect::<BTreeMap<_, u64>>(),
        waiting: number(&status["reports"]["waiting"]),
    })
}

/// Reads `generation.term.revision`; nothing else is one.
fn fence(text: &str) -> [u64; 3] {
    let parts: Vec<u64> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect();
    match parts[..] {
        [generation, term, revision] => [generation, term, revision],
        _ => [0; 3],
    }
}
