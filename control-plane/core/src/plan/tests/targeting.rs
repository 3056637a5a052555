use super::{completed, mistake, mistakes, variant, with};
use crate::plan::{complete, parse, to_yaml};
use serinus_proto::v1::targeting_rule::{Place, Test};
use serinus_proto::v1::{OneOf, TargetingRule};

#[test]
fn rules_are_read_in_their_order() {
    let plan = completed(
        "targeting:\n  - {variant: v2, header: {name: X-Beta, equals: \"1\"}}\n  - {variant: v1, cookie: {name: group, in: [a, b]}}",
    );
    let rule = |variant: &str, place, test| TargetingRule {
        variant: variant.to_owned(),
        place: Some(place),
        test: Some(test),
    };
    let values = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(
        plan.targeting,
        [
            rule(
                "v2",
                Place::Header("x-beta".into()),
                Test::Equals("1".into())
            ),
            rule(
                "v1",
                Place::Cookie("group".into()),
                Test::OneOf(OneOf { values })
            ),
        ]
    );
    assert!(
        to_yaml(&plan).contains("\n  - {variant: v2, header: {name: x-beta, equals: \"1\"}}\n")
    );
}

#[test]
fn stable_may_be_called_so() {
    let plan = completed("targeting: [{variant: stable, header: {name: a, equals: b}}]");
    assert_eq!(plan.targeting[0].variant, "v1");
    let text = "model: m\ncanary: {name: v2, endpoints: [http://h:2]}\ntargeting: [{variant: stable, header: {name: a, equals: b}}]";
    let plan = complete(parse(text).unwrap(), Some(&variant("v9"))).unwrap();
    assert_eq!(plan.targeting[0].variant, "v9");
}

#[test]
fn every_mistake_has_its_path() {
    let of = |rule: &str| mistake(&format!("targeting: [{rule}]"));
    assert!(mistake("targeting: []").starts_with("targeting: is an empty list"));
    assert_eq!(
        of("{variant: v3, header: {name: a, equals: b}}"),
        "targeting[0].variant: v3 is no variant of this plan; its variants are v1 and v2; did you mean v1?"
    );
    assert!(of("{variant: v2}").starts_with("targeting[0].header: missing; write header:"));
    assert!(
        of("{variant: v2, header: {name: a}}").starts_with("targeting[0].header: tests nothing")
    );
    assert!(
        of("{variant: v2, cookie: {equals: a}}").starts_with("targeting[0].cookie.name: missing")
    );
    assert_eq!(
        of("{variant: v2, cookie: {name: a, regex: (}}"),
        "targeting[0].cookie.regex: no regular expression: unclosed group"
    );
    assert_eq!(
        of("{variant: v2, header: {name: a, equals: b}, cookie: {name: a, equals: b}}"),
        "targeting[0].cookie: given beside header; a rule has one of the two"
    );
    assert_eq!(
        of("{variant: v2, header: {name: a, equals: b, prefix: c}}"),
        "targeting[0].header: has several tests; keep one of equals, in, prefix and regex"
    );
    assert!(of("{variant: v2, header: {name: a, equals: 1}}").contains("put it in quotes"));
    assert!(of("{variant: v2, header: {name: x-serinus-a, equals: b}}").contains("is stripped"));
    let all = mistakes(&with(
        "targeting: [{variant: v2, header: {nam: a, equals: b}}]",
    ));
    assert!(all[0].contains("did you mean name?"), "{all:#?}");
}

#[test]
fn keys_in_bodies_and_paths_are_accepted() {
    for key in ["json:/user/id", "json:/inputs/0/a~1b", "path:3"] {
        let plan = completed(&format!("bucketing: {{key: {key}}}"));
        assert_eq!(plan.bucketing.as_ref().unwrap().key, key);
        assert_eq!(parse(&to_yaml(&plan)), Ok(plan));
    }
    assert!(mistake("bucketing: {key: json:user}").starts_with("bucketing.key: "));
}

#[test]
fn only_a_cookie_can_stick() {
    let plan = completed("bucketing: {key: cookie:sid, sticky: true}");
    assert!(plan.bucketing.as_ref().unwrap().sticky);
    assert!(to_yaml(&plan).contains("sticky: true"));
    assert_eq!(
        mistake("bucketing: {sticky: true}"),
        "bucketing.sticky: goes with a cookie only; write key: cookie:NAME, or leave it out"
    );
    assert!(parse(&with("bucketing: {sticky: \"true\"}")).is_err());
}
