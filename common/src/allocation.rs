//! Which buckets belong to which variant, and how that changes with the fewest moves.
//!
//! Stable owns every bucket that no canary owns. At a change, first each shrinking canary returns its highest buckets
//! to stable, then the growing ones, in the plan's order, take the lowest buckets that stable owns, preferring those
//! that were not released in this very change: so a user moves between two canaries only where nothing else is left,
//! and with one canary the rule is `bucket < share`.

use crate::bucket::BUCKETS;
use crate::ppm::Ppm;
use thiserror::Error;

/// Buckets `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// First bucket.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

impl Range {
    /// Number of buckets.
    #[must_use]
    pub fn len(self) -> u32 {
        self.end - self.start
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

/// The buckets of one canary: ascending, disjoint, not adjacent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owned {
    /// Variant name.
    pub variant: String,
    /// Its buckets.
    pub ranges: Vec<Range>,
}

impl Owned {
    /// Number of buckets, which is the share in parts per million.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.ranges.iter().map(|range| range.len()).sum()
    }
}

/// The buckets of all canaries, in the plan's order; stable owns the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    canaries: Vec<Owned>,
}

/// Why ranges or shares are no allocation.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AllocationError {
    /// The canaries' shares exceed the whole.
    #[error("the canaries' shares sum to {0} millionths, more than the whole")]
    AboveOne(u64),
    /// A range is empty, reaches beyond the last bucket or overlaps another.
    #[error(
        "buckets {start}..{end} of {variant} are empty, out of order, out of range or taken twice"
    )]
    BadRange {
        /// Whose range.
        variant: String,
        /// First bucket.
        start: u32,
        /// One past the last.
        end: u32,
    },
}

impl Allocation {
    /// From ranges that came over the wire or from disk.
    ///
    /// # Errors
    /// If a range is empty, beyond the last bucket, or overlaps another one.
    pub fn from_owned(canaries: Vec<Owned>) -> Result<Self, AllocationError> {
        let mut all: Vec<(Range, &str)> = Vec::new();
        for owned in &canaries {
            let mut last_end = 0;
            for &range in &owned.ranges {
                let ordered = range.start >= last_end && !range.is_empty() && range.end <= BUCKETS;
                if !ordered {
                    return Err(bad_range(&owned.variant, range));
                }
                last_end = range.end;
                all.push((range, &owned.variant));
            }
        }
        all.sort_unstable();
        for pair in all.windows(2) {
            if pair[1].0.start < pair[0].0.end {
                return Err(bad_range(pair[1].1, pair[1].0));
            }
        }
        Ok(Self { canaries })
    }

    /// The canaries and their buckets, in the plan's order.
    #[must_use]
    pub fn canaries(&self) -> &[Owned] {
        &self.canaries
    }

    /// Position of the canary that owns a bucket; `None` is stable. Linear in the ranges: for the request path,
    /// compile it into a [`Lookup`].
    #[must_use]
    pub fn owner(&self, bucket: u32) -> Option<usize> {
        self.canaries.iter().position(|owned| {
            owned
                .ranges
                .iter()
                .any(|r| r.start <= bucket && bucket < r.end)
        })
    }

    /// The allocation with these shares, in the plan's order, reached from this one with the fewest moves. A canary
    /// that is not named loses its buckets.
    ///
    /// # Errors
    /// If the shares sum to more than the whole.
    pub fn reallocate(&self, targets: &[(&str, Ppm)]) -> Result<Self, AllocationError> {
        let sum: u64 = targets
            .iter()
            .map(|(_, share)| u64::from(share.get()))
            .sum();
        if sum > u64::from(BUCKETS) {
            return Err(AllocationError::AboveOne(sum));
        }
        let mut released = Vec::new();
        let mut next = Vec::with_capacity(targets.len());
        for old in &self.canaries {
            if !targets.iter().any(|(name, _)| *name == old.variant) {
                released.extend_from_slice(&old.ranges);
            }
        }
        for &(name, share) in targets {
            let mut owned = self
                .canaries
                .iter()
                .find(|owned| owned.variant == name)
                .cloned();
            let owned = owned.get_or_insert_with(|| Owned {
                variant: name.to_owned(),
                ranges: Vec::new(),
            });
            shrink(&mut owned.ranges, share.get(), &mut released);
            next.push(std::mem::take(owned));
        }
        let released = normalise(released);
        for (position, &(_, share)) in targets.iter().enumerate() {
            grow(&mut next, position, share.get(), &released);
        }
        Ok(Self { canaries: next })
    }
}

