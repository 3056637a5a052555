use super::tests::head;
use super::*;
use proptest::prelude::*;

const CALLS: [Kind; 5] = [
    Kind::Other,
    Kind::Completions,
    Kind::Responses,
    Kind::Generate,
    Kind::Invocations,
];

const TYPES: [&[u8]; 3] = [
    b"text/event-stream",
    b"application/json",
    b"application/grpc",
];

/// Lines as servers write them, and some that nobody should.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(
            "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":null}]}"
                .to_owned()
        ),
        Just("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}".to_owned()),
        Just("data: {\"usage\":{\"completion_tokens\":12}}".to_owned()),
        Just("data: {\"error\":\"boom\"}".to_owned()),
        Just("data: {\"type\":\"response.completed\"}".to_owned()),
        Just("data: [DONE]".to_owned()),
        Just("event: error".to_owned()),
        Just(String::new()),
        "[a-z: \\[{\"]{0,12}",
    ]
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let end = prop::sample::select(&["\n", "\r", "\r\n", "\n\n"][..]);
    let lines = prop::collection::vec((line(), end), 0..12);
    (any::<bool>(), lines).prop_map(|(marked, lines)| {
        let mut text = if marked { "\u{feff}" } else { "" }.to_owned();
        lines.iter().for_each(|(line, end)| {
            text.push_str(line);
            text.push_str(end);
        });
        text.into_bytes()
    })
}

fn found<'a>(
    call: Kind,
    head: &Head<'_>,
    pieces: impl Iterator<Item = &'a [u8]>,
    how: End,
) -> Option<Findings> {
    let mut inspector = Inspector::for_answer(call, StreamForm::Wrapped, head)?;
    pieces.for_each(|piece| inspector.feed(piece, || 1));
    Some(inspector.finish(how))
}

proptest! {
    #[test]
    fn pieces_make_no_difference(text in text(), call in prop::sample::select(&CALLS[..]), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10)) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(text.len());
        let mut from = 0;
        let pieces = cuts.iter().map(|&to| &text[std::mem::replace(&mut from, to)..to]);
        let head = head(200, b"text/event-stream");
        for how in [End::Whole, End::Left, End::Cut] {
            let in_one = found(call, &head, std::iter::once(&text[..]), how);
            prop_assert!(in_one.is_some());
            prop_assert_eq!(found(call, &head, text.chunks(1), how), in_one);
        }
        let in_one = found(call, &head, std::iter::once(&text[..]), End::Whole);
        prop_assert_eq!(found(call, &head, pieces, End::Whole), in_one);
    }

    #[test]
    fn any_body_is_looked_at_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        call in prop::sample::select(&CALLS[..]),
        kind in prop::sample::select(&TYPES[..]),
        status in prop::sample::select(&[200u16, 400][..]),
    ) {
        let _ = found(call, &head(status, kind), bytes.chunks(7), End::Whole);
        let _ = found(Kind::Messages, &head(status, kind), bytes.chunks(7), End::Whole);
    }
}
