use super::*;
use crate::rewrite::escape;
use crate::rewrite::splice::Splice;
use proptest::prelude::*;
use prost::Message;

/// The beginning of `inference.ModelInferRequest`, and something after it.
#[derive(Clone, PartialEq, Message)]
struct Infer {
    #[prost(string, tag = "1")]
    model_name: String,
    #[prost(string, tag = "2")]
    model_version: String,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(bytes, repeated, tag = "7")]
    raw: Vec<Vec<u8>>,
}

/// `tensorflow.serving.PredictRequest`.
#[derive(Clone, PartialEq, Message)]
struct Predict {
    #[prost(message, optional, tag = "1")]
    model_spec: Option<ModelSpec>,
    #[prost(bytes, tag = "2")]
    inputs: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ModelSpec {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    signature_name: String,
    #[prost(oneof = "Choice", tags = "2, 4")]
    choice: Option<Choice>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Choice {
    #[prost(message, tag = "2")]
    Version(i64),
    #[prost(string, tag = "4")]
    Label(String),
}

/// `inference.ModelStreamInferResponse`.
#[derive(Clone, PartialEq, Message)]
struct Wrapped {
    #[prost(string, tag = "1")]
    error_message: String,
    #[prost(message, optional, tag = "2")]
    infer_response: Option<Infer>,
}

fn frame(message: &impl Message) -> Vec<u8> {
    framed(0, &message.encode_to_vec())
}

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, message].concat()
}

fn run(mut frames: Frames, parts: &[&[u8]]) -> Result<(Vec<u8>, Frames), FrameError> {
    let mut out = Vec::new();
    for part in parts {
        let part = Bytes::copy_from_slice(part);
        let mut splice = Splice::new(&part);
        frames.feed(&part, &mut splice)?;
        out.extend_from_slice(&splice.finish());
    }
    out.extend_from_slice(&frames.finish());
    Ok((out, frames))
}

fn messages<M: Message + Default>(mut bytes: &[u8]) -> Vec<M> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
        messages.push(M::decode(&bytes[5..5 + length]).unwrap());
        bytes = &bytes[5 + length..];
    }
    messages
}

fn oip() -> Frames {
    let fields = escape::oip_fields(Some("digits"), Some("2"));
    Frames::new(fields, Otherwise::Refuse)
}

fn split(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let parts = cuts.windows(2);
    parts.map(|cut| bytes[cut[0]..cut[1]].to_vec()).collect()
}

fn in_pieces(
    frames: Frames,
    bytes: &[u8],
    cuts: &[usize],
) -> Result<(Vec<u8>, Frames), FrameError> {
    let parts = split(bytes, cuts);
    let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
    run(frames, &parts)
}

#[test]
fn an_empty_message_gets_the_fields_too() {
    let (out, _) = run(oip(), &[&framed(0, b"")]).unwrap();
    let [message]: [Infer; 1] = messages(&out).try_into().unwrap();
    assert_eq!(
        (&*message.model_name, &*message.model_version),
        ("digits", "2")
    );
}

#[test]
fn what_cannot_be_changed_is_refused() {
    let of = |bytes: &[u8]| run(oip(), &[bytes]).map(|_| ());
    assert_eq!(of(&framed(1, b"x")), Err(FrameError::Compressed));
    let second = [frame(&Infer::default()), framed(1, b"")].concat();
    assert_eq!(of(&second), Err(FrameError::Compressed));
    assert_eq!(of(b"\0\xff\xff\xff\xffx"), Err(FrameError::TooLong));
}

#[test]
fn in_answers_it_stays() {
    let keep = Otherwise::Keep { errors: false };
    let frames = Frames::new(escape::oip_fields(Some("m"), None), keep);
    let compressed = framed(1, b"abc");
    let (out, _) = run(frames, &[&compressed, &framed(0, b"")]).unwrap();
    assert_eq!(out, [compressed, framed(0, b"\x0a\x01m")].concat());
}

#[test]
fn errors_in_a_wrapped_stream_stay_errors() {
    let inner = escape::oip_fields(Some("m"), Some("1"));
    let mut fields = bytes::BytesMut::new();
    escape::delimited(&mut fields, 2, &inner);
    let frames = Frames::new(fields.freeze(), Otherwise::Keep { errors: true });
    let error = Wrapped {
        error_message: "no".into(),
        infer_response: Some(Infer::default()),
    };
    let answer = Wrapped {
        error_message: String::new(),
        infer_response: Some(Infer {
            model_name: "digits".into(),
            id: "7".into(),
            ..Infer::default()
        }),
    };
    let bytes = [frame(&error), frame(&answer), framed(0, b"")].concat();
    for cut in 0..bytes.len() {
        let (out, _) = in_pieces(frames.clone(), &bytes, &[cut]).unwrap();
        let got: Vec<Wrapped> = messages(&out);
        assert_eq!(got[0], error);
        let restored = got[1].infer_response.as_ref().unwrap();
        assert_eq!(
            (
                &*restored.model_name,
                &*restored.model_version,
                &*restored.id
            ),
            ("m", "1", "7")
        );
        assert_eq!(got[2..], [Wrapped::default()]);
    }
}

