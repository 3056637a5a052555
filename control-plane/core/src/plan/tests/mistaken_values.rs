use super::{completed, mistake, mistakes, with};

#[test]
fn kinds_of_values() {
    assert!(mistake("steps: 5").starts_with("steps: 5 is a number; write a list: [{split:"));
    assert!(mistake("steps: []").starts_with("steps: is an empty list; leave it out"));
    assert!(
        mistake("bake: 30m")
            .starts_with("bake: \"30m\" is text; write {duration: 30m, holdback: 0.05}")
    );
    assert!(
        mistake("allow_large_first_step: yes")
            .starts_with("allow_large_first_step: \"yes\" is text; write true or false")
    );
    assert!(mistake("bucketing: {salt: 5}").contains("put it in quotes"));
    assert!(
        mistake("steps: [{split: {v2: 0.1, v1: 0.9}, min_requests: 1.5}]")
            .contains("1.5 is no whole number")
    );
    assert!(mistake("on_no_evidence: {then: advance}").contains("write hold or rollback"));
    assert_eq!(mistakes("")[0].split(';').next(), Some(": is empty"));
    assert_eq!(mistakes("- 1").len(), 1);
}

#[test]
fn zeros_that_would_mean_the_default() {
    for lines in [
        "confidence: {alpha: 0}",
        "budget: {extra_errors: 0}",
        "budget: {exposed_keys: 0}",
        "steps: [{split: {v2: 0.1, v1: 0.9}, tolerance: 0}]",
        "warmup: {duration: 5s, share: 0}",
        "failure: {breaker: {consecutive: 0}}",
        "failure: {breaker: {error_ratio: 0.0}}",
        "guardrails: [{metric: error_rate, margin: 0.1, weight: 0}]",
        "bucketing: {hash: modulo, modulus: 0}",
        "guardrails: [{metric: latency, ratio: 0}]",
    ] {
        let message = mistake(lines);
        assert!(message.contains("write"), "{message}");
    }
}

#[test]
fn names_and_addresses() {
    let text = "model: my model\nstable: {name: v1, endpoints: [localhost:1]}\ncanary: {name: v1}";
    let all = mistakes(text);
    assert!(
        all[0].starts_with("model: \"my model\" contains ' '"),
        "{all:#?}"
    );
    assert!(
        all[1].starts_with("stable.endpoints[0]: \"localhost:1\" is no address"),
        "{all:#?}"
    );
    assert!(all[2].starts_with("canary.endpoints: missing"), "{all:#?}");
    assert!(
        all[3].starts_with("canary.name: v1 is the stable variant"),
        "{all:#?}"
    );
    assert_eq!(all.len(), 4);
    assert_eq!(
        mistakes("model: m\nstable: {name: v1}")[0]
            .split(';')
            .next(),
        Some("canary: missing")
    );
    assert_eq!(mistakes("stable: {name: v1}\ncanary: v2").len(), 2);
}

#[test]
fn modulo_hashing() {
    let plan = |more: &str| {
        format!("bucketing: {{key: header:id, hash: modulo, {more}}}\nbake: {{holdback: 0}}\n")
    };
    completed(&(plan("modulus: 10") + "steps: [{split: {v2: 0.1, v1: 0.9}}, {split: {v2: 1.0}}]"));
    assert!(
        mistake(&(plan("modulus: 7") + "steps: [{split: {v2: 0.1, v1: 0.9}}]"))
            .starts_with("bucketing.modulus: 7 does not divide 1000000")
    );
    assert!(
        mistake(&(plan("salt: s, modulus: 10") + "steps: [{split: {v2: 0.1, v1: 0.9}}]"))
            .starts_with("bucketing.salt")
    );
    let all = mistakes(&with(
        &(plan("modulus: 10")
            + "warmup: {duration: 5s, share: 0.02}\nsteps: [{split: {v2: 0.25, v1: 0.75}}]"),
    ));
    assert_eq!(
        all,
        [
            "steps[0].split.v1: 0.75 x 10 is not whole; with modulus 10 shares are multiples of 0.1",
            "steps[0].split.v2: 0.25 x 10 is not whole; with modulus 10 shares are multiples of 0.1",
            "warmup.share: 0.02 x 10 is not whole; with modulus 10 shares are multiples of 0.1",
        ]
    );
    let held = "bucketing: {hash: modulo, modulus: 10}\nsteps: [{split: {v2: 0.1, v1: 0.9}}, {split: {v2: 1.0}}]";
    assert!(mistake(held).starts_with("bake.holdback: 0.05 x 10 is not whole"));
    assert!(mistake("bucketing: {modulus: 10}").contains("goes with hash: modulo"));
    assert!(
        mistake("bucketing: {hash: modulo}\nbake: {holdback: 0}")
            .starts_with("bucketing.modulus: missing")
    );
}

