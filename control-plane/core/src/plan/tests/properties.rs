use super::super::{complete, evidence_settings, parse, to_yaml, view};
use super::{HEAD, with};
use proptest::prelude::*;
use serinus_proto::v1::Plan;

/// Steps whose shares rise, in millionths.
fn steps() -> impl Strategy<Value = String> {
    prop::collection::vec((1u32..=500_000, 0u32..120, 0u64..1000), 1..6).prop_map(|mut steps| {
        steps.sort_unstable();
        let step = |(ppm, seconds, requests): &(u32, u32, u64)| {
            let rest = f64::from(1_000_000 - ppm) / 1e6;
            let share = f64::from(*ppm) / 1e6;
            format!("{{split: {{v2: {share}, v1: {rest}}}, min_duration: {seconds}s, min_requests: {requests}}}")
        };
        format!("steps: [{}]\n", steps.iter().map(step).collect::<Vec<_>>().join(", "))
    })
}

fn guardrails() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        (1u32..9000)
            .prop_map(|m| format!("{{metric: error_rate, margin: {}}}", f64::from(m) / 1e4)),
        (101u32..500, 0u32..5000).prop_map(|(r, us)| format!(
            "{{metric: latency, ratio: {}, slack: {us}us}}",
            f64::from(r) / 1e2
        )),
        (1u32..99, 1u32..999).prop_map(|(q, ms)| format!(
            "{{metric: latency, quantile: {}, limit: {ms}ms}}",
            f64::from(q) / 1e2
        )),
        (1u32..990).prop_map(|m| format!(
            "{{metric: accuracy, margin: {}, on_breach: hold}}",
            f64::from(m) / 1e3
        )),
    ];
    prop::option::of(one)
        .prop_map(|one| one.map_or(String::new(), |one| format!("guardrails: [{one}]\n")))
}

fn plans() -> impl Strategy<Value = Plan> {
    let more = prop::sample::subsequence(
        vec![
            "bake: {duration: 5s, holdback: 0.0}",
            "max_duration: 7d",
            "confidence: {alpha: 0.01}",
            "budget: {exposed_keys: 1000}",
            "on_no_evidence: {then: rollback}",
            "failure: {fallback: none, timeout: 3s}",
            "bucketing: {key: 'cookie:sid', salt: 'yes'}",
            "allow_override_header: true",
            "targeting: [{variant: v2, header: {name: X-Beta, equals: '1'}}, {variant: v1, cookie: {name: g, in: [a, 'yes']}}, {variant: v2, header: {name: ua, regex: '^a[^b]+\\d'}}, {variant: v2, cookie: {name: p, prefix: 'é: '}}]",
        ],
        0..=9,
    );
    (steps(), guardrails(), more).prop_map(|(steps, guardrails, more)| {
        let text = with(&(steps + &guardrails + &more.join("\n")));
        let plan = parse(&text).unwrap_or_else(|violations| panic!("{text}\n{violations:#?}"));
        complete(plan, None).unwrap_or_else(|violations| panic!("{text}\n{violations:#?}"))
    })
}

/// Text that looks like a plan, with pieces that do not fit.
fn nearly_plans() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "model",
        "canary",
        "canaries",
        "steps",
        "split",
        "v2",
        "v1",
        "guardrails",
        "metric",
        "latency",
        "bake",
        "bucketing",
        "key",
        "hash",
        "modulo",
        ": ",
        ": {",
        "}",
        ": [",
        "]",
        ", ",
        "\n",
        "\n  - ",
        "0.1",
        "-5",
        ".nan",
        ".inf",
        "1e400",
        "99999999999999999999999999999999999999999999",
        "\"10%\"",
        "60s",
        "~",
        "true",
        "&a ",
        "*a",
        "<<: ",
        "? ",
        "!!int x",
        "---\n",
        "|\n",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn completing_again_changes_nothing(plan in plans()) {
        prop_assert_eq!(complete(plan.clone(), None), Ok(plan.clone()));
        prop_assert_eq!(complete(plan.clone(), plan.stable.as_ref()), Ok(plan));
    }

    #[test]
    fn written_plans_read_back(plan in plans()) {
        let again = parse(&to_yaml(&plan)).map(|plan| complete(plan, None));
        prop_assert_eq!(again, Ok(Ok(plan)));
    }

    #[test]
    fn the_engine_accepts_every_accepted_plan(plan in plans()) {
        prop_assert!(serinus_evidence::Engine::new(evidence_settings(&plan)).is_ok());
    }

    #[test]
    fn shares_never_fall(plan in plans()) {
        let shares: Vec<_> = (0..plan.steps.len()).map(|step| view::asked(&plan, step)).collect();
        prop_assert!(shares.is_sorted());
        for step in &plan.steps {
            prop_assert!((step.split.values().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn any_text_is_a_plan_or_has_mistakes(text in "\\PC{0,120}") {
        if let Err(violations) = parse(&text) {
            prop_assert!(!violations.is_empty());
        }
    }

    #[test]
    fn nearly_plans_never_panic(text in nearly_plans()) {
        for text in [text.clone(), format!("{HEAD}{text}")] {
            match parse(&text) {
                Ok(plan) => { let _ = complete(plan, None); }
                Err(violations) => prop_assert!(violations.iter().all(|violation| !violation.message.is_empty())),
            }
        }
    }
}
