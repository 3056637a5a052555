//! Counts of one variant: mergeable, checked before they are merged.

use super::contents::Contents;
use serinus_common::class::Class;
use serinus_common::sketch::{self, Sketch};
use serinus_proto::v1;
use thiserror::Error;

/// What one sidecar counts in one cell stays below this, even where a long outage made one cell of hours. Sums of such
/// counts over all sidecars and seconds stay exact as floating-point numbers, and far from overflow.
const LIMIT: u64 = 1 << 32;

/// Summed counts of one variant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Finished requests by [`Class`].
    pub classes: [u64; Class::COUNT],
    /// Microseconds.
    pub latency: Sketch,
    /// Requests assigned.
    pub assigned: u64,
    /// Answered by stable instead.
    pub rescued: u64,
    /// Failures that an application saw.
    pub user_errors: u64,
    /// Body bytes of answers.
    pub response_bytes: u64,
    /// Openings of breakers.
    pub breaker_openings: u64,
    /// Probes through an open breaker that failed.
    pub failed_probes: u64,
    /// Sent elsewhere by an open breaker.
    pub diverted: u64,
    /// Requests that named their variant.
    pub overrides: u64,
    /// Requests without a key.
    pub unkeyed: u64,
    /// What the bodies of answers said.
    pub contents: Contents,
}

/// Why counts cannot be true.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CountsError {
    /// A counter is at or above 2^32.
    #[error("a counter of {0} is too large to be true")]
    TooLarge(String),
    /// The sketch has another number of buckets and counts, or an index out of range.
    #[error("the latency sketch of {0} is malformed")]
    Sketch(String),
    /// Another sketch is.
    #[error("the contents of {0} are malformed")]
    Contents(String),
    /// More latencies than requests.
    #[error("{0} has more latencies than requests")]
    Surplus(String),
}

impl Counts {
    /// From a report.
    ///
    /// # Errors
    /// If the counts contradict themselves, or cannot be those of one sidecar.
    pub fn from_wire(cell: &v1::VariantCell) -> Result<Self, CountsError> {
        let counts = Self::from_disk(cell)?;
        if counts.largest() >= LIMIT {
            return Err(CountsError::TooLarge(cell.variant.clone()));
        }
        // Tokens and parts are many to a request.
        if counts.contents.streams >= LIMIT || !counts.contents.is_consistent() {
            return Err(CountsError::Contents(cell.variant.clone()));
        }
        if counts.latency.total() > counts.requests() {
            return Err(CountsError::Surplus(cell.variant.clone()));
        }
        Ok(counts)
    }

    /// From what [`Counts::to_wire`] gave: sums of checked counts, of any size.
    ///
    /// # Errors
    /// If the sketch is malformed.
    pub fn from_disk(cell: &v1::VariantCell) -> Result<Self, CountsError> {
        let latency = sketch_from_wire(cell.latency.as_ref());
        Ok(Self {
            classes: [
                cell.ok,
                cell.client,
                cell.model,
                cell.overload,
                cell.timeout,
                cell.connect,
                cell.cancelled,
            ],
            latency: latency.ok_or_else(|| CountsError::Sketch(cell.variant.clone()))?,
            assigned: cell.assigned,
            rescued: cell.rescued,
            user_errors: cell.user_errors,
            response_bytes: cell.response_bytes,
            breaker_openings: cell.breaker_openings.into(),
            failed_probes: cell.failed_probes.into(),
            diverted: cell.diverted,
            overrides: cell.overrides,
            unkeyed: cell.unkeyed,
            contents: Contents::from_wire(cell.contents.as_ref())
                .ok_or_else(|| CountsError::Contents(cell.variant.clone()))?,
        })
    }

    /// The largest counter; bytes are another matter.
    fn largest(&self) -> u64 {
        let others = [
            self.assigned,
            self.rescued,
            self.user_errors,
            self.diverted,
            self.overrides,
            self.unkeyed,
        ];
        let latencies = self.latency.iter().map(|(_, n)| n);
        let all = self.classes.into_iter().chain(others).chain(latencies);
        all.max().unwrap_or(0)
    }

    /// For the wire and the disk.
    #[must_use]
    pub fn to_wire(&self, variant: &str) -> v1::VariantCell {
        let [ok, client, model, overload, timeout, connect, cancelled] = self.classes;
        v1::VariantCell {
            variant: variant.to_owned(),
            ok,
            client,
            model,
            overload,
            timeout,
            connect,
            cancelled,
            latency: Some(sketch_to_wire(&self.latency)),
            assigned: self.assigned,
            rescued: self.rescued,
            user_errors: self.user_errors,
            response_bytes: self.response_bytes,
            breaker_openings: self.breaker_openings.try_into().unwrap_or(u32::MAX),
            failed_probes: self.failed_probes.try_into().unwrap_or(u32::MAX),
            diverted: self.diverted,
            overrides: self.overrides,
            unkeyed: self.unkeyed,
            contents: self.contents.to_wire(),
        }
    }

