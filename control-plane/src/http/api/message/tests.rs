use super::*;
use crate::http::api::schema;
use serinus_proto::v1;

fn parse(name: &str, text: &str) -> (DynamicMessage, Vec<String>) {
    let descriptor = schema::pool()
        .get_message_by_name(&format!("serinus.v1.{name}"))
        .unwrap();
    let mut wrong = Vec::new();
    let message = read(
        &descriptor,
        serde_json::from_str(text).unwrap(),
        "",
        &mut wrong,
    );
    let wrong = wrong
        .into_iter()
        .map(|v| format!("{} {}", v.path, v.message))
        .collect();
    (message, wrong)
}

#[test]
fn both_names_of_a_field_and_every_kind_of_value() {
    let text = r#"{
        "requestId": "r", "on_active": "ON_ACTIVE_QUEUE", "validateOnly": false,
        "plan": {
            "model": "m",
            "canaries": [{"name": "v2", "endpoints": ["http://x"]}],
            "maxDuration": "90.5s",
            "allow_large_first_step": true,
            "steps": [{"split": {"v2": 1, "v1": 0.0}, "minRequests": "500"}],
            "bake": {"holdback": 0},
            "onNoEvidence": null
        }
    }"#;
    let (message, wrong) = parse("ApplyRequest", text);
    assert!(wrong.is_empty(), "{wrong:?}");
    let request: v1::ApplyRequest = message.transcode_to().unwrap();
    assert_eq!(request.request_id, "r");
    assert_eq!(request.on_active(), v1::apply_request::OnActive::Queue);
    let plan = request.plan.unwrap();
    assert_eq!(plan.canaries[0].endpoints, ["http://x"]);
    let duration = plan.max_duration.unwrap();
    assert_eq!((duration.seconds, duration.nanos), (90, 500_000_000));
    assert_eq!(plan.steps[0].split["v2"], 1.0);
    assert_eq!(plan.steps[0].split["v1"], 0.0);
    assert_eq!(plan.steps[0].min_requests, 500);
    assert_eq!(plan.bake.unwrap().holdback, Some(0.0));
    assert!(plan.on_no_evidence.is_none());
}

#[test]
fn every_mistake_is_found_with_its_path() {
    let text = r#"{
        "requestID": "r", "plan": {
            "modell": "m", "model": 7, "canaries": {"name": "v2"},
            "maxDuration": "soon",
            "steps": [
                {"split": {"v2": 0.1, "v1": 0.9, "v2": 0.2}, "minRequests": -1},
                {"split": {"v2": "ten"}, "split": {}},
                null
            ]
        },
        "onActive": "QUEUE", "on_active": "ON_ACTIVE_QUEUE", "force": "yes"
    }"#;
    let (_, wrong) = parse("ApplyRequest", text);
    let paths: Vec<&str> = wrong
        .iter()
        .map(|text| text.split(' ').next().unwrap())
        .collect();
    let expected = [
        "requestID",
        "plan.modell",
        "plan.model",
        "plan.canaries",
        "plan.maxDuration",
        "plan.steps[0].split.v2",
        "plan.steps[0].minRequests",
        "plan.steps[1].split.v2",
        "plan.steps[1].split",
        "plan.steps[2]",
        "onActive",
        "on_active",
        "force",
    ];
    assert_eq!(paths, expected, "{wrong:#?}");
    assert!(wrong[0].contains("there are force, onActive"), "{wrong:?}");
    assert!(wrong[10].contains("ON_ACTIVE_SUPERSEDE"), "{wrong:?}");
}

#[test]
fn one_of_several_alternatives() {
    let text = r#"{"bookmark": "5", "snapshotDone": 6}"#;
    let (_, wrong) = parse("WatchEventsResponse", text);
    assert_eq!(
        wrong,
        ["snapshotDone cannot be there together with bookmark; give one of them"]
    );
}

#[test]
fn what_is_written_is_read_again() {
    let plan =
        serinus_core::plan::short_form("m", Some(("v1", "http://a")), ("v2", "http://b"), 5.0);
    let request = v1::ApplyRequest {
        request_id: "r".into(),
        plan: Some(serinus_core::plan::complete(plan.unwrap(), None).unwrap()),
        ..v1::ApplyRequest::default()
    };
    let descriptor = schema::pool().get_message_by_name("serinus.v1.ApplyRequest");
    let mut message = DynamicMessage::new(descriptor.unwrap());
    message.transcode_from(&request).unwrap();
    let (again, wrong) = parse("ApplyRequest", &serde_json::to_string(&message).unwrap());
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(again.transcode_to::<v1::ApplyRequest>().unwrap(), request);
}
