//! What an assignment must keep to beyond being something that can be served.

use serinus_proto::v1;
use std::collections::BTreeSet;

/// Everything that is wrong with an assignment, for a person.
pub(super) fn faults(assignment: &v1::Assignment) -> Vec<String> {
    let mut faults = Vec::new();
    if assignment.rolled_back && !assignment.shares.is_empty() {
        faults.push("it is rolled back, but still gives a canary traffic".to_owned());
    }
    let mut names = BTreeSet::new();
    let mut sum = 0u64;
    for share in &assignment.shares {
        if !names.insert(&share.variant) {
            faults.push(format!("shares: \"{}\" is there twice", share.variant));
        }
        let size = size(share);
        if size != u64::from(share.ppm) {
            faults.push(format!(
                "shares: {} has {} ppm but owns {size} buckets",
                share.variant, share.ppm
            ));
        }
        sum += size;
    }
    if sum > u64::from(assignment.ceiling_ppm) {
        faults.push(format!(
            "shares: the canaries get {sum} ppm, above the plan's highest step of {} ppm",
            assignment.ceiling_ppm
        ));
    }
    faults
}

fn size(share: &v1::Share) -> u64 {
    let length = |range: &v1::BucketRange| u64::from(range.end.saturating_sub(range.start));
    share.ranges.iter().map(length).sum()
}
