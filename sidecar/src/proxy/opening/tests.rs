use super::*;
use http_body_util::StreamBody;
use std::convert::Infallible;

/// Reads for `/k` from a body in parts; what was found, and how many bytes are kept.
fn seek(parts: &[&str], most: u64) -> (Option<String>, u64) {
    let frames: Vec<Result<_, Infallible>> = parts
        .iter()
        .map(|part| Ok(Frame::data(Bytes::copy_from_slice(part.as_bytes()))))
        .collect();
    let mut body = StreamBody::new(futures_util::stream::iter(frames));
    let mut reader = Reader {
        body: &mut body,
        early: Early::default(),
        ended: false,
        most,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let pointer = "/k".parse().unwrap();
    let found = runtime.unwrap().block_on(async {
        let first = reader.seek(Seeker::of_key(&pointer)).await.unwrap();
        // What is kept can be looked through again.
        assert_eq!(reader.seek(Seeker::of_key(&pointer)).await.unwrap(), first);
        first
    });
    let text = found.map(|key| String::from_utf8(key).unwrap());
    (text, reader.early.bytes())
}

#[test]
fn no_more_is_read_than_is_needed() {
    let parts = ["{\"a\":1,\"k\"", ":\"x\"", ",\"b\":2", "}"];
    assert_eq!(seek(&parts, 100), (Some("x".into()), 14));
    assert_eq!(seek(&["{\"a\":", "{}", "}", " "], 100), (None, 8));
    assert_eq!(seek(&["[", "]"], 100), (None, 1));
}

#[test]
fn the_bound_is_kept() {
    let parts = ["{\"a\":\"", "xxxxxxxx", "xxxx", "\",\"k\":1}"];
    assert_eq!(seek(&parts, 12), (None, 14));
    assert_eq!(seek(&parts, 26), (Some("1".into()), 26));
    // The number could go on beyond the bound.
    assert_eq!(seek(&["{\"k\":12", "3}"], 6), (None, 7));
    assert_eq!(seek(&["{\"k\":12", "3}"], 7), (None, 7));
}