#[test]
fn a_stream_that_breaks_off_within_a_frame_keeps_its_bytes() {
    for bytes in [&b"\0"[..], b"\0\0\0\0", b"\0\0\0\0\x09abc"] {
        let (out, _) = run(oip(), &[bytes]).unwrap();
        assert_eq!(out.len(), bytes.len());
        assert_eq!(out[5.min(out.len())..], bytes[5.min(bytes.len())..]);
    }
}

#[test]
fn the_first_message_says_what_the_caller_named() {
    let message = |name: &str| Infer {
        model_name: name.into(),
        ..Infer::default()
    };
    let bytes = [frame(&message("a")), frame(&message("b"))].concat();
    let (_, frames) = run(oip().reading_names(), &[&bytes[..bytes.len() - 1]]).unwrap();
    assert_eq!(frames.names(), Some([Some(&b"a"[..]), None]));
    let (_, none) = run(oip().reading_names(), &[b"\0\0\0\0\x03"]).unwrap();
    assert_eq!(none.names(), None);
}

fn infers() -> impl Strategy<Value = Vec<Infer>> {
    let raw = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..3);
    let message = ("\\PC{0,9}", "[0-9]{0,2}", "\\PC{0,9}", raw).prop_map(
        |(model_name, model_version, id, raw)| Infer {
            model_name,
            model_version,
            id,
            raw,
        },
    );
    prop::collection::vec(message, 0..4)
}

fn choices() -> impl Strategy<Value = Option<Choice>> {
    prop_oneof![
        Just(None),
        any::<i64>().prop_map(|version| Some(Choice::Version(version))),
        "\\PC{0,5}".prop_map(|label| Some(Choice::Label(label))),
    ]
}

proptest! {
    #[test]
    fn each_message_names_what_was_asked_for(sent in infers(), cuts in prop::collection::vec(any::<usize>(), 0..8)) {
        let bytes: Vec<u8> = sent.iter().flat_map(frame).collect();
        let (out, _) = in_pieces(oip(), &bytes, &cuts).unwrap();
        let expected: Vec<_> = sent.into_iter().map(|message| Infer {
            model_name: "digits".into(),
            model_version: "2".into(),
            ..message
        }).collect();
        prop_assert_eq!(messages::<Infer>(&out), expected);
    }

    #[test]
    fn model_specs_are_merged(
        name in "\\PC{0,9}", signature_name in "\\PC{0,9}", choice in choices(), has_spec: bool,
        version: i64, label: bool, cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let sent = Predict {
            model_spec: has_spec.then_some(ModelSpec { name, signature_name, choice }),
            inputs: vec![1, 2, 3],
        };
        let (fields, choice) = match label {
            true => (escape::tf_fields(Some("m"), None, Some("x")), Choice::Label("x".into())),
            false => (escape::tf_fields(Some("m"), Some(version), None), Choice::Version(version)),
        };
        let (out, _) = in_pieces(Frames::new(fields, Otherwise::Refuse), &frame(&sent), &cuts).unwrap();
        let spec = sent.model_spec.unwrap_or_default();
        let expected = Predict {
            model_spec: Some(ModelSpec { name: "m".into(), choice: Some(choice), ..spec }),
            inputs: sent.inputs,
        };
        prop_assert_eq!(messages::<Predict>(&out), vec![expected]);
    }

    #[test]
    fn any_bytes_in_any_pieces_come_out_the_same(
        bytes in prop::collection::vec(prop_oneof![3 => 0u8..12, 1 => any::<u8>()], 0..60),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
        answers: bool,
    ) {
        let frames = match answers {
            true => Frames::new(Bytes::from_static(b"\x0a\x01m"), Otherwise::Keep { errors: true }),
            false => oip(),
        };
        let whole = in_pieces(frames.clone(), &bytes, &[]).map(|(out, _)| out);
        let pieces = in_pieces(frames, &bytes, &cuts).map(|(out, _)| out);
        prop_assert_eq!(whole, pieces);
    }
}
