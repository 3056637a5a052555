//! A plan as YAML, in the form that `parse` reads.

mod flow;

use super::duration;
use flow::Flow;
use prost_types::Duration;
use serinus_proto::v1::bucketing::Hash;
use serinus_proto::v1::failure::Fallback;
use serinus_proto::v1::guardrail::{Action, Metric};
use serinus_proto::v1::labelled::Direction;
use serinus_proto::v1::rewrite::Stream;
use serinus_proto::v1::targeting_rule::{Place, Test};
use serinus_proto::v1::{
    Approval, Bake, Breaker, Bucketing, Budget, Confidence, Failure, Freeze, Gate, Guardrail,
    Labelled, OnNoEvidence, OneOf, Plan, Ramp, Rewrite, Selector, Step, TargetingRule, Then,
    Variant, Warmup,
};

/// The plan as text that reads back as the same plan. What is unset is left out.
#[must_use]
pub fn to_yaml(plan: &Plan) -> String {
    let mut lines = vec![format!("model: {}", flow::text(&plan.model))];
    let mut line = |name: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("{name}: {value}")));
    };
    line("stable", plan.stable.as_ref().map(variant));
    match plan.canaries.as_slice() {
        [canary] => line("canary", Some(variant(canary))),
        several => line("canaries", block(several.iter().map(variant))),
    }
    line("bucketing", plan.bucketing.as_ref().map(bucketing));
    line("warmup", plan.warmup.as_ref().map(warmup));
    line("ramp", plan.ramp.as_ref().map(ramp));
    // The steps that an automatic ramp has chosen are no part of what was asked for; they are shown as a remark.
    let chosen = plan.ramp.as_ref().is_some_and(|ramp| ramp.choice.is_some());
    if !chosen {
        line("steps", block(plan.steps.iter().map(step)));
    }
    line("selector", plan.selector.as_ref().map(selector));
    line("bake", plan.bake.as_ref().map(bake));
    line("max_duration", plan.max_duration.as_ref().map(time));
    line("guardrails", block(plan.guardrails.iter().map(guardrail)));
    line("confidence", plan.confidence.as_ref().map(confidence));
    line("budget", plan.budget.as_ref().map(budget));
    line(
        "on_no_evidence",
        plan.on_no_evidence.as_ref().map(on_no_evidence),
    );
    line("failure", plan.failure.as_ref().map(failure));
    line("targeting", block(plan.targeting.iter().map(targeting)));
    line("freeze", block(plan.freeze.iter().map(freeze)));
    let truth = |value: bool| value.then(|| "true".to_owned());
    line("allow_large_first_step", truth(plan.allow_large_first_step));
    line("allow_override_header", truth(plan.allow_override_header));
    if chosen {
        lines.push("# The ramp of this rollout:".to_owned());
        lines.extend(plan.steps.iter().map(|of| format!("#   - {}", step(of))));
    }
    lines.join("\n") + "\n"
}

fn block(items: impl Iterator<Item = String>) -> Option<String> {
    let text: String = items.map(|item| format!("\n  - {item}")).collect();
    (!text.is_empty()).then_some(text)
}

fn time(value: &Duration) -> String {
    duration::format(duration::to_std(Some(value)))
}

fn variant(variant: &Variant) -> String {
    let endpoints = variant
        .endpoints
        .iter()
        .map(|url| flow::text(url))
        .collect();
    Flow::default()
        .with("name", flow::text(&variant.name))
        .list("endpoints", endpoints)
        .maybe("rewrite", variant.rewrite.as_ref().map(rewrite))
        .close()
}

fn rewrite(rewrite: &Rewrite) -> String {
    let stream = match rewrite.stream() {
        Stream::Plain => Some("plain"),
        Stream::Wrapped => Some("wrapped"),
        Stream::Unspecified => None,
    };
    Flow::default()
        .text("model", &rewrite.model)
        .text("version", &rewrite.version)
        .text("label", &rewrite.label)
        .maybe("restore", rewrite.restore.then(|| "true".to_owned()))
        .word("stream", stream)
        .close()
}

