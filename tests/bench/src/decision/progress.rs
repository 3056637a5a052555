//! How far it is, on stderr.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// A percentage that is redrawn on a terminal and written every tenth elsewhere.
#[derive(Debug)]
pub(super) struct Progress {
    all: usize,
    shown: AtomicUsize,
    begun: Instant,
    redraws: bool,
}

impl Progress {
    pub(super) fn new(all: usize) -> Self {
        let redraws = std::io::stderr().is_terminal();
        Self {
            all,
            shown: AtomicUsize::new(0),
            begun: Instant::now(),
            redraws,
        }
    }

    pub(super) fn done(&self, done: usize) {
        let percent = done * 100 / self.all.max(1);
        let step = if self.redraws {
            percent
        } else {
            percent / 10 * 10
        };
        if self.shown.fetch_max(step, Ordering::Relaxed) < step {
            let end = if self.redraws { "\r" } else { "\n" };
            let seconds = self.begun.elapsed().as_secs();
            eprint!("{step:3} % of {} rollouts, {seconds} s{end}", self.all);
            // A closed stderr must not end the measurement.
            let _ = std::io::stderr().flush();
        }
    }

    pub(super) fn end(&self) {
        if self.redraws {
            eprintln!();
        }
    }
}
