//! Adding up what several workers, or several seconds, have counted.

use serinus_common::distinct::Distinct;
use serinus_proto::v1;
use std::collections::BTreeMap;

/// Adds a cell of the same rollout and epoch; the later second stays.
pub(super) fn add_cell(into: &mut v1::Cell, from: v1::Cell) {
    into.second = into.second.max(from.second);
    for variant in from.variants {
        match into
            .variants
            .iter_mut()
            .find(|v| v.variant == variant.variant)
        {
            Some(mine) => add_variant(mine, variant),
            None => into.variants.push(variant),
        }
    }
}

fn add_variant(into: &mut v1::VariantCell, from: v1::VariantCell) {
    for (mine, more) in [
        (&mut into.ok, from.ok),
        (&mut into.client, from.client),
        (&mut into.model, from.model),
        (&mut into.overload, from.overload),
        (&mut into.timeout, from.timeout),
        (&mut into.connect, from.connect),
        (&mut into.cancelled, from.cancelled),
        (&mut into.assigned, from.assigned),
        (&mut into.rescued, from.rescued),
        (&mut into.user_errors, from.user_errors),
        (&mut into.response_bytes, from.response_bytes),
        (&mut into.diverted, from.diverted),
        (&mut into.overrides, from.overrides),
        (&mut into.unkeyed, from.unkeyed),
    ] {
        *mine = mine.saturating_add(more);
    }
    into.breaker_openings = into.breaker_openings.saturating_add(from.breaker_openings);
    into.failed_probes = into.failed_probes.saturating_add(from.failed_probes);
    into.latency = add_sketches(into.latency.take(), from.latency);
    into.contents = match (into.contents.take(), from.contents) {
        (Some(mine), Some(more)) => Some(add_contents(mine, more)),
        (one, other) => one.or(other),
    };
}

fn add_contents(mut into: v1::Contents, from: v1::Contents) -> v1::Contents {
    for (mine, more) in [
        (&mut into.streams, from.streams),
        (&mut into.failed_streams, from.failed_streams),
        (&mut into.unread_streams, from.unread_streams),
        (&mut into.chunks, from.chunks),
        (&mut into.input_tokens, from.input_tokens),
        (&mut into.output_tokens, from.output_tokens),
    ] {
        *mine = mine.saturating_add(more);
    }
    into.first_token = add_sketches(into.first_token.take(), from.first_token);
    into.per_token = add_sketches(into.per_token.take(), from.per_token);
    into
}

fn add_sketches(one: Option<v1::Sketch>, other: Option<v1::Sketch>) -> Option<v1::Sketch> {
    match (one, other) {
        (Some(mine), Some(more)) => Some(add_sketch(&mine, &more)),
        (one, other) => one.or(other),
    }
}

fn add_sketch(one: &v1::Sketch, other: &v1::Sketch) -> v1::Sketch {
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    for sketch in [one, other] {
        let mut index = 0u32;
        for (delta, count) in sketch.index_deltas.iter().zip(&sketch.counts) {
            index = index.saturating_add(*delta);
            let sum = counts.entry(index).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
    let mut sum = v1::Sketch::default();
    let mut last = 0;
    for (index, count) in counts {
        sum.index_deltas.push(index - last);
        sum.counts.push(count);
        last = index;
    }
    sum
}

/// Adds the statistics of another worker about the same rollout, epoch and variant.
pub(super) fn add_keys(into: &mut v1::KeyStatistics, from: &v1::KeyStatistics) {
    let mine = Distinct::from_registers(&into.registers);
    match (mine, Distinct::from_registers(&from.registers)) {
        (Some(mut mine), Some(theirs)) => {
            mine.merge(&theirs);
            into.registers = mine.registers().to_vec();
        }
        (None, Some(_)) => into.registers.clone_from(&from.registers),
        _ => {}
    }
    add_clusters(&mut into.cluster_requests, &from.cluster_requests);
    add_clusters(&mut into.cluster_errors, &from.cluster_errors);
}

fn add_clusters(into: &mut Vec<u64>, from: &[u64]) {
    if into.len() < from.len() {
        into.resize(from.len(), 0);
    }
    for (mine, more) in into.iter_mut().zip(from) {
        *mine = mine.saturating_add(*more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(pairs: &[(u32, u64)]) -> v1::Sketch {
        v1::Sketch {
            index_deltas: pairs.iter().map(|(delta, _)| *delta).collect(),
            counts: pairs.iter().map(|(_, count)| *count).collect(),
        }
    }

    #[test]
    fn sketches_add_by_bucket() {
        let sum = add_sketch(&sketch(&[(5, 1), (2, 10)]), &sketch(&[(7, 3), (1, 4)]));
        assert_eq!(sum, sketch(&[(5, 1), (2, 13), (1, 4)]));
    }

    #[test]
    fn cells_add_by_variant() {
        let variant = |name: &str, ok| v1::VariantCell {
            variant: name.into(),
            ok,
            breaker_openings: 1,
            latency: Some(sketch(&[(5, ok)])),
            contents: Some(v1::Contents {
                output_tokens: ok,
                first_token: (ok > 3).then(|| sketch(&[(4, ok)])),
                ..v1::Contents::default()
            }),
            ..v1::VariantCell::default()
        };
        let cell = |second, variants| v1::Cell {
            rollout: "r".into(),
            epoch: 1,
            second,
            variants,
            model: String::new(),
        };
        let mut sum = cell(7, vec![variant("v1", 3)]);
        add_cell(&mut sum, cell(6, vec![variant("v1", 4), variant("v2", 5)]));
        assert_eq!(sum.second, 7);
        assert_eq!((sum.variants[0].ok, sum.variants[1].ok), (7, 5));
        assert_eq!(sum.variants[0].breaker_openings, 2);
        assert_eq!(sum.variants[0].latency, Some(sketch(&[(5, 7)])));
        let contents = sum.variants[0].contents.clone().unwrap();
        assert_eq!(contents.output_tokens, 7);
        assert_eq!(contents.first_token, Some(sketch(&[(4, 4)])));
    }

    #[test]
    fn keys_count_once_and_clusters_add() {
        let keys = |key: &str| {
            let mut distinct = Distinct::default();
            distinct.insert(serinus_common::bucket::distinct_hash(key.as_bytes()));
            v1::KeyStatistics {
                registers: distinct.registers().to_vec(),
                cluster_requests: vec![1; 64],
                cluster_errors: vec![0; 64],
                ..v1::KeyStatistics::default()
            }
        };
        let mut sum = v1::KeyStatistics::default();
        for key in ["ana", "ben", "ana"] {
            add_keys(&mut sum, &keys(key));
        }
        assert_eq!(
            Distinct::from_registers(&sum.registers).unwrap().estimate(),
            2
        );
        assert_eq!(sum.cluster_requests, vec![3; 64]);
    }
}
