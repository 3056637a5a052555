//! Once a second, just after the unix second turns: close the cells, send them, and look for what has been idle.

use super::connection::Patience;
use super::{Sealed, Worker, wall_ms};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// After the second has turned, so that a slightly early timer does not wake for nothing.
const AFTER_MS: u64 = 3;

/// Key statistics are sent every so many seconds, those of young epochs every second.
const KEYS_EVERY: u64 = 10;

/// Seals for ever.
pub(super) async fn run(worker: Rc<Worker>, sealed: UnboundedSender<Sealed>) {
    loop {
        let now = Instant::now();
        worker.timeline.align(now, wall_ms());
        let into_second = worker.timeline.ms(now) % 1000;
        tokio::time::sleep(Duration::from_millis(1000 - into_second + AFTER_MS)).await;
        worker.seal(&sealed, false);
        worker.sweep();
    }
}

impl Worker {
    /// Closes every cell before the present second and sends them. `last`: with everything that is known of keys.
    pub(super) fn seal(&self, sealed: &UnboundedSender<Sealed>, last: bool) {
        let second = self.timeline.ms(Instant::now()) / 1000;
        self.meters.at(if last { second + 1 } else { second });
        let (finished_before, cells, portions) = self.meters.take();
        self.shared.absorb(self.index, portions);
        let due = last || finished_before.is_multiple_of(KEYS_EVERY);
        let keys = if due {
            self.meters.keys()
        } else {
            self.meters.young_keys()
        };
        // Without a receiver nobody wants the counts.
        let _ = sealed.send(Sealed {
            worker: self.index,
            finished_before,
            cells,
            keys,
        });
    }

    fn sweep(&self) {
        let now_ms = self.deadlines.observe(Instant::now());
        let idle_ms = self.limits.idle_timeout.as_millis() as u64;
        self.connections.sweep(
            now_ms,
            Patience {
                header_ms: self.limits.header_timeout.as_millis() as u64,
                idle_ms,
            },
        );
        self.registry.borrow().sweep(now_ms.saturating_sub(idle_ms));
    }
}
