//! `docs/transparency.md` as code, for the sidecar's own HTTP/1.1: what comes out is what came in, byte for byte, with the
//! edits made here.

use crate::raw::{Framing, Seen, trim};
use crate::script::NUMBER;

const OF_CONNECTION: [&[u8]; 7] = [
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"upgrade",
];

/// What the `Connection` header cannot take away.
const PROTECTED: [&[u8]; 4] = [b"content-length", b"transfer-encoding", b"host", b"trailer"];

const LABELS: [&[u8]; 2] = [b"x-serinus-variant", b"x-serinus-prediction-id"];

/// Length of a prediction's id.
const ID: usize = 62;

/// A header's line without its end.
#[derive(Clone, Copy)]
struct Line<'a>(&'a [u8]);

impl<'a> Line<'a> {
    fn written(self) -> &'a [u8] {
        self.0.split(|&byte| byte == b':').next().unwrap()
    }

    fn name(self) -> Vec<u8> {
        self.written().to_ascii_lowercase()
    }

    fn value(self) -> &'a [u8] {
        trim(&self.0[self.written().len() + 1..])
    }

    fn tokens(self) -> impl Iterator<Item = Vec<u8>> {
        let tokens = self.value().split(|&byte| byte == b',');
        tokens.map(|token| trim(token).to_ascii_lowercase())
    }
}

/// First line and headers of a head.
fn lines(text: &[u8]) -> (&[u8], Vec<Line<'_>>) {
    let mut ends = text.windows(2).enumerate();
    let mut from = 0;
    let mut all = Vec::new();
    while let Some((at, _)) = ends.find(|(_, two)| two == b"\r\n") {
        all.push(&text[from..at]);
        from = at + 2;
    }
    let start = all.remove(0);
    assert_eq!(all.pop(), Some(&b""[..]), "a head ends with an empty line");
    (start, all.into_iter().map(Line).collect())
}

fn named_by_connection(lines: &[Line<'_>]) -> Vec<Vec<u8>> {
    let connection = lines.iter().filter(|line| line.name() == b"connection");
    let named = connection.flat_map(|line| line.tokens());
    named
        .filter(|name| !PROTECTED.contains(&name.as_slice()))
        .collect()
}

fn is_of_connection(name: &[u8], named: &[Vec<u8>]) -> bool {
    OF_CONNECTION.contains(&name) || named.iter().any(|other| other == name)
}

/// A head with what differs between any two messages taken out.
fn unnumbered(lines: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let number = |line: &Vec<u8>| Line(line).name() == NUMBER.to_ascii_lowercase().as_bytes();
    lines
        .iter()
        .map(|line| match number(line) {
            true => Line(line).written().to_vec(),
            false => line.clone(),
        })
        .collect()
}

/// Only what differs is shown: there may be eighty lines.
fn same_lines(what: &str, expected: &[Vec<u8>], through: &[Vec<u8>]) -> Result<(), String> {
    let (expected, through) = (unnumbered(expected), unnumbered(through));
    if expected == through {
        return Ok(());
    }
    let differs = expected.iter().zip(&through).position(|(a, b)| a != b);
    let at = differs.unwrap_or_else(|| expected.len().min(through.len()));
    let show = |lines: &[Vec<u8>]| -> Vec<String> {
        let lines = lines.iter().skip(at).take(2);
        lines.map(|line| line.escape_ascii().to_string()).collect()
    };
    Err(format!(
        "{what}, from line {at} on:\n  expected {:?}\n  through  {:?}",
        show(&expected),
        show(&through)
    ))
}

fn same_bytes(what: &str, direct: &[u8], through: &[u8]) -> Result<(), String> {
    if direct == through {
        return Ok(());
    }
    let differs = direct.iter().zip(through).position(|(a, b)| a != b);
    let (a, b) = (direct.len(), through.len());
    Err(format!(
        "{what}: {a} bytes direct, {b} through, the first difference at {differs:?}"
    ))
}

fn all_lines(text: &[u8]) -> Vec<Vec<u8>> {
    let (start, lines) = lines(text);
    let headers = lines.into_iter().map(|line| line.0.to_vec());
    std::iter::once(start.to_vec()).chain(headers).collect()
}

/// The first line with what is asked for alone and our version, and the host in the target.
fn edited_start(start: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let parts: Vec<&[u8]> = start.split(|&byte| byte == b' ').collect();
    let [method, target, _version] = parts[..] else {
        panic!("{}", start.escape_ascii());
    };
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.to_ascii_lowercase().starts_with(scheme));
    let (host, asked) = match scheme {
        None => (None, target),
        Some(scheme) => {
            let rest = &target[scheme.len()..];
            let slash = rest.iter().position(|&byte| byte == b'/').unwrap();
            (Some(rest[..slash].to_vec()), &rest[slash..])
        }
    };
    let start = [method, b" ", asked, b" HTTP/1.1"].concat();
    (start, host)
}

