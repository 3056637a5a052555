//! Scans a JSON document for the few members that say how a call went, in whatever pieces it comes. Nothing is kept but
//! the place in the document and the beginning of the last word, and no document is refused: whoever sends half of one,
//! or something else, is not understood, and that is all.

use memchr::memchr2;

/// What a document said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// There is an `error`.
    pub(super) error: bool,
    /// There is a `stack_trace`.
    pub(super) stack_trace: bool,
    /// A choice has a part of the answer.
    pub(super) content: bool,
    /// A choice has a reason for its end.
    pub(super) finished: bool,
    /// Its `type`.
    pub(super) kind: Type,
    /// `usage`: tokens of the prompt.
    pub(super) input: Option<u64>,
    /// `usage`: tokens of the answer.
    pub(super) output: Option<u64>,
}

/// The `type` of an event of the responses API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Type {
    #[default]
    Other,
    /// Part of the answer.
    Delta,
    /// The answer is whole.
    Completed,
    Failed,
}

/// A container whose members matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Top,
    Choices,
    Choice,
    Delta,
    ToolCalls,
    Response,
    Usage,
}

/// A member that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Other,
    Error,
    StackTrace,
    Type,
    Choices,
    Delta,
    Content,
    ToolCalls,
    FinishReason,
    Response,
    Usage,
    Input,
    Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lex {
    Between,
    Text { escaped: bool },
    Scalar,
}

/// Containers that matter are nested at most so deep: top, choices, choice, delta, tool calls.
const DEPTH: usize = 5;

#[derive(Clone, Debug)]
pub(super) struct Scanner {
    facts: Facts,
    places: [Place; DEPTH],
    depth: usize,
    /// Depth within a container that does not matter.
    skipped: u32,
    lex: Lex,
    at_key: bool,
    name: Name,
    word: Word,
}

/// The beginning of a text or of a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    start: [u8; Self::KEPT],
    /// All of its bytes.
    len: usize,
}

impl Word {
    const KEPT: usize = 48;

    pub(super) const EMPTY: Self = Self {
        start: [0; Self::KEPT],
        len: 0,
    };

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.len < Self::KEPT {
            let kept = bytes.len().min(Self::KEPT - self.len);
            self.start[self.len..self.len + kept].copy_from_slice(&bytes[..kept]);
        }
        self.len = self.len.saturating_add(bytes.len());
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Empty if it is longer than what is kept of it.
    pub(super) fn text(&self) -> &[u8] {
        self.start.get(..self.len).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            facts: Facts::default(),
            places: [Place::Top; DEPTH],
            depth: 0,
            skipped: 0,
            lex: Lex::Between,
            at_key: false,
            name: Name::Other,
            word: Word::EMPTY,
        }
    }
}

