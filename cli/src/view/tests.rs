use super::*;
use fixture::{NOW_MS, at, rollout};

fn plain(rollout: &v1::Rollout) -> String {
    render(rollout, NOW_MS, Options::default())
}

#[test]
fn the_example_of_the_product() {
    let expected = "\
recommender  v1 -> v2   CANARY step 2/4   25.00% asked  24.91% got   up 2m14s
sidecars 3/3 on epoch 17   stable ready   412 req/s (canary 103)
guardrail     stable   canary   difference [always-valid interval]   limit     n(canary)  verdict
error rate    0.48%    0.52%    +0.04pp [-0.10, +0.19]               +0.25pp   74,120     SAFE
latency p99   41ms     44ms     x1.07 [1.03, 1.11]                   x1.10     74,120     NEED_MORE
accuracy      92.1%    91.8%    -0.3pp [-1.2, +0.6]                  -1.0pp    6,118      NEED_MORE
decision  WAIT: accuracy needs about 9,000 more labels, about 6 min; then 50%
budget    extra errors 3/50
";
    assert_eq!(plain(&rollout()), expected);
}

#[test]
fn a_rolled_back_rollout_says_what_it_cost() {
    let mut rollout = rollout();
    rollout.set_state(v1::State::RolledBack);
    rollout.set_cause(v1::Cause::Guardrail);
    rollout.finished = at(fixture::CREATED + 60);
    rollout.decision = None;
    rollout.fleet = None;
    rollout.reason = "accuracy is proven worse".into();
    rollout.traffic = Some(v1::Traffic {
        canary_requests: 12_345,
        canary_errors: 12,
        rescued: 11,
        user_errors: 1,
        exposed_users: 1_900,
        ..Default::default()
    });
    assert_eq!(
        plain(&rollout),
        "recommender  v1 -> v2   ROLLED_BACK(GUARDRAIL)   took 1m00s\n\
         reason    accuracy is proven worse\n\
         in all    canary answered 12,345 requests, 12 failed, 11 of them rescued by stable; \
         1,900 users met it; 1 errors reached users\n"
    );
}

#[test]
fn streams_that_failed_are_named() {
    let mut rollout = rollout();
    rollout.set_state(v1::State::RolledBack);
    rollout.traffic = Some(v1::Traffic {
        canary_streams: 4_000,
        canary_failed_streams: 30,
        ..Default::default()
    });
    let text = plain(&rollout);
    assert!(
        text.contains("users; 30 of its 4,000 streams failed after they had begun\n"),
        "{text}"
    );
}

#[test]
fn trouble_is_shown_in_the_second_line() {
    let mut rollout = rollout();
    rollout.set_state(v1::State::Held);
    rollout.set_cause(v1::Cause::Nacked);
    rollout.achieved_share = None;
    rollout.decision = None;
    rollout.fleet = Some(v1::Fleet {
        connected: 3,
        current: 1,
        rejected: 2,
        breakers_open: 1,
        rejection: "no endpoint for v2".into(),
        ..Default::default()
    });
    assert_eq!(
        plain(&rollout),
        "recommender  v1 -> v2   HELD(NACKED) step 2/4   25.00% asked  no traffic yet   up 2m14s\n\
         sidecars 1/3 on epoch 17   stable NOT ready   412 req/s (canary 103)   \
         canary NOT ready   breakers open 1   refused by 2: no endpoint for v2\n"
    );
}

#[test]
fn an_approval_shows_the_time_left_and_the_command() {
    let mut rollout = rollout();
    rollout.approval_deadline = at(fixture::CREATED + 134 + 3600);
    let text = plain(&rollout);
    let line = "approval  waited for, 1h00m left: serinus rollout approve recommender\n";
    assert!(text.contains(line), "{text}");
    rollout.approved = true;
    assert!(!plain(&rollout).contains("approval"));
    rollout.approved_by = "ada".into();
    assert!(plain(&rollout).contains("approval  given by ada\n"));
}

#[test]
fn what_keeps_or_narrows_a_rollout_is_shown() {
    let mut rollout = rollout();
    rollout.frozen_until = at(fixture::CREATED + 134 + 7200);
    rollout.selector = Some(v1::Selector {
        labels: [(
            "ring".to_owned(),
            v1::OneOf {
                values: vec!["0".into(), "1".into()],
            },
        )]
        .into(),
    });
    let fleet = rollout.fleet.as_mut().unwrap();
    (fleet.serving, fleet.connected, fleet.current) = (5, 2, 2);
    let text = plain(&rollout);
    assert!(
        text.contains("sidecars 2/2 on epoch 17   2 of 5 sidecars selected (ring=0|1)   stable"),
        "{text}"
    );
    assert!(text.contains("\nfrozen    until 2026-09-21T"), "{text}");
    assert!(
        text.contains("2h00m left: nothing moves forward\n"),
        "{text}"
    );
}

#[test]
fn one_that_waits_shows_its_place_and_one_that_undoes_what() {
    let mut rollout = rollout();
    rollout.set_state(v1::State::Queued);
    rollout.queue_position = 2;
    assert_eq!(
        summary(&rollout),
        "recommender  v1 -> v2   QUEUED as number 2\n"
    );
    rollout.set_state(v1::State::Promoted);
    rollout.undoes = "r-0".into();
    assert_eq!(
        summary(&rollout),
        "recommender  v1 -> v2   PROMOTED   undo of r-0\n"
    );
}

