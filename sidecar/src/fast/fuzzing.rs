//! What the fuzz targets ask of heads and chunks; see [`crate::fuzzing`].

use super::chunks::Chunks;
use super::lines::slots;
use super::malformed::Malformed;
use super::{answer, request};

/// A head of either kind: whatever is let through has one meaning, and half of it is never taken for all.
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
    }
    let mut room = slots();
    if let Ok(Some(head)) = answer::parse(bytes, &mut room) {
        assert!(head.status >= 100 && head.text.ends_with(b"\r\n\r\n"));
        assert!(!(head.lengths.chunked && head.lengths.length.is_some()));
        sound(head.headers);
        let mut again = slots();
        let part = answer::parse(&bytes[..cut % head.text.len()], &mut again);
        assert!(matches!(part, Ok(None)), "half a head is no head");
    }
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
