//! `docs/transparency.md` as code, for HTTP/2: what may differ between a direct call and one through the sidecar.

use super::head::Fields;
use super::message::NUMBER;
use super::peer::{End, Seen};

/// What serves a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The sidecar's own relay.
    Relay,
    /// A library.
    Library,
}

const PSEUDO: [&str; 4] = [":method", ":scheme", ":path", ":authority"];
const LABELS: [&str; 2] = ["x-serinus-variant", "x-serinus-prediction-id"];

/// Only what differs is shown.
fn same(what: &str, expected: &Fields, got: &Fields) -> Result<(), String> {
    if expected == got {
        return Ok(());
    }
    let differs = expected.iter().zip(got).position(|(a, b)| a != b);
    let at = differs.unwrap_or_else(|| expected.len().min(got.len()));
    let show = |fields: &Fields| -> Vec<String> {
        let fields = fields.iter().skip(at).take(2);
        fields
            .map(|(name, value)| format!("{name}={}", value.escape_ascii()))
            .collect()
    };
    Err(format!(
        "{what}, from number {at} on:\n  expected {:?}\n  through  {:?}",
        show(expected),
        show(got)
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

/// One may have got further than the other.
pub fn same_so_far(what: &str, direct: &[u8], through: &[u8]) -> Result<(), String> {
    match direct.starts_with(through) || through.starts_with(direct) {
        true => Ok(()),
        false => same_bytes(what, direct, through),
    }
}

impl By {
    /// A library keeps the values of a name together, where the first of them was.
    fn ordered(self, fields: &Fields) -> Fields {
        let mut ordered = fields.clone();
        if self == Self::Library {
            ordered.sort_by_key(|(name, _)| fields.iter().position(|(other, _)| other == name));
        }
        ordered
    }

    /// A head in the order that the sidecar gives pseudo-headers, without what tells messages apart.
    fn head(self, head: &Fields, goes: impl Fn(&str) -> bool) -> Fields {
        let place = |name: &String| PSEUDO.iter().position(|pseudo| pseudo == name);
        let mut head = self.ordered(head);
        head.sort_by_key(|(name, _)| place(name).unwrap_or(PSEUDO.len()));
        head.retain(|(name, _)| !goes(name));
        let number = head.iter_mut().find(|(name, _)| name == NUMBER);
        if let Some((_, value)) = number {
            value.clear();
        }
        head
    }

    pub fn request_head(self, direct: &Seen, through: &Seen) -> Result<(), String> {
        let (Some(direct), Some(through)) = (&direct.head, &through.head) else {
            return Err("a request without a head".to_owned());
        };
        let expected = self.head(direct, |name| {
            name.starts_with("x-serinus-")
                || matches!(name, "host" | "proxy-authorization" | "proxy-authenticate")
        });
        same("request head", &expected, &self.own(through, direct))
    }

    /// A head as it came, but for what a library adds to it.
    fn own(self, through: &Fields, direct: &Fields) -> Fields {
        let has = |name: &str| direct.iter().any(|(other, _)| other == name);
        match self {
            // The order of pseudo-headers as well.
            Self::Relay => {
                let mut head = through.clone();
                let number = head.iter_mut().find(|(name, _)| name == NUMBER);
                number.into_iter().for_each(|(_, value)| value.clear());
                head
            }
            Self::Library => self.head(through, |name| {
                matches!(name, "date" | "content-length") && !has(name)
            }),
        }
    }

    pub fn request(self, direct: &Seen, through: &Seen) -> Result<(), String> {
        same_bytes("request body", &direct.body, &through.body)?;
        self.trailers("request trailers", direct, through)
    }

    fn trailers(self, what: &str, direct: &Seen, through: &Seen) -> Result<(), String> {
        match (&direct.trailers, &through.trailers) {
            (None, None) => Ok(()),
            (Some(direct), Some(through)) => same(what, &self.ordered(direct), through),
            both => Err(format!("{what}: {both:?}")),
        }
    }

    pub fn answer_head(self, direct: &Seen, through: &Seen) -> Result<(), String> {
        let (Some(direct), Some(through)) = (&direct.head, &through.head) else {
            return Err(format!("answer heads: {direct:?} direct, {through:?}"));
        };
        let is_label = |name: &str| LABELS.contains(&name);
        let mut got = self.own(through, direct);
        let labels = match self {
            Self::Relay => got.split_off(got.len().saturating_sub(2)),
            // It puts them in the place of those of the model server.
            Self::Library => got.extract_if(.., |(name, _)| is_label(name)).collect(),
        };
        let value = |label| {
            let mut with = labels.iter().filter(|(name, _)| name == label);
            with.next().filter(|_| with.next().is_none())
        };
        let variant = value(LABELS[0]).is_some_and(|(_, value)| value == b"v1");
        if labels.len() != 2 || !variant || value(LABELS[1]).is_none() {
            return Err(format!("the labels: {labels:?}"));
        }
        same("answer head", &self.head(direct, is_label), &got)
    }

    pub fn answer(self, direct: &Seen, through: &Seen) -> Result<(), String> {
        self.answer_head(direct, through)?;
        same_bytes("answer body", &direct.body, &through.body)?;
        self.trailers("answer trailers", direct, through)?;
        match (direct.end, through.end, direct.bare == through.bare) {
            (End::Whole, End::Whole, true) => Ok(()),
            ends => Err(format!("the answer's end: {ends:?}")),
        }
    }

    /// An answer that broke off in its middle; `asked_all`: after the whole request.
    pub fn cut_answer(self, direct: &Seen, through: &Seen, asked_all: bool) -> Result<(), String> {
        self.answer_head(direct, through)?;
        same_so_far("answer body", &direct.body, &through.body)?;
        let expected = match direct.end {
            // A reset without an error would look like an end.
            End::Lost | End::Reset(0) => End::Reset(2),
            end => end,
        };
        match (self, through.end) {
            (Self::Library, End::Reset(1..)) => Ok(()),
            // Before that, a reset without an error is one that does not want the rest of the request.
            (Self::Library, End::Whole) if direct.end == End::Reset(0) && !asked_all => Ok(()),
            (Self::Relay, end) if end == expected => Ok(()),
            (_, end) => Err(format!("the answer broke off: {expected:?} became {end:?}")),
        }
    }
}

/// An answer of the sidecar's.
pub fn is_own(seen: &Seen, grpc: bool) -> Result<(), String> {
    let head = seen.head.clone().unwrap_or_default();
    let value = |name: &str| {
        let found = head.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    let message = value("grpc-message").unwrap_or_default();
    let status = value(":status").unwrap_or_default();
    let says = match grpc {
        true => value("grpc-status").is_some() && message.starts_with("serinus:"),
        false => status == "502" && seen.body.starts_with(b"serinus:"),
    };
    match says && seen.end == End::Whole {
        true => Ok(()),
        false => Err(format!("not an answer of ours: {seen:?}")),
    }
}
