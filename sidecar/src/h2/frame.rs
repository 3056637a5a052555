//! Frames (RFC 9113, section 4): cut out of bytes, and written.

/// Bytes before a frame's payload.
pub(super) const HEAD: usize = 9;

/// The largest payload that is accepted: the least that the RFC allows, so that one frame never blocks others for long.
pub(super) const MAX_PAYLOAD: usize = 16 << 10;

/// How every client begins.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) mod kind {
    pub(in crate::h2) const DATA: u8 = 0;
    pub(in crate::h2) const HEADERS: u8 = 1;
    pub(in crate::h2) const PRIORITY: u8 = 2;
    pub(in crate::h2) const RST_STREAM: u8 = 3;
    pub(in crate::h2) const SETTINGS: u8 = 4;
    pub(in crate::h2) const PUSH_PROMISE: u8 = 5;
    pub(in crate::h2) const PING: u8 = 6;
    pub(in crate::h2) const GOAWAY: u8 = 7;
    pub(in crate::h2) const WINDOW_UPDATE: u8 = 8;
    pub(in crate::h2) const CONTINUATION: u8 = 9;
}

pub(super) mod flag {
    /// `SETTINGS` and `PING`.
    pub(in crate::h2) const ACK: u8 = 1;
    pub(in crate::h2) const END_STREAM: u8 = 1;
    pub(in crate::h2) const END_HEADERS: u8 = 4;
    pub(in crate::h2) const PADDED: u8 = 8;
    pub(in crate::h2) const PRIORITY: u8 = 0x20;
}

/// Why a stream or a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub(super) u32);

impl Code {
    pub(super) const NO_ERROR: Self = Self(0);
    pub(super) const PROTOCOL: Self = Self(1);
    pub(super) const INTERNAL: Self = Self(2);
    pub(super) const FLOW_CONTROL: Self = Self(3);
    pub(super) const STREAM_CLOSED: Self = Self(5);
    pub(super) const FRAME_SIZE: Self = Self(6);
    pub(super) const REFUSED_STREAM: Self = Self(7);
    pub(super) const CANCEL: Self = Self(8);
    pub(super) const COMPRESSION: Self = Self(9);
    pub(super) const ENHANCE_YOUR_CALM: Self = Self(11);
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first frame and the bytes after it; `None` while it is not complete.
    pub(super) fn cut(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, Code> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        if length > MAX_PAYLOAD {
            return Err(Code::FRAME_SIZE);
        }
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            return Ok(None);
        };
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let frame = Self {
            kind: head[3],
            flags: head[4],
            stream,
            payload,
        };
        Ok(Some((frame, rest)))
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The payload without its padding.
    pub(super) fn unpadded(&self) -> Result<&'a [u8], Code> {
        if !self.has(flag::PADDED) {
            return Ok(self.payload);
        }
        let (&padding, rest) = self.payload.split_first().ok_or(Code::FRAME_SIZE)?;
        let length = rest.len().checked_sub(usize::from(padding));
        length.map(|length| &rest[..length]).ok_or(Code::PROTOCOL)
    }

    /// The payload as one number, for the frames that consist of one.
    pub(super) fn number(&self) -> Result<u32, Code> {
        let bytes = self.payload.try_into().map_err(|_| Code::FRAME_SIZE)?;
        Ok(u32::from_be_bytes(bytes))
    }
}

/// Begins a frame; the payload follows.
pub(super) fn begin(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, d, e, f, g]);
}

/// A frame that consists of one number.
pub(super) fn number(out: &mut Vec<u8>, kind: u8, stream: u32, number: u32) {
    begin(out, 4, kind, 0, stream);
    out.extend_from_slice(&number.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn padding_is_taken_off() {
        let frame = |payload| Frame {
            kind: kind::DATA,
            flags: flag::PADDED,
            stream: 1,
            payload,
        };
        assert_eq!(frame(b"\x02abcd").unpadded(), Ok(&b"ab"[..]));
        assert_eq!(frame(b"\x00").unpadded(), Ok(&b""[..]));
        assert_eq!(frame(b"\x02a").unpadded(), Err(Code::PROTOCOL));
        assert_eq!(frame(b"").unpadded(), Err(Code::FRAME_SIZE));
    }

    #[test]
    fn a_frame_that_is_too_large_is_refused_before_it_has_come() {
        assert_eq!(
            Frame::cut(b"\x00\x40\x01\x00\x00\x00\x00\x00\x01"),
            Err(Code::FRAME_SIZE)
        );
        assert_eq!(
            Frame::cut(b"\x00\x40\x00\x00\x00\x00\x00\x00\x01"),
            Ok(None)
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_cut_out_again(kind: u8, flags: u8, stream in 0u32..1 << 31, payload in prop::collection::vec(any::<u8>(), 0..300), rest in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut out = Vec::new();
            begin(&mut out, payload.len(), kind, flags, stream);
            out.extend(&payload);
            for short in 0..out.len() {
                prop_assert_eq!(Frame::cut(&out[..short]), Ok(None));
            }
            out.extend(&rest);
            let frame = Frame { kind, flags, stream, payload: &payload };
            prop_assert_eq!(Frame::cut(&out), Ok(Some((frame, &rest[..]))));
        }
    }
}
