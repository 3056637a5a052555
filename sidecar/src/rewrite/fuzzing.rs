//! What the fuzz targets ask of changed bodies; see [`crate::fuzzing`].

use super::events::Events;
use super::frames::{Frames, Otherwise};
use super::json::Strings;
use super::restore::{AnswerHead, Names, Restorer};
use super::splice::Splice;
use super::{Edit, Rewrite, Spec, StreamForm, Unchangeable, escape};
use bytes::Bytes;
use http::request::Parts;
use serde_json::Value;

/// Every reader, with the name put into a body.
pub(crate) fn bodies(name: &str, pieces: &[&[u8]], whole: &[u8]) {
    json(name, pieces, whole);
    events(name, pieces, whole);
    for fields in [
        escape::oip_fields(Some(name), Some("1")),
        escape::tf_fields(Some(name), Some(300), None),
    ] {
        let edit = || {
            let frames = Frames::new(fields.clone(), Otherwise::Refuse);
            Edit::Frames(frames.reading_names())
        };
        let at_once = edited(edit(), &[whole]);
        assert_eq!(edited(edit(), pieces), at_once, "where it is cut matters");
        let out = at_once.map(|(out, _)| out).ok();
        assert_eq!(out, appended(whole, &fields, None));
    }
}

fn named(name: &str) -> Strings {
    Strings::new(vec![("model", escape::json(name))])
}

/// JSON stays what it was, but for the name, and a second time changes nothing.
fn json(name: &str, pieces: &[&[u8]], whole: &[u8]) {
    let change = |pieces: &[&[u8]]| {
        let edited = edited(Edit::Json(named(name)), pieces);
        edited.expect("nothing in JSON is refused")
    };
    let (out, names) = change(&[whole]);
    assert_eq!(
        change(pieces),
        (out.clone(), names.clone()),
        "where it is cut matters"
    );
    assert_eq!(change(&[&out]).0, out, "a second time changes it again");
    let Ok(mut document) = serde_json::from_slice::<Value>(whole) else {
        return;
    };
    put(&mut document, "model", name);
    assert_eq!(serde_json::from_slice::<Value>(&out).ok(), Some(document));
    if let Some(model) = names.model {
        assert!(serde_json::from_slice::<String>(&model).is_ok());
    }
}

fn put(document: &mut Value, key: &str, text: &str) {
    if let Some(value @ Value::String(_)) = document.get_mut(key) {
        *value = text.into();
    }
}

/// Of events the data are changed as JSON is, and nothing else.
fn events(name: &str, pieces: &[&[u8]], whole: &[u8]) {
    let at_once = in_events(name, &[whole]);
    assert_eq!(in_events(name, pieces), at_once, "where it is cut matters");
    let lines = whole.split_inclusive(|byte| matches!(byte, b'\r' | b'\n'));
    let expected: Vec<_> = lines.map(|line| data_line(name, line)).collect();
    assert_eq!(at_once, expected.concat());
}

fn in_events(name: &str, pieces: &[&[u8]]) -> Vec<u8> {
    let mut events = Events::new(named(name));
    let change = |piece: &&[u8]| {
        let piece = Bytes::copy_from_slice(piece);
        let mut splice = Splice::new(&piece);
        events.feed(&piece, &mut splice);
        splice.finish()
    };
    pieces.iter().map(change).collect::<Vec<_>>().concat()
}

fn data_line(name: &str, line: &[u8]) -> Vec<u8> {
    let Some(data) = line.strip_prefix(b"data:") else {
        return line.to_vec();
    };
    let text = data.strip_suffix(b"\n").unwrap_or(data);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let changed = edited(Edit::Json(named(name)), &[text]);
    let (changed, _) = changed.expect("nothing in JSON is refused");
    [b"data:", &changed[..], &data[text.len()..]].concat()
}

/// What becomes of a body, and what it named. It is as long as was said before.
fn edited(mut edit: Edit, pieces: &[&[u8]]) -> Result<(Vec<u8>, Names), Unchangeable> {
    let length = edit.length(pieces.iter().copied());
    let mut out = Vec::new();
    for piece in pieces {
        let fed = edit.feed(&Bytes::copy_from_slice(piece));
        assert!(fed.is_ok() || length.is_none());
        out.extend(fed?);
    }
    out.extend(edit.finish());
    assert_eq!(length, Some(out.len() as u64));
    Ok((out, edit.names()))
}

