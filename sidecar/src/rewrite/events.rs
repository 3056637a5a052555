//! The same strings in each event of a stream (`text/event-stream`): every line that begins with `data:` is a text of
//! its own.

use super::json::Strings;
use super::splice::Sink;
use memchr::memchr2;

const DATA: &[u8] = b"data:";

/// Replaces strings in the data of events.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    strings: Strings,
    line: Line,
}

#[derive(Clone, Copy, Debug)]
enum Line {
    /// So much of it is `data:`.
    Begun(usize),
    Data,
    Other,
}

impl Events {
    pub(super) fn new(strings: Strings) -> Self {
        Self {
            strings,
            line: Line::Begun(0),
        }
    }

    pub(super) fn feed(&mut self, data: &[u8], out: &mut impl Sink) {
        let mut at = 0;
        while at < data.len() {
            at = match self.line {
                Line::Begun(matched) => {
                    out.keep(at..at + 1);
                    self.begin(matched, data[at]);
                    at + 1
                }
                Line::Data | Line::Other => self.rest(data, at, out),
            };
        }
    }

    fn begin(&mut self, matched: usize, byte: u8) {
        self.line = match byte {
            b'\n' | b'\r' => Line::Begun(0),
            byte if byte != DATA[matched] => Line::Other,
            _ if matched + 1 < DATA.len() => Line::Begun(matched + 1),
            _ => {
                self.strings.reset();
                Line::Data
            }
        };
    }

    /// The rest of a line, or as much of it as there is; no JSON has a line end within a string.
    fn rest(&mut self, data: &[u8], at: usize, out: &mut impl Sink) -> usize {
        let found = memchr2(b'\n', b'\r', &data[at..]);
        let end = found.map_or(data.len(), |length| at + length);
        match self.line {
            Line::Data => self.strings.feed(data, at..end, out),
            _ => out.keep(at..end),
        }
        if found.is_some() {
            self.line = Line::Begun(0);
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewrite::splice::Splice;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn restored(parts: &[&[u8]]) -> String {
        let strings = Strings::new(vec![("model", Bytes::from_static(b"\"m\""))]);
        let mut events = Events::new(strings);
        let mut out = Vec::new();
        for part in parts {
            let part = Bytes::copy_from_slice(part);
            let mut splice = Splice::new(&part);
            events.feed(&part, &mut splice);
            out.extend_from_slice(&splice.finish());
        }
        String::from_utf8(out).unwrap()
    }

    const STREAM: &str = ": hi\n\ndata: {\"model\":\"gpt-2\",\"choices\":[{\"model\":\"x\"}]}\r\n\r\nevent: e\rdata:{\"a\":1,\"model\": \"gpt-2\"}\n\ndata\ndatum: {\"model\":\"y\"}\n data: {\"model\":\"y\"}\ndata: [DONE]\n\ndata: {\"model\":\"cut";

    #[test]
    fn every_event_is_changed_and_nothing_else() {
        let expected = STREAM.replacen("gpt-2", "m", 2).replace("cut", "m\"");
        assert_eq!(restored(&[STREAM.as_bytes()]), expected);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(cuts in prop::collection::vec(0..STREAM.len(), 0..9)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let parts: Vec<_> = cuts.windows(2).map(|cut| &STREAM.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(restored(&parts), restored(&[STREAM.as_bytes()]));
        }
    }
}
