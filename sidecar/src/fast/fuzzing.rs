//! What the fuzz targets ask of heads and chunks; see [`crate::fuzzing`].

use super::chunks::Chunks;
use super::lines::{MAX_HEADERS, is, is_of_connection, slots};
use super::malformed::Malformed;
use super::{answer, connection, edit, request};

/// A head of either kind: whatever is let through has one meaning, half of it is never taken for all, and it is passed on
/// as one that means the same.
pub(crate) fn heads(cut: usize, bytes: &[u8]) {
    let mut room = slots();
    if let Ok(Some(head)) = request::parse(bytes, &mut room) {
        assert!(head.length <= bytes.len() && bytes[..head.length].ends_with(b"\r\n\r\n"));
        assert!(!(head.lengths.chunked && head.lengths.length.is_some()));
        assert!(head.method.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(!head.target.bytes().any(|byte| byte <= b' ' || byte == 0x7f));
        sound(head.headers);
        let mut again = slots();
        let part = request::parse(&bytes[..cut % head.length], &mut again);
        assert!(matches!(part, Ok(None)), "half a head is no head");
        if !connection::is_for_hyper(&head) {
            passed_request(&head);
        }
    }
    let mut room = slots();
    if let Ok(Some(head)) = answer::parse(bytes, &mut room) {
        assert!(head.status >= 100 && head.text.ends_with(b"\r\n\r\n"));
        assert!(!(head.lengths.chunked && head.lengths.length.is_some()));
        sound(head.headers);
        let mut again = slots();
        let part = answer::parse(&bytes[..cut % head.text.len()], &mut again);
        assert!(matches!(part, Ok(None)), "half a head is no head");
        let reader = edit::Reader {
            old: cut.is_multiple_of(3),
            close: cut.is_multiple_of(2),
        };
        passed_answer(&head, reader);
    }
}

/// What is passed on of a request is a request with the same body, and has nothing in it that ends here.
fn passed_request(head: &request::RequestHead<'_, '_>) {
    let mut out = Vec::new();
    let target = edit::request(&mut out, head, None);
    assert_eq!(&out[target], head.asked.as_bytes());
    let mut room = slots();
    let Ok(Some(again)) = request::parse(&out, &mut room) else {
        panic!("a request that is passed on is a request");
    };
    assert_eq!(again.length, out.len());
    assert_eq!((again.method, again.target), (head.method, head.asked));
    assert_eq!((again.lengths, again.minor), (head.lengths, 1));
    let host = head.named.map(str::as_bytes).or(head.marks.host);
    assert_eq!(again.marks.host, host);
    for header in again.headers {
        let is_ours = is(header.name, "te") && header.value == b"trailers";
        assert!(is_ours || !is_of_connection(header.name));
    }
    assert!(!again.marks.ours && !again.marks.upgrade);
    assert_eq!(again.marks.expect, head.marks.expect);
    let mut twice = Vec::new();
    edit::request(&mut twice, &again, None);
    assert_eq!(twice, out, "a second time changes it again");
}

/// What is passed on of an answer is an answer with the same body, and is labelled once.
fn passed_answer(head: &answer::AnswerHead<'_, '_>, reader: edit::Reader) {
    let labels = edit::Labels {
        variant: b"v2",
        prediction_id: b"id",
    };
    let mut out = Vec::new();
    edit::answer(&mut out, head, Some(labels), reader);
    if head.headers.len() + 3 > MAX_HEADERS {
        return;
    }
    let mut room = slots();
    let Ok(Some(again)) = answer::parse(&out, &mut room) else {
        panic!("an answer that is passed on is an answer");
    };
    assert_eq!((again.text.len(), again.minor), (out.len(), 1));
    assert_eq!(again.status, head.status);
    for asked_head in [true, false] {
        // To a reader of HTTP/1.0 a body that came in chunks ends with the connection.
        let same = again.body(asked_head) == head.body(asked_head);
        assert!(same || reader.old && head.lengths.chunked && !again.lengths.chunked);
    }
    for label in ["x-serinus-variant", "x-serinus-prediction-id"] {
        let headers = again.headers.iter();
        assert_eq!(headers.filter(|header| is(header.name, label)).count(), 1);
    }
    for header in again.headers {
        let word: &[u8] = if reader.close {
            b"close"
        } else {
            b"keep-alive"
        };
        let said = reader.close || reader.old;
        let is_ours = said && is(header.name, "connection") && header.value == word;
        assert!(is_ours || !is_of_connection(header.name));
    }
    assert_eq!(again.options.close, reader.close);
}

fn sound(headers: &[httparse::Header<'_>]) {
    for header in headers {
        let name = header.name.as_bytes();
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic) && !name.contains(&b':'));
        let control = |&byte: &u8| byte < b' ' && byte != b'\t' || byte == 0x7f;
        assert!(!header.value.iter().any(control));
    }
}

/// Chunks in pieces: where they are cut makes no difference, and what they hold is what the plainest of readers finds.
pub(crate) fn chunks(pieces: &[&[u8]], whole: &[u8]) {
    let at_once = read(&[whole]);
    assert_eq!(read(pieces), at_once, "where it is cut matters");
    if let Ok((payload, taken, true)) = at_once {
        assert_eq!(plainly(&whole[..taken]), Some(payload));
    }
}

/// Payload, bytes taken, and whether the end was among them.
fn read(pieces: &[&[u8]]) -> Result<(Vec<u8>, usize, bool), Malformed> {
    let (mut chunks, mut payload, mut bytes) = (Chunks::default(), Vec::new(), 0);
    for piece in pieces {
        bytes += chunks
            .take(piece, |part| payload.extend_from_slice(part))?
            .bytes;
    }
    Ok((payload, bytes, chunks.is_done()))
}

fn plainly(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut payload = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let digits = rest[..end].split(|&byte| byte == b';').next()?.trim_ascii();
        let size = usize::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return rest.ends_with(b"\r\n").then_some(payload);
        }
        payload.extend_from_slice(rest.get(..size)?);
        rest = rest[size..].strip_prefix(b"\r\n")?;
    }
}
