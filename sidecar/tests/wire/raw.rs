//! HTTP/1.1 as bytes, read by a parser that has nothing in common with the sidecar's.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A name as it was written and its value without the blanks around it.
pub type Field = (Vec<u8>, Vec<u8>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its bytes, with the empty line at the end.
    pub text: Vec<u8>,
    pub start: Vec<u8>,
    pub fields: Vec<Field>,
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Empty,
    Length(u64),
    Chunked,
    UntilClose,
}

/// A message as it arrived.
#[derive(Clone, PartialEq, Eq)]
pub struct Seen {
    pub head: Head,
    pub framing: Framing,
    pub body: Vec<u8>,
    /// What followed the head, with chunks and trailers as they came.
    pub wire: Vec<u8>,
    pub trailers: Vec<Field>,
    /// Its end arrived.
    pub whole: bool,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |fields: &[Field]| -> Vec<String> {
            fields
                .iter()
                .map(|(n, v)| format!("{}: {}", n.escape_ascii(), v.escape_ascii()))
                .collect()
        };
        f.debug_struct("Seen")
            .field("start", &self.head.start.escape_ascii().to_string())
            .field("fields", &show(&self.head.fields))
            .field("framing", &self.framing)
            .field("body_len", &self.body.len())
            .field("trailers", &show(&self.trailers))
            .field("whole", &self.whole)
            .finish()
    }
}

impl Head {
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.as_slice())
    }

    pub fn first(&self, name: &str) -> Option<String> {
        let value = self.all(name).next()?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    pub fn status(&self) -> u16 {
        let code = self.start.split(|&b| b == b' ').nth(1).unwrap_or_default();
        String::from_utf8_lossy(code).parse().unwrap_or(0)
    }

    fn is_chunked(&self) -> bool {
        let last = self.all("transfer-encoding").last();
        last.is_some_and(|value| value.to_ascii_lowercase().ends_with(b"chunked"))
    }

    fn length(&self) -> Option<u64> {
        self.first("content-length")?.parse().ok()
    }

    pub fn request_framing(&self) -> Framing {
        match (self.is_chunked(), self.length()) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::Empty,
        }
    }

    pub fn answer_framing(&self, to_head: bool) -> Framing {
        match (self.status(), self.is_chunked(), self.length()) {
            (100..=199 | 204 | 304, ..) => Framing::Empty,
            _ if to_head => Framing::Empty,
            (_, true, _) => Framing::Chunked,
            (_, false, Some(length)) => Framing::Length(length),
            (_, false, None) => Framing::UntilClose,
        }
    }
}

/// Reads messages, and keeps every byte that came.
pub struct Reader<R> {
    io: R,
    pub bytes: Vec<u8>,
    /// Everything before it was parsed.
    at: usize,
    /// How the stream ended, once it has.
    pub ended: Option<io::Result<()>>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(io: R) -> Self {
        Self {
            io,
            bytes: Vec::new(),
            at: 0,
            ended: None,
        }
    }

    /// Reads on; `false` at the end.
    pub async fn more(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        match self.io.read_buf(&mut self.bytes).await {
            Ok(0) => self.ended = Some(Ok(())),
            Ok(_) => return true,
            Err(error) => self.ended = Some(Err(error)),
        }
        false
    }

    /// Bytes that no message has claimed.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    async fn line(&mut self) -> Option<Vec<u8>> {
        let mut from = self.at;
        loop {
            let found = self.bytes[from..].windows(2).position(|two| two == b"\r\n");
            if let Some(found) = found {
                let line = self.bytes[self.at..from + found].to_vec();
                self.at = from + found + 2;
                return Some(line);
            }
            from = self.bytes.len().saturating_sub(1).max(self.at);
            if !self.more().await {
                return None;
            }
        }
    }

    async fn fields(&mut self) -> Option<Vec<Field>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Some(fields);
            }
            let colon = line.iter().position(|&b| b == b':')?;
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            fields.push((name.to_vec(), trim(value).to_vec()));
        }
    }

    pub async fn head(&mut self) -> Option<Head> {
        let from = self.at;
        let start = self.line().await?;
        let fields = self.fields().await?;
        let text = self.bytes[from..self.at].to_vec();
        Some(Head {
            text,
            start,
            fields,
        })
    }

    /// Up to `wanted` more bytes; fewer at the end.
    async fn take(&mut self, wanted: u64) -> Vec<u8> {
        let end = self.at as u64 + wanted;
        while (self.bytes.len() as u64) < end && self.more().await {}
        let end = self.bytes.len().min(usize::try_from(end).unwrap());
        let taken = self.bytes[self.at..end].to_vec();
        self.at = end;
        taken
    }

    async fn chunks(&mut self, seen: &mut Seen) -> Option<()> {
        loop {
            let line = self.line().await?;
            let digits = line.split(|&b| b == b';').next()?.trim_ascii();
            let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            if size == 0 {
                break;
            }
            let data = self.take(size).await;
            let short = (data.len() as u64) < size;
            seen.body.extend(data);
            if short || !self.line().await?.is_empty() {
                return None;
            }
        }
        seen.trailers = self.fields().await?;
        Some(())
    }

    /// The body of a message whose head has arrived.
    pub async fn message(&mut self, head: Head, framing: Framing) -> Seen {
        let from = self.at;
        let mut seen = Seen {
            head,
            framing,
            body: Vec::new(),
            wire: Vec::new(),
            trailers: Vec::new(),
            whole: true,
        };
        match framing {
            Framing::Empty => {}
            Framing::Length(length) => {
                seen.body = self.take(length).await;
                seen.whole = seen.body.len() as u64 == length;
            }
            Framing::Chunked => seen.whole = self.chunks(&mut seen).await.is_some(),
            Framing::UntilClose => {
                while self.more().await {}
                seen.body = self.take(self.rest().len() as u64).await;
                seen.whole = matches!(self.ended, Some(Ok(())));
            }
        }
        // Of what broke off, all that came: there is nothing after it.
        let to = if seen.whole {
            self.at
        } else {
            self.bytes.len()
        };
        seen.wire = self.bytes[from..to].to_vec();
        seen
    }

    /// The next answer that is not interim.
    pub async fn final_answer(&mut self, to_head: bool, interim: &mut Vec<Seen>) -> Option<Seen> {
        loop {
            let seen = self.answer(to_head).await?;
            match seen.head.status() {
                100 | 102..=199 => interim.push(seen),
                _ => return Some(seen),
            }
        }
    }

    pub fn into_inner(self) -> R {
        self.io
    }

    /// The next answer.
    pub async fn answer(&mut self, to_head: bool) -> Option<Seen> {
        let head = self.head().await?;
        let framing = head.answer_framing(to_head);
        Some(self.message(head, framing).await)
    }
}

pub fn trim(value: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let from = value.iter().position(|b| !blank(b)).unwrap_or(value.len());
    let to = value
        .iter()
        .rposition(|b| !blank(b))
        .map_or(from, |at| at + 1);
    &value[from..to]
}
