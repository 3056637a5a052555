//! What the fuzz targets of `tests/fuzz` run: the plain functions over bytes that strangers may write, each with what
//! must hold whatever the bytes are.

use crate::inspect::{self, End, Findings, Head, Inspector, Kind};
use crate::rewrite::{self, Rewrite, Spec, StreamForm};
use crate::route::json::{Progress, Search};
use crate::route::key::KeySource;
use crate::route::message::Walk;
use crate::route::named;
use crate::route::pointer::Pointer;
use crate::{classify, fast, h2};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request};
use serde_json::Value;

/// Cuts `data` into pieces whose sizes its first bytes say.
fn pieces(data: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let (sizes, whole) = data.split_at(data.len().min(4));
    let mut rest = whole;
    let mut pieces = Vec::new();
    for &size in sizes
        .iter()
        .cycle()
        .take(if sizes.is_empty() { 0 } else { 64 })
    {
        let (piece, next) = rest.split_at(rest.len().min(usize::from(size)));
        pieces.push(piece);
        rest = next;
    }
    pieces.push(rest);
    (pieces, whole)
}

/// A line of text, and the rest.
fn line(data: &[u8]) -> (&str, &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n');
    let (text, rest) = match end {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[][..]),
    };
    (str::from_utf8(text).unwrap_or_default(), rest)
}

/// A value as a key; `None` where the two readers take numbers in different ways.
fn key_of(value: &Value) -> Option<Option<String>> {
    match value {
        Value::String(text) => Some(Some(text.clone())),
        Value::Bool(is) => Some(Some(is.to_string())),
        Value::Number(number) if number.is_f64() => None,
        Value::Number(number) => Some(Some(number.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => Some(None),
    }
}

/// Of those the two readers take different ones. What was read is written again: names that were there twice are
/// missing.
fn has_name_twice(text: &[u8], document: &Value) -> bool {
    members(document.to_string().as_bytes()) != members(text)
}

/// How many members the objects of a JSON document have.
fn members(document: &[u8]) -> usize {
    let (mut count, mut in_text, mut escaped) = (0, false, false);
    for &byte in document {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_text = !in_text,
            b':' if !in_text => count += 1,
            _ => {}
        }
    }
    count
}

fn search(pointer: &Pointer, pieces: &[&[u8]]) -> Option<Vec<u8>> {
    let mut search = Search::default();
    for piece in pieces {
        if search.feed(pointer, piece) == Progress::Done {
            return search.into_value();
        }
    }
    search.finish()
}

/// A pointer on the first line, then a document: where it is cut makes no difference.
///
/// # Panics
/// If it does.
pub fn json_key(data: &[u8]) {
    let (text, rest) = line(data);
    let Ok(pointer) = text.parse::<Pointer>() else {
        return;
    };
    let (pieces, whole) = pieces(rest);
    let found = search(&pointer, &pieces);
    assert_eq!(found, search(&pointer, &[whole]), "where it is cut matters");
    let document = serde_json::from_slice::<Value>(whole);
    if let Ok(document) = document
        && !has_name_twice(whole, &document)
    {
        let expected = document.pointer(text).and_then(key_of);
        if let Some(expected) = expected {
            assert_eq!(found, expected.map(String::into_bytes));
        }
    }
    // Escapes make text shorter, never longer.
    assert!(found.is_none_or(|found| found.len() <= whole.len()));
}

/// A message of gRPC: where it is cut makes no difference.
///
/// # Panics
/// If it does.
pub fn message_key(data: &[u8]) {
    const MODEL: &[u32] = &[1];
    const SPEC: &[u32] = &[1, 1];
    let (pieces, whole) = pieces(data);
    for fields in [MODEL, SPEC] {
        assert_eq!(
            walk(fields, &pieces),
            walk(fields, &[whole]),
            "where it is cut matters"
        );
    }
}

fn walk(fields: &'static [u32], pieces: &[&[u8]]) -> Option<Vec<u8>> {
    let mut walk = Walk::new(fields);
    let done = pieces
        .iter()
        .any(|piece| walk.feed(piece) == Progress::Done);
    done.then(|| walk.into_value()).flatten()
}

/// Lines: where the key is, method, path and query, and a cookie.
///
/// # Panics
/// If a key comes from nowhere.
pub fn key(data: &[u8]) {
    let (source, rest) = line(data);
    let (method, rest) = line(rest);
    let (target, cookie) = line(rest);
    let _ = (named::in_path(target), named::in_body(method, target));
    let Ok(source) = source.parse::<KeySource>() else {
        return;
    };
    let request = Request::builder().method(method).uri(target);
    let cookie = HeaderValue::from_bytes(cookie);
    let request = cookie
        .into_iter()
        .fold(request, |request, cookie| request.header("cookie", cookie));
    let Ok(request) = request.body(()) else {
        return;
    };
    let (head, ()) = request.into_parts();
    let _ = named::in_head(&head);
    let found = source.of(&head);
    if let Some(value) = head.headers.get("cookie") {
        let _ = (
            classify::timeout(value.as_bytes()),
            classify::status(value.as_bytes()),
        );
    }
    assert!(found.is_none_or(|key| !key.is_empty() && key.len() <= data.len()));
}

/// Lines: model, version, label, method, and a path with its query: what it becomes is one again, with the same query.
///
/// # Panics
/// If it is not.
pub fn rewrite_path(data: &[u8]) {
    let (model, rest) = line(data);
    let (version, rest) = line(rest);
    let (label, rest) = line(rest);
    let (method, rest) = line(rest);
    let (target, _) = line(rest);
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let spec = Spec {
        model: text(model),
        version: text(version),
        label: text(label),
        ..Spec::default()
    };
    let is_one = |target: &str| {
        let parsed = target.parse::<PathAndQuery>();
        parsed.is_ok_and(|parsed| parsed.as_str() == target)
    };
    if !spec.mistakes().is_empty() || !is_one(target) {
        return;
    }
    let Some(changed) = Rewrite::new(&spec).path(method, target) else {
        return;
    };
    assert!(is_one(&changed), "{changed:?}");
    assert!(
        changed
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || !byte.is_ascii()),
        "{changed:?}"
    );
    let query = |target: &str| target.split_once('?').map(|(_, query)| query.to_owned());
    assert_eq!(query(&changed), query(target));
}

