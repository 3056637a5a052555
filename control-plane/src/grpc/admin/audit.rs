//! Who did what, as a stream.

use crate::access::refusals::Refusal;
use crate::engine::Handle;
use crate::grpc::error;
use crate::grpc::watches::Watcher;
use prost::Message as _;
use serinus_proto::stored::v1::LogRecord;
use serinus_proto::v1::{self, list_audit_response::Message};
use tonic::Status;

/// Entries of the log that are read at a time.
const RECORDS: usize = 200;

/// Sends the entries after a revision, then what was refused, then the end.
pub(super) async fn run(
    handle: Handle,
    watcher: Watcher<v1::ListAuditResponse>,
    after: u64,
    (refusals, total): (Vec<Refusal>, u64),
) -> Result<(), Status> {
    let last = *handle.watch_revision().borrow();
    let base = handle.read(|store| store.audit_base()).await;
    let base = base.map_err(|fault| error::store(&fault))?;
    let mut at = after;
    while at < last {
        let read = handle.read(move |store| store.records(at, RECORDS)).await;
        let read = read.map_err(|fault| error::store(&fault))?;
        let Some(newest) = read.last().and_then(|record| record.event.as_ref()) else {
            break;
        };
        at = newest.revision;
        for record in read.into_iter().filter(|record| record.audit.is_some()) {
            send(&watcher, Message::Entry(entry(record))).await?;
        }
    }
    for refusal in refusals {
        send(&watcher, Message::Refusal(refused(refusal))).await?;
    }
    let end = v1::AuditEnd {
        base_number: base.number,
        base_seal: base.seal,
        refusals: total,
    };
    send(&watcher, Message::End(end)).await
}

async fn send(watcher: &Watcher<v1::ListAuditResponse>, message: Message) -> Result<(), Status> {
    let message = Some(message);
    watcher.send(v1::ListAuditResponse { message }).await
}

fn entry(record: LogRecord) -> v1::AuditEntry {
    v1::AuditEntry {
        record: record.encode_to_vec(),
        event: record.event,
        audit: record.audit,
    }
}

fn refused(refusal: Refusal) -> v1::Refusal {
    v1::Refusal {
        time: Some(refusal.time.into()),
        caller: refusal.caller,
        from: refusal.from,
        method: refusal.method,
        why: refusal.why.to_owned(),
        message: refusal.message,
    }
}
