//! How many requests are due: an open loop, which does not wait for answers.

use std::time::Duration;

/// The most lateness that is made up for; requests that are later are skipped, lest a stall ends in a burst.
const MAX_BACKLOG: Duration = Duration::from_millis(250);

/// What a [`Pacer`] says at one instant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// To be sent now.
    pub(super) send: u64,
    /// Given up since the generator was late.
    pub(super) skipped: u64,
}

/// Counts the requests that should have been sent.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    last: Duration,
    /// Requests due but not handed out, a fraction below 1 after each call.
    owed: f64,
}

impl Pacer {
    /// What is due at `now`, a time since the start that never goes back, at `rate` requests per second since the
    /// last call.
    pub(super) fn due(&mut self, now: Duration, rate: f64) -> Due {
        self.owed += now.saturating_sub(self.last).as_secs_f64() * rate;
        self.last = now;
        let owed = self.owed.floor();
        self.owed -= owed;
        let send = owed.min((rate * MAX_BACKLOG.as_secs_f64()).ceil());
        Due {
            send: send as u64,
            skipped: (owed - send) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_stall_is_made_up_for_only_a_little() {
        let mut pacer = Pacer::default();
        assert_eq!(
            pacer.due(ms(100), 1000.0),
            Due {
                send: 100,
                skipped: 0
            }
        );
        assert_eq!(
            pacer.due(ms(1100), 1000.0),
            Due {
                send: 250,
                skipped: 750
            }
        );
        assert_eq!(
            pacer.due(ms(1110), 1000.0),
            Due {
                send: 10,
                skipped: 0
            }
        );
    }

    #[test]
    fn slow_rates_send_single_requests() {
        let mut pacer = Pacer::default();
        let sent: Vec<_> = (1..=8).map(|i| pacer.due(ms(i * 250), 1.0).send).collect();
        assert_eq!(sent, [0, 0, 0, 1, 0, 0, 0, 1]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_invented(
            steps in prop::collection::vec(0_u64..400, 1..200),
            rate in 0.1_f64..5000.0,
        ) {
            let mut pacer = Pacer::default();
            let (mut now, mut total) = (0, 0);
            for step in steps {
                now += step;
                let due = pacer.due(ms(now), rate);
                prop_assert!(due.send as f64 <= rate * 0.25 + 1.0);
                total += due.send + due.skipped;
                let expected = ms(now).as_secs_f64() * rate;
                prop_assert!((total as f64 - expected).abs() <= 1.001, "{total} of {expected}");
            }
        }
    }
}
