//! What the fuzz targets of `tests/fuzz` run: the plain functions over bytes that strangers may write, each with what
//! must hold whatever the bytes are.

use crate::fast;
use crate::inspect::{End, Findings, Head, Inspector, Kind};
use crate::rewrite::{self, Rewrite, Spec, StreamForm};
use crate::route::json::{Progress, Search};
use crate::route::key::KeySource;
use crate::route::message::Walk;
use crate::route::named;
use crate::route::pointer::Pointer;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request};

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
    if !spec.mistakes().is_empty() || target.parse::<PathAndQuery>().is_err() {
        return;
    }
    let Some(changed) = Rewrite::new(&spec).path(method, target) else {
        return;
    };
    assert!(changed.parse::<PathAndQuery>().is_ok(), "{changed:?}");
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

/// A name on the first line, then a body: JSON, gRPC messages or events. Changed in pieces it is changed alike, and
/// JSON stays JSON.
///
/// # Panics
/// If it does not.
pub fn rewrite_body(data: &[u8]) {
    let (name, rest) = line(data);
    if name.is_empty() {
        return;
    }
    let (pieces, whole) = pieces(rest);
    let json = rewrite::json_body(&pieces, name);
    assert_eq!(
        json,
        rewrite::json_body(&[whole], name),
        "where it is cut matters"
    );
    if serde_json::from_slice::<serde_json::Value>(whole).is_ok() {
        assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
    }
    assert_eq!(
        rewrite::event_body(&pieces, name),
        rewrite::event_body(&[whole], name)
    );
    let at_once = rewrite::grpc_body(&[whole], name, "1").ok();
    assert_eq!(rewrite::grpc_body(&pieces, name, "1").ok(), at_once);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 8] = [
        ("json_key", json_key),
        ("message_key", message_key),
        ("key", key),
        ("rewrite_path", rewrite_path),
        ("answer_body", answer_body),
        ("head", head),
        ("chunks", chunks),
        ("rewrite_body", rewrite_body),
    ];

    fn corpus(target: &str) -> Vec<Vec<u8>> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fuzz/corpus/");
        let files = std::fs::read_dir(format!("{folder}{target}")).unwrap();
        files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect()
    }

    proptest! {
        #[test]
        fn every_target_holds_near_its_corpus(
            which in any::<prop::sample::Index>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
        ) {
            for (name, run) in TARGETS {
                let corpus = corpus(name);
                let mut data = which.get(&corpus).clone();
                run(&data);
                for (at, byte) in &changes {
                    let at = at.index(data.len());
                    data[at] = *byte;
                }
                run(&data);
                run(&data[..cut.index(data.len())]);
            }
        }
    }
}
