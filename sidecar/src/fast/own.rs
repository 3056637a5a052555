//! Answers of the sidecar itself.

use super::edit::Labels;
use super::malformed::Malformed;
use crate::proxy::refuse::Refusal;
use http::StatusCode;
use std::io::Write as _;

/// What an answer of ours is like, beside its status and text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner<'a> {
    pub(super) labels: Option<Labels<'a>>,
    /// The request's method was HEAD.
    pub(super) asked_head: bool,
    /// The connection ends here.
    pub(super) close: bool,
}

pub(super) fn refusal(out: &mut Vec<u8>, refusal: Refusal, manner: Manner<'_>) {
    let later = refusal == Refusal::Busy;
    answer(out, refusal.status(), later, refusal.text(), manner);
}

pub(super) fn malformed(out: &mut Vec<u8>, why: Malformed, manner: Manner<'_>) {
    let text = format!("serinus: the request was not passed on: {why}");
    let status = match why {
        Malformed::TooManyHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    };
    answer(out, status, false, &text, manner);
}

fn answer(out: &mut Vec<u8>, status: StatusCode, later: bool, text: &str, manner: Manner<'_>) {
    let reason = status.canonical_reason().unwrap_or_default();
    // Writing to a buffer does not fail.
    let _ = write!(
        out,
        "HTTP/1.1 {} {reason}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n",
        status.as_u16(),
        text.len()
    );
    if later {
        out.extend_from_slice(b"retry-after: 1\r\n");
    }
    if let Some(labels) = manner.labels {
        labels.write(out);
    }
    if manner.close {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    if !manner.asked_head {
        out.extend_from_slice(text.as_bytes());
    }
}
