//! `docs/transparency.md` as code, for what goes through the library: what may differ between a direct call and one
//! through the sidecar. For everything else [`crate::exact`] is stricter.

use crate::raw::{Field, Framing, Head, Seen};

/// Headers of one connection, what tells the end of the body, and the number, which no two messages share.
const OF_CONNECTION: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "x-n",
];

/// What the `Connection` header cannot take away.
const PROTECTED: [&str; 3] = ["content-length", "host", "trailer"];

/// Name in lower case, value, and the name as it was written.
type Fields = Vec<(String, String, String)>;

fn lower(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_ascii_lowercase()
}

fn named_by_connection(head: &Head) -> Vec<String> {
    let values = head.all("connection");
    let tokens = values.flat_map(|value| value.split(|&b| b == b','));
    tokens
        .map(|token| lower(token.trim_ascii()))
        .filter(|name| !PROTECTED.contains(&name.as_str()))
        .collect()
}

fn written(fields: &[Field]) -> Fields {
    let name_of = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    fields
        .iter()
        .map(|(name, value)| (lower(name), value.escape_ascii().to_string(), name_of(name)))
        .collect()
}

/// Repeated headers stand together, where the first of them was.
fn joined(fields: &Fields) -> Fields {
    let mut joined = fields.clone();
    joined.sort_by_key(|(name, ..)| fields.iter().position(|(other, ..)| other == name));
    joined
}

/// The end-to-end headers.
fn end_to_end(head: &Head, gone: &[&str]) -> Fields {
    let named = named_by_connection(head);
    let mut fields = written(&head.fields);
    fields.retain(|(name, ..)| {
        !(OF_CONNECTION.contains(&name.as_str())
            || named.contains(name)
            || gone.contains(&name.as_str()))
    });
    joined(&fields)
}

fn without_ours(mut fields: Fields) -> Fields {
    fields.retain(|(name, ..)| !name.starts_with("x-serinus-"));
    fields
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, direct: &T, through: &T) -> Result<(), String> {
    match direct == through {
        true => Ok(()),
        false => Err(format!(
            "{what}:\n  direct  {direct:?}\n  through {through:?}"
        )),
    }
}

/// The same names and values in the same order. All names are as they were written, or, in what was sent a second time,
/// in lower case. Only what differs is shown: there may be eighty lines.
fn same_fields(what: &str, direct: &Fields, through: &Fields) -> Result<(), String> {
    let is_lower = through.iter().all(|(name, _, written)| name == written);
    let same = |a: &(String, String, String), b: &(String, String, String)| {
        (&a.0, &a.1) == (&b.0, &b.1) && (is_lower || a.2 == b.2)
    };
    let differs = direct.iter().zip(through).position(|(a, b)| !same(a, b));
    if differs.is_none() && direct.len() == through.len() {
        return Ok(());
    }
    let at = differs.unwrap_or_else(|| direct.len().min(through.len()));
    let show =
        |fields: &Fields| format!("{:?}", fields.iter().skip(at).take(2).collect::<Vec<_>>());
    Err(format!(
        "{what}, from number {at} on:\n  direct  {}\n  through {}",
        show(direct),
        show(through)
    ))
}

fn same_body(what: &str, direct: &[u8], through: &[u8]) -> Result<(), String> {
    if direct == through {
        return Ok(());
    }
    let differs = direct.iter().zip(through).position(|(a, b)| a != b);
    let (a, b) = (direct.len(), through.len());
    Err(format!(
        "{what}: {a} bytes direct, {b} through, the first difference at {differs:?}"
    ))
}

/// Method and target without a host, and the host that it names.
fn target(start: &[u8]) -> (String, Option<String>) {
    let text = start.escape_ascii().to_string();
    let (line, _) = text.rsplit_once(' ').unwrap_or((&text, ""));
    let Some((method, target)) = line.split_once(' ') else {
        return (line.to_owned(), None);
    };
    let absolute = target
        .split_once("://")
        .filter(|(scheme, _)| ["http", "https"].contains(&&*scheme.to_ascii_lowercase()));
    let Some((_, absolute)) = absolute else {
        return (line.to_owned(), None);
    };
    let at = absolute.find(['/', '?']).unwrap_or(absolute.len());
    let (host, path) = absolute.split_at(at);
    let slash = if path.starts_with('/') { "" } else { "/" };
    (format!("{method} {slash}{path}"), Some(host.to_owned()))
}

