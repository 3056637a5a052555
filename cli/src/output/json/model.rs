//! Models and variants.

use super::word;
use serde_json::{Value, json};
use serinus_proto::v1;
use serinus_proto::v1::rewrite::Stream;

/// A model and the variant that serves it.
#[must_use]
pub fn model(model: &v1::Model) -> Value {
    json!({
        "name": model.name,
        "stable": model.stable.as_ref().map(variant),
        "revision": model.revision,
        "active_rollout": word(&model.active_rollout),
        "latest_rollout": word(&model.latest_rollout),
        "queued_rollouts": model.queued_rollouts,
    })
}

pub(super) fn variant(variant: &v1::Variant) -> Value {
    let mut value = json!({ "name": variant.name, "endpoints": variant.endpoints });
    if let Some(of) = &variant.rewrite {
        value["rewrite"] = rewrite(of);
    }
    value
}

fn rewrite(rewrite: &v1::Rewrite) -> Value {
    let stream = match rewrite.stream() {
        Stream::Unspecified => Value::Null,
        Stream::Plain => "plain".into(),
        Stream::Wrapped => "wrapped".into(),
    };
    json!({
        "model": word(&rewrite.model),
        "version": word(&rewrite.version),
        "label": word(&rewrite.label),
        "restore": rewrite.restore,
        "stream": stream,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewrite_is_shown() {
        let of = v1::Variant {
            rewrite: Some(v1::Rewrite {
                version: "1".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let expected = json!({
            "model": null, "version": "1", "label": null, "restore": false, "stream": null
        });
        assert_eq!(variant(&of)["rewrite"], expected);
    }

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
            ..Default::default()
        });
        assert_eq!(
            value,
            json!({
                "name": "m", "stable": {"name": "v1", "endpoints": ["http://a"]}, "revision": 3,
                "active_rollout": null, "latest_rollout": "r", "queued_rollouts": []
            })
        );
    }
}
