//! `rollout replay`.

use super::*;
use serinus_core::evidence::{Basis, judge, request_slice};
use serinus_core::plan::evidence_settings;
use serinus_core::rollout::{self, Facts, Rollout, Stamp};
use serinus_evidence::{ENGINE_VERSION, Engine};
use serinus_proto::{stored::v1 as stored, v1};

const VERSION_1: &[u8] = include_bytes!("../../../control-plane/core/tests/data/recording-v1.bin");

const PLAN: &str = r#"
model: digits
stable: {name: v1, endpoints: ["http://127.0.0.1:1"]}
canary: {name: v2, endpoints: ["http://127.0.0.1:2"]}
steps: [{split: {v2: 0.5, v1: 0.5}, min_duration: 60s}]
guardrails: [{metric: error_rate, margin: MARGIN}]
"#;

const START_MS: u64 = 1_700_000_000_000;

fn plan(margin: &str) -> v1::Plan {
    let text = PLAN.replace("MARGIN", margin);
    let plan = serinus_core::plan::parse(&text).unwrap();
    serinus_core::plan::complete(plan, None).unwrap()
}

fn stamp(first_revision: u64, at_ms: u64) -> Stamp {
    Stamp {
        first_revision,
        at_ms,
        rollout: "r-1".to_owned(),
        model: "digits".to_owned(),
        actor: "serinus".to_owned(),
        reason: String::new(),
    }
}

/// Half a minute of a canary that fails 6 % of its requests, which a margin of 20 % bears.
fn chunks() -> Vec<v1::RecordingChunk> {
    use prost::Message as _;
    let plan = plan("0.2");
    let mut engine = Engine::new(evidence_settings(&plan)).unwrap();
    let created = rollout::stamp(rollout::create(&plan), &stamp(1, START_MS));
    let mut rollout = Rollout::from_created(&created[0]).unwrap();
    let mut chunk = v1::RecordingChunk::default();
    let mut record = |rollout: &mut Rollout, events: Vec<v1::Event>, look: Option<&v1::Look>| {
        for (part, event) in (0..).zip(events) {
            rollout::apply(rollout, &event);
            chunk.events.push(v1::RecordedEvent {
                look: look.filter(|_| part == 0).cloned(),
                event: Some(event),
                part,
                ..v1::RecordedEvent::default()
            });
        }
    };
    record(&mut rollout, created, None);
    let mut slices = Vec::new();
    for second in 1..30 {
        let arm = |errors| stored::Arm {
            requests: 100,
            errors,
            latency: None,
        };
        let slice = stored::Slice {
            epoch: 1,
            canary: Some(arm(6)),
            stable: Some(arm(0)),
            seconds: 1.0,
            folded_ms: START_MS + second * 1000,
            ..stored::Slice::default()
        };
        engine.fold_requests(&request_slice(&slice));
        slices.push(slice.encode_to_vec());
        let look = v1::Look {
            engine_version: ENGINE_VERSION,
            slices: second,
            connected: 1,
            current: 1,
            current_since_ms: Some(START_MS),
            ..v1::Look::default()
        };
        let facts = Facts::new(&judge(&engine, &plan, Basis::of(&rollout)), &look);
        let now_ms = START_MS + second * 1000;
        let kinds = rollout::look(&rollout, now_ms, &facts);
        let events = rollout::stamp(kinds, &stamp(rollout.revision + 1, now_ms));
        record(&mut rollout, events, Some(&look));
    }
    let header = v1::RecordingHeader {
        rollout: "r-1".to_owned(),
        revision: rollout.revision,
        engine_version: ENGINE_VERSION,
    };
    let (first, second) = slices.split_at(7);
    vec![
        v1::RecordingChunk {
            header: Some(header),
            ..v1::RecordingChunk::default()
        },
        chunk,
        v1::RecordingChunk {
            slices: first.to_vec(),
            ..v1::RecordingChunk::default()
        },
        v1::RecordingChunk {
            slices: second.to_vec(),
            ..v1::RecordingChunk::default()
        },
    ]
}

async fn fake(chunks: Vec<v1::RecordingChunk>) -> Fake {
    let fake = Fake::start().await;
    fake.world().chunks = chunks;
    fake
}

