//! Freezes.

use crate::plan::fields::Fields;
use crate::plan::path::Path;
use crate::plan::problems::Problems;
use crate::plan::tree::Node;
use serinus_proto::v1::Freeze;

pub(in crate::plan) const FORM: &str =
    "{cron: \"0 18 * * FRI\", duration: 62h, time_zone: Europe/Berlin}";

/// Reads the list of freezes.
pub(super) fn read(fields: &mut Fields<'_>, problems: &Problems) -> Vec<Freeze> {
    let items = fields
        .list("freeze", &format!("[{FORM}]"))
        .unwrap_or_default();
    let read = |(node, path): (&Node, Path)| freeze(node, &path, problems);
    items.into_iter().filter_map(read).collect()
}

fn freeze(node: &Node, path: &Path, problems: &Problems) -> Option<Freeze> {
    let mut fields = Fields::open(node, path, FORM, problems)?;
    let freeze = Freeze {
        cron: fields
            .text(
                "cron",
                "\"0 18 * * FRI\": minute, hour, day of the month, month, weekday",
            )
            .unwrap_or_default(),
        duration: fields.duration("duration"),
        time_zone: fields
            .text("time_zone", "a name such as Europe/Berlin")
            .unwrap_or_default(),
    };
    fields.finish();
    Some(freeze)
}
