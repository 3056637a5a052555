//! Changed bytes, piece by piece. What stays as it is is not copied where that can be avoided.

use bytes::{Bytes, BytesMut};
use std::ops::Range;

/// Takes the pieces of what comes out, in order.
pub(super) trait Sink {
    /// A part of the input.
    fn keep(&mut self, range: Range<usize>);

    /// Something that was not there.
    fn add(&mut self, bytes: &[u8]);
}

/// Builds the output.
#[derive(Debug)]
pub(super) struct Splice<'a> {
    input: &'a Bytes,
    /// So much of the beginning is unchanged.
    same: usize,
    copied: Option<BytesMut>,
}

impl<'a> Splice<'a> {
    pub(super) fn new(input: &'a Bytes) -> Self {
        Self {
            input,
            same: 0,
            copied: None,
        }
    }

    pub(super) fn finish(self) -> Bytes {
        match self.copied {
            Some(copied) => copied.freeze(),
            None => self.input.slice(..self.same),
        }
    }

    fn copied(&mut self, more: usize) -> &mut BytesMut {
        let (input, same) = (self.input, self.same);
        self.copied.get_or_insert_with(|| {
            let mut copied = BytesMut::with_capacity(input.len() + more);
            copied.extend_from_slice(&input[..same]);
            copied
        })
    }
}

impl Sink for Splice<'_> {
    fn keep(&mut self, range: Range<usize>) {
        if self.copied.is_none() && range.start == self.same {
            self.same = range.end;
        } else if !range.is_empty() {
            let input = self.input;
            self.copied(0).extend_from_slice(&input[range]);
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.copied(bytes.len()).extend_from_slice(bytes);
        }
    }
}

/// Only counts the output's bytes.
#[derive(Debug, Default)]
pub(super) struct Count(pub(super) u64);

impl Sink for Count {
    fn keep(&mut self, range: Range<usize>) {
        self.0 += range.len() as u64;
    }

    fn add(&mut self, bytes: &[u8]) {
        self.0 += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unchanged_is_not_copied() {
        let input = Bytes::from_static(b"abcdef");
        let mut splice = Splice::new(&input);
        splice.keep(0..2);
        splice.keep(2..6);
        splice.add(b"");
        let out = splice.finish();
        assert_eq!((out.as_ptr(), &out[..]), (input.as_ptr(), &b"abcdef"[..]));
    }

    #[test]
    fn pieces_come_in_order() {
        let input = Bytes::from_static(b"abcdef");
        let pieces = |sink: &mut dyn FnMut(Result<Range<usize>, &'static [u8]>)| {
            sink(Ok(0..1));
            sink(Err(b"XYZ"));
            sink(Ok(3..4));
            sink(Ok(5..6));
        };
        let (mut splice, mut count) = (Splice::new(&input), Count::default());
        pieces(&mut |piece| match piece {
            Ok(range) => {
                splice.keep(range.clone());
                count.keep(range);
            }
            Err(bytes) => {
                splice.add(bytes);
                count.add(bytes);
            }
        });
        assert_eq!(splice.finish(), "aXYZdf");
        assert_eq!(count.0, 6);
        assert_eq!(Splice::new(&input).finish(), "");
    }
}