#[tokio::test]
async fn every_decision_is_made_again() {
    let fake = fake(chunks()).await;
    let ran = serinus(&fake, &["rollout", "replay", "recommender"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{ran:?}");
    assert!(
        ran.out
            .starts_with("digits  v1 -> v2   rollout r-1\n3 of 29 slices"),
        "{ran:?}"
    );
    assert!(ran.out.contains("NEED_MORE -> SAFE"), "{ran:?}");
    assert!(
        ran.out.ends_with(", all reproduced bit for bit\n"),
        "{ran:?}"
    );
    let ran = serinus(&fake, &["rollout", "replay", "r-1", "-o", "json"]).await;
    let json = ran.json();
    assert_eq!(json["reproduced"], json["count"]);
    assert_eq!(json["decisions"][0]["outcome"], "SAME");
    assert_eq!(
        (&json["slices"], &json["recorded_slices"]),
        (&3.into(), &29.into())
    );
}

#[tokio::test]
async fn a_decision_that_differs_has_its_own_exit_code() {
    let mut chunks = chunks();
    // One more failure of the canary in the first slice.
    use prost::Message as _;
    let mut slice = stored::Slice::decode(chunks[2].slices[0].as_slice()).unwrap();
    slice.canary.as_mut().unwrap().errors += 1;
    chunks[2].slices[0] = slice.encode_to_vec();
    let fake = fake(chunks).await;
    let ran = serinus(&fake, &["rollout", "replay", "recommender"]).await;
    assert_eq!(ran.exit, Exit::Differs, "{ran:?}");
    assert!(ran.out.contains("DIFFERS"), "{ran:?}");
    assert!(
        ran.out
            .contains("guardrails[0].canary_events: recorded Some(6), made again Some(7)"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn an_older_engines_recording_is_shown_and_not_held_to() {
    use prost::Message as _;
    let fake = fake(vec![v1::RecordingChunk::decode(VERSION_1).unwrap()]).await;
    let ran = serinus(&fake, &["rollout", "replay", "recommender"]).await;
    assert_eq!(ran.exit, Exit::NotReplayed, "{ran:?}");
    assert!(ran.out.contains("ROLL BACK v2: at least "), "{ran:?}");
    assert!(
        ran.out.contains("decided by engine version 1; this is "),
        "{ran:?}"
    );
}

#[tokio::test]
async fn another_plan_is_held_against_what_happened() {
    let fake = fake(chunks()).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("strict.yaml");
    std::fs::write(&file, PLAN.replace("MARGIN", "0.001")).unwrap();
    let args = [
        "rollout",
        "replay",
        "recommender",
        "--plan",
        file.to_str().unwrap(),
    ];
    let ran = serinus(&fake, &args).await;
    assert_eq!(ran.exit, Exit::Ok, "{ran:?}");
    assert!(
        ran.out
            .contains(" canary requests): ROLL BACK v2: error rate 6.00% against"),
        "{ran:?}"
    );
    assert!(
        ran.out.contains("step 1 (50.00%, tolerance 1): not SAFE"),
        "{ran:?}"
    );
    assert!(
        ran.out.contains("\nerror rate: first HARMFUL at +9.0s"),
        "{ran:?}"
    );
    assert!(ran.out.contains("\nreally\n"), "{ran:?}");
    assert!(
        ran.out.contains("would have been split otherwise"),
        "{ran:?}"
    );
    let ran = serinus(&fake, &[&args[..], &["-o", "json"]].concat()).await;
    let json = ran.json();
    assert_eq!(json["rolled_back"]["decision"]["kind"], "ROLL_BACK");
    assert_eq!(json["guardrails"][0]["metric"], "error_rate");
    assert_eq!(json["plan"]["guardrails"][0]["margin"], 0.001);
    std::fs::write(&file, PLAN.replace("MARGIN", "7")).unwrap();
    let ran = serinus(&fake, &args).await;
    assert_eq!(ran.exit, Exit::BadInput, "{ran:?}");
    assert!(ran.error.contains("guardrails[0].margin"), "{ran:?}");
}

#[tokio::test]
async fn what_is_no_recording_is_told() {
    let fake = fake(Vec::new()).await;
    let ran = serinus(&fake, &["rollout", "replay", "recommender"]).await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.error.contains("does not begin with"), "{ran:?}");
    let ran = serinus(&fake, &["rollout", "replay", "nobody"]).await;
    assert!(ran.error.contains("nobody"), "{ran:?}");
}