fn edited_request(text: &[u8]) -> Vec<Vec<u8>> {
    let (start, lines) = lines(text);
    let (start, host) = edited_start(start);
    let named = named_by_connection(&lines);
    let is_te = |line: &&Line<'_>| line.name() == b"te";
    let trailers = |line: Line<'_>| line.tokens().any(|token| token == b"trailers");
    let mut te = lines
        .iter()
        .filter(is_te)
        .any(|line| trailers(*line))
        .then_some(b"trailers");
    let mut out = vec![start];
    for line in lines {
        let name = line.name();
        let says = |value: &[u8]| [line.written(), b": ", value].concat();
        match (name.as_slice(), &host) {
            (b"te", _) => out.extend(te.take().map(|value| says(value))),
            (b"host", Some(host)) => out.push(says(host)),
            (name, _) if is_of_connection(name, &named) || name.starts_with(b"x-serinus-") => {}
            _ => out.push(line.0.to_vec()),
        }
    }
    out
}

/// An answer's head, without our labels and without what is said of the connection, which are the last lines.
fn edited_answer(text: &[u8], old: bool) -> Vec<Vec<u8>> {
    let (start, lines) = lines(text);
    let named = named_by_connection(&lines);
    let bodiless = start.get(9..12) == Some(b"204") || start.get(9) == Some(&b'1');
    let mut out = vec![[b"HTTP/1.1", &start[8..]].concat()];
    for line in lines {
        let name = line.name();
        let goes = is_of_connection(&name, &named)
            || LABELS.contains(&name.as_slice())
            || (bodiless && name == b"content-length")
            || ((bodiless || old) && name == b"transfer-encoding");
        if !goes {
            out.push(line.0.to_vec());
        }
    }
    out
}

/// A request that reached the model server whole.
pub fn request(direct: &Seen, through: &Seen) -> Result<(), String> {
    let expected = edited_request(&direct.head.text);
    same_lines("request head", &expected, &all_lines(&through.head.text))?;
    same_bytes("request body as sent", &direct.wire, &through.wire)?;
    match (direct.whole, through.whole) {
        (true, true) => Ok(()),
        wholes => Err(format!("request is whole: {wholes:?}")),
    }
}

/// An answer before the answer.
pub fn interim(direct: &Seen, through: &Seen) -> Result<(), String> {
    let expected = edited_answer(&direct.head.text, false);
    same_lines("interim answer", &expected, &all_lines(&through.head.text))
}

/// An answer whose head came whole from the model server. `old`: the application speaks HTTP/1.0.
pub fn answer(direct: &Seen, through: &Seen, old: bool) -> Result<(), String> {
    let mut got = all_lines(&through.head.text);
    let close = got.pop_if(|line| *line == b"connection: close").is_some();
    if old && !close {
        let keeps = got.pop_if(|line| *line == b"connection: keep-alive");
        keeps.ok_or("an answer to HTTP/1.0 says neither close nor keep-alive")?;
    }
    let id = got.pop().filter(|line| Line(line).name() == LABELS[1]);
    let variant = got.pop().filter(|line| line == b"x-serinus-variant: v1");
    let labelled = id.is_some_and(|line| Line(&line).value().len() == ID) && variant.is_some();
    if !labelled {
        return Err("the labels are not the last lines".to_owned());
    }
    same_lines("answer head", &edited_answer(&direct.head.text, old), &got)?;
    let unchunked = old && direct.framing == Framing::Chunked;
    if through.framing == Framing::UntilClose && !close {
        return Err("it ends with the connection, and does not say so".to_owned());
    }
    let theirs = match unchunked {
        true => &direct.body,
        false => &direct.wire,
    };
    let ours = &through.wire;
    match (direct.whole, through.whole) {
        (true, true) => same_bytes("answer body as sent", theirs, ours),
        (true, false) => Err("an answer that is whole was cut".to_owned()),
        (false, true) => Err("an answer that was cut looks whole".to_owned()),
        // A reset takes away what was not yet read, on either side.
        (false, false) => match theirs.starts_with(ours) || ours.starts_with(theirs) {
            true => Ok(()),
            false => Err("other bytes than those sent".to_owned()),
        },
    }
}
