//! Where a command reads and writes: results on stdout, notes and errors on stderr.

use crate::failure::Failure;
use crate::view;
use std::io::{IsTerminal as _, Read, Write};

/// Size where the terminal does not tell.
const DEFAULT_SIZE: (usize, usize) = (80, 24);

/// The streams of a command; tests put their own in.
pub(crate) struct Console<'a> {
    /// Results.
    pub(crate) out: &'a mut dyn Write,
    /// Progress and hints for people.
    pub(crate) notes: &'a mut dyn Write,
    /// What `-` as a file name reads.
    pub(crate) input: &'a mut dyn Read,
    /// Set if results go to a terminal.
    pub(crate) screen: Option<Screen>,
}

/// A terminal that can be redrawn in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    /// Columns and lines, asked at every draw since windows are resized.
    pub(crate) size: fn() -> (usize, usize),
    /// Whether colours are wanted.
    pub(crate) color: bool,
}

impl Console<'_> {
    /// Runs `body` on the streams of this process.
    pub(crate) fn with_process<T>(no_color: bool, body: impl FnOnce(&mut Console<'_>) -> T) -> T {
        let color = !no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let screen = std::io::stdout().is_terminal().then_some(Screen {
            size: terminal_size,
            color,
        });
        body(&mut Console {
            out: &mut std::io::stdout(),
            notes: &mut std::io::stderr(),
            input: &mut std::io::stdin(),
            screen,
        })
    }

    /// How to draw a screen here.
    pub(crate) fn view_options(&self) -> view::Options {
        match self.screen {
            Some(screen) => view::Options {
                width: Some((screen.size)().0),
                color: screen.color,
            },
            None => view::Options::default(),
        }
    }

    /// Writes a result.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()?;
        Ok(())
    }

    /// Tells a person something that is no result.
    pub(crate) fn note(&mut self, text: &str) {
        // A closed stderr must not fail the command.
        let _ = writeln!(self.notes, "{text}");
    }
}

fn terminal_size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => DEFAULT_SIZE,
    }
}

/// Draws over what it drew before.
#[derive(Debug, Default)]
pub(crate) struct Painter {
    drawn: usize,
}

impl Painter {
    /// What to write so that the frame is gone and something else can stand there.
    #[cfg(feature = "demo")]
    pub(crate) fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("{}{CLEAR_BELOW}", up(lines)),
        }
    }

    /// Leaves the frame where it stands; the next one goes below.
    #[cfg(feature = "demo")]
    pub(crate) fn keep(&mut self) {
        self.drawn = 0;
    }

    /// What to write so that `text` stands where the last one stood; cut to one line less than the terminal has, since
    /// what has scrolled away cannot be reached again. Lines are written over, not erased first: that would flicker.
    pub(crate) fn frame(&mut self, text: &str, height: usize) -> String {
        let mut out = match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => up(lines),
        };
        for line in text.lines().take(height.saturating_sub(1).max(1)) {
            out.push_str(&format!("{line}{CLEAR_LINE}\n"));
            self.drawn += 1;
        }
        out.push_str(CLEAR_BELOW);
        out
    }
}

const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// To the beginning of the line so many lines above.
fn up(lines: usize) -> String {
    format!("\x1b[{lines}A\r")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_go_over_one_another() {
        let mut painter = Painter::default();
        assert_eq!(painter.frame("a\nb\n", 24), "a\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(painter.frame("c\n", 24), "\x1b[2A\rc\x1b[K\n\x1b[J");
        let cut = painter.frame("d\ne\nf\n", 3);
        assert_eq!(cut, "\x1b[1A\rd\x1b[K\ne\x1b[K\n\x1b[J");
        assert_eq!(painter.frame("g\n", 3), "\x1b[2A\rg\x1b[K\n\x1b[J");
    }

    #[cfg(feature = "demo")]
    #[test]
    fn frames_are_erased_or_kept() {
        let mut painter = Painter::default();
        assert_eq!(painter.erase(), "");
        painter.frame("a\nb\n", 24);
        assert_eq!(painter.erase(), "\x1b[2A\r\x1b[J");
        assert_eq!(painter.erase(), "");
        painter.frame("c\n", 24);
        painter.keep();
        assert_eq!(painter.frame("d\n", 24), "d\x1b[K\n\x1b[J");
    }
}
