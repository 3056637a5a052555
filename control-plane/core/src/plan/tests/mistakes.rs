use super::{mistake, mistakes, with};

#[test]
fn fractions_that_are_percentages() {
    assert_eq!(
        mistakes(&with("steps: [{split: {v2: 10, v1: 90}}]")),
        [
            "steps[0].split.v1: 90 is above 1; shares are fractions: write 0.9 for 90 %",
            "steps[0].split.v2: 10 is above 1; shares are fractions: write 0.1 for 10 %",
        ]
    );
    assert_eq!(
        mistake("steps: [{split: {v2: \"10%\", v1: 0.9}}]"),
        "steps[0].split.v2: \"10%\" is text; shares are fractions: write 0.1 for 10 %"
    );
}

#[test]
fn sums_off_one() {
    assert_eq!(
        mistake("steps: [{split: {v2: 0.1, v1: 1.0}}]"),
        "steps[0].split: sums to 1.1; the fractions must sum to 1.0, e.g. {v2: 0.1, v1: 0.9}"
    );
    assert!(mistake("steps: [{split: {v2: 0.1}}]").starts_with("steps[0].split: sums to 0.1;"));
    assert!(mistake("steps: [{split: {v2: 0.1, v1: 0.899999}}]").contains("sums to 0.999999"));
}

#[test]
fn unknown_variants() {
    assert_eq!(
        mistake("steps: [{split: {v3: 0.1, v1: 0.9}}]"),
        "steps[0].split.v3: v3 is no variant of this plan; its variants are v1 and v2; did you mean v1?"
    );
    let without_stable = "model: m\ncanary: {name: v2, endpoints: [http://h:2]}\nsteps: [{split: {v2: 0.1, old: 0.9}}, {split: {v2: 0.5, other: 0.5}}]";
    assert_eq!(
        mistakes(without_stable),
        ["steps[1].split.other: other is no variant of this plan; its variants are old and v2"]
    );
}

#[test]
fn numbers_that_are_no_fractions() {
    assert!(
        mistake("steps: [{split: {v2: .nan, v1: 0.9}}]")
            .starts_with("steps[0].split.v2: NaN is no number")
    );
    assert!(
        mistake("steps: [{split: {v2: -0.1, v1: 1.0}}]")
            .starts_with("steps[0].split.v2: -0.1 is negative")
    );
    let fine = mistakes(&with("steps: [{split: {v2: 0.0000005, v1: 0.9999995}}]"));
    assert!(
        fine[1].starts_with("steps[0].split.v2: 0.0000005 is finer than one millionth"),
        "{fine:?}"
    );
    assert!(
        mistake("steps: [{split: 10/90}]")
            .starts_with("steps[0].split: \"10/90\" is text; write a fraction per variant")
    );
    assert!(
        mistake("steps: [{split: {v2: ~, v1: 1.0}}]")
            .starts_with("steps[0].split.v2: is empty; shares")
    );
}

#[test]
fn keys_given_twice() {
    assert_eq!(
        mistake("steps: [{split: {v2: 0.1, v2: 0.2, v1: 0.9}}]"),
        "steps[0].split.v2: given twice; keep one"
    );
    assert_eq!(
        mistake("max_duration: 1h\nmax_duration: 2h"),
        "max_duration: given twice; keep one"
    );
    assert_eq!(mistake("model: other"), "model: given twice; keep one");
}

#[test]
fn a_first_step_above_one_half() {
    let text = "steps: [{split: {v2: 0.6, v1: 0.4}}]";
    assert_eq!(
        mistake(text),
        "steps[0].split: begins with 0.6 for the canary, more than one half; begin with less, or write allow_large_first_step: true"
    );
    super::completed(&format!("{text}\nallow_large_first_step: true"));
    super::completed("steps: [{split: {v2: 0.5, v1: 0.5}}]");
}

#[test]
fn ramps_that_fall_or_go_on() {
    assert_eq!(
        mistake(
            "steps: [{split: {v2: 0.5, v1: 0.5}}, {split: {v2: 0.25, v1: 0.75}}, {split: {v2: 0.5, v1: 0.5}}]"
        ),
        "steps[1].split: gives the canary 0.25, less than steps[0] (0.5); shares must not fall from step to step"
    );
    assert!(
        mistake("steps: [{split: {v2: 0.5, v1: 0.5}}, {split: {v2: 1}}, {split: {v2: 1.0}}]")
            .contains("must be the last")
    );
    assert!(mistake("steps: [{split: {v1: 1.0}}]").contains("gives the canary nothing"));
}

