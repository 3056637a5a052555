//! Later truths about predictions.

use super::error;
use crate::engine::Handle;
use crate::metrics::OUTCOMES;
use serinus_proto::v1::{self, outcomes_server::Outcomes};
use tonic::{Request, Response, Status};

/// Items of one call.
const MOST: usize = 10_000;

/// Serves `Outcomes`.
#[derive(Debug)]
pub(super) struct Service {
    handle: Handle,
}

impl Service {
    pub(super) fn new(handle: Handle) -> Self {
        Self { handle }
    }
}

#[tonic::async_trait]
impl Outcomes for Service {
    async fn record_outcomes(
        &self,
        request: Request<v1::RecordOutcomesRequest>,
    ) -> Result<Response<v1::RecordOutcomesResponse>, Status> {
        let items = request.into_inner().items;
        if items.len() > MOST {
            let message = format!("has {} items; send at most {MOST} in one call", items.len());
            return Err(error::bad_field("items", message));
        }
        let recorded = self.handle.record_outcomes(items).await;
        let recorded = recorded.ok_or_else(|| error::unanswered(&self.handle))?;
        count(&recorded);
        let statuses = recorded.into_iter().map(Into::into).collect();
        Ok(Response::new(v1::RecordOutcomesResponse { statuses }))
    }
}

fn count(statuses: &[v1::OutcomeStatus]) {
    for status in ALL {
        let n = statuses.iter().filter(|&&other| other == status).count();
        if n > 0 {
            let name = status.as_str_name();
            let name = name
                .strip_prefix("OUTCOME_STATUS_")
                .unwrap_or(name)
                .to_ascii_lowercase();
            metrics::counter!(OUTCOMES, "status" => name).increment(n as u64);
        }
    }
}

const ALL: [v1::OutcomeStatus; 7] = [
    v1::OutcomeStatus::Joined,
    v1::OutcomeStatus::Duplicate,
    v1::OutcomeStatus::Expired,
    v1::OutcomeStatus::BadId,
    v1::OutcomeStatus::UnknownMetric,
    v1::OutcomeStatus::BadValue,
    v1::OutcomeStatus::NoPrediction,
];
