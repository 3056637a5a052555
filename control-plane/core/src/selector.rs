//! Which sidecars a rollout is about, by their labels.

use serinus_proto::v1::{OneOf, Selector};
use std::collections::BTreeMap;

/// Labels of a sidecar, and of a selector, at most.
pub const MOST_LABELS: usize = 16;
const MOST_VALUES: usize = 64;
const LONGEST: usize = 63;

/// Whether a sidecar with these labels is selected; without a selector all are.
#[must_use]
pub fn selects(selector: Option<&Selector>, labels: &BTreeMap<String, String>) -> bool {
    let has = |(name, of): (&String, &OneOf)| {
        let own = labels.get(name);
        own.is_some_and(|own| of.values.iter().any(|value| value == own))
    };
    selector.is_none_or(|selector| selector.labels.iter().all(has))
}

/// Whether every sidecar that `narrow` can select is selected by `wide` too.
#[must_use]
pub fn covers(wide: Option<&Selector>, narrow: Option<&Selector>) -> bool {
    let Some(wide) = wide else { return true };
    let none = BTreeMap::new();
    let narrow = narrow.map_or(&none, |narrow| &narrow.labels);
    wide.labels.iter().all(|(name, of)| {
        let own = narrow.get(name);
        own.is_some_and(|own| own.values.iter().all(|value| of.values.contains(value)))
    })
}

/// What both select; `None` for all sidecars.
#[must_use]
pub fn both(a: Option<&Selector>, b: Option<&Selector>) -> Option<Selector> {
    let mut labels = a.map(|a| a.labels.clone()).unwrap_or_default();
    for (name, of) in b.into_iter().flat_map(|b| &b.labels) {
        labels
            .entry(name.clone())
            .and_modify(|own| own.values.retain(|value| of.values.contains(value)))
            .or_insert_with(|| of.clone());
    }
    (!labels.is_empty()).then_some(Selector { labels })
}

/// As people read it: `region=eu|us, ring=0`.
#[must_use]
pub fn text(selector: &Selector) -> String {
    let all = selector.labels.iter();
    let all = all.map(|(name, of)| format!("{name}={}", of.values.join("|")));
    all.collect::<Vec<_>>().join(", ")
}

/// What is wrong with a label's name or value, if anything is.
#[must_use]
pub fn fault(text: &str) -> Option<String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    let good = !text.is_empty() && text.len() <= LONGEST && text.chars().all(inner);
    (!good).then(|| {
        let shown: String = text.chars().take(LONGEST).collect();
        format!(
            "\"{shown}\" is no label; write letters, digits and ._-/, at most {LONGEST} characters"
        )
    })
}

/// Everything that is wrong with a selector, each with the label's name; of the whole it is empty.
#[must_use]
pub(crate) fn faults(selector: &Selector) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    if selector.labels.is_empty() {
        let message =
            "names no label; write such as {ring: \"0\"}, or leave it out for all sidecars";
        faults.push((String::new(), message.to_owned()));
    }
    if selector.labels.len() > MOST_LABELS {
        let message = format!("{} labels; at most {MOST_LABELS}", selector.labels.len());
        faults.push((String::new(), message));
    }
    for (name, of) in &selector.labels {
        if of.values.is_empty() || of.values.len() > MOST_VALUES {
            let message = format!("has {} values; write 1 to {MOST_VALUES}", of.values.len());
            faults.push((name.clone(), message));
        }
        let texts = std::iter::once(name).chain(&of.values);
        faults.extend(texts.filter_map(|text| Some((name.clone(), fault(text)?))));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn selector(all: &[(&str, &[&str])]) -> Option<Selector> {
        let of = |(name, values): &(&str, &[&str])| {
            let values = values.iter().map(|&value| value.to_owned()).collect();
            ((*name).to_owned(), OneOf { values })
        };
        Some(Selector {
            labels: all.iter().map(of).collect(),
        })
    }

    fn labels(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        let of = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        all.iter().map(of).collect()
    }

    #[test]
    fn every_label_must_have_one_of_its_values() {
        let eu_first = selector(&[("ring", &["0", "1"]), ("region", &["eu"])]);
        let selected = |of: &[(&str, &str)]| selects(eu_first.as_ref(), &labels(of));
        assert!(selected(&[("ring", "1"), ("region", "eu"), ("host", "a")]));
        assert!(!selected(&[("ring", "2"), ("region", "eu")]));
        assert!(!selected(&[("ring", "0")]));
        assert!(selects(None, &labels(&[])));
        assert_eq!(text(&eu_first.unwrap()), "region=eu, ring=0|1");
    }

    #[test]
    fn faults_are_named() {
        assert!(faults(&selector(&[("ring", &["0"])]).unwrap()).is_empty());
        assert_eq!(faults(&Selector::default())[0].0, "");
        assert!(
            faults(&selector(&[("ring", &[])]).unwrap())[0]
                .1
                .contains("0 values")
        );
        assert!(
            faults(&selector(&[("ring", &["a b"])]).unwrap())[0]
                .1
                .contains("\"a b\"")
        );
    }

    fn any_selector() -> impl Strategy<Value = Option<Selector>> {
        let values = prop::collection::vec(prop::sample::select(vec!["0", "1", "2"]), 1..3);
        let name = prop::sample::select(vec!["a", "b"]);
        let labels = prop::collection::btree_map(name, values, 0..3);
        labels.prop_map(|labels| {
            let of = |(name, values): (&str, Vec<&str>)| {
                let values = values.into_iter().map(str::to_owned).collect();
                (name.to_owned(), OneOf { values })
            };
            let labels: BTreeMap<_, _> = labels.into_iter().map(of).collect();
            (!labels.is_empty()).then_some(Selector { labels })
        })
    }

    fn any_labels() -> impl Strategy<Value = BTreeMap<String, String>> {
        let value = prop::sample::select(vec!["0", "1", "2", "3"]);
        let name = prop::sample::select(vec!["a", "b"]);
        prop::collection::btree_map(name, value, 0..3).prop_map(|all| {
            let of = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            all.into_iter().map(of).collect()
        })
    }

    proptest! {
        #[test]
        fn what_covers_selects_as_much_and_both_is_both(
            a in any_selector(),
            b in any_selector(),
            labels in any_labels(),
        ) {
            let (by_a, by_b) = (selects(a.as_ref(), &labels), selects(b.as_ref(), &labels));
            if covers(a.as_ref(), b.as_ref()) {
                prop_assert!(by_a || !by_b);
            }
            let of_both = both(a.as_ref(), b.as_ref());
            prop_assert_eq!(selects(of_both.as_ref(), &labels), by_a && by_b);
            prop_assert!(covers(a.as_ref(), of_both.as_ref()));
        }
    }
}