#[test]
fn guardrail_values() {
    for (guardrail, expected) in [
        (
            "{metric: error_rate}",
            "guardrails[0].margin: missing; write a margin, such as 0.0025",
        ),
        (
            "{metric: error_rate, margin: 0}",
            "guardrails[0].margin: is 0: no evidence",
        ),
        (
            "{metric: error_rate, margin: 5}",
            "guardrails[0].margin: 5 is too large; margins are fractions: write 0.05 for 5 percentage points",
        ),
        (
            "{metric: error_rate, margin: \"1%\"}",
            "guardrails[0].margin: \"1%\" is text",
        ),
        (
            "{metric: latency, ratio: 0.9}",
            "guardrails[0].ratio: 0.9 is no tolerated slow-down",
        ),
        (
            "{metric: latency, ratio: 1}",
            "guardrails[0].ratio: tolerates nothing",
        ),
        (
            "{metric: latency, quantiles: [99]}",
            "guardrails[0].quantiles[0]: 99 is no quantile; write 0.99 for the 99th percentile",
        ),
        (
            "{metric: latency, quantiles: [0.5, 0.5]}",
            "guardrails[0].quantiles[1]: 0.5 is given twice",
        ),
        (
            "{metric: latency, limit: 250ms}",
            "guardrails[0].quantile: a limit holds for one quantile",
        ),
        (
            "{metric: latency, quantile: 0.99, limit: 250ms, ratio: 2}",
            "guardrails[0].ratio: does not go with limit",
        ),
        (
            "{metric: latency, quantile: 0.99, limit: 0s}",
            "guardrails[0].limit: is 0",
        ),
        (
            "{metric: accuracy, margin: 0.01, direction: lower_is_better}",
            "guardrails[0].direction: accuracy is better",
        ),
        (
            "{metric: outcome:click, margin: 0.01}",
            "guardrails[0].direction: missing; write higher_is_better",
        ),
        (
            "{metric: 'outcome:', margin: 0.01, direction: higher_is_better}",
            "guardrails[0].metric: outcome: needs a name",
        ),
        (
            "{metric: error_rate, margin: 0.01, weight: 2}",
            "guardrails[0].weight: 2 is no part of alpha",
        ),
        (
            "{metric: error_rate, margin: 0.01, weight: 0.5, on_breach: hold}",
            "guardrails[0].weight: weights divide alpha",
        ),
        (
            "{metric: error_rate, margin: 0.01, on_breach: explode}",
            "guardrails[0].on_breach: \"explode\" is unknown; write rollback or hold or notify",
        ),
        (
            "{metric: error_rate, margin: 0.01, required: false}",
            "guardrails: none is required",
        ),
        (
            "{margin: 0.01}",
            "guardrails[0].metric: missing; write error_rate",
        ),
    ] {
        let message = mistake(&format!("guardrails: [{guardrail}]"));
        assert!(message.starts_with(expected), "{guardrail}: {message}");
    }
    let twice =
        "guardrails: [{metric: error_rate, margin: 0.01}, {metric: error_rate, margin: 0.02}]";
    assert!(mistake(twice).starts_with("guardrails[1]: a second guardrail for error_rate"));
    let heavy = "guardrails: [{metric: error_rate, margin: 0.01, weight: 0.6}, {metric: accuracy, margin: 0.02, weight: 0.6}]";
    assert!(mistake(heavy).starts_with("guardrails: the weights sum to 1.2"));
    let full = "guardrails: [{metric: error_rate, margin: 0.01, weight: 1}, {metric: accuracy, margin: 0.02}]";
    assert!(mistake(full).starts_with("guardrails[1].weight: the other weights leave nothing"));
}
