//! One life of the Report stream.

use super::Reports;
use crate::sync::{Contact, Session};
use serinus_proto::v1;
use serinus_proto::v1::sidecars_client::SidecarsClient;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Reports that may wait in the stream; more than the ledger ever has under way.
const QUEUE: usize = 2 * super::ledger::BOUND;

/// How a stream ended well.
pub(super) enum Ended {
    /// Nothing is left to say.
    Done,
    /// There is another connection, or none.
    Elsewhere,
    /// A new incarnation is needed.
    LostHistory,
}

/// Sends whatever is not stored, then whatever comes, until the connection changes or all is said.
pub(super) async fn run(
    reports: &Reports,
    session: &Session,
    contact: &mut watch::Receiver<Contact>,
) -> Result<Ended, Status> {
    reports.books().ledger.rewind();
    let (queue, outgoing) = mpsc::channel(QUEUE);
    let mut queue = Some(queue);
    // The first reports must be there before the call: a server may answer only when it has read one.
    fill(reports, queue.as_ref());
    let mut client = SidecarsClient::new(session.link.clone());
    let mut acks = tokio::select! {
        answer = client.report(ReceiverStream::new(outgoing)) => answer?.into_inner(),
        _ = contact.changed() => return Ok(Ended::Elsewhere),
    };
    loop {
        fill(reports, queue.as_ref());
        if reports.is_done() {
            return Ok(Ended::Done);
        }
        if reports.is_sent() {
            // Says that this was all; the control plane reads to the end and closes its side.
            queue = None;
        }
        tokio::select! {
            ack = acks.message() => match ack? {
                Some(ack) => if reports.acknowledged(&ack).is_err() {
                    return Ok(Ended::LostHistory);
                },
                None if queue.is_none() => return Ok(Ended::Done),
                None => return Err(Status::unavailable("the control plane closed the report stream")),
            },
            () = reports.0.changed.notified() => {}
            changed = contact.changed(), if contact.has_changed().is_ok() => if changed.is_ok() {
                return Ok(Ended::Elsewhere);
            },
        }
    }
}

fn fill(reports: &Reports, queue: Option<&mpsc::Sender<v1::ReportRequest>>) {
    let Some(queue) = queue else { return };
    while queue.capacity() > 0 {
        let Some(report) = reports.next() else { return };
        if queue.try_send(report).is_err() {
            return;
        }
    }
}