    /// Adds other counts; commutative and associative.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.classes.iter_mut().zip(other.classes) {
            *mine += theirs;
        }
        self.latency.merge(&other.latency);
        self.assigned += other.assigned;
        self.rescued += other.rescued;
        self.user_errors += other.user_errors;
        self.response_bytes = self.response_bytes.saturating_add(other.response_bytes);
        self.breaker_openings += other.breaker_openings;
        self.failed_probes += other.failed_probes;
        self.diverted += other.diverted;
        self.overrides += other.overrides;
        self.unkeyed += other.unkeyed;
        self.contents.merge(&other.contents);
    }

    /// Requests that the split gave to the variant, whether or not an open breaker sent them elsewhere.
    #[must_use]
    pub fn split(&self) -> u64 {
        self.assigned + self.diverted
    }

    /// Finished requests that are judged: all but cancelled ones.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.classes.iter().sum::<u64>() - self.classes[Class::Cancelled as usize]
    }

    /// Those of them that failed.
    #[must_use]
    pub fn errors(&self) -> u64 {
        Class::ALL
            .into_iter()
            .filter(|class| class.is_error())
            .map(|class| self.classes[class as usize])
            .sum()
    }
}

/// A sketch from the wire; `None` if it is malformed.
#[must_use]
pub fn sketch_from_wire(wire: Option<&v1::Sketch>) -> Option<Sketch> {
    let mut sketch = Sketch::default();
    let Some(wire) = wire else {
        return Some(sketch);
    };
    if wire.index_deltas.len() != wire.counts.len() {
        return None;
    }
    let mut index = 0u32;
    for (&delta, &n) in wire.index_deltas.iter().zip(&wire.counts) {
        index = index.checked_add(delta)?;
        let bucket = u16::try_from(index)
            .ok()
            .filter(|&i| usize::from(i) < sketch::BUCKETS)?;
        sketch.add(bucket, n);
    }
    Some(sketch)
}

/// A sketch for the wire.
#[must_use]
pub fn sketch_to_wire(sketch: &Sketch) -> v1::Sketch {
    let mut wire = v1::Sketch::default();
    let mut last = 0u32;
    for (index, n) in sketch.iter() {
        wire.index_deltas.push(u32::from(index) - last);
        wire.counts.push(n);
        last = u32::from(index);
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cell(ok: u64, model: u64, latencies: &[u16]) -> v1::VariantCell {
        let mut sketch = Sketch::default();
        latencies.iter().for_each(|&index| sketch.add(index, 1));
        v1::VariantCell {
            variant: "v2".into(),
            ok,
            model,
            latency: Some(sketch_to_wire(&sketch)),
            ..v1::VariantCell::default()
        }
    }

    proptest! {
        #[test]
        fn the_wire_form_round_trips(ok in 0u64..100, model in 0u64..100, at in prop::collection::vec(0u16..1120, 0..20)) {
            let n = at.len() as u64;
            let wire = cell(ok + n, model, &at);
            let counts = Counts::from_wire(&wire).unwrap();
            prop_assert_eq!(counts.requests(), ok + n + model);
            prop_assert_eq!(counts.errors(), model);
            prop_assert_eq!(counts.to_wire("v2"), wire);
        }
    }

    #[test]
    fn impossible_counts_are_refused() {
        let fields: [fn(&mut v1::VariantCell) -> &mut u64; 8] = [
            |cell| &mut cell.ok,
            |cell| &mut cell.cancelled,
            |cell| &mut cell.assigned,
            |cell| &mut cell.rescued,
            |cell| &mut cell.user_errors,
            |cell| &mut cell.diverted,
            |cell| &mut cell.overrides,
            |cell| &mut cell.unkeyed,
        ];
        for field in fields {
            for n in [1 << 32, u64::MAX] {
                let mut huge = cell(0, 0, &[]);
                *field(&mut huge) = n;
                assert_eq!(
                    Counts::from_wire(&huge),
                    Err(CountsError::TooLarge("v2".into()))
                );
            }
        }
        let mut more = cell(1, 0, &[]);
        more.contents = Some(v1::Contents {
            streams: 1,
            failed_streams: 2,
            ..v1::Contents::default()
        });
        let refused = Err(CountsError::Contents("v2".into()));
        assert_eq!(Counts::from_wire(&more), refused);
        assert_eq!(
            Counts::from_wire(&cell(0, 0, &[5])),
            Err(CountsError::Surplus("v2".into()))
        );
        let mut odd = cell(1, 0, &[5]);
        odd.latency.as_mut().unwrap().counts.push(1);
        assert_eq!(
            Counts::from_wire(&odd),
            Err(CountsError::Sketch("v2".into()))
        );
        odd.latency = Some(v1::Sketch {
            index_deltas: vec![1120],
            counts: vec![1],
        });
        assert_eq!(
            Counts::from_wire(&odd),
            Err(CountsError::Sketch("v2".into()))
        );
    }
}
