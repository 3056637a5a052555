//! The reference in `docs/` says what the code does.

use super::super::{choose_ramp, complete, parse, to_yaml, view};
use super::{mistakes, with};

const REFERENCE: &str = include_str!("../../../../../docs/plan-reference.md");
const EXAMPLES: [&str; 3] = [
    include_str!("../../../../../docs/examples/plan.yaml"),
    include_str!("../../../../../docs/examples/auto.yaml"),
    include_str!("../../../../../docs/examples/rewrite.yaml"),
];

/// The YAML of the reference; what is no whole plan gets the small plan's head.
fn blocks() -> Vec<String> {
    let blocks: Vec<String> = REFERENCE
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .map(|block| {
            if block.contains("model:") {
                block.to_owned()
            } else {
                with(block)
            }
        })
        .collect();
    assert!(blocks.len() >= 3);
    blocks
}

#[test]
fn every_block_is_a_plan() {
    for block in blocks() {
        let plan = parse(&block).unwrap_or_else(|violations| panic!("{block}\n{violations:#?}"));
        complete(plan, None).unwrap();
    }
}

#[test]
fn every_field_is_described() {
    let whole = |text| to_yaml(&complete(parse(text).unwrap(), None).unwrap());
    let text = EXAMPLES.map(whole).concat();
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let fields = text
        .match_indices(": ")
        .filter_map(|(end, _)| text[..end].rsplit(word).next());
    for field in fields.filter(|field| !["v1", "v2"].contains(field)) {
        assert!(
            REFERENCE.contains(&format!("`{field}`")),
            "{field} is not in the reference"
        );
    }
}

#[test]
fn the_table_of_first_shares_is_true() {
    let row = |name: &str| {
        let line = REFERENCE
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap();
        let cells = line.trim_end_matches('|').split('|').skip(2);
        cells
            .map(|cell| cell.trim().replace(',', ""))
            .collect::<Vec<_>>()
    };
    let (rates, shares) = (row("| requests/s |"), row("| first share |"));
    assert_eq!((rates.len(), shares.len()), (6, 6));
    for (rate, share) in rates.iter().zip(&shares) {
        let plan = choose_ramp(super::completed("ramp: auto"), rate.parse().ok());
        let percent = f64::from(view::asked(&plan, 0).get()) / 1e4;
        assert_eq!(*share, format!("{percent} %"), "{rate}");
    }
}

#[test]
fn the_table_of_mistakes_is_true() {
    let table = REFERENCE.split("## Common mistakes").nth(1).unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('`').collect())
        .collect();
    assert_eq!(rows.len(), 6);
    for row in rows {
        let (written, answer) = (row[1], row[3]);
        let lines = match written.strip_prefix("split: ") {
            Some(split) => format!("steps: [{{split: {split}}}]"),
            None => written.to_owned(),
        };
        let all = mistakes(&with(&lines));
        assert!(
            all.iter().any(|mistake| mistake == answer),
            "{written}: {all:#?}"
        );
    }
}
