//! One line of the screen: pieces of text with a colour each, cut to the terminal's width before the colours go in.

use super::Options;

/// How a piece is drawn where colours are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Bold,
    Dim,
    Green,
    Yellow,
    Red,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Green => "\x1b[32m",
            Self::Yellow => "\x1b[33m",
            Self::Red => "\x1b[1;31m",
        }
    }
}

/// Pieces in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(Vec<(String, Paint)>);

impl Line {
    pub(super) fn plain(text: &str) -> Self {
        Self(vec![(text.to_owned(), Paint::Plain)])
    }

    pub(super) fn push(&mut self, text: &str, paint: Paint) {
        self.0.push((text.to_owned(), paint));
    }

    /// The text with its newline; control characters, which could only come from someone's input, become spaces.
    pub(super) fn print(&self, options: Options) -> String {
        let mut room = options.width.unwrap_or(usize::MAX);
        let mut out = String::new();
        for (text, paint) in &self.0 {
            let piece: String = text.chars().take(room).map(printable).collect();
            room -= piece.chars().count();
            let code = if options.color { paint.code() } else { "" };
            let end = if code.is_empty() { "" } else { "\x1b[0m" };
            out.push_str(&format!("{code}{piece}{end}"));
        }
        let kept = out.trim_end_matches(' ').len();
        out.truncate(kept);
        out.push('\n');
        out
    }
}

fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// Breaks at spaces so that no piece is longer than `room`, unless a single word is. At least one piece.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            pieces.push(String::new());
            used = 0;
        }
        if let Some(piece) = pieces.last_mut() {
            if used > 0 {
                piece.push(' ');
                used += 1;
            }
            piece.push_str(word);
            used += length;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn width_counts_characters_and_not_colours() {
        let mut line = Line::plain("ab ");
        line.push("cdef", Paint::Red);
        let narrow = Options {
            width: Some(5),
            color: true,
        };
        assert_eq!(line.print(narrow), "ab \x1b[1;31mcd\x1b[0m\n");
        assert_eq!(line.print(Options::default()), "ab cdef\n");
    }

    #[test]
    fn escapes_in_the_input_do_not_reach_the_terminal() {
        let line = Line::plain("a\x1b[2Jb\nc");
        assert_eq!(line.print(Options::default()), "a [2Jb c\n");
    }

    #[test]
    fn wraps_at_spaces() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("", 7), [""]);
        assert_eq!(wrap("unbreakable", 3), ["unbreakable"]);
    }

    proptest! {
        #[test]
        fn wrapping_loses_no_word(words in proptest::collection::vec("[a-z]{1,9}", 0..20), room in 1usize..40) {
            let text = words.join(" ");
            let pieces = wrap(&text, room);
            let joined = pieces.join(" ");
            prop_assert_eq!(joined.trim(), text);
            prop_assert!(pieces.iter().all(|piece| piece.len() <= room || !piece.contains(' ')));
        }
    }
}
