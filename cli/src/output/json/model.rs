//! Models and variants.

use super::word;
use serde_json::{Value, json};
use serinus_proto::v1;

/// A model and the variant that serves it.
#[must_use]
pub fn model(model: &v1::Model) -> Value {
    json!({
        "name": model.name,
        "stable": model.stable.as_ref().map(variant),
        "revision": model.revision,
        "active_rollout": word(&model.active_rollout),
        "latest_rollout": word(&model.latest_rollout),
    })
}

pub(super) fn variant(variant: &v1::Variant) -> Value {
    json!({ "name": variant.name, "endpoints": variant.endpoints })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rollout_is_null() {
        let value = model(&v1::Model {
            name: "m".into(),
            stable: Some(v1::Variant {
                name: "v1".into(),
                endpoints: vec!["http://a".into()],
                ..Default::default()
            }),
            revision: 3,
            active_rollout: String::new(),
            latest_rollout: "r".into(),
        });
        assert_eq!(
            value,
            json!({
                "name": "m", "stable": {"name": "v1", "endpoints": ["http://a"]}, "revision": 3,
                "active_rollout": null, "latest_rollout": "r"
            })
        );
    }
}
