//! One request of one user: whom, what, and what comes back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

use super::config::Config;
use super::outcomes::Truth;
use super::pool::{Answer, Post};
use super::record::{Answered, Ended};
use super::state::{Lane, Shared};

static VARIANT: HeaderName = HeaderName::from_static("x-serinus-variant");
static PREDICTION_ID: HeaderName = HeaderName::from_static("x-serinus-prediction-id");

/// Who asks whom what.
pub(super) struct Question {
    /// Index of the target.
    pub(super) target: usize,
    user: Option<u32>,
    /// Index of the payload.
    payload: usize,
}

/// Draws questions; targets come in turn.
pub(super) struct Source {
    dice: StdRng,
    target: usize,
    targets: usize,
    payloads: usize,
    users: u32,
}

impl Source {
    pub(super) fn new(shared: &Shared) -> Self {
        Self {
            dice: StdRng::seed_from_u64(shared.config.seed),
            target: 0,
            targets: shared.lanes.len(),
            payloads: shared.config.requests.payloads.len(),
            users: shared.config.users.count,
        }
    }

    pub(super) fn next(&mut self) -> Question {
        let target = self.target;
        self.target = (target + 1) % self.targets;
        let user = (self.users > 0).then(|| self.dice.random_range(0..self.users));
        Question {
            target,
            user,
            payload: self.dice.random_range(0..self.payloads),
        }
    }
}

/// Asks, waits for the answer, and counts and keeps what follows from it.
pub(super) async fn ask(shared: Arc<Shared>, question: Question) {
    let Question {
        target,
        user,
        payload,
    } = question;
    let lane = &shared.lanes[target];
    let payload = &shared.config.requests.payloads[payload];
    let post = Post {
        uri: shared.uri.clone(),
        headers: headers(&shared.config, user),
        body: payload.body.clone(),
    };
    let sent = Instant::now();
    let result = match tokio::time::timeout(shared.config.timeout, lane.pool.call(post)).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {:?}", shared.config.timeout)),
    };
    let ended = Instant::now();
    lane.in_flight.fetch_sub(1, Ordering::Relaxed);
    let right = result
        .as_ref()
        .ok()
        .and_then(|answer| judge(answer, payload.truth));
    if let (Ok(answer), Some(right)) = (&result, right) {
        plan_outcome(&shared, lane, answer, ended, right);
    }
    let result = result
        .as_ref()
        .map_err(String::clone)
        .map(|answer| Answered {
            status: answer.status.as_u16(),
            variant: answer.text(&VARIANT),
            right,
        });
    shared.record(&Ended {
        user,
        target,
        sent,
        ended,
        result,
    });
}

fn headers(config: &Config, user: Option<u32>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(user) = user {
        let key = HeaderValue::try_from(format!("{}{user}", config.users.prefix));
        let key = key.expect("the prefix of a checked configuration may stand in a header");
        headers.insert(config.users.header.clone(), key);
    }
    headers
}

fn plan_outcome(shared: &Shared, lane: &Lane, answer: &Answer, ended: Instant, right: bool) {
    let (Some(outcomes), Some(courier)) = (&shared.config.outcomes, &lane.courier) else {
        return;
    };
    let Some(id) = answer.text(&PREDICTION_ID) else {
        return;
    };
    courier.push(Truth {
        due: ended + outcomes.delay,
        prediction_id: id.to_owned(),
        right,
    });
}

/// Whether a successful answer was right, where the truth is known; one that holds no number is wrong.
fn judge(answer: &Answer, truth: Option<i64>) -> Option<bool> {
    let truth = truth.filter(|_| answer.status.is_success())?;
    Some(first_number(&answer.body) == Some(truth))
}

#[derive(Deserialize)]
struct InferAnswer {
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    data: Vec<i64>,
}

/// The first number of the first output of an Open Inference Protocol answer.
fn first_number(body: &[u8]) -> Option<i64> {
    let answer: InferAnswer = serde_json::from_slice(body).ok()?;
    answer.outputs.first()?.data.first().copied()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;

    use super::*;

    fn judged(status: u16, body: &'static str, truth: Option<i64>) -> Option<bool> {
        let status = StatusCode::from_u16(status).unwrap();
        judge(
            &Answer {
                status,
                headers: HeaderMap::new(),
                body: Bytes::from(body),
            },
            truth,
        )
    }

    #[test]
    fn answers_are_judged_by_their_first_number() {
        let seven = r#"{"model_name": "m", "outputs": [{"name": "digit", "data": [7, 1]}]}"#;
        assert_eq!(judged(200, seven, Some(7)), Some(true));
        assert_eq!(judged(200, seven, Some(1)), Some(false));
        assert_eq!(judged(200, "nonsense", Some(7)), Some(false));
        assert_eq!(judged(200, r#"{"outputs": []}"#, Some(7)), Some(false));
        assert_eq!(judged(200, seven, None), None);
        assert_eq!(judged(500, seven, Some(7)), None);
    }
}
