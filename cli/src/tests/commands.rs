//! Mutations: the request id, the revision, and what is tried again.

use super::fake::Call;
use super::*;
use tonic::Status;

const PLAN: &str = "
model: recommender
stable: {name: v1, endpoints: [http://127.0.0.1:9001]}
canary: {name: v2, endpoints: [http://127.0.0.1:9002]}
";

fn is_uuid(text: &str) -> bool {
    uuid::Uuid::parse_str(text).is_ok()
}

fn calls(fake: &Fake) -> Vec<Call> {
    fake.world().calls.clone()
}

#[tokio::test]
async fn apply_retries_with_the_same_request_id() {
    let fake = Fake::start().await;
    fake.world().refusals = [
        Status::unavailable("starting"),
        Status::unavailable("starting"),
    ]
    .into();
    let args = [
        "--server",
        fake.address(),
        "rollout",
        "apply",
        "-",
        "--on-active",
        "supersede",
        "--reason",
        "because",
    ];
    let ran = serinus_with(&args, PLAN).await;
    assert_eq!(ran.exit, Exit::Ok, "{ran:?}");
    let ids: Vec<String> = calls(&fake)
        .into_iter()
        .map(|call| call.request_id)
        .collect();
    assert_eq!(ids.len(), 3);
    assert!(
        is_uuid(&ids[0]) && ids.iter().all(|id| *id == ids[0]),
        "{ids:?}"
    );
    let applied = fake.world().applied.clone().unwrap();
    assert_eq!(
        applied.on_active(),
        serinus_proto::v1::apply_request::OnActive::Supersede
    );
    assert_eq!(applied.plan.unwrap().canaries[0].name, "v2");
    assert!(
        ran.out
            .starts_with("rollout r-1\nrecommender  v1 -> v2   CANARY step 2/"),
        "{ran:?}"
    );
    assert!(
        ran.notes.contains("serinus rollout watch recommender"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn unavailable_for_long_is_an_error() {
    let fake = Fake::start().await;
    fake.world().refusals = (0..9).map(|_| Status::unavailable("down")).collect();
    let ran = serinus(&fake, &["rollout", "pause", "recommender"]).await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.error.contains("is not available: down"), "{ran:?}");
    assert_eq!(calls(&fake).len(), 5);
}

#[tokio::test]
async fn deploy_is_a_plan_with_all_endpoints() {
    let fake = Fake::start().await;
    let args = [
        "deploy",
        "recommender",
        "--stable",
        "v1=http://127.0.0.1:9001",
        "--canary",
        "v2=http://127.0.0.1:9002,http://127.0.0.1:9003",
        "--percent",
        "5",
        "-o",
        "json",
    ];
    let ran = serinus(&fake, &args).await;
    assert_eq!(ran.exit, Exit::Ok, "{ran:?}");
    let plan = fake.world().applied.clone().unwrap().plan.unwrap();
    assert_eq!(plan.canaries[0].endpoints.len(), 2);
    assert_eq!(plan.steps[0].split["v2"], 0.05);
    assert_eq!(ran.json()["plan"]["model"], "recommender");
}

#[tokio::test]
async fn deploy_can_leave_the_steps_to_the_evidence() {
    let fake = Fake::start().await;
    let args = [
        "deploy",
        "recommender",
        "--canary",
        "v2=http://127.0.0.1:9002",
        "--auto",
    ];
    let ran = serinus(&fake, &args).await;
    assert_eq!(ran.exit, Exit::Ok, "{ran:?}");
    let plan = fake.world().applied.clone().unwrap().plan.unwrap();
    assert!(plan.ramp.is_some() && plan.steps.is_empty(), "{plan:?}");
    let both = [&["serinus"], args.as_slice(), &["--percent", "5"]].concat();
    assert!(Cli::try_parse_from(both).is_err());
}

#[tokio::test]
async fn a_bad_deployment_is_refused_before_it_is_sent() {
    let fake = Fake::start().await;
    let args = [
        "deploy",
        "recommender",
        "--canary",
        "v2=http://127.0.0.1:9002",
        "--percent",
        "250",
    ];
    let ran = serinus(&fake, &args).await;
    assert_eq!(ran.exit, Exit::BadInput, "{ran:?}");
    assert!(
        ran.error
            .starts_with("error: this is no valid deployment\n  "),
        "{ran:?}"
    );
    assert_eq!(calls(&fake), []);
}

#[tokio::test]
async fn what_raises_carries_the_revision_and_what_lowers_does_not() {
    let fake = Fake::start().await;
    for verb in [
        "resume", "approve", "promote", "pause", "reject", "rollback", "undo", "cancel",
    ] {
        let ran = serinus(&fake, &["rollout", verb, "recommender", "--reason", "r"]).await;
        assert_eq!(ran.exit, Exit::Ok, "{verb}: {ran:?}");
    }
    let seen: Vec<_> = calls(&fake)
        .into_iter()
        .map(|call| (call.verb, call.expected_revision, call.reason))
        .collect();
    let expected = [
        ("resume", 41),
        ("approve", 42),
        ("promote", 43),
        ("pause", 0),
        ("reject", 0),
        ("rollback", 0),
        ("undo", 0),
        ("cancel", 0),
    ];
    assert_eq!(
        seen,
        expected.map(|(verb, revision)| (verb, revision, "r".to_owned()))
    );
}

#[tokio::test]
async fn force_takes_a_reason_and_is_sent() {
    let fake = Fake::start().await;
    let promote = ["rollout", "promote", "recommender", "--force"];
    let alone = Cli::try_parse_from(["serinus"].iter().chain(&promote));
    let refused = alone.expect_err("force takes a reason").to_string();
    assert!(refused.contains("--reason <REASON>"), "{refused}");
    let reason = ["--reason", "the fix cannot wait"];
    let ran = serinus(&fake, &[&promote[..], &reason[..]].concat()).await;
    assert_eq!(ran.exit, Exit::Ok, "{ran:?}");
    assert!(fake.world().promoted.clone().unwrap().force);
}

#[tokio::test]
async fn a_named_revision_is_never_replaced() {
    let fake = Fake::start().await;
    let args = [
        "rollout",
        "approve",
        "recommender",
        "--expected-revision",
        "7",
    ];
    let ran = serinus(&fake, &args).await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(ran.error.contains("at revision 41"), "{ran:?}");
    assert!(ran.error.contains("hint: it changed meanwhile"), "{ran:?}");
    assert_eq!(calls(&fake).len(), 1);
}

#[tokio::test]
async fn small_events_in_between_are_looked_past() {
    let fake = Fake::start().await;
    let mut later = fake.world().rollout.clone().unwrap();
    later.revision = 50;
    fake.world().refusals = [Status::aborted("revision 50")].into();
    fake.world().meanwhile = Some(later);
    let ran = serinus(&fake, &["rollout", "promote", "recommender", "--all"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{ran:?}");
    let revisions: Vec<u64> = calls(&fake)
        .iter()
        .map(|call| call.expected_revision)
        .collect();
    assert_eq!(revisions, [41, 50]);
    assert!(fake.world().promoted.clone().unwrap().all);
}

#[tokio::test]
async fn another_step_in_between_is_not() {
    let fake = Fake::start().await;
    let mut later = fake.world().rollout.clone().unwrap();
    (later.revision, later.step) = (50, 2);
    fake.world().refusals = [Status::aborted("revision 50")].into();
    fake.world().meanwhile = Some(later);
    let ran = serinus(&fake, &["rollout", "promote", "recommender"]).await;
    assert_eq!(ran.exit, Exit::Error);
    assert_eq!(calls(&fake).len(), 1);
}

#[tokio::test]
async fn a_wrong_state_is_told_as_the_server_says_it() {
    let fake = Fake::start().await;
    fake.world().refusals = [Status::failed_precondition(
        "RUNNING: legal are pause, rollback",
    )]
    .into();
    let ran = serinus(&fake, &["rollout", "resume", "recommender"]).await;
    assert_eq!(
        (ran.exit, ran.error.as_str()),
        (Exit::Error, "error: RUNNING: legal are pause, rollback")
    );
}

#[tokio::test]
async fn splits_are_set_with_the_present_revision() {
    let fake = Fake::start().await;
    let args = [
        "split",
        "set",
        "recommender",
        "v2=0.5",
        "v1=0.5",
        "--force",
        "--reason",
        "load test",
    ];
    let ran = serinus(&fake, &args).await;
    assert_eq!(ran.exit, Exit::Ok, "{ran:?}");
    let sent = fake.world().split.clone().unwrap();
    assert_eq!((sent.expected_revision, sent.force), (41, true));
    assert_eq!(
        sent.split,
        [("v1".to_owned(), 0.5), ("v2".to_owned(), 0.5)].into()
    );
    let ran = serinus(&fake, &["split", "set", "recommender", "v2=10", "v1=90"]).await;
    assert_eq!(ran.exit, Exit::BadInput);
    assert!(ran.error.contains("\n  split.v2: 10 is above 1"), "{ran:?}");
    assert!(ran.error.contains("\n  split.v1: 90 is above 1"), "{ran:?}");
}

#[tokio::test]
async fn the_stable_version_is_named() {
    let fake = Fake::start().await;
    let args = [
        "model",
        "set-stable",
        "m",
        "v1=http://a:1,http://b:2",
        "--expected-revision",
        "4",
    ];
    let ran = serinus(&fake, &args).await;
    assert_eq!(ran.exit, Exit::Ok, "{ran:?}");
    assert_eq!(
        ran.out,
        "MODEL  STABLE  ENDPOINTS               ACTIVE ROLLOUT\nm      v1      http://a:1, http://b:2  -\n"
    );
    let sent = fake.world().stable.clone().unwrap();
    assert!(is_uuid(&sent.request_id));
    assert_eq!(sent.expected_revision, 4);
}
