//! What is counted of a variant.

use super::Contents;
use serinus_common::class::Class;
use serinus_common::sketch::Sketch;
use serinus_proto::v1;

/// Counts of a variant; a sum of tallies is the tally of the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Judged requests that ended, by class.
    pub classes: [u64; Class::COUNT],
    /// Latency until the end of the answer (its head for event streams), microseconds, of all but cancelled ones.
    pub latency: Sketch,
    /// Judged requests that were assigned to it.
    pub assigned: u64,
    /// Calls that failed here and were answered by stable.
    pub rescued: u64,
    /// Failures that the application saw.
    pub user_errors: u64,
    /// Bytes of answers' bodies.
    pub response_bytes: u64,
    /// Times that its breaker opened.
    pub breaker_openings: u64,
    /// Probes through the open breaker that failed.
    pub failed_probes: u64,
    /// Requests that went to stable because its breaker was open.
    pub diverted: u64,
    /// Requests that named it themselves.
    pub overrides: u64,
    /// Of the assigned ones: without a key.
    pub unkeyed: u64,
    /// What the bodies of its answers said.
    pub contents: Contents,
}

impl Tally {
    /// Ended requests of a class.
    #[must_use]
    pub fn class(&self, class: Class) -> u64 {
        self.classes[class as usize]
    }

    /// Requests that ended, of any class.
    pub(super) fn finished(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// Adds another tally.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.classes.iter_mut().zip(other.classes) {
            *mine += theirs;
        }
        self.latency.merge(&other.latency);
        self.assigned += other.assigned;
        self.rescued += other.rescued;
        self.user_errors += other.user_errors;
        self.response_bytes += other.response_bytes;
        self.breaker_openings += other.breaker_openings;
        self.failed_probes += other.failed_probes;
        self.diverted += other.diverted;
        self.overrides += other.overrides;
        self.unkeyed += other.unkeyed;
        self.contents.merge(&other.contents);
    }

    /// As it is reported.
    #[must_use]
    pub fn to_cell(&self, variant: &str) -> v1::VariantCell {
        v1::VariantCell {
            variant: variant.to_owned(),
            ok: self.class(Class::Ok),
            client: self.class(Class::Client),
            model: self.class(Class::Model),
            overload: self.class(Class::Overload),
            timeout: self.class(Class::Timeout),
            connect: self.class(Class::Connect),
            cancelled: self.class(Class::Cancelled),
            latency: Some(sketch(&self.latency)),
            assigned: self.assigned,
            rescued: self.rescued,
            user_errors: self.user_errors,
            response_bytes: self.response_bytes,
            breaker_openings: u32::try_from(self.breaker_openings).unwrap_or(u32::MAX),
            failed_probes: u32::try_from(self.failed_probes).unwrap_or(u32::MAX),
            diverted: self.diverted,
            overrides: self.overrides,
            unkeyed: self.unkeyed,
            contents: self.contents.to_wire(),
        }
    }
}

pub(super) fn sketch(sketch: &Sketch) -> v1::Sketch {
    let mut out = v1::Sketch::default();
    let mut last = 0;
    for (index, count) in sketch.iter() {
        out.index_deltas.push(u32::from(index) - last);
        out.counts.push(count);
        last = u32::from(index);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tally() -> impl Strategy<Value = Tally> {
        let numbers = prop::collection::vec(0u64..1000, 22);
        let latency = prop::collection::vec((0u16..1120, 1u64..100), 0..20);
        (numbers, latency).prop_map(|(n, latency)| {
            let mut tally = Tally {
                assigned: n[7],
                rescued: n[8],
                user_errors: n[9],
                response_bytes: n[10],
                breaker_openings: n[11],
                failed_probes: n[12],
                diverted: n[13],
                overrides: n[14],
                unkeyed: n[15],
                contents: Contents {
                    streams: n[16],
                    failed_streams: n[17],
                    unread_streams: n[18],
                    chunks: n[19],
                    input_tokens: n[20],
                    output_tokens: n[21],
                    ..Contents::default()
                },
                ..Tally::default()
            };
            tally.classes.copy_from_slice(&n[..7]);
            latency.iter().for_each(|&(i, count)| {
                tally.latency.add(i, count);
                tally.contents.first_token.add(i / 2, count);
                tally.contents.per_token.add(i / 3, count);
            });
            tally
        })
    }

    proptest! {
        #[test]
        fn merging_is_a_sum(a in tally(), b in tally(), c in tally()) {
            let sum = |parts: [&Tally; 3]| {
                let mut sum = Tally::default();
                parts.iter().for_each(|part| sum.merge(part));
                sum
            };
            prop_assert_eq!(sum([&a, &b, &c]), sum([&c, &a, &b]));
            prop_assert_eq!(sum([&a, &b, &c]).assigned, a.assigned + b.assigned + c.assigned);
        }

        #[test]
        fn a_cell_says_what_the_tally_says(a in tally()) {
            let cell = a.to_cell("v2");
            let classes = [cell.ok, cell.client, cell.model, cell.overload, cell.timeout, cell.connect, cell.cancelled];
            prop_assert_eq!(classes, a.classes);
            prop_assert_eq!((cell.rescued, cell.user_errors, cell.diverted), (a.rescued, a.user_errors, a.diverted));
            prop_assert_eq!((cell.overrides, cell.unkeyed, cell.assigned), (a.overrides, a.unkeyed, a.assigned));
            let contents = cell.contents.unwrap_or_default();
            let numbers = [contents.streams, contents.failed_streams, contents.unread_streams];
            prop_assert_eq!(numbers, [a.contents.streams, a.contents.failed_streams, a.contents.unread_streams]);
            prop_assert_eq!((contents.input_tokens, contents.output_tokens), (a.contents.input_tokens, a.contents.output_tokens));
            prop_assert_eq!(contents.chunks, a.contents.chunks);
            prop_assert_eq!(contents.first_token.unwrap_or_default(), sketch(&a.contents.first_token));
            prop_assert_eq!(contents.per_token.unwrap_or_default(), sketch(&a.contents.per_token));
            let sent = cell.latency.unwrap();
            let mut index = 0u32;
            let mut back = Sketch::default();
            for (delta, count) in sent.index_deltas.iter().zip(&sent.counts) {
                index += delta;
                back.add(u16::try_from(index).unwrap(), *count);
            }
            prop_assert_eq!(back, a.latency);
        }
    }
}
