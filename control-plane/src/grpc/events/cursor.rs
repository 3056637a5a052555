//! Where a watch of events begins, and which events it wants.

use crate::engine::Views;
use crate::grpc::error;
use serinus_proto::v1;
use tonic::{Code, Status};

/// The revision to go on after, if this log has everything that follows it. `oldest` and `last` are 0 for an empty log.
pub(super) fn start(
    request: &v1::WatchEventsRequest,
    generation: u64,
    oldest: u64,
    last: u64,
) -> Result<u64, Status> {
    let after = request.after_revision;
    let other = request.generation != 0 && request.generation != generation;
    let metadata = [
        ("oldest", oldest.to_string()),
        ("last", last.to_string()),
        ("generation", generation.to_string()),
    ];
    if after > last || other {
        let message = format!(
            "revision {after} is not of this log, which ends at {last} of generation {generation}: it has another history \
             than the one you followed; forget what you have and start with a snapshot"
        );
        return Err(error::status(
            Code::OutOfRange,
            "HISTORY_CHANGED",
            message,
            metadata,
        ));
    }
    if after + 1 < oldest {
        let message = format!(
            "events up to {} are not kept any more; start after revision {}, or with a snapshot",
            oldest - 1,
            oldest - 1
        );
        return Err(error::status(
            Code::OutOfRange,
            "COMPACTED",
            message,
            metadata,
        ));
    }
    Ok(after)
}

/// Which events are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::grpc) enum Filter {
    /// All of them.
    Everything,
    /// Those of a rollout.
    Rollout(String),
    /// Those of a model and all of its rollouts.
    Model(String),
}

impl Filter {
    /// By the id of a rollout or the name of a model; empty for everything.
    pub(in crate::grpc) fn new(views: &Views, name: &str) -> Result<Self, Status> {
        let owned = name.to_owned();
        match name {
            "" => Ok(Self::Everything),
            _ if views.rollouts.contains_key(name) => Ok(Self::Rollout(owned)),
            _ if views.models.contains_key(name) => Ok(Self::Model(owned)),
            _ => Err(error::not_found("rollout", name)),
        }
    }

    pub(in crate::grpc) fn wants(&self, event: &v1::Event) -> bool {
        match self {
            Self::Everything => true,
            Self::Rollout(id) => event.rollout == *id,
            Self::Model(name) => event.model == *name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tonic_types::StatusExt as _;

    fn reason(status: &Status) -> (Code, String) {
        let details = status.get_error_details();
        (status.code(), details.error_info().unwrap().reason.clone())
    }

    fn request(after_revision: u64, generation: u64) -> v1::WatchEventsRequest {
        v1::WatchEventsRequest {
            after_revision,
            generation,
            ..v1::WatchEventsRequest::default()
        }
    }

    #[test]
    fn a_watch_begins_where_the_log_has_everything() {
        for (after, oldest, last) in [(0, 0, 0), (0, 1, 9), (9, 1, 9), (4, 5, 9), (8, 5, 9)] {
            assert_eq!(start(&request(after, 0), 3, oldest, last).unwrap(), after);
            assert_eq!(start(&request(after, 3), 3, oldest, last).unwrap(), after);
            let restored = start(&request(after, 2), 3, oldest, last).unwrap_err();
            assert_eq!(reason(&restored).1, "HISTORY_CHANGED");
        }
        let cases = [
            (1, 0, 0, "HISTORY_CHANGED"),
            (10, 5, 9, "HISTORY_CHANGED"),
            (u64::MAX, 5, 9, "HISTORY_CHANGED"),
            (3, 5, 9, "COMPACTED"),
            (0, 5, 9, "COMPACTED"),
        ];
        for (after, oldest, last, expected) in cases {
            let status = start(&request(after, 0), 3, oldest, last).unwrap_err();
            assert_eq!(
                reason(&status),
                (Code::OutOfRange, expected.into()),
                "{after}"
            );
        }
    }

    #[test]
    fn names_are_rollouts_first_and_models_then() {
        let mut views = Views::default();
        views.rollouts.insert("r".into(), Arc::default());
        views.models.insert("m".into(), Arc::default());
        let event = |rollout: &str, model: &str| v1::Event {
            rollout: rollout.into(),
            model: model.into(),
            ..v1::Event::default()
        };
        let all = Filter::new(&views, "").unwrap();
        let one = Filter::new(&views, "r").unwrap();
        let model = Filter::new(&views, "m").unwrap();
        assert!(all.wants(&event("x", "y")));
        assert!(one.wants(&event("r", "m")) && !one.wants(&event("q", "m")));
        assert!(model.wants(&event("", "m")) && !model.wants(&event("r", "n")));
        assert_eq!(
            Filter::new(&views, "none").unwrap_err().code(),
            Code::NotFound
        );
    }
}
