//! Counts, on a stream of their own. Reports are taken as they come and acknowledged in the same order, each when it is
//! on disk; so one commit can take many of them, and a reconnect with a long backlog is quick.

use super::scope;
use crate::access::Caller;
use crate::engine::Handle;
use crate::grpc::error::{self, bad_field};
use crate::grpc::feed::{Filler, Lost};
use crate::metrics::REPORTS;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use serinus_proto::v1;
use serinus_runtime::shutdown::Drain;
use std::pin::Pin;
use std::task::Poll;
use tonic::{Status, Streaming};

/// Reports of one stream that wait for their commit.
const WAITING: usize = 64;

type Taken = Pin<Box<dyn Future<Output = Option<v1::ReportAck>> + Send>>;

/// Serves one stream until it ends.
pub(super) async fn run(
    handle: Handle,
    caller: Caller,
    mut inbound: Streaming<v1::ReportRequest>,
    out: Filler<v1::ReportAck>,
    mut drain: Drain,
) -> Result<(), Status> {
    let mut waiting: FuturesOrdered<Taken> = FuturesOrdered::new();
    let mut source = None;
    let mut open = true;
    while open || !waiting.is_empty() {
        tokio::select! {
            biased;
            Some(ack) = waiting.next(), if !waiting.is_empty() => {
                if !answer(&out, ack.ok_or_else(|| error::unanswered(&handle))?).await? {
                    return Ok(());
                }
            }
            report = inbound.message(), if open && waiting.len() < WAITING => match report {
                Ok(Some(report)) => {
                    check(&report, &mut source)?;
                    belongs(&caller, &handle, &report)?;
                    waiting.push_back(begin(handle.clone(), report).await);
                }
                Ok(None) => open = false,
                // The sidecar sends again what was not acknowledged.
                Err(_) => return Ok(()),
            },
            // What was taken is committed by the engine before it ends.
            () = drain.wait(), if open => open = false,
        }
    }
    Ok(())
}

/// Puts a report into the engine's mailbox now, whatever is still waiting, so that their order is kept.
async fn begin(handle: Handle, report: v1::ReportRequest) -> Taken {
    let mut taken: Taken = Box::pin(async move { handle.report(report).await });
    let early = std::future::poll_fn(|cx| Poll::Ready(taken.as_mut().poll(cx))).await;
    match early {
        Poll::Ready(ack) => Box::pin(std::future::ready(ack)),
        Poll::Pending => taken,
    }
}

async fn answer(out: &Filler<v1::ReportAck>, ack: v1::ReportAck) -> Result<bool, Status> {
    let result = if ack.resend { "resend" } else { "stored" };
    metrics::counter!(REPORTS, "result" => result).increment(1);
    match out.send(ack).await {
        Ok(()) => Ok(true),
        Err(Lost::Gone) => Ok(false),
        Err(Lost::Slow) => Err(Status::deadline_exceeded("acknowledgements are not read")),
    }
}

/// A report is about the sidecar that sends it and about its models.
fn belongs(caller: &Caller, handle: &Handle, report: &v1::ReportRequest) -> Result<(), Status> {
    scope::report(caller, handle, report)
        .inspect_err(|_| metrics::counter!(REPORTS, "result" => "refused").increment(1))
}

/// A stream belongs to one incarnation of one sidecar.
fn check(report: &v1::ReportRequest, source: &mut Option<(String, u64)>) -> Result<(), Status> {
    let checked = checked(report, source);
    if checked.is_err() {
        metrics::counter!(REPORTS, "result" => "refused").increment(1);
    }
    checked
}

fn checked(report: &v1::ReportRequest, source: &mut Option<(String, u64)>) -> Result<(), Status> {
    if report.sidecar.is_empty() {
        return Err(bad_field("sidecar", "is the name that Hello had"));
    }
    if report.incarnation == 0 || report.seq == 0 {
        return Err(bad_field("seq", "and incarnation count from 1"));
    }
    let of = source.get_or_insert_with(|| (report.sidecar.clone(), report.incarnation));
    if (of.0.as_str(), of.1) != (report.sidecar.as_str(), report.incarnation) {
        return Err(bad_field("incarnation", "changed; use a stream for each"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_belongs_to_one_incarnation() {
        let report = |sidecar: &str, incarnation, seq| v1::ReportRequest {
            sidecar: sidecar.into(),
            incarnation,
            seq,
            ..v1::ReportRequest::default()
        };
        let mut source = None;
        for bad in [report("", 1, 1), report("a", 0, 1), report("a", 1, 0)] {
            assert!(check(&bad, &mut source).is_err());
            assert_eq!(source, None);
        }
        check(&report("a", 1, 1), &mut source).unwrap();
        check(&report("a", 1, 9), &mut source).unwrap();
        assert!(check(&report("a", 2, 1), &mut source).is_err());
        assert!(check(&report("b", 1, 1), &mut source).is_err());
    }
}
