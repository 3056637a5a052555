//! A body on its way from one side to the other: what has come and cannot be written yet, and, of a request, what may
//! have to be sent again. Pure.

use super::block::Block;
use super::link::Link;
use super::window::Sending;

/// How a body ends, as far as that has come.
#[derive(Debug)]
pub(super) enum End {
    Open,
    Data,
    Trailers(Block),
}

/// One direction of a call.
#[derive(Debug)]
pub(super) struct Pipe {
    text: Vec<u8>,
    /// Up to here it is written.
    at: usize,
    /// Up to here it was written at some time.
    reached: usize,
    /// As long as there is no more than this, it is kept to be sent again.
    keep: Option<usize>,
    pub(super) end: End,
    /// The end is written.
    pub(super) ended: bool,
}

impl Pipe {
    pub(super) fn new(keep: Option<usize>) -> Self {
        Self {
            text: Vec::new(),
            at: 0,
            reached: 0,
            keep,
            end: End::Open,
            ended: false,
        }
    }

    /// Whether all of it can be sent again.
    pub(super) fn is_replayable(&self) -> bool {
        self.keep.is_some()
    }

    /// Whether its end has come.
    pub(super) fn is_closed(&self) -> bool {
        !matches!(self.end, End::Open)
    }

    /// What was never written.
    pub(super) fn unreached(&self) -> usize {
        self.text.len() - self.reached
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.text.len()
    }

    /// From the start again.
    pub(super) fn rewind(&mut self) {
        self.at = 0;
        self.ended = false;
    }

    pub(super) fn keep_no_more(&mut self) {
        if self.keep.take().is_some() {
            self.text.drain(..self.at);
            self.reached -= self.at;
            self.at = 0;
        }
    }

    /// Nobody wants the rest. Gives what was never written.
    pub(super) fn discard(&mut self) -> usize {
        let left = self.unreached();
        self.keep = None;
        self.text = Vec::new();
        (self.at, self.reached) = (0, 0);
        left
    }

    /// Whether the end has come, and nothing before it.
    pub(super) fn is_bare_end(&self) -> bool {
        matches!(self.end, End::Data) && self.text.is_empty()
    }

    /// Takes data that cannot be written yet.
    pub(super) fn store(&mut self, data: &[u8]) {
        if self
            .keep
            .is_some_and(|most| self.text.len() + data.len() > most)
        {
            self.keep_no_more();
        }
        self.text.extend_from_slice(data);
    }

    /// It is written up to `n` bytes further; gives how much of that is written for the first time.
    fn advance(&mut self, n: usize) -> usize {
        self.at += n;
        let fresh = self.at.saturating_sub(self.reached);
        self.reached += fresh;
        if self.keep.is_none() && self.at == self.text.len() {
            self.text.clear();
            (self.at, self.reached) = (0, 0);
        }
        fresh
    }

    /// Takes data that has come, and writes what can be written. Gives how much was written for the first time.
    pub(super) fn pass(
        &mut self,
        mut data: &[u8],
        stream: u32,
        window: &mut Sending,
        link: &mut Link,
    ) -> usize {
        let mut fresh = 0;
        if self.keep.is_none() && self.is_empty() {
            // Past the buffer: one copy less.
            while !data.is_empty() {
                let n = data.len().min(window.left()).min(link.room());
                if n == 0 {
                    break;
                }
                self.ended = n == data.len() && matches!(self.end, End::Data);
                link.data(stream, &data[..n], self.ended);
                window.take(n);
                data = &data[n..];
                fresh += n;
            }
        }
        self.store(data);
        fresh + self.pump(stream, window, link)
    }

    /// Writes what can be written.
    pub(super) fn pump(&mut self, stream: u32, window: &mut Sending, link: &mut Link) -> usize {
        let mut fresh = 0;
        while !self.ended {
            let pending = &self.text[self.at..];
            if pending.is_empty() {
                match &self.end {
                    End::Open => break,
                    End::Data => link.data(stream, &[], true),
                    End::Trailers(block) => {
                        link.head(stream, true, |encoder, out| {
                            super::head::pass_all(block, encoder, out)
                        });
                    }
                }
                self.ended = true;
                break;
            }
            let n = pending.len().min(window.left()).min(link.room());
            if n == 0 {
                break;
            }
            self.ended = n == pending.len() && matches!(self.end, End::Data);
            link.data(stream, &pending[..n], self.ended);
            window.take(n);
            fresh += self.advance(n);
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Frame;
    use super::super::link::Terms;
    use super::*;
    use proptest::prelude::*;

    fn link() -> Link {
        let terms = Terms {
            max_streams: Some(1),
            stream_window: 65_535,
            connection_window: 65_536,
            head_bytes: 1 << 14,
        };
        let mut link = Link::server(terms);
        let begun = link.unwritten().len();
        link.wrote(begun);
        link
    }

    /// The data that was written, and whether the end was.
    fn written(link: &mut Link) -> (Vec<u8>, bool) {
        let bytes = link.unwritten().to_vec();
        link.wrote(bytes.len());
        let (mut rest, mut data, mut end) = (&bytes[..], Vec::new(), false);
        while let Some((frame, after)) = Frame::cut(rest).unwrap() {
            assert!(!end, "nothing comes after the end");
            data.extend_from_slice(frame.payload);
            end = frame.has(1);
            rest = after;
        }
        (data, end)
    }

    proptest! {
        /// However data and windows come, and wherever it is begun again: what arrives is what was sent.
        #[test]
        fn nothing_is_lost_or_doubled(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..12),
            windows in prop::collection::vec(0i64..50, 12),
            keep in prop::option::of(0usize..300),
            again in 0usize..12,
        ) {
            let mut pipe = Pipe::new(keep);
            let (mut link, mut window) = (link(), Sending::new(0));
            let (mut got, mut fresh) = (Vec::new(), 0);
            for (n, (part, more)) in parts.iter().zip(windows).enumerate() {
                window.give(more).unwrap();
                if n + 1 == parts.len() {
                    pipe.end = End::Data;
                }
                fresh += pipe.pass(part, 1, &mut window, &mut link);
                got.extend(written(&mut link).0);
                if n == again && pipe.is_replayable() {
                    pipe.rewind();
                    got.clear();
                }
            }
            window.give(10_000).unwrap();
            fresh += pipe.pump(1, &mut window, &mut link);
            let (rest, _) = written(&mut link);
            got.extend(rest);
            let sent = parts.concat();
            prop_assert!(pipe.ended);
            prop_assert_eq!((fresh, pipe.unreached()), (sent.len(), 0));
            prop_assert_eq!(got, sent);
        }
    }
}
