//! Reports as they leave the workers.

use crate::client::{Client, user_of};
use crate::sidecar::Setup;
use crate::upstream::Model;
use serinus_common::distinct::Distinct;
use std::collections::BTreeMap;

#[tokio::test]
async fn every_second_is_sealed_even_if_nothing_happens() {
    let v1 = Model::new("v1");
    let stable = v1.serve().await;
    let mut sidecar = Setup::new(&stable.url, &stable.url, 0.5).start();
    let mut client = Client::connect(sidecar.addr).await;
    client.infer("ana").await;
    let first = sidecar.sealed.recv().await.unwrap();
    let mut cells = first.cells.clone();
    let second = sidecar.sealed.recv().await.unwrap();
    cells.extend(second.cells.clone());
    assert!(second.finished_before > first.finished_before);
    assert!(
        cells
            .iter()
            .all(|cell| cell.second < second.finished_before)
    );
    let finished: u64 = cells
        .iter()
        .flat_map(|cell| &cell.variants)
        .map(|v| v.ok)
        .sum();
    assert_eq!(finished, 1);
    assert!(cells.iter().all(|cell| cell.variants.len() == 2));
}

#[tokio::test]
async fn the_sum_of_all_cells_is_what_happened() {
    let (v1, v2) = (Model::new("v1"), Model::new("v2"));
    let (stable, canary) = (v1.serve().await, v2.serve().await);
    let share = 0.3;
    let mut sidecar = Setup::new(&stable.url, &canary.url, share).start();
    let mut client = Client::connect(sidecar.addr).await;
    let mut users = BTreeMap::from([("v1", Vec::new()), ("v2", Vec::new())]);
    for (variant, names) in &mut users {
        let mut n = 0;
        for _ in 0..20 {
            let name = user_of(variant, share, n);
            n = name["user-".len()..].parse::<u32>().unwrap() + 1;
            names.push(name);
        }
    }
    // Over at least two seconds, so that cells of several seconds are summed.
    let mut seconds = 0;
    let mut seen = Vec::new();
    let mut calls = 0u64;
    while seconds < 3 {
        for names in users.values() {
            for name in names {
                client.infer(name).await;
                calls += 1;
            }
        }
        while let Ok(sealed) = sidecar.sealed.try_recv() {
            seconds += 1;
            seen.push(sealed);
        }
    }
    let counted = sidecar.finish().await;
    let earlier = seen.iter().flat_map(|sealed| &sealed.cells);
    let mut sums: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    for cell in earlier.chain(&counted.cells) {
        assert_eq!(
            (cell.rollout.as_str(), cell.epoch),
            (crate::sidecar::ROLLOUT, 3)
        );
        for variant in &cell.variants {
            let sum = sums.entry(&variant.variant).or_default();
            let timed: u64 = variant.latency.as_ref().unwrap().counts.iter().sum();
            *sum = (sum.0 + variant.ok, sum.1 + variant.assigned, sum.2 + timed);
        }
    }
    assert_eq!(sums["v1"], (calls / 2, calls / 2, calls / 2));
    assert_eq!(sums["v2"], (calls / 2, calls / 2, calls / 2));
    // The last report of each variant is cumulative.
    let keys = seen
        .iter()
        .flat_map(|sealed| &sealed.keys)
        .chain(&counted.keys);
    let last: BTreeMap<_, _> = keys.map(|keys| (keys.variant.as_str(), keys)).collect();
    for keys in last.values() {
        let distinct = Distinct::from_registers(&keys.registers).unwrap();
        assert_eq!(distinct.estimate(), 20);
        assert_eq!(keys.cluster_requests.iter().sum::<u64>(), calls / 2);
        assert_eq!(keys.cluster_errors.iter().sum::<u64>(), 0);
    }
}