/// Every message with `fields` at its end. Those that cannot be changed are kept, with errors or without; otherwise
/// there is no result.
fn appended(mut rest: &[u8], fields: &[u8], kept: Option<bool>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while let Some(([compressed, length @ ..], body)) = rest.split_first_chunk::<5>() {
        let length = u32::from_be_bytes(*length);
        let message = &body[..body.len().min(length as usize)];
        let is_error = length == 0 || matches!(message, [] | [0x0a, ..]);
        let longer = length.checked_add(fields.len() as u32);
        let longer = longer.filter(|_| *compressed == 0 && !(is_error && kept == Some(true)));
        if longer.is_none() && kept.is_none() {
            return None;
        }
        out.push(*compressed);
        out.extend(longer.unwrap_or(length).to_be_bytes());
        out.extend_from_slice(message);
        if longer.is_some() && message.len() == length as usize {
            out.extend_from_slice(fields);
        }
        rest = &body[message.len()..];
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// One call, and the body of its answer.
pub(crate) struct Answered<'a> {
    pub(crate) request: Parts,
    /// What the caller calls the model.
    pub(crate) model: &'a str,
    pub(crate) version: &'a str,
    pub(crate) wrapped: bool,
    pub(crate) content_type: &'a str,
    pub(crate) pieces: &'a [&'a [u8]],
    pub(crate) whole: &'a [u8],
}

/// Answers name the model as the caller did, and say the same otherwise.
pub(crate) fn restored(answered: &Answered<'_>) {
    let spec = Spec {
        model: Some("served".into()),
        version: Some("7".into()),
        restore: true,
        ..Spec::default()
    };
    let rewrite = Rewrite::new(&spec);
    let names = called(&rewrite, answered);
    let form = match answered.wrapped {
        true => StreamForm::Wrapped,
        false => StreamForm::Plain,
    };
    let Some(restoring) = rewrite.restoring(&answered.request, form) else {
        return;
    };
    let in_path = restoring.names.clone();
    let restore = |pieces: &[&[u8]]| {
        let head = AnswerHead {
            content_type: answered.content_type.as_bytes(),
            ..AnswerHead::default()
        };
        let mut restorer = restoring.clone().restorer(head)?;
        let feed = |piece: &&[u8]| restorer.feed(&Bytes::copy_from_slice(piece), || names.clone());
        let mut out = pieces.iter().map(feed).collect::<Vec<_>>().concat();
        out.extend(restorer.finish());
        Some((restorer, out))
    };
    let Some((restorer, out)) = restore(&[answered.whole]) else {
        return;
    };
    let in_pieces = restore(answered.pieces).map(|(_, out)| out);
    assert_eq!(in_pieces.as_ref(), Some(&out), "where it is cut matters");
    let again = || restore(&[&out]).map(|(_, again)| again);
    match restorer {
        Restorer::Json(_) => {
            assert_eq!(
                again().as_ref(),
                Some(&out),
                "a second time changes it again"
            );
            match in_path == Names::default() {
                true => same_json(answered.whole, &out, [("model", names.model)]),
                false => {
                    let names = [in_path.model, in_path.version];
                    let keys = ["model_name", "model_version"];
                    same_json(answered.whole, &out, keys.into_iter().zip(names));
                }
            }
        }
        Restorer::Events(_) => {
            assert_eq!(
                again().as_ref(),
                Some(&out),
                "a second time changes it again"
            );
            let ends = |text: &[u8]| text.iter().filter(|b| matches!(b, b'\r' | b'\n')).count();
            assert_eq!(ends(answered.whole), ends(&out), "lines come and go");
        }
        Restorer::Frames(_) => {
            let length = |text: Option<Bytes>, tag| text.map(|text| (tag, text));
            let texts = [length(names.model, 1), length(names.version, 2)];
            let mut fields = bytes::BytesMut::new();
            for (number, text) in texts.into_iter().flatten() {
                escape::delimited(&mut fields, number, &text);
            }
            let wrapped =
                answered.wrapped && answered.request.uri.path().ends_with("ModelStreamInfer");
            if wrapped {
                let inner = fields.split();
                escape::delimited(&mut fields, 2, &inner);
            }
            assert_eq!(appended(answered.whole, &fields, Some(wrapped)), Some(out));
        }
        Restorer::Waiting { .. } | Restorer::Idle => assert_eq!(out, answered.whole),
    }
}

/// What the request's body says, in the protocol of its path.
fn called(rewrite: &Rewrite, answered: &Answered<'_>) -> Names {
    let Ok(Some(mut edit)) = rewrite.edit(&answered.request) else {
        return Names::default();
    };
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (model, version) = (text(answered.model), text(answered.version));
    let body = match &edit {
        Edit::Json(_) => serde_json::json!({ "model": model }).to_string().into(),
        Edit::Frames(_) => {
            let message = escape::oip_fields(model.as_deref(), version.as_deref());
            let length = (message.len() as u32).to_be_bytes();
            [&[0], &length[..], &message].concat()
        }
    };
    let fed = edit.feed(&Bytes::from(body));
    assert!(fed.is_ok(), "a small message can be changed");
    edit.names()
}

/// A document has the names where it has texts there, and is the same otherwise.
fn same_json(
    before: &[u8],
    after: &[u8],
    names: impl IntoIterator<Item = (&'static str, Option<Bytes>)>,
) {
    let Ok(mut before) = serde_json::from_slice::<Value>(before) else {
        return;
    };
    for (key, name) in names {
        if let Some(name) = name {
            let name = serde_json::from_slice::<String>(&name);
            put(&mut before, key, &name.expect("a name is JSON"));
        }
    }
    assert_eq!(serde_json::from_slice::<Value>(after).ok(), Some(before));
}
