//! The events of one rollout, page by page.

use crate::engine::Handle;
use crate::grpc::{error, page};
use serinus_proto::v1;
use tonic::Status;

const EVENTS: usize = 100;
const MOST_EVENTS: usize = 1000;
/// Events of all rollouts that are read at a time.
const READ: usize = 1000;

/// A page of the events of rollout `id`, oldest first.
pub(super) async fn page(
    handle: &Handle,
    id: &str,
    request: &v1::HistoryRequest,
) -> Result<v1::HistoryResponse, Status> {
    let size = page::size(request.page_size, EVENTS, MOST_EVENTS);
    let mut events: Vec<v1::Event> = Vec::new();
    let mut at = request.after_revision;
    loop {
        let read = handle
            .events(at, READ)
            .await
            .map_err(|fault| error::store(&fault))?;
        let last = read.last().map(|event| event.revision);
        events.extend(read.into_iter().filter(|event| event.rollout == id));
        let more = events.len() > size;
        match last {
            Some(last) if !more => at = last,
            _ => {
                events.truncate(size);
                return Ok(v1::HistoryResponse { events, more });
            }
        }
    }
}
