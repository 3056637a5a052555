//! How the calls of a variant name their model.

use crate::plan::fields::Fields;
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use crate::plan::tree::Node;
use serinus_proto::v1::Rewrite;
use serinus_proto::v1::rewrite::Stream;

pub(super) fn read(node: &Node, path: &Path, problems: &Problems) -> Option<Rewrite> {
    let mut fields = Fields::open(node, path, "{version: \"2\"}", problems)?;
    let mut name = |field: &'static str, form: &str| {
        let text = fields.text(field, form)?;
        if text.is_empty() {
            fields.complain(field, "is empty; leave it out, or write a name");
        }
        Some(text)
    };
    let model = name("model", "what its server calls the model, such as digits");
    let version = name(
        "version",
        "the version as its server calls it, such as \"2\"",
    );
    let label = name("label", "a label of TensorFlow Serving, such as canary");
    let rewrite = Rewrite {
        model: model.unwrap_or_default(),
        version: version.unwrap_or_default(),
        label: label.unwrap_or_default(),
        restore: fields.truth("restore").unwrap_or_default(),
        stream: fields
            .choice(
                "stream",
                &[("plain", Stream::Plain), ("wrapped", Stream::Wrapped)],
            )
            .unwrap_or_default(),
    };
    fields.finish();
    Some(rewrite)
}