const CALLS: [Kind; 6] = [
    Kind::Other,
    Kind::Completions,
    Kind::Responses,
    Kind::Generate,
    Kind::Invocations,
    Kind::Messages,
];
const CONTENT: [&[u8]; 4] = [
    b"text/event-stream",
    b"application/grpc",
    b"application/json",
    b"text/event-stream; charset=utf-8",
];

fn inspect(kind: u8, how: u8, parts: &[&[u8]]) -> Option<Findings> {
    let call = CALLS[usize::from(kind) % CALLS.len()];
    let streams = if kind & 64 == 0 {
        StreamForm::Plain
    } else {
        StreamForm::Wrapped
    };
    let head = Head {
        status: if kind & 128 == 0 { 200 } else { 400 },
        content_type: Some(CONTENT[usize::from(how) % CONTENT.len()]),
        content_encoding: None,
        content_length: None,
    };
    let mut inspector = Inspector::for_answer(call, streams, &head)?;
    parts.iter().for_each(|part| inspector.feed(part, || 7));
    Some(inspector.finish(if how & 128 == 0 { End::Whole } else { End::Cut }))
}

/// A kind of call, a kind of answer, and its body: events or gRPC messages, cut anywhere, say the same.
///
/// # Panics
/// If they do not.
pub fn answer_body(data: &[u8]) {
    let [kind, how, rest @ ..] = data else {
        return;
    };
    let (pieces, whole) = pieces(rest);
    let (cut, at_once) = (
        inspect(*kind, *how, &pieces),
        inspect(*kind, *how, &[whole]),
    );
    assert_eq!(cut, at_once, "where it is cut matters");
}

/// A byte, and the head of a request or an answer.
///
/// # Panics
/// If something is let through that has two meanings.
pub fn head(data: &[u8]) {
    if let Some((&cut, bytes)) = data.split_first() {
        fast::fuzzing::heads(usize::from(cut), bytes);
    }
}

/// A chunked body.
///
/// # Panics
/// If it is read in two ways.
pub fn chunks(data: &[u8]) {
    let (pieces, whole) = pieces(data);
    fast::fuzzing::chunks(&pieces, whole);
}

/// A name on the first line, then a body: JSON, gRPC messages or events. Changed in pieces it is changed alike, it becomes
/// as long as was said before, and nothing but the name is another one.
///
/// # Panics
/// If it is not so.
pub fn rewrite_body(data: &[u8]) {
    let (name, rest) = line(data);
    if name.is_empty() {
        return;
    }
    let (pieces, whole) = pieces(rest);
    rewrite::fuzzing::bodies(name, &pieces, whole);
}