fn bucketing(bucketing: &Bucketing) -> String {
    let hash = match bucketing.hash() {
        Hash::Xxh3 => Some("xxh3"),
        Hash::Modulo => Some("modulo"),
        Hash::Unspecified => None,
    };
    Flow::default()
        .text("key", &bucketing.key)
        .word("hash", hash)
        .text("salt", &bucketing.salt)
        .maybe(
            "modulus",
            (bucketing.modulus > 0).then(|| bucketing.modulus.to_string()),
        )
        .word("sticky", bucketing.sticky.then_some("true"))
        .close()
}

fn targeting(rule: &TargetingRule) -> String {
    let (place, name) = match &rule.place {
        Some(Place::Header(name)) => ("header", name.as_str()),
        Some(Place::Cookie(name)) => ("cookie", name.as_str()),
        None => ("header", ""),
    };
    let test = Flow::default().text("name", name);
    let test = match &rule.test {
        Some(Test::Equals(text)) => test.with("equals", flow::text(text)),
        Some(Test::OneOf(list)) => {
            let values = list.values.iter().map(|value| flow::text(value));
            test.list("in", values.collect())
        }
        Some(Test::Prefix(text)) => test.with("prefix", flow::text(text)),
        Some(Test::Regex(text)) => test.with("regex", flow::text(text)),
        None => test,
    };
    Flow::default()
        .text("variant", &rule.variant)
        .with(place, test.close())
        .close()
}

fn selector(selector: &Selector) -> String {
    let all = selector.labels.iter();
    let of = |flow: Flow, (name, of): (&String, &OneOf)| {
        let name = flow::text(name);
        match of.values.as_slice() {
            [value] => flow.with(&name, flow::text(value)),
            values => {
                let values: Vec<String> = values.iter().map(|value| flow::text(value)).collect();
                flow.with(&name, format!("[{}]", values.join(", ")))
            }
        }
    };
    all.fold(Flow::default(), of).close()
}

fn freeze(freeze: &Freeze) -> String {
    Flow::default()
        .with("cron", flow::text(&freeze.cron))
        .maybe("duration", freeze.duration.as_ref().map(time))
        .text("time_zone", &freeze.time_zone)
        .close()
}

fn warmup(warmup: &Warmup) -> String {
    Flow::default()
        .maybe("duration", warmup.duration.as_ref().map(time))
        .number("share", warmup.share)
        .close()
}

fn ramp(ramp: &Ramp) -> String {
    let text = Flow::default()
        .count("victims", ramp.victims)
        .number("max_share", ramp.max_share)
        .maybe("min_duration", ramp.min_duration.as_ref().map(time))
        .maybe("approval", ramp.approval.as_ref().map(approval))
        .close();
    if text == "{}" {
        return "auto".to_owned();
    }
    text
}

fn step(step: &Step) -> String {
    let mut split = Flow::default();
    for (name, &share) in &step.split {
        split = split.with(&flow::text(name), flow::number(share));
    }
    Flow::default()
        .maybe("split", (!step.split.is_empty()).then(|| split.close()))
        .maybe("min_duration", step.min_duration.as_ref().map(time))
        .count("min_requests", step.min_requests)
        .maybe("approval", step.approval.as_ref().map(approval))
        .maybe("gate", step.gate.as_ref().map(gate))
        .number("tolerance", step.tolerance)
        .maybe("selector", step.selector.as_ref().map(selector))
        .close()
}

fn approval(approval: &Approval) -> String {
    Flow::default()
        .maybe("timeout", approval.timeout.as_ref().map(time))
        .word("then", then(approval.then()))
        .close()
}

