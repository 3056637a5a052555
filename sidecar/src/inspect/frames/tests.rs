use super::*;
use proptest::prelude::*;
use prost::Message as _;

/// `ModelStreamInferResponse`, as far as it matters.
#[derive(Clone, PartialEq, prost::Message)]
struct Wrapped {
    #[prost(string, tag = "1")]
    error_message: String,
    #[prost(message, optional, tag = "2")]
    infer_response: Option<Plain>,
}

/// `ModelInferResponse`, as far as it matters.
#[derive(Clone, PartialEq, prost::Message)]
struct Plain {
    #[prost(string, tag = "1")]
    model_name: String,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(bytes = "vec", repeated, tag = "6")]
    raw_output_contents: Vec<Vec<u8>>,
}

fn frame(message: &[u8], compressed: u8) -> Vec<u8> {
    let mut out = vec![compressed];
    out.extend((message.len() as u32).to_be_bytes());
    out.extend(message);
    out
}

fn answer(name: &str) -> Plain {
    Plain {
        model_name: name.into(),
        id: "7".into(),
        raw_output_contents: vec![vec![0; 300]],
    }
}

fn wrapped(error: &str) -> Vec<u8> {
    let message = Wrapped {
        error_message: error.into(),
        infer_response: Some(answer("m")),
    };
    frame(&message.encode_to_vec(), 0)
}

fn found(form: StreamForm, data: &[u8]) -> Findings {
    let mut frames = Frames::new(form);
    frames.feed(data);
    frames.finish()
}

#[test]
fn an_error_in_band_is_the_models() {
    let whole = [wrapped(""), wrapped("")].concat();
    let failed = [wrapped(""), wrapped("boom"), wrapped("")].concat();
    let of = |data: &[u8]| {
        (
            found(StreamForm::Wrapped, data).class,
            found(StreamForm::Wrapped, data).chunks,
        )
    };
    assert_eq!(of(&whole), (None, 2));
    assert_eq!(of(&failed), (Some(Class::Model), 2));
}

#[test]
fn a_name_is_no_error_where_nothing_is_wrapped() {
    let data = frame(&answer("m").encode_to_vec(), 0);
    assert_eq!(found(StreamForm::Plain, &data).class, None);
    assert_eq!(found(StreamForm::Plain, &data).chunks, 1);
    assert_eq!(
        found(StreamForm::Wrapped, &data).class,
        Some(Class::Model),
        "which is why it is declared"
    );
}

#[test]
fn compressed_messages_are_counted_and_not_read() {
    let data = frame(b"\x0a\x01x", 1);
    let findings = found(StreamForm::Wrapped, &data);
    assert_eq!(
        (findings.class, findings.chunks, findings.unread),
        (None, 1, true)
    );
}

#[test]
fn empty_messages_are_messages() {
    assert_eq!(
        found(StreamForm::Wrapped, &frame(b"", 0).repeat(3)).chunks,
        3
    );
}

proptest! {
    #[test]
    fn pieces_make_no_difference(errors in prop::collection::vec("[a-z]{0,3}", 0..5), size in 1usize..60) {
        let data: Vec<u8> = errors.iter().flat_map(|error| wrapped(error)).collect();
        let mut frames = Frames::new(StreamForm::Wrapped);
        data.chunks(size).for_each(|piece| {
            frames.feed(piece);
        });
        let findings = frames.finish();
        let failed = errors.iter().filter(|error| !error.is_empty()).count();
        prop_assert_eq!(findings, found(StreamForm::Wrapped, &data));
        prop_assert_eq!(findings.class.is_some(), failed > 0);
        prop_assert_eq!(findings.chunks, (errors.len() - failed) as u64);
    }

    #[test]
    fn any_bytes_are_scanned_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), framed in any::<bool>()) {
        let data = if framed { frame(&bytes, 0) } else { bytes };
        let _ = found(StreamForm::Wrapped, &data);
    }
}