/// Lines: a path, content types of the call and of its answer, and what the caller calls the model and its version; a
/// byte that says how streams are built, and the answer's body: it names the model as the caller did, and says the same
/// otherwise.
///
/// # Panics
/// If it does not.
pub fn restore(data: &[u8]) {
    let (path, rest) = line(data);
    let (asked, rest) = line(rest);
    let (content_type, rest) = line(rest);
    let (model, rest) = line(rest);
    let (version, rest) = line(rest);
    let Some((&how, rest)) = rest.split_first() else {
        return;
    };
    let request = Request::post(path).header("content-type", asked);
    let Ok(request) = request.body(()) else {
        return;
    };
    let (pieces, whole) = pieces(rest);
    rewrite::fuzzing::restored(&rewrite::fuzzing::Answered {
        request: request.into_parts().0,
        model,
        version,
        wrapped: how & 1 == 1,
        content_type,
        pieces: &pieces,
        whole,
    });
}

/// A stream of events, cut anywhere: it has those that the plainest of readers finds.
///
/// # Panics
/// If it has others.
pub fn events(data: &[u8]) {
    let (pieces, whole) = pieces(data);
    inspect::fuzzing::events(&pieces, whole);
}

/// A stream of gRPC messages, cut anywhere: it says what the plainest of readers finds.
///
/// # Panics
/// If it says something else.
pub fn messages(data: &[u8]) {
    let (pieces, whole) = pieces(data);
    inspect::fuzzing::messages(&pieces, whole);
    h2::fuzzing::messages(&pieces, whole);
}

/// A byte that says which side we are, and what comes on a connection of HTTP/2, without the preface.
///
/// # Panics
/// If it depends on where it is cut, costs more than it may, or is answered with what the other side does not understand.
pub fn h2_frames(data: &[u8]) {
    if let Some((&how, rest)) = data.split_first() {
        let (pieces, whole) = pieces(rest);
        h2::fuzzing::frames(how, &pieces, whole);
    }
}

/// Compressed heads of one connection of HTTP/2.
///
/// # Panics
/// If the plainest of readers finds other fields, or the other side does after they were passed on.
pub fn h2_blocks(data: &[u8]) {
    h2::fuzzing::compressed(data);
}

/// An endpoint's address on the first line, then the fields of a head of HTTP/2, `name: value`.
///
/// # Panics
/// If a head is let through, and then passed on as one that would not be.
pub fn h2_head(data: &[u8]) {
    let (to, rest) = line(data);
    let lines = rest.split(|&byte| byte == b'\n');
    let fields: Vec<_> = lines.filter_map(field).collect();
    h2::fuzzing::heads(to, &fields);
}

/// Names of HTTP/2 may begin with a colon.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().skip(1).position(|&byte| byte == b':')? + 1;
    let value = &line[colon + 1..];
    Some((&line[..colon], value.strip_prefix(b" ").unwrap_or(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 14] = [
        ("json_key", json_key),
        ("message_key", message_key),
        ("key", key),
        ("rewrite_path", rewrite_path),
        ("answer_body", answer_body),
        ("head", head),
        ("chunks", chunks),
        ("rewrite_body", rewrite_body),
        ("restore", restore),
        ("events", events),
        ("messages", messages),
        ("h2_frames", h2_frames),
        ("h2_blocks", h2_blocks),
        ("h2_head", h2_head),
    ];

    type Corpus = Vec<(Target, Vec<Vec<u8>>)>;

    static CORPUS: LazyLock<Corpus> = LazyLock::new(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fuzz/corpus/");
        let inputs = |target: &str| {
            let files = std::fs::read_dir(format!("{folder}{target}")).unwrap();
            files
                .map(|file| std::fs::read(file.unwrap().path()).unwrap())
                .collect()
        };
        let target = |target: Target| (target, inputs(target.0));
        TARGETS.into_iter().map(target).collect()
    });

    #[test]
    fn every_target_holds_on_its_corpus() {
        for ((name, run), corpus) in &*CORPUS {
            assert!(!corpus.is_empty(), "{name}");
            corpus.iter().for_each(|data| run(data));
        }
    }

    proptest! {
        #[test]
        fn every_target_holds_near_its_corpus(
            which in any::<prop::sample::Index>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
        ) {
            for ((_, run), corpus) in &*CORPUS {
                let mut data = which.get(corpus).clone();
                for (at, byte) in &changes {
                    if !data.is_empty() {
                        let at = at.index(data.len());
                        data[at] = *byte;
                    }
                }
                run(&data);
                run(&data[..cut.index(data.len() + 1)]);
            }
        }
    }
}
