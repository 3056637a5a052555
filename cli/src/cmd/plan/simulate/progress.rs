//! A bar on stderr, if that is a terminal.

use crate::console::Console;
use std::io::IsTerminal as _;

const WIDTH: usize = 30;

/// How many of the rollouts are done.
#[derive(Debug)]
pub(super) struct Progress {
    all: usize,
    shown: Option<usize>,
    on_terminal: bool,
}

impl Progress {
    pub(super) fn new(all: usize) -> Self {
        Self {
            all,
            shown: None,
            on_terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Draws the bar if it has changed.
    pub(super) fn draw(&mut self, done: usize, console: &mut Console<'_>) {
        let percent = done * 100 / self.all.max(1);
        if self.on_terminal && self.shown.is_none_or(|shown| shown < percent) {
            self.shown = Some(percent);
            // A closed stderr must not fail the command.
            let _ = write!(console.notes, "\r{}", bar(percent, done, self.all));
            let _ = console.notes.flush();
        }
    }

    /// Leaves the line empty.
    pub(super) fn clear(&self, console: &mut Console<'_>) {
        if self.shown.is_some() {
            let _ = write!(console.notes, "\r\x1b[K");
        }
    }
}

fn bar(percent: usize, done: usize, all: usize) -> String {
    let full = percent.min(100) * WIDTH / 100;
    format!(
        "simulating [{}{}] {percent:3}%  {done} of {all} rollouts",
        "#".repeat(full),
        ".".repeat(WIDTH - full)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_up() {
        assert_eq!(
            bar(0, 0, 20),
            "simulating [..............................]   0%  0 of 20 rollouts"
        );
        assert_eq!(
            bar(50, 10, 20),
            "simulating [###############...............]  50%  10 of 20 rollouts"
        );
        assert!(bar(100, 20, 20).contains(&"#".repeat(WIDTH)));
    }
}
