//! The ramp that chooses its own steps.

use super::steps::approval;
use crate::plan::fields::Fields;
use crate::plan::problems::Problems;
use crate::plan::tree::Node;
use serinus_proto::v1::Ramp;

const FORM: &str = "auto, or {victims: 30, max_share: 1.0}";

/// Reads `ramp: auto` or the map that says more.
pub(super) fn read(fields: &mut Fields<'_>, problems: &Problems) -> Option<Ramp> {
    let (node, path) = fields.take("ramp")?;
    match node {
        Node::Text(word) if word == "auto" => return Some(Ramp::default()),
        Node::Text(word) => {
            let shown: String = word.chars().take(60).collect();
            problems.add(&path, format!("\"{shown}\" is unknown; write {FORM}"));
            return None;
        }
        _ => {}
    }
    let mut fields = Fields::open(node, &path, FORM, problems)?;
    let victims = fields.whole("victims", super::super::ramp::FEWEST_VICTIMS, "such as 30");
    let max_share = fields.share("max_share");
    if max_share == Some(0.0) {
        fields.complain("max_share", "is 0; write a fraction above 0, such as 0.5");
    }
    let ramp = Ramp {
        victims: victims.unwrap_or_default(),
        max_share: max_share.unwrap_or_default(),
        min_duration: fields.duration("min_duration"),
        approval: fields
            .take("approval")
            .and_then(|(node, path)| approval(node, &path, problems)),
        choice: None,
    };
    fields.finish();
    Some(ramp)
}
