//! Which labels another plan's guardrails can be judged by.

use crate::plan::view;
use serinus_proto::v1;

/// For each guardrail of the recorded plan, those of the other one that its labels are for: same metric, same outcome.
pub(super) fn takers(recorded: &v1::Plan, other: &v1::Plan) -> Vec<Vec<usize>> {
    let takes = |old: &v1::Guardrail| {
        let news = other.guardrails.iter().enumerate();
        let same = news.filter(|(_, new)| is_same(old, new));
        same.map(|(index, _)| index).collect()
    };
    // Where the recorded plan has a metric twice, the labels of the first are taken.
    let mut taken: Vec<Vec<usize>> = Vec::new();
    for old in &recorded.guardrails {
        let mut of: Vec<usize> = takes(old);
        of.retain(|index| !taken.iter().flatten().any(|known| known == index));
        taken.push(of);
    }
    taken
}

fn is_same(old: &v1::Guardrail, new: &v1::Guardrail) -> bool {
    view::label_window(old).is_some() && view::metric_name(old) == view::metric_name(new)
}

/// The guardrail of the recorded plan whose labels a guardrail of the other one is judged by.
pub(super) fn source<'a>(recorded: &'a v1::Plan, new: &v1::Guardrail) -> Option<&'a v1::Guardrail> {
    recorded.guardrails.iter().find(|old| is_same(old, new))
}