/// A request that reached the model server whole.
pub fn request(direct: &Seen, through: &Seen) -> Result<(), String> {
    let ((direct_target, named), (through_target, _)) =
        (target(&direct.head.start), target(&through.head.start));
    same("request target", &direct_target, &through_target)?;
    let version = through.head.start.ends_with(b" HTTP/1.1");
    same("version is 1.1", &true, &version)?;
    // What the library is not asked to serve keeps it.
    let mut expected = without_ours(end_to_end(&direct.head, &["expect"]));
    let mut got = end_to_end(&through.head, &["expect"]);
    if let Some(host) = &named {
        let hosts = expected.iter_mut().filter(|(name, ..)| name == "host");
        hosts.for_each(|(_, value, _)| value.clone_from(host));
    }
    if direct.head.first("host").is_none() {
        let got_host = through.head.first("host");
        same("a host", &true, &got_host.is_some())?;
        same(
            "the host named",
            &true,
            &(named.is_none() || got_host == named),
        )?;
        got.retain(|(name, ..)| name != "host");
    }
    same_fields("request headers", &expected, &got)?;
    let te = direct
        .head
        .all("te")
        .any(|value| lower(value).contains("trailers"));
    let passed: Vec<_> = through.head.all("te").collect();
    same("te: trailers alone", &te, &(passed == [b"trailers"]))?;
    // A body of no chunks that is sent again is no body.
    let nothing = direct.body.is_empty() && through.framing == Framing::Empty;
    if !(nothing && direct.framing == Framing::Chunked) {
        same("request framing", &direct.framing, &through.framing)?;
    }
    same_body("request body", &direct.body, &through.body)?;
    same_fields(
        "request trailers",
        &written(&direct.trailers),
        &written(&through.trailers),
    )?;
    same("request is whole", &direct.whole, &through.whole)
}

/// An answer whose head came whole from the model server. `old`: the application speaks HTTP/1.0.
pub fn answer(direct: &Seen, through: &Seen, old: bool) -> Result<(), String> {
    let code = |seen: &Seen| {
        let text = seen.head.start.escape_ascii().to_string();
        text.split_once(' ')
            .map(|(_, rest)| rest.trim_end().to_owned())
    };
    same("status and reason", &code(direct), &code(through))?;
    let got = end_to_end(&through.head, &[]);
    for ours in ["x-serinus-variant", "x-serinus-prediction-id"] {
        let count = got.iter().filter(|(name, ..)| name == ours).count();
        same(ours, &1, &count)?;
    }
    let replaced = ["x-serinus-variant", "x-serinus-prediction-id"];
    let expected = end_to_end(&direct.head, &replaced);
    let mut got = end_to_end(&through.head, &replaced);
    if direct.head.first("date").is_none() {
        got.retain(|(name, ..)| name != "date");
    }
    same_fields("answer headers", &expected, &got)?;
    answer_framing(direct, through, old)?;
    if direct.whole {
        same("answer is whole", &true, &through.whole)?;
        same_body("answer body", &direct.body, &through.body)?;
        if !old {
            same_fields(
                "answer trailers",
                &written(&direct.trailers),
                &written(&through.trailers),
            )?;
        }
        return Ok(());
    }
    // A reset takes away what was not yet read, on either side.
    let (ours, theirs) = (&through.body, &direct.body);
    let so_far = theirs.starts_with(ours) || ours.starts_with(theirs);
    same("the body so far", &true, &so_far)?;
    // To HTTP/1.0 there is no other end than a close.
    match old && through.framing == Framing::UntilClose {
        true => Ok(()),
        false => same("a cut is a cut", &false, &through.whole),
    }
}

fn answer_framing(direct: &Seen, through: &Seen, old: bool) -> Result<(), String> {
    let length = |seen: &Seen| seen.head.first("content-length");
    if direct.framing == Framing::Empty {
        same("answer framing", &direct.framing, &through.framing)?;
        // Of an answer without a body it is a header like others; a 304 needs none.
        if direct.head.status() == 304 && length(through).is_none() {
            return Ok(());
        }
        return same("content-length", &length(direct), &length(through));
    }
    let may_be = match (direct.framing, old) {
        (Framing::Chunked | Framing::UntilClose, true) => vec![Framing::UntilClose],
        (Framing::UntilClose, false) => vec![Framing::UntilClose, Framing::Chunked],
        (framing, _) => vec![framing],
    };
    match may_be.contains(&through.framing) {
        true => Ok(()),
        false => Err(format!(
            "answer framing: {:?} became {:?}",
            direct.framing, through.framing
        )),
    }
}
