//! Pages of lists.

use super::error;
use crate::engine::Views;
use serinus_proto::v1;
use std::ops::Bound;
use tonic::Status;

const ROLLOUTS: usize = 50;
const MOST_ROLLOUTS: usize = 500;

/// How many items to send: `asked`, or `default` for 0, at most `most`.
pub(super) fn size(asked: u32, default: usize, most: usize) -> usize {
    match asked {
        0 => default,
        n => usize::try_from(n).unwrap_or(most).min(most),
    }
}

/// A page of rollouts, newest first. Ids sort by age; the token is the last id of the page before.
pub(super) fn rollouts(
    views: &Views,
    request: &v1::ListRolloutsRequest,
) -> Result<v1::ListRolloutsResponse, Status> {
    let token = request.page_token.as_str();
    if !token.is_empty() && !views.rollouts.contains_key(token) {
        let message = "is not a token of this list; leave it empty to start over";
        return Err(error::bad_field("page_token", message));
    }
    let before = if token.is_empty() {
        Bound::Unbounded
    } else {
        Bound::Excluded(token)
    };
    let wanted = |rollout: &&std::sync::Arc<v1::Rollout>| {
        (request.model.is_empty() || rollout.model == request.model)
            && !(request.active_only && is_over(rollout))
    };
    let older = views
        .rollouts
        .range::<str, _>((Bound::Unbounded, before))
        .rev();
    let mut older = older.map(|(_, rollout)| rollout).filter(wanted);
    let size = size(request.page_size, ROLLOUTS, MOST_ROLLOUTS);
    let rollouts: Vec<v1::Rollout> = older.by_ref().take(size).map(|r| (**r).clone()).collect();
    let more = older.next().is_some();
    let last = rollouts.last().filter(|_| more);
    let next_page_token = last.map_or_else(String::new, |rollout| rollout.id.clone());
    Ok(v1::ListRolloutsResponse {
        rollouts,
        next_page_token,
    })
}

/// Whether nothing will ever happen to it again.
pub(super) fn is_over(rollout: &v1::Rollout) -> bool {
    matches!(
        rollout.state(),
        v1::State::Promoted | v1::State::RolledBack | v1::State::Cancelled
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn views() -> Views {
        let mut views = Views::default();
        for (number, id) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
            let mut rollout = v1::Rollout {
                id: id.into(),
                ..v1::Rollout::default()
            };
            rollout.model = if number % 2 == 0 {
                "even".into()
            } else {
                "odd".into()
            };
            rollout.set_state(if id < "d" {
                v1::State::Promoted
            } else {
                v1::State::Running
            });
            views.rollouts.insert(id.into(), Arc::new(rollout));
        }
        views
    }

    fn ids(response: &v1::ListRolloutsResponse) -> String {
        response
            .rollouts
            .iter()
            .map(|rollout| rollout.id.as_str())
            .collect()
    }

    #[test]
    fn pages_follow_each_other_newest_first() {
        let mut request = v1::ListRolloutsRequest {
            page_size: 2,
            ..Default::default()
        };
        let mut pages = Vec::new();
        loop {
            let page = rollouts(&views(), &request).unwrap();
            pages.push(ids(&page));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(pages, ["ed", "cb", "a"]);
    }

    #[test]
    fn models_and_states_are_chosen() {
        let even = v1::ListRolloutsRequest {
            model: "even".into(),
            ..Default::default()
        };
        assert_eq!(ids(&rollouts(&views(), &even).unwrap()), "eca");
        let active = v1::ListRolloutsRequest {
            active_only: true,
            ..Default::default()
        };
        assert_eq!(ids(&rollouts(&views(), &active).unwrap()), "ed");
        let exact = v1::ListRolloutsRequest {
            page_size: 5,
            ..Default::default()
        };
        assert_eq!(rollouts(&views(), &exact).unwrap().next_page_token, "");
    }

    #[test]
    fn a_foreign_token_is_refused() {
        let request = v1::ListRolloutsRequest {
            page_token: "zzz".into(),
            ..Default::default()
        };
        let status = rollouts(&views(), &request).unwrap_err();
        assert!(status.message().starts_with("page_token"), "{status}");
    }
}
