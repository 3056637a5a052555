//! Requests and answers as the corpus describes them, and their bytes.

/// A header line: name, blanks, value, blanks.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    pub name: String,
    pub before: &'static str,
    pub value: Vec<u8>,
    pub after: &'static str,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = match self.value.len() {
            0..=200 => self.value.escape_ascii().to_string(),
            long => format!("<{long} bytes>"),
        };
        write!(f, "{}:{:?}{value}{:?}", self.name, self.before, self.after)
    }
}

impl Line {
    pub fn new(name: &str, value: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.to_owned(),
            before: " ",
            value: value.into(),
            after: "",
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name.as_bytes());
        out.push(b':');
        out.extend_from_slice(self.before.as_bytes());
        out.extend_from_slice(&self.value);
        out.extend_from_slice(self.after.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// One chunk: its bytes, digits of its size written in capitals or with zeros in front, and an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub len: usize,
    pub style: u8,
    pub extension: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    None,
    Length(usize),
    Chunked {
        chunks: Vec<Chunk>,
        trailers: Vec<Line>,
    },
    /// Answers only.
    UntilClose(usize),
}

impl Body {
    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Length(len) | Self::UntilClose(len) => *len,
            Self::Chunked { chunks, .. } => chunks.iter().map(|chunk| chunk.len).sum(),
        }
    }

    /// What the head says about it, or nothing.
    fn line(&self) -> Option<Line> {
        match self {
            Self::None | Self::UntilClose(_) => None,
            Self::Length(len) => Some(Line::new("Content-Length", len.to_string())),
            Self::Chunked { .. } => Some(Line::new("transfer-Encoding", "chunked")),
        }
    }

    fn write(&self, seed: u64, out: &mut Vec<u8>) {
        let mut data = content(seed, self.len());
        let Self::Chunked { chunks, trailers } = self else {
            out.append(&mut data);
            return;
        };
        let mut rest = data.as_slice();
        for chunk in chunks.iter().filter(|chunk| chunk.len > 0) {
            let size = match chunk.style {
                0 => format!("{:x}", chunk.len),
                1 => format!("{:X}", chunk.len),
                _ => format!("{:06x}", chunk.len),
            };
            let (this, next) = rest.split_at(chunk.len);
            out.extend_from_slice(size.as_bytes());
            out.extend_from_slice(chunk.extension.as_bytes());
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(this);
            out.extend_from_slice(b"\r\n");
            rest = next;
        }
        out.extend_from_slice(b"0\r\n");
        trailers.iter().for_each(|line| line.write(out));
        out.extend_from_slice(b"\r\n");
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Without the line end.
    pub start: String,
    pub lines: Vec<Line>,
    /// Before this line stands the one about the body.
    pub framed_at: usize,
    pub body: Body,
    pub seed: u64,
}

impl Message {
    pub fn head_bytes(&self) -> Vec<u8> {
        self.head_with(self.body.line())
    }

    fn head_with(&self, framing: Option<Line>) -> Vec<u8> {
        let mut out = self.start.clone().into_bytes();
        out.extend_from_slice(b"\r\n");
        let at = self.framed_at.min(self.lines.len());
        let (before, after) = self.lines.split_at(at);
        let lines = before.iter().chain(framing.as_ref()).chain(after);
        lines.for_each(|line| line.write(&mut out));
        out.extend_from_slice(b"\r\n");
        out
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.head_bytes();
        self.body.write(self.seed, &mut out);
        out
    }

    /// The head of an answer that says what its body would be, and has none.
    pub fn bytes_without_body(&self) -> Vec<u8> {
        self.head_bytes()
    }

    pub fn names_host(&self) -> bool {
        let mut lines = self.lines.iter();
        lines.any(|line| line.name.eq_ignore_ascii_case("host"))
    }

    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap()
    }
}

/// Bytes that nobody would make up.
pub fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}
