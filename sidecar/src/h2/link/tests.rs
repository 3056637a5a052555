use super::*;

fn terms() -> Terms {
    Terms {
        max_streams: Some(100),
        stream_window: 65_535,
        connection_window: 1 << 20,
        head_bytes: 1 << 14,
    }
}

/// A server's side to which settings have come.
fn settled() -> Link {
    let mut link = Link::server(terms());
    let event = link.receive(frame(kind::SETTINGS, 0, 0, b""), 0).unwrap();
    assert!(matches!(event, Some(Event::Settled { by: 0 })));
    link
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Frame<'_> {
    Frame {
        kind,
        flags,
        stream,
        payload,
    }
}

fn refused(link: &mut Link, bad: Frame<'_>) -> Code {
    link.receive(bad, 0).unwrap_err()
}

#[test]
fn frames_that_break_the_rules_end_the_connection() {
    use kind::*;
    let cases: [(Frame<'_>, Code); 16] = [
        (frame(DATA, 0, 0, b"x"), Code::PROTOCOL),
        (frame(HEADERS, 4, 0, b""), Code::PROTOCOL),
        (frame(SETTINGS, 0, 1, b""), Code::PROTOCOL),
        (frame(SETTINGS, 0, 0, b"12345"), Code::FRAME_SIZE),
        (frame(SETTINGS, 1, 0, b"123456"), Code::FRAME_SIZE),
        (
            frame(SETTINGS, 0, 0, b"\0\x04\xff\xff\xff\xff"),
            Code::FLOW_CONTROL,
        ),
        (frame(SETTINGS, 0, 0, b"\0\x05\0\0\0\x01"), Code::PROTOCOL),
        (frame(SETTINGS, 0, 0, b"\0\x02\0\0\0\x02"), Code::PROTOCOL),
        (frame(PING, 0, 0, b"1234567"), Code::FRAME_SIZE),
        (frame(PING, 0, 1, b"12345678"), Code::PROTOCOL),
        (frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"), Code::PROTOCOL),
        (
            frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"),
            Code::FLOW_CONTROL,
        ),
        (frame(WINDOW_UPDATE, 0, 1, b"\0\0\0"), Code::FRAME_SIZE),
        (frame(RST_STREAM, 0, 1, b"\0"), Code::FRAME_SIZE),
        (frame(PUSH_PROMISE, 4, 1, b"\0\0\0\x02"), Code::PROTOCOL),
        (frame(CONTINUATION, 4, 1, b""), Code::PROTOCOL),
    ];
    for (bad, code) in cases {
        assert_eq!(refused(&mut settled(), bad), code, "{bad:?}");
    }
    let first = frame(PING, 0, 0, b"12345678");
    assert_eq!(refused(&mut Link::server(terms()), first), Code::PROTOCOL);
    let bad_head = frame(HEADERS, 4, 1, b"\x80");
    assert_eq!(refused(&mut settled(), bad_head), Code::COMPRESSION);
}

#[test]
fn a_head_in_parts_is_put_together_and_nothing_comes_between() {
    let mut link = settled();
    assert!(
        link.receive(frame(kind::HEADERS, 1, 1, b"\x83"), 0)
            .unwrap()
            .is_none()
    );
    assert!(
        link.receive(frame(kind::CONTINUATION, 0, 1, b"\x86"), 0)
            .unwrap()
            .is_none()
    );
    let event = link
        .receive(frame(kind::CONTINUATION, 4, 1, b"\x84"), 0)
        .unwrap();
    let Some(Event::Head {
        stream: 1,
        block,
        end: true,
    }) = event
    else {
        panic!("{event:?}");
    };
    assert_eq!(block.iter().count(), 3);
    link.receive(frame(kind::HEADERS, 0, 3, b"\x83"), 0)
        .unwrap();
    assert_eq!(
        refused(&mut link, frame(kind::DATA, 0, 3, b"")),
        Code::PROTOCOL
    );
    link = settled();
    link.receive(frame(kind::HEADERS, 0, 3, b"\x83"), 0)
        .unwrap();
    assert_eq!(
        refused(&mut link, frame(kind::CONTINUATION, 4, 5, b"")),
        Code::PROTOCOL
    );
}

#[test]
fn floods_of_continuations_are_bounded_in_number_and_in_bytes() {
    let mut link = settled();
    link.receive(frame(kind::HEADERS, 0, 1, b""), 0).unwrap();
    let part = frame(kind::CONTINUATION, 0, 1, b"");
    let many = (0..1000).find_map(|n| link.receive(part, 0).err().map(|code| (n, code)));
    assert_eq!(many, Some((32, Code::ENHANCE_YOUR_CALM)));
    let mut link = settled();
    let large = [0; 9000];
    link.receive(frame(kind::HEADERS, 0, 1, &large), 0).unwrap();
    assert_eq!(
        refused(&mut link, frame(kind::CONTINUATION, 0, 1, &large)),
        Code::ENHANCE_YOUR_CALM
    );
}

#[test]
fn floods_of_cheap_frames_are_bounded() {
    for (cheap, most) in [
        (frame(kind::PING, 0, 0, b"12345678"), 10_000),
        (frame(kind::SETTINGS, 0, 0, b""), 99),
        (frame(kind::DATA, 0, 1, b""), 1000),
        (frame(kind::PRIORITY, 0, 1, b"12345"), 1000),
        (frame(99, 0, 1, b"what"), 1000),
    ] {
        let mut link = settled();
        let first = (0..20_000).find_map(|n| link.receive(cheap, 5).err().map(|code| (n, code)));
        assert_eq!(first, Some((most, Code::ENHANCE_YOUR_CALM)), "{cheap:?}");
        let mut link = settled();
        assert!(
            (0..20_000).all(|n| link.receive(cheap, n * 20).is_ok()),
            "{cheap:?}"
        );
    }
}

#[test]
fn more_data_than_the_window_is_refused() {
    let mut link = settled();
    let data = [0; MAX_PAYLOAD];
    let first = (0..100).find_map(|n| {
        link.receive(frame(kind::DATA, 0, 1, &data), 0)
            .err()
            .map(|code| (n, code))
    });
    assert_eq!(first, Some((64, Code::FLOW_CONTROL)));
}

#[test]
fn whoever_asks_without_reading_is_read_no_more() {
    let mut link = settled();
    let ping = frame(kind::PING, 0, 0, b"12345678");
    for n in 0..70_000 {
        link.receive(ping, n).unwrap();
    }
    assert!(link.is_stuck());
    let unwritten = link.unwritten().len();
    link.wrote(unwritten);
    assert!(!link.is_stuck() && link.out.capacity() <= KEPT);
}

#[test]
fn a_long_head_is_written_in_parts() {
    let mut link = settled();
    let begun = link.unwritten().len();
    link.wrote(begun);
    let value = vec![b'v'; 40_000];
    link.head(1, true, |encoder, out| {
        encoder.field(out, own("n", &value, false))
    });
    let bytes = link.unwritten().to_vec();
    let mut other = Link::client(Terms {
        head_bytes: 1 << 16,
        ..terms()
    });
    other.receive(frame(kind::SETTINGS, 0, 0, b""), 0).unwrap();
    let mut rest = &bytes[..];
    let mut heads = Vec::new();
    while let Some((part, after)) = Frame::cut(rest).unwrap() {
        rest = after;
        if let Some(Event::Head { block, end, .. }) = other.receive(part, 0).unwrap() {
            assert!(end);
            heads.push(block.get("n").map(<[u8]>::len));
        }
    }
    assert_eq!(heads, [Some(40_000)]);
}

#[test]
fn room_is_that_of_the_window_and_of_the_buffer() {
    let mut link = settled();
    assert_eq!(link.room(), MAX_PAYLOAD);
    for _ in 0..4 {
        let room = link.room();
        link.data(1, &[0; MAX_PAYLOAD][..room], false);
    }
    assert_eq!(link.room(), 0);
    assert!(!link.has_room_again());
    link.receive(frame(kind::WINDOW_UPDATE, 0, 0, b"\0\x10\0\0"), 0)
        .unwrap();
    assert!(link.has_room_again() && !link.has_room_again());
    while link.room() > 0 {
        link.data(1, &[0; MAX_PAYLOAD], false);
    }
    assert!(link.unwritten().len() >= FULL && !link.has_room_again());
    let unwritten = link.unwritten().len();
    link.wrote(unwritten);
    assert!(link.has_room_again());
}
