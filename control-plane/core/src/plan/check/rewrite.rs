//! How the calls of variants name their model.

use crate::plan::path::Path;
use crate::plan::problems::Problems;
use serinus_common::rewrite::Written;
use serinus_proto::v1::{Plan, Rewrite, Variant};

/// Checks one variant's own rewrite.
pub(super) fn check(rewrite: &Rewrite, path: &Path, problems: &Problems) {
    let written = Written {
        model: &rewrite.model,
        version: &rewrite.version,
        label: &rewrite.label,
        restore: rewrite.restore,
    };
    for (field, message) in written.mistakes() {
        match field {
            "" => problems.add(path, message),
            field => problems.add(&path.field(field), message),
        }
    }
}

/// Where only a version tells the canary from stable, stable must name its own: what its calls leave open its server
/// decides, and it decides for the newest version.
pub(super) fn pins(plan: &Plan, problems: &Problems) {
    let Some(stable) = plan.stable.as_ref().filter(|of| of.rewrite.is_none()) else {
        return;
    };
    let shared = |canary: &Variant| {
        let versioned = canary.rewrite.as_ref().is_some_and(|r| r.model.is_empty());
        let mut urls = canary.endpoints.iter();
        urls.find(|url| versioned && stable.endpoints.contains(url))
            .map(|url| (canary.name.clone(), url.clone()))
    };
    if let Some((canary, url)) = plan.canaries.iter().find_map(shared) {
        let message = format!(
            "missing: {canary} is another version of the same model at {url}, so calls without a version follow that server's default; pin it: {{version: \"1\"}}"
        );
        problems.add(&Path::of("stable").field("rewrite"), message);
    }
}
