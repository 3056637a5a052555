//! Everything that the decisions of one rollout were made from, in chunks.

use crate::engine::Handle;
use crate::grpc::error;
use crate::grpc::watches::Watcher;
use prost::Message;
use serinus_evidence::ENGINE_VERSION;
use serinus_proto::stored::v1::LogRecord;
use serinus_proto::v1::event::Kind;
use serinus_proto::v1::{RecordedEvent, RecordingChunk, RecordingHeader};
use tonic::{Code, Status};

/// Entries of the log, of all rollouts, that are read at a time. With all their evidence they have some kilobytes each.
const RECORDS: usize = 200;
/// Slices that are read at a time; with wide sketches they have some kilobytes each.
const SLICES: usize = 250;

/// Sends the recording of rollout `id` as of the last revision that is on disk.
pub(super) async fn run(
    handle: Handle,
    watcher: Watcher<RecordingChunk>,
    id: String,
) -> Result<(), Status> {
    let revision = *handle.watch_revision().borrow();
    let recorder = Recorder {
        handle,
        watcher,
        id,
    };
    recorder.header(revision).await?;
    let folded = recorder.events(revision).await?;
    let slices = recorder.slices().await?;
    let label_slices = recorder.label_slices().await?;
    if slices < folded.0 || label_slices < folded.1 {
        let message = format!(
            "the evidence of rollout {} is not kept any more: its decisions cannot be made again. `serinus rollout \
             history` still shows them",
            recorder.id
        );
        return Err(error::status(
            Code::OutOfRange,
            "EVIDENCE_REMOVED",
            message,
            [],
        ));
    }
    Ok(())
}

struct Recorder {
    handle: Handle,
    watcher: Watcher<RecordingChunk>,
    id: String,
}

impl Recorder {
    async fn header(&self, revision: u64) -> Result<(), Status> {
        let header = RecordingHeader {
            rollout: self.id.clone(),
            revision,
            engine_version: ENGINE_VERSION,
        };
        self.send(RecordingChunk {
            header: Some(header),
            ..RecordingChunk::default()
        })
        .await
    }

    /// Sends the events; how many slices of both kinds their decisions were made from.
    async fn events(&self, revision: u64) -> Result<(u64, u64), Status> {
        let mut at = 0;
        let mut folded = (0, 0);
        while at < revision {
            let read = self
                .handle
                .read(move |store| store.records(at, RECORDS))
                .await
                .map_err(|fault| error::store(&fault))?;
            let Some(last) = read.last().and_then(|record| record.event.as_ref()) else {
                break;
            };
            at = last.revision;
            let events: Vec<_> = read
                .into_iter()
                .filter_map(|record| self.recorded(record, revision))
                .collect();
            for look in events.iter().filter_map(|event| event.look.as_ref()) {
                folded = (folded.0.max(look.slices), folded.1.max(look.label_slices));
            }
            if !events.is_empty() {
                self.send(RecordingChunk {
                    events,
                    ..RecordingChunk::default()
                })
                .await?;
            }
        }
        Ok(folded)
    }

    fn recorded(&self, record: LogRecord, revision: u64) -> Option<RecordedEvent> {
        let event = record.event?;
        // Waiting in the queue is no part of what was decided.
        let waits = matches!(event.kind, Some(Kind::Queued(_) | Kind::Cancelled(_)));
        let wanted = event.rollout == self.id && event.revision <= revision && !waits;
        wanted.then_some(RecordedEvent {
            event: Some(event),
            look: record.look,
            part: record.part,
            stable_history: record
                .stable_history
                .map(|known| known.encode_to_vec())
                .unwrap_or_default(),
        })
    }

    async fn slices(&self) -> Result<u64, Status> {
        let mut at = 0;
        loop {
            let id = self.id.clone();
            let read = self
                .handle
                .read(move |store| store.slices(&id, at, SLICES))
                .await
                .map_err(|fault| error::store(&fault))?;
            let slices = self.encoded("slice", &mut at, read)?;
            if slices.is_empty() {
                return Ok(at);
            }
            self.send(RecordingChunk {
                slices,
                ..RecordingChunk::default()
            })
            .await?;
        }
    }

    async fn label_slices(&self) -> Result<u64, Status> {
        let mut at = 0;
        loop {
            let id = self.id.clone();
            let read = self
                .handle
                .read(move |store| store.label_slices(&id, at, SLICES))
                .await
                .map_err(|fault| error::store(&fault))?;
            let label_slices = self.encoded("label slice", &mut at, read)?;
            if label_slices.is_empty() {
                return Ok(at);
            }
            self.send(RecordingChunk {
                label_slices,
                ..RecordingChunk::default()
            })
            .await?;
        }
    }

    /// Their bytes; the numbers go from `at` on without a hole, else the evidence could not be made again.
    fn encoded<T: Message>(
        &self,
        what: &str,
        at: &mut u64,
        read: Vec<(u64, T)>,
    ) -> Result<Vec<Vec<u8>>, Status> {
        let mut encoded = Vec::with_capacity(read.len());
        for (seq, slice) in read {
            *at += 1;
            if seq != *at {
                let message = format!(
                    "{what} {at} of rollout {} is missing on disk: its decisions cannot be made again",
                    self.id
                );
                return Err(error::status(Code::DataLoss, "SLICE_MISSING", message, []));
            }
            encoded.push(slice.encode_to_vec());
        }
        Ok(encoded)
    }

    async fn send(&self, chunk: RecordingChunk) -> Result<(), Status> {
        self.watcher.send(chunk).await
    }
}