#[test]
fn capabilities_of_later_versions() {
    for (lines, expected) in [
        (
            "shadow: {fraction: 0.1}",
            "shadow: not supported in this version: shadow",
        ),
        (
            "winner: v2",
            "winner: not supported in this version: winner",
        ),
        (
            "prediction: {json: /a}",
            "prediction: not supported in this version: prediction",
        ),
        (
            "outcome_horizon: 7d",
            "outcome_horizon: not supported in this version: outcome_horizon",
        ),
        ("gates: []", "gates: not supported in this version: gates"),
        (
            "guardrails: [{metric: numeric:tokens, margin: 0.01}]",
            "guardrails[0].metric: not supported in this version: metric numeric",
        ),
    ] {
        assert_eq!(mistake(lines), expected);
    }
    let two = "model: m\nstable: {name: v1}\ncanaries: [{name: v2, endpoints: [http://h:2]}, {name: v3, endpoints: [http://h:3]}]";
    assert_eq!(
        mistakes(two),
        ["canaries: not supported in this version: more than one canary"]
    );
    let readiness = "model: m\nstable: {name: v1}\ncanaries: [{name: v2, readiness: x, endpoints: [ftp://h:2]}]";
    assert_eq!(
        mistakes(readiness),
        [
            "canaries[0].readiness: not supported in this version: readiness",
            "canaries[0].endpoints[0]: \"ftp://h:2\" is no address; write such as http://127.0.0.1:9002, https://..., h2c://... or unix:/run/model.sock",
        ]
    );
}

#[test]
fn unknown_fields_get_a_hint() {
    assert_eq!(
        mistake("guardrail: []"),
        "guardrail: unknown field guardrail; did you mean guardrails?"
    );
    assert_eq!(
        mistake("steps: [{split: {v2: 0.1, v1: 0.9}, minDuration: 5s}]"),
        "steps[0].minDuration: unknown field minDuration; did you mean min_duration?"
    );
    assert!(
        mistake("colour: red")
            .starts_with("colour: unknown field colour; known here: model, stable, canary")
    );
    assert!(
        mistake("guardrails: [{metric: error_rate, margin: 0.1, ratio: 2}]")
            .contains("belongs to latency")
    );
    assert!(
        mistake("guardrails: [{metric: latency, margin: 0.1}]").contains("write ratio and slack")
    );
    assert_eq!(
        mistake("guardrails: [{metric: latncy}]"),
        "guardrails[0].metric: \"latncy\" is unknown; write error_rate, latency, accuracy or outcome:NAME; did you mean latency?"
    );
}

#[test]
fn durations_need_units() {
    assert_eq!(
        mistake("max_duration: 60"),
        "max_duration: 60 has no unit; write 60s for seconds, or such as 500ms, 30m, 1h30m"
    );
    assert!(
        mistake("bake: {duration: soon}")
            .starts_with("bake.duration: \"soon\" is no duration; write it with a unit")
    );
    assert!(
        mistake("warmup: {share: 0.02}")
            .starts_with("warmup.duration: missing; write it with a unit")
    );
    assert!(mistake("max_duration: 1m").contains("shorter than warm-up, steps and bake take"));
}

#[test]
fn holdback_and_warmup_fit_the_ramp() {
    assert!(mistake("steps: [{split: {v2: 0.5, v1: 0.5}}, {split: {v2: 0.98, v1: 0.02}}, {split: {v2: 1.0}}]").contains("write at most 0.02"));
    assert!(mistake("bake: {holdback: 0.6}").contains("more than one half"));
    assert!(
        mistake("warmup: {duration: 5s, share: 0.2}")
            .contains("more than the first step gives (0.05)")
    );
    assert!(
        mistake("failure: {timeout: 1s, attempt_timeout: 2s}")
            .starts_with("failure.attempt_timeout: 2s is longer")
    );
    assert!(mistake("confidence: {alpha: 1.5}").starts_with("confidence.alpha: 1.5 is no chance"));
    assert!(
        mistake("steps: [{split: {v2: 0.1, v1: 0.9}, tolerance: 20}]").contains("between 1 and 10")
    );
}

#[test]
fn everything_at_once() {
    let text = "
model: recommender
canary: {name: v2, endpoints: [http://127.0.0.1:9002]}
stable: {name: v1, endpoints: [http://127.0.0.1:9001]}
steps:
  - {split: {v2: 10, v1: 90}}
  - {split: {v2: \"25%\", v1: 0.75}}
  - {split: {v2: 0.5, v1: 0.6}}
  - {split: {v2: 0.5, v3: 0.5}}
shadow: {fraction: 0.1}
max_duration: 60
";
    let all = mistakes(text);
    let paths: Vec<&str> = all
        .iter()
        .filter_map(|line| line.split(": ").next())
        .collect();
    assert_eq!(
        paths,
        [
            "steps[1].split.v2",
            "max_duration",
            "shadow",
            "steps[0].split.v1",
            "steps[0].split.v2",
            "steps[2].split",
            "steps[3].split.v3",
        ]
    );
}

#[test]
fn text_that_is_no_yaml_has_one_mistake() {
    let all = mistakes("model: [\n");
    assert_eq!(all.len(), 1);
    assert!(
        all[0].starts_with(": ") && all[0].contains("line "),
        "{all:?}"
    );
}