impl Scanner {
    /// The document has ended: what it said. The next one begins.
    pub(super) fn take(&mut self) -> Facts {
        if self.lex == Lex::Scalar {
            self.end_scalar();
        }
        let facts = std::mem::take(&mut self.facts);
        self.depth = 0;
        self.skipped = 0;
        self.lex = Lex::Between;
        self.at_key = false;
        self.name = Name::Other;
        facts
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            let used = match self.lex {
                Lex::Text { escaped } => self.text(bytes, escaped),
                Lex::Scalar => self.scalar(bytes),
                Lex::Between if self.skipped > 0 => self.skip(bytes),
                Lex::Between => self.between(byte),
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    fn place(&self) -> Option<Place> {
        Some(self.places[self.depth.checked_sub(1)?])
    }

    fn between(&mut self, byte: u8) -> usize {
        match byte {
            b'"' => self.begin(Lex::Text { escaped: false }),
            b'{' => self.open(true),
            b'[' => self.open(false),
            b'}' | b']' => self.close(),
            b',' => self.at_key = self.place().is_some_and(Place::is_object),
            b':' => self.at_key = false,
            b' ' | b'\t' | b'\n' | b'\r' => {}
            _ => {
                self.begin(Lex::Scalar);
                return 0;
            }
        }
        1
    }

    fn begin(&mut self, lex: Lex) {
        self.lex = lex;
        self.word.clear();
    }

    /// Within a container that does not matter, only its end does, and texts, which may hold brackets.
    fn skip(&mut self, bytes: &[u8]) -> usize {
        let stops = |byte: &u8| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']');
        let Some(at) = bytes.iter().position(stops) else {
            return bytes.len();
        };
        match bytes[at] {
            b'"' => self.begin(Lex::Text { escaped: false }),
            b'{' | b'[' => self.skipped = self.skipped.saturating_add(1),
            _ => self.skipped -= 1,
        }
        at + 1
    }

    fn text(&mut self, bytes: &[u8], escaped: bool) -> usize {
        if escaped {
            self.word.push(&bytes[..1]);
            self.lex = Lex::Text { escaped: false };
            return 1;
        }
        let end = memchr2(b'"', b'\\', bytes);
        let (inner, _) = bytes.split_at(end.unwrap_or(bytes.len()));
        self.word.push(inner);
        let Some(at) = end else {
            return bytes.len();
        };
        if bytes[at] == b'\\' {
            self.word.push(b"\\");
            self.lex = Lex::Text { escaped: true };
        } else {
            self.lex = Lex::Between;
            self.end_text();
        }
        at + 1
    }

    fn end_text(&mut self) {
        let Some(place) = self.place().filter(|_| self.skipped == 0) else {
            return;
        };
        if self.at_key {
            self.name = place.name(self.word.text());
            return;
        }
        let filled = !self.word.is_empty();
        match self.name {
            Name::Error => self.facts.error |= filled,
            Name::StackTrace => self.facts.stack_trace = true,
            Name::Type => self.facts.kind = Type::of(self.word.text()),
            Name::Content => self.facts.content |= filled,
            Name::FinishReason => self.facts.finished = true,
            _ => {}
        }
    }

    fn scalar(&mut self, bytes: &[u8]) -> usize {
        // What ends a number is also what `between` takes: every byte is used by one of them.
        let stops = |byte: &u8| b",:\"{}[] \t\n\r".contains(byte);
        let end = bytes.iter().position(stops);
        self.word.push(&bytes[..end.unwrap_or(bytes.len())]);
        if end.is_some() {
            self.lex = Lex::Between;
            self.end_scalar();
        }
        end.unwrap_or(bytes.len())
    }

    fn end_scalar(&mut self) {
        let word = self.word.text();
        if self.depth == 0 || self.at_key || word == b"null" {
            return;
        }
        match self.name {
            Name::Error => self.facts.error |= word != b"false",
            Name::FinishReason => self.facts.finished = true,
            Name::Input => self.facts.input = number(word),
            Name::Output => self.facts.output = number(word),
            _ => {}
        }
    }

    fn open(&mut self, object: bool) {
        let name = std::mem::replace(&mut self.name, Name::Other);
        let inner = match (self.place(), name) {
            (None, _) if object => Some(Place::Top),
            (Some(Place::Choices), _) if object => Some(Place::Choice),
            (_, Name::Choices) if !object => Some(Place::Choices),
            (_, Name::Delta) if object => Some(Place::Delta),
            (_, Name::ToolCalls) if !object => Some(Place::ToolCalls),
            (_, Name::Response) if object => Some(Place::Response),
            (_, Name::Usage) if object => Some(Place::Usage),
            (Some(Place::ToolCalls), _) | (_, Name::ToolCalls) => {
                self.facts.content = true;
                None
            }
            (_, Name::Error) => {
                self.facts.error = true;
                None
            }
            (_, Name::StackTrace) => {
                self.facts.stack_trace = true;
                None
            }
            _ => None,
        };
        match inner {
            Some(place) if self.depth < DEPTH => {
                self.places[self.depth] = place;
                self.depth += 1;
                self.at_key = object;
            }
            _ => self.skipped = 1,
        }
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.at_key = false;
        self.name = Name::Other;
    }
}

impl Place {
    fn is_object(self) -> bool {
        !matches!(self, Self::Choices | Self::ToolCalls)
    }

    fn name(self, word: &[u8]) -> Name {
        match (self, word) {
            (Self::Top, b"error") => Name::Error,
            (Self::Top, b"stack_trace") => Name::StackTrace,
            (Self::Top, b"type") => Name::Type,
            (Self::Top, b"choices") => Name::Choices,
            (Self::Top, b"response") => Name::Response,
            (Self::Top | Self::Response, b"usage") => Name::Usage,
            (Self::Choice, b"delta") => Name::Delta,
            (Self::Choice, b"finish_reason") => Name::FinishReason,
            (Self::Choice, b"text")
            | (Self::Delta, b"content" | b"reasoning_content" | b"reasoning") => Name::Content,
            (Self::Delta, b"tool_calls" | b"function_call") => Name::ToolCalls,
            (Self::Usage, b"completion_tokens" | b"output_tokens") => Name::Output,
            (Self::Usage, b"prompt_tokens" | b"input_tokens") => Name::Input,
            _ => Name::Other,
        }
    }
}

impl Type {
    fn of(word: &[u8]) -> Self {
        match word {
            b"response.completed" | b"response.incomplete" => Self::Completed,
            b"response.failed" | b"error" => Self::Failed,
            word if word.ends_with(b".delta") => Self::Delta,
            _ => Self::Other,
        }
    }
}

/// A count of tokens; `None` for anything else. Counts that no server means are none.
fn number(word: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(word).ok()?;
    text.parse().ok().filter(|&n: &u64| n <= MOST_TOKENS)
}

/// No answer has more tokens, whatever its server says; sums of such counts stay far from overflow.
const MOST_TOKENS: u64 = 1 << 24;

#[cfg(test)]
mod tests;
