use super::*;
use clap::Parser as _;
use serde_json::Value;

/// Quick to decide: wide margins, short steps.
const PLAN: &str = "
model: shop
stable: {name: v1, endpoints: [http://127.0.0.1:9001]}
canary: {name: v2, endpoints: [http://127.0.0.1:9002]}
steps:
  - {split: {v2: 0.5, v1: 0.5}, min_duration: 5s}
  - {split: {v2: 1.0}}
guardrails:
  - {metric: error_rate, margin: 0.05}
  - {metric: latency, quantile: 0.99, limit: 250ms}
  - {metric: outcome:buy, direction: higher_is_better, margin: 0.1}
";

#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn args(more: &[&str]) -> Args {
    let fixed = [
        "simulate",
        "-",
        "--rps",
        "100",
        "--horizon",
        "1m",
        "--replicas",
        "5",
        "--label-delay",
        "2s",
    ];
    Cli::try_parse_from(fixed.iter().chain(more))
        .expect("good flags")
        .args
}

fn ran(args: &Args, plan: &str, format: Format) -> Result<(String, String), Failure> {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        notes: &mut notes,
        input: &mut plan.as_bytes(),
        screen: None,
    };
    run(args, format, &mut console)?;
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ok((text(out), text(notes)))
}

#[test]
fn the_table_has_a_row_for_every_case() {
    let (out, _) = ran(&args(&[]), PLAN, Format::Table).expect("simulated");
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines[0].starts_with("shop: v1 -> v2 at 100 requests/s; 5 rollouts per row"),
        "{out}"
    );
    assert!(
        lines[1].contains("errors 0.50%") && lines[1].contains("buy 10.00%"),
        "{out}"
    );
    assert!(lines[2].contains("approvals are given at once"), "{out}");
    let row = |name: &str| {
        *lines
            .iter()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{out}"))
    };
    assert!(row("as stable").contains("0% [0, 52]"), "{out}");
    assert!(row("fails always").contains("100% [48, 100]"), "{out}");
    assert!(row("error rate +20pp").contains(" 4x "), "{out}");
    assert!(row("latency p99 <= 250ms x2.08").contains(" 1x "), "{out}");
    assert!(
        out.contains("Left out: outcome:buy: no canary can be -15.00 pp away from 10.00 %."),
        "{out}"
    );
    assert!(
        out.contains("False rollbacks: 0 of 5 equal canaries, at most 52.2% with 95% confidence"),
        "{out}"
    );
}

#[test]
fn json_says_the_same_and_the_seed_decides() {
    let json = |seed: &str| -> Value {
        let (out, _) =
            ran(&args(&["--json", "--seed", seed]), PLAN, Format::Table).expect("simulated");
        serde_json::from_str(&out).expect("JSON")
    };
    let first = json("1");
    assert_eq!(first, json("1"));
    assert_ne!(first["cases"], json("2")["cases"]);
    assert_eq!(first["cases"][0]["canary"], "equal");
    assert_eq!(first["cases"][0]["rollback"]["probability"], 0.0);
    let worse = &first["cases"][4];
    assert_eq!(
        (&worse["index"], &worse["margins"]),
        (&Value::from(0), &Value::from(4.0))
    );
    assert!((worse["difference"].as_f64().expect("a rate") - 0.2).abs() < 1e-12);
    assert_eq!(worse["rollback"]["probability"], 1.0);
    let (served, harmed) = (worse["served"].as_f64(), worse["harmed"].as_f64());
    assert!(
        served
            .zip(harmed)
            .is_some_and(|(served, harmed)| harmed < served && harmed > 0.0),
        "{worse}"
    );
    assert!(
        first["forecast"]["to_full_s"]
            .as_f64()
            .is_some_and(|seconds| seconds > 5.0)
    );
}

#[test]
fn low_traffic_is_told_with_the_time_it_needs() {
    let slow = Args {
        rps: 0.01,
        replicas: 1,
        ..args(&[])
    };
    let narrow = PLAN.replace("0.05", "0.001");
    let (out, _) = ran(&slow, &narrow, Format::Table).expect("simulated");
    assert!(out.contains("The traffic is too low for the margins: 0.01 requests/s and a margin of 0.1pp in error rate needs about"), "{out}");
    assert!(
        out.contains("max_duration is 1d0h. Widen the margin, or accept HELD (MAX_DURATION)."),
        "{out}"
    );
}

#[test]
fn a_guardrail_that_can_never_be_safe_is_told() {
    let slow = args(&["--latency-p50", "200ms", "--latency-p99", "600ms"]);
    let (out, _) = ran(&slow, PLAN, Format::Table).expect("simulated");
    assert!(
        out.contains("Nothing is ever promoted: latency p99 <= 250ms cannot be proven"),
        "{out}"
    );
    assert!(
        out.contains("Left out: latency: stable itself exceeds 250 ms at p99"),
        "{out}"
    );
}

#[test]
fn bad_flags_are_refused_with_the_right_form() {
    let refused = |flags: &[&str]| {
        let all = ["simulate", "-"].iter().chain(flags);
        Cli::try_parse_from(all).expect_err("bad flags").to_string()
    };
    assert!(refused(&[]).contains("--rps"));
    assert!(refused(&["--rps", "0"]).contains("such as 200"));
    assert!(refused(&["--rps", "9", "--accuracy", "90"]).contains("0.01 for 1 %"));
    assert!(refused(&["--rps", "9", "--outcome", "click"]).contains("click=0.1"));
    let failed = |more: &[&str]| ran(&args(more), PLAN, Format::Table).expect_err("refused");
    let unknown = failed(&["--outcome", "click=0.3"]);
    assert_eq!(unknown.exit(), Exit::BadInput);
    assert!(
        unknown
            .to_string()
            .contains("no guardrail of the plan is about click"),
        "{unknown}"
    );
    let upside_down = failed(&["--latency-p50", "1s"]);
    assert!(
        upside_down
            .to_string()
            .contains("--latency-p99 must be longer"),
        "{upside_down}"
    );
    let no_plan = ran(&args(&[]), "model: x", Format::Table).expect_err("no plan");
    assert_eq!(no_plan.exit(), Exit::BadInput);
}

/// Every element is closed, every panel has what it needs, and nothing of the plan breaks the markup.
#[test]
fn the_chart_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("chart.svg");
    let args = Args {
        chart: Some(file.clone()),
        replicas: 2,
        ..args(&[])
    };
    ran(&args, PLAN, Format::Table).expect("simulated");
    let svg = std::fs::read_to_string(file).expect("a chart");
    let count = |part: &str| svg.matches(part).count();
    assert_eq!(count("<g class=\"panel\""), 3);
    // Each curve has a band and a line; the legend has a line and a dot of each.
    assert_eq!((count("class=\"band\""), count("class=\"line\"")), (6, 8));
    assert_eq!(count("class=\"margin\""), 3);
    assert_eq!(count(">effect in margins</text>"), 3);
    assert_eq!(count(">probability</text>"), 3);
    assert_eq!(count("class=\"dot\""), 2 + 2 * (7 + 7 + 3));
    assert!(
        svg.contains("latency p99 &lt;= 250ms") && !svg.contains("p99 <="),
        "{svg}"
    );
    assert!(svg.contains("prefers-color-scheme: dark"));
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    assert_balanced(&svg);
}

#[track_caller]
fn assert_balanced(svg: &str) {
    let mut open = Vec::new();
    for tag in svg
        .split('<')
        .skip(1)
        .filter_map(|rest| rest.split_once('>'))
        .map(|(tag, _)| tag)
    {
        let name = tag
            .trim_start_matches('/')
            .split([' ', '/', '\n'])
            .next()
            .unwrap_or_default();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

/// The steps follow from the traffic that is simulated.
#[test]
fn an_automatic_ramp_is_chosen_for_the_traffic() {
    let (steps, rest) = PLAN.split_once("steps:").expect("it has steps");
    let (_, guardrails) = rest.split_once("guardrails:").expect("and guardrails");
    let plan = format!("{steps}ramp: {{victims: 200}}\nguardrails:{guardrails}");
    let (out, _) = ran(&args(&[]), &plan, Format::Table).expect("simulated");
    let dead = out.lines().find(|line| line.starts_with("fails always"));
    assert!(
        dead.is_some_and(|row| row.contains("100% [48, 100]")),
        "{out}"
    );
}
