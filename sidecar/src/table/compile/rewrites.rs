//! What the calls of variants are changed to: the file's entry, else the plan's.

use crate::rewrite::{Rewrite, Spec, StreamForm};
use crate::table::{ModelSpec, Variant};
use serinus_proto::v1;
use std::sync::Arc;

pub(super) fn of(
    file: &ModelSpec,
    variant: &v1::Variant,
    errors: &mut Vec<String>,
) -> Option<Arc<Rewrite>> {
    let local = file.rewrites.get(&variant.name).cloned();
    let spec = local.or_else(|| variant.rewrite.as_ref().map(from_plan))?;
    let mistakes = spec.mistakes();
    errors.extend(mistakes.iter().map(|(field, why)| {
        let dot = if field.is_empty() { "" } else { "." };
        format!("variant {}: rewrite{dot}{field}: {why}", variant.name)
    }));
    mistakes.is_empty().then(|| Arc::new(Rewrite::new(&spec)))
}

/// What is declared of the answers of a variant's gRPC streams.
pub(super) fn stream(file: &ModelSpec, variant: &v1::Variant) -> StreamForm {
    let local = file.streams.get(&variant.name).copied();
    let by_file = || file.rewrites.get(&variant.name)?.stream;
    let by_plan = || from_plan(variant.rewrite.as_ref()?).stream;
    let declared = local.or_else(by_file).or_else(by_plan);
    declared.unwrap_or(file.stream)
}

pub(super) fn touch_bodies(variants: &[Variant]) -> bool {
    let mut rewrites = variants.iter().filter_map(|of| of.rewrite.as_ref());
    rewrites.any(|rewrite| rewrite.may_touch_bodies())
}

/// Empty is the contract's way to leave something out.
fn from_plan(rewrite: &v1::Rewrite) -> Spec {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Spec {
        model: given(&rewrite.model),
        version: given(&rewrite.version),
        label: given(&rewrite.label),
        restore: rewrite.restore,
        stream: match rewrite.stream() {
            v1::rewrite::Stream::Unspecified => None,
            v1::rewrite::Stream::Plain => Some(StreamForm::Plain),
            v1::rewrite::Stream::Wrapped => Some(StreamForm::Wrapped),
        },
    }
}
