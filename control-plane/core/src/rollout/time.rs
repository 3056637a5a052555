//! Unix milliseconds to and from the protocol's times.

use prost_types::{Duration, Timestamp};

/// Unix milliseconds as a timestamp.
#[must_use]
pub fn timestamp(ms: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
        // Below 1e9, since the remainder is below 1000.
        nanos: (ms % 1000) as i32 * 1_000_000,
    }
}

/// A timestamp as unix milliseconds; what is before 1970 is 0.
#[must_use]
pub fn millis(time: &Timestamp) -> u64 {
    whole(time.seconds, time.nanos)
}

/// A duration in milliseconds; a negative one is 0.
pub(super) fn duration_ms(duration: &Duration) -> u64 {
    whole(duration.seconds, duration.nanos)
}

fn whole(seconds: i64, nanos: i32) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let nanos = u64::try_from(nanos).unwrap_or(0);
    seconds
        .saturating_mul(1000)
        .saturating_add(nanos / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_survive_the_way_there_and_back() {
        for ms in [0, 1, 999, 1000, 1_700_000_000_123] {
            assert_eq!(millis(&timestamp(ms)), ms);
        }
        assert_eq!(
            millis(&Timestamp {
                seconds: -5,
                nanos: 7
            }),
            0
        );
    }
}