#[test]
fn limits_and_missing_values() {
    use v1::guardrail::Metric;
    let mut rollout = rollout();
    let plan = rollout.plan.as_mut().unwrap();
    plan.guardrails[1].metric = Some(Metric::LatencyLimit(v1::LatencyLimit {
        quantile: 0.99,
        limit: None,
    }));
    plan.budget = Some(v1::Budget {
        extra_errors: 0,
        exposed_keys: 100_000,
    });
    let decision = rollout.decision.as_mut().unwrap();
    decision.guardrails[1].name = "latency p99 <= 250 ms".into();
    decision.guardrails[1].limit = 250.0;
    decision.guardrails[2].difference = None;
    decision.guardrails[2].canary_value = None;
    decision.guardrails[2].canary_count = 0;
    decision.guardrails[2].set_verdict(v1::Verdict::NoEvidence);
    rollout.traffic.as_mut().unwrap().exposed_users = 1234;
    let text = plain(&rollout);
    let rows: Vec<&str> = text.lines().skip(3).take(3).collect();
    assert_eq!(
        rows[1],
        "latency p99 <= 250 ms   41ms     44ms     x1.07 [1.03, 1.11]                   250ms     74,120     NEED_MORE"
    );
    assert_eq!(
        rows[2],
        "accuracy                92.1%    -        -                                    -1.0pp    0          NO_EVIDENCE"
    );
    assert!(text.ends_with("budget    extra errors 3/50   exposed users 1,234/100,000\n"));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let narrow = Options {
        width: Some(60),
        color: false,
    };
    let text = render(&rollout(), NOW_MS, narrow);
    assert!(
        text.lines().all(|line| line.chars().count() <= 60),
        "{text}"
    );
    // The sentence is the one thing that must not be cut.
    assert!(text.contains(
        "decision  WAIT: accuracy needs about 9,000 more labels,\n          about 6 min; then 50%\n"
    ));
}

#[test]
fn colours_change_nothing_but_colours() {
    let colored = Options {
        width: None,
        color: true,
    };
    let text = render(&rollout(), NOW_MS, colored);
    assert!(text.contains("\x1b[32mSAFE\x1b[0m"));
    let mut bare = String::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find('\x1b') {
        bare.push_str(&rest[..start]);
        rest = rest[start..].split_once('m').unwrap().1;
    }
    bare.push_str(rest);
    assert_eq!(bare, plain(&rollout()));
}

#[test]
fn a_decision_gets_its_word_once() {
    let mut decision = v1::Decision {
        kind: v1::DecisionKind::Continue.into(),
        sentence: "more".into(),
        ..Default::default()
    };
    assert_eq!(decision_sentence(&decision), "WAIT: more");
    decision.sentence = "WAIT: more".into();
    assert_eq!(decision_sentence(&decision), "WAIT: more");
    decision.set_kind(v1::DecisionKind::Promote);
    decision.sentence.clear();
    assert_eq!(decision_sentence(&decision), "PROMOTE");
}

#[test]
fn an_empty_rollout_is_drawn_without_panic() {
    let text = plain(&v1::Rollout::default());
    assert!(text.ends_with('\n'));
}

#[test]
fn a_margin_lies_on_the_worse_side_whatever_its_sign() {
    let mut rollout = rollout();
    rollout.decision.as_mut().unwrap().guardrails[2].limit = -0.01;
    let text = plain(&rollout);
    assert!(
        text.contains("[-1.2, +0.6]                  -1.0pp "),
        "{text}"
    );
}

#[test]
fn without_a_latency_of_stables_the_plans_ratio_is_the_limit() {
    let mut rollout = rollout();
    let latency = &mut rollout.decision.as_mut().unwrap().guardrails[1];
    (latency.stable_value, latency.difference, latency.limit) = (None, None, 2041.4);
    let text = plain(&rollout);
    assert!(text.contains(" x1.10 "), "{text}");
}

#[test]
fn a_guardrail_that_only_tells_has_a_line_of_its_own() {
    let mut rollout = rollout();
    assert!(!plain(&rollout).contains("notice"));
    let row = &mut rollout.decision.as_mut().unwrap().guardrails[1];
    row.set_verdict(v1::Verdict::Harmful);
    row.set_on_breach(v1::guardrail::Action::Notify);
    assert!(
        plain(&rollout)
            .contains("\nnotice    latency p99 HARMFUL; on_breach is notify, so it goes on\n"),
        "{}",
        plain(&rollout)
    );
}

#[test]
fn a_canary_that_is_not_there_is_counted_by_sidecars() {
    let mut rollout = rollout();
    rollout.fleet = Some(v1::Fleet {
        connected: 3,
        current: 0,
        stable_ready: true,
        warming: 3,
        canary_not_ready: 3,
        killed: 1,
        quarantined: 1,
        ..Default::default()
    });
    let text = plain(&rollout);
    let expected = "canary NOT ready on 3/3   warming 3   killed by the host's operator 1   reports not counted 1";
    assert!(text.contains(expected), "{text}");
}
