//! Selectors of sidecars.

use crate::plan::fields::{self, Fields};
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use crate::plan::tree::Node;
use serinus_proto::v1::{OneOf, Selector};
use std::collections::BTreeMap;

const FORM: &str = "{ring: \"0\"} or {ring: [\"0\", \"1\"]}";

/// Reads `selector`, where it is given.
pub(super) fn read(fields: &mut Fields<'_>, problems: &Problems) -> Option<Selector> {
    let (node, path) = fields.take("selector")?;
    let Node::Map(entries) = node else {
        problems.add(&path, format!("{}; write {FORM}", node.described()));
        return None;
    };
    let mut labels = BTreeMap::new();
    for (name, value) in entries {
        let path = path.field(name);
        let values = values(value, &path, problems);
        if labels.insert(name.clone(), OneOf { values }).is_some() {
            problems.add(&path, "given twice; write a list of values");
        }
    }
    Some(Selector { labels })
}

fn values(node: &Node, path: &Path, problems: &Problems) -> Vec<String> {
    let one =
        |node: &Node, path: &Path| fields::text(node, path, "a value such as \"0\"", problems);
    match node {
        Node::List(items) => {
            let items = items.iter().enumerate();
            items
                .filter_map(|(index, item)| one(item, &path.item(index)))
                .collect()
        }
        single => one(single, path).into_iter().collect(),
    }
}
