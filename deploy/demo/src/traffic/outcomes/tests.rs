//! Truths that are due, come again or are lost.

use serde_json::{Value, json};

use super::*;

fn truth(start: Instant, due_ms: u64, right: bool) -> Truth {
    let due = start + Duration::from_millis(due_ms);
    Truth {
        due,
        prediction_id: format!("p{due_ms}"),
        right,
    }
}

#[test]
fn only_what_is_due_leaves_and_what_failed_comes_again_in_order() {
    let start = Instant::now();
    let mut queue = Queue::default();
    (1..=4).for_each(|i| queue.push(truth(start, i * 10, true)));
    assert_eq!(queue.take_due(start), []);
    let batch = queue.take_due(start + Duration::from_millis(25));
    assert_eq!(batch.len(), 2);
    queue.settle(batch, Fate::TryAgain);
    let batch = queue.take_due(start + Duration::from_millis(35));
    let ids: Vec<_> = batch.iter().map(|t| t.prediction_id.as_str()).collect();
    assert_eq!(ids, ["p10", "p20", "p30"]);
    assert!(!queue.is_empty());
    queue.settle(batch, Fate::Delivered);
    let batch = queue.take_due(start + Duration::from_millis(40));
    queue.settle(batch, Fate::Refused);
    assert_eq!((queue.delivered, queue.refused, queue.lost), (3, 1, 0));
    assert!(queue.is_empty());
}

#[test]
fn old_truths_and_too_many_are_lost_and_batches_are_bounded() {
    let start = Instant::now();
    let mut queue = Queue::default();
    (0..MAX_PENDING as u64 + 5).for_each(|_| queue.push(truth(start, 0, true)));
    assert_eq!(queue.lost, 5);
    assert_eq!(queue.take_due(start).len(), MAX_BATCH);
    assert_eq!(
        queue.take_due(start + GIVE_UP + Duration::from_millis(1)),
        []
    );
    assert_eq!(queue.lost, 5 + (MAX_PENDING - MAX_BATCH) as u64);
}

#[test]
fn the_body_is_what_the_sidecar_takes() {
    let start = Instant::now();
    let body = body(&[truth(start, 1, true), truth(start, 2, false)], "accuracy");
    let expected = json!({"items": [
        {"prediction_id": "p1", "metric": "accuracy", "value": 1},
        {"prediction_id": "p2", "metric": "accuracy", "value": 0},
    ]});
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
}
