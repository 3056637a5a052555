//! A sidecar speaks for itself and its models, whatever its messages say.

use crate::access::Caller;
use crate::engine::Handle;
use serinus_proto::v1::{self, sidecar_message::Message};
use tonic::Status;

/// Who it says it is, and of which models.
pub(super) fn hello(caller: &Caller, hello: &v1::Hello) -> Result<(), Status> {
    caller.is_sidecar(&hello.sidecar)?;
    caller.speaks_for(hello.models.iter().map(String::as_str))?;
    held(caller, &hello.held)
}

/// What it says later on the same stream.
pub(super) fn message(caller: &Caller, message: &v1::SidecarMessage) -> Result<(), Status> {
    match &message.message {
        Some(Message::Ack(ack)) => results(caller, &ack.results),
        Some(Message::Status(status)) => {
            let variants = status.variants.iter();
            caller.speaks_for(variants.map(|variant| variant.model.as_str()))?;
            results(caller, &status.applied)
        }
        Some(Message::Resync(resync)) => held(caller, &resync.held),
        // A second Hello is refused in any case.
        Some(Message::Hello(_)) | None => Ok(()),
    }
}

/// What it counted. Rollouts that nobody knows belong to no model; the engine does not count them.
pub(super) fn report(
    caller: &Caller,
    handle: &Handle,
    report: &v1::ReportRequest,
) -> Result<(), Status> {
    caller.is_sidecar(&report.sidecar)?;
    if !caller.is_bound() {
        return Ok(());
    }
    let views = handle.views();
    let model = |rollout: &String| views.rollouts.get(rollout).map(|of| of.model.as_str());
    let cells = report.cells.iter();
    caller.speaks_for(cells.clone().map(|cell| cell.model.as_str()))?;
    let rollouts = cells
        .map(|cell| &cell.rollout)
        .chain(report.keys.iter().map(|of| &of.rollout));
    caller.speaks_for(rollouts.filter_map(model))
}

fn held(caller: &Caller, held: &[v1::HeldAssignment]) -> Result<(), Status> {
    caller.speaks_for(held.iter().map(|held| held.model.as_str()))
}

fn results(caller: &Caller, results: &[v1::AckResult]) -> Result<(), Status> {
    caller.speaks_for(results.iter().map(|result| result.model.as_str()))
}