fn gate(gate: &Gate) -> String {
    Flow::default()
        .text("name", &gate.name)
        .maybe("timeout", gate.timeout.as_ref().map(time))
        .word("then", then(gate.then()))
        .word("on_deny", then(gate.on_deny()))
        .close()
}

fn then(then: Then) -> Option<&'static str> {
    match then {
        Then::Hold => Some("hold"),
        Then::Rollback => Some("rollback"),
        Then::Advance => Some("advance"),
        Then::Unspecified => None,
    }
}

fn bake(bake: &Bake) -> String {
    Flow::default()
        .maybe("duration", bake.duration.as_ref().map(time))
        .maybe("holdback", bake.holdback.map(flow::number))
        .maybe("gate", bake.gate.as_ref().map(gate))
        .close()
}

fn guardrail(guardrail: &Guardrail) -> String {
    let action = match guardrail.on_breach() {
        Action::Rollback => Some("rollback"),
        Action::Hold => Some("hold"),
        Action::Notify => Some("notify"),
        Action::Unspecified => None,
    };
    metric(guardrail.metric.as_ref())
        .word("on_breach", action)
        .number("weight", guardrail.weight)
        .maybe(
            "required",
            guardrail.required.map(|required| required.to_string()),
        )
        .close()
}

fn metric(metric: Option<&Metric>) -> Flow {
    let of = |name: &str| Flow::default().with("metric", flow::text(name));
    match metric {
        None => Flow::default(),
        Some(Metric::ErrorRate(rate)) => of("error_rate").with("margin", flow::number(rate.margin)),
        Some(Metric::Latency(latency)) => {
            let quantiles = latency.quantiles.iter().map(|&q| flow::number(q)).collect();
            of("latency")
                .list("quantiles", quantiles)
                .number("ratio", latency.ratio)
                .maybe("slack", latency.slack.as_ref().map(time))
        }
        Some(Metric::LatencyLimit(limit)) => of("latency")
            .with("quantile", flow::number(limit.quantile))
            .maybe("limit", limit.limit.as_ref().map(time)),
        Some(Metric::Accuracy(labels)) => labelled(of("accuracy"), labels),
        Some(Metric::Outcome(labels)) => labelled(of(&format!("outcome:{}", labels.name)), labels),
    }
}

fn labelled(flow: Flow, labels: &Labelled) -> Flow {
    let direction = match labels.direction() {
        Direction::HigherIsBetter => Some("higher_is_better"),
        Direction::LowerIsBetter => Some("lower_is_better"),
        Direction::Unspecified => None,
    };
    flow.with("margin", flow::number(labels.margin))
        .maybe("label_window", labels.label_window.as_ref().map(time))
        .word("direction", direction)
}

fn confidence(confidence: &Confidence) -> String {
    Flow::default()
        .number("alpha", confidence.alpha)
        .number("beta", confidence.beta)
        .close()
}

fn budget(budget: &Budget) -> String {
    Flow::default()
        .count("extra_errors", budget.extra_errors)
        .count("exposed_keys", budget.exposed_keys)
        .close()
}

fn on_no_evidence(missing: &OnNoEvidence) -> String {
    Flow::default()
        .maybe("after", missing.after.as_ref().map(time))
        .word("then", then(missing.then()))
        .close()
}

fn failure(failure: &Failure) -> String {
    let fallback = match failure.fallback() {
        Fallback::Stable => Some("stable"),
        Fallback::None => Some("none"),
        Fallback::Unspecified => None,
    };
    Flow::default()
        .word("fallback", fallback)
        .maybe("timeout", failure.timeout.as_ref().map(time))
        .maybe(
            "attempt_timeout",
            failure.attempt_timeout.as_ref().map(time),
        )
        .maybe("breaker", failure.breaker.as_ref().map(breaker))
        .close()
}

fn breaker(breaker: &Breaker) -> String {
    Flow::default()
        .count("consecutive", breaker.consecutive.into())
        .number("error_ratio", breaker.error_ratio)
        .close()
}
