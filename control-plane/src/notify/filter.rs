//! Which events a webhook is told.

use super::describe;
use serinus_proto::v1;

/// By kind and by model; what is not named is everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    events: Vec<String>,
    models: Vec<String>,
}

impl Filter {
    /// # Errors
    /// The position of a kind that there is not, or of a model's name that is none; and what is wrong with it.
    pub(super) fn new(events: &[String], models: &[String]) -> Result<Self, (String, String)> {
        let known = describe::kinds();
        for (index, kind) in events.iter().enumerate() {
            if !known.contains(kind) {
                let known = known.join(", ");
                let why = format!("there is no kind of event {kind:?}; there are {known}");
                return Err((format!("events[{index}]"), why));
            }
        }
        for (index, model) in models.iter().enumerate() {
            let name = model.strip_suffix('*').unwrap_or(model);
            if model.is_empty() || name.contains('*') {
                let why =
                    "must be a model's name, or the beginning of one followed by `*`".to_owned();
                return Err((format!("models[{index}]"), why));
            }
        }
        Ok(Self {
            events: events.to_vec(),
            models: models.to_vec(),
        })
    }

    pub(super) fn wants(&self, event: &v1::Event) -> bool {
        let of_model = |wanted: &String| match wanted.strip_suffix('*') {
            Some(beginning) => event.model.starts_with(beginning),
            None => event.model == *wanted,
        };
        let model = self.models.is_empty() || self.models.iter().any(of_model);
        let kind = || self.events.is_empty() || self.events.contains(&describe::kind(event));
        model && kind()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use v1::event::Kind;

    fn filter(events: &[&str], models: &[&str]) -> Result<Filter, (String, String)> {
        let owned = |of: &[&str]| of.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        Filter::new(&owned(events), &owned(models))
    }

    fn event(model: &str, kind: Kind) -> v1::Event {
        v1::Event {
            model: model.into(),
            kind: Some(kind),
            ..v1::Event::default()
        }
    }

    #[test]
    fn kinds_and_models_are_told_apart() {
        let promoted = |model: &str| event(model, Kind::Promoted(v1::Promoted::default()));
        let held = |model: &str| event(model, Kind::Held(v1::Held::default()));
        let all = filter(&[], &[]).unwrap();
        assert!(all.wants(&promoted("a")) && all.wants(&held("")));
        let kinds = filter(&["promoted", "rolled_back"], &[]).unwrap();
        assert!(kinds.wants(&promoted("a")) && !kinds.wants(&held("a")));
        let models = filter(&[], &["a", "search/*"]).unwrap();
        for (model, wanted) in [("a", true), ("ab", false), ("search/x", true), ("", false)] {
            assert_eq!(models.wants(&held(model)), wanted, "{model}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let (field, why) = filter(&["promoted", "sunset"], &[]).unwrap_err();
        assert_eq!(field, "events[1]");
        assert!(
            why.contains("rolled_back") && why.contains("\"sunset\""),
            "{why}"
        );
        for model in ["", "*a", "a*b*"] {
            assert_eq!(filter(&[], &[model]).unwrap_err().0, "models[0]");
        }
    }
}