fn bad_range(variant: &str, range: Range) -> AllocationError {
    AllocationError::BadRange {
        variant: variant.to_owned(),
        start: range.start,
        end: range.end,
    }
}

/// Gives the highest buckets back until `size` are left.
fn shrink(ranges: &mut Vec<Range>, size: u32, released: &mut Vec<Range>) {
    let mut excess = ranges
        .iter()
        .map(|range| range.len())
        .sum::<u32>()
        .saturating_sub(size);
    while excess > 0 {
        let Some(last) = ranges.last_mut() else {
            return;
        };
        let take = excess.min(last.len());
        released.push(Range {
            start: last.end - take,
            end: last.end,
        });
        last.end -= take;
        excess -= take;
        if last.is_empty() {
            ranges.pop();
        }
    }
}

/// Takes the lowest stable-owned buckets until the canary has `size`; those not released in this change first.
fn grow(next: &mut [Owned], position: usize, size: u32, released: &[Range]) {
    for avoid in [released, &[]] {
        let missing = size.saturating_sub(next[position].size());
        if missing == 0 {
            return;
        }
        let mut taken: Vec<Range> = next
            .iter()
            .flat_map(|owned| owned.ranges.iter().copied())
            .collect();
        taken.extend_from_slice(avoid);
        let mut won = lowest_free(&normalise(taken), missing);
        won.extend_from_slice(&next[position].ranges);
        next[position].ranges = normalise(won);
    }
}

/// The lowest `missing` buckets outside of `taken`, or all there are.
fn lowest_free(taken: &[Range], mut missing: u32) -> Vec<Range> {
    let mut free = Vec::new();
    let mut start = 0;
    let end = Range {
        start: BUCKETS,
        end: BUCKETS,
    };
    for range in taken.iter().chain([&end]) {
        let gap = missing.min(range.start.saturating_sub(start));
        if gap > 0 {
            free.push(Range {
                start,
                end: start + gap,
            });
            missing -= gap;
        }
        start = start.max(range.end);
    }
    free
}

/// Sorted, with overlapping and adjacent ranges joined.
fn normalise(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut out: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

/// An allocation compiled for the request path: the owner of a bucket by one binary search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lookup {
    starts: Vec<u32>,
    owners: Vec<u8>,
}

impl Lookup {
    /// Variant 0 is stable, variant i + 1 the i-th canary.
    #[must_use]
    pub fn new(allocation: &Allocation) -> Self {
        let mut ranges: Vec<(Range, u8)> = Vec::new();
        for (position, owned) in allocation.canaries.iter().enumerate() {
            let owner = u8::try_from(position + 1).unwrap_or(0);
            ranges.extend(owned.ranges.iter().map(|&range| (range, owner)));
        }
        ranges.sort_unstable_by_key(|(range, _)| range.start);
        let mut lookup = Self {
            starts: vec![0],
            owners: vec![0],
        };
        for (range, owner) in ranges {
            lookup.mark(range.start, owner);
            lookup.mark(range.end, 0);
        }
        lookup
    }

    fn mark(&mut self, start: u32, owner: u8) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.owners.pop();
        }
        self.starts.push(start);
        self.owners.push(owner);
    }

    /// The variant that owns a bucket.
    #[must_use]
    pub fn variant(&self, bucket: u32) -> usize {
        let after = self.starts.partition_point(|&start| start <= bucket);
        self.owners
            .get(after.wrapping_sub(1))
            .map_or(0, |&owner| usize::from(owner))
    }
}

#[cfg(test)]
mod tests;
