use super::*;
use proptest::prelude::*;

/// Payload, bytes taken and whether it is done, when the input comes in these pieces.
fn read(pieces: &[&[u8]]) -> Result<(Vec<u8>, usize, bool), Malformed> {
    let mut chunks = Chunks::default();
    let (mut data, mut bytes, mut payload) = (Vec::new(), 0, 0);
    for piece in pieces {
        let taken = chunks.take(piece, |part| data.extend_from_slice(part))?;
        bytes += taken.bytes;
        payload += taken.payload;
        if taken.bytes < piece.len() {
            assert!(chunks.is_done());
            break;
        }
    }
    assert_eq!(payload, data.len() as u64);
    Ok((data, bytes, chunks.is_done()))
}

#[test]
fn sound_bodies_are_read_to_their_end() {
    for (text, data) in [
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("00005;a=b;c=\"d e\"\r\nhello\r\n000;x\r\n\r\n", "hello"),
        (
            "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\nx-t: 1\r\nY:\r\n\r\n",
            "01234567890123456789",
        ),
    ] {
        let with_next = format!("{text}GET /");
        let got = read(&[with_next.as_bytes()]).unwrap();
        assert_eq!(
            got,
            (data.as_bytes().to_vec(), text.len(), true),
            "{text:?}"
        );
    }
}

#[test]
fn unsound_bodies_are_refused() {
    for text in [
        "\r\n",
        "g\r\n",
        "0x5\r\n",
        "+5\r\n",
        "-5\r\n",
        " 5\r\n",
        "5 \r\n",
        "5\n",
        "5\r\r\n",
        "5\rx",
        ";a\r\n",
        "5 ;a\r\n",
        "1000000000000000\r\n",
        "5;a\nb\r\n",
        "5;a\x00\r\n",
        "5;a\rb",
        "5\r\nhelloX",
        "5\r\nhello\n",
        "5\r\nhello\rX",
        "5\r\nhello0\r\n\r\n",
        "0\r\n\n",
        "0\r\nx\r\n",
        "0\r\n: a\r\n",
        "0\r\n x: a\r\n",
        "0\r\nx : a\r\n",
        "0\r\nx: a\n",
        "0\r\n\rX",
        "0\r\nx: a\r\n b\r\n",
        "0\r\nx: \x01\r\n",
        "0\r\nContent-Length: 5\r\n",
        "0\r\ntransfer-encoding: chunked\r\n",
        "0\r\nhost: a\r\n",
    ] {
        assert!(read(&[text.as_bytes()]).is_err(), "{text:?}");
    }
    let extended = format!("5;{}\r\n", "a".repeat(20_000));
    assert_eq!(read(&[extended.as_bytes()]), Err(Malformed::ChunkExtension));
    let trailed = format!("0\r\n{}", "a: b\r\n".repeat(4000));
    assert_eq!(read(&[trailed.as_bytes()]), Err(Malformed::Trailer));
}

fn chunked() -> impl Strategy<Value = (Vec<u8>, String)> {
    let chunk = (
        prop::collection::vec(any::<u8>(), 1..30),
        "(;[a-z=\"]{0,6}){0,2}",
        0usize..3,
    );
    let trailers = prop::collection::vec(("x-[a-z]{1,20}", "[ -~]{0,10}"), 0..3);
    (prop::collection::vec(chunk, 0..6), trailers).prop_map(|(chunks, trailers)| {
        let mut text = Vec::new();
        for (data, extension, zeros) in chunks {
            let zeros = "0".repeat(zeros);
            text.extend_from_slice(format!("{zeros}{:x}{extension}\r\n", data.len()).as_bytes());
            text.extend_from_slice(&data);
            text.extend_from_slice(b"\r\n");
        }
        let late: String = trailers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        (text, late)
    })
}

fn cut<'a>(text: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places
        .iter()
        .map(|place| place % (text.len() + 1))
        .collect();
    places.extend([0, text.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| &text[pair[0]..pair[1]])
        .collect()
}

proptest! {
    #[test]
    fn it_makes_no_difference_where_the_input_is_cut((mut text, late) in chunked(), places in prop::collection::vec(any::<usize>(), 0..20)) {
        text.extend_from_slice(format!("0\r\n{late}\r\n").as_bytes());
        let whole = read(&[&text]).unwrap();
        prop_assert_eq!((whole.1, whole.2), (text.len(), true));
        prop_assert_eq!(read(&cut(&text, &places)).unwrap(), whole);
    }

    #[test]
    fn it_makes_no_difference_for_anything_else_either(text in "[0-9a-f;:x \r\n]{0,40}", places in prop::collection::vec(any::<usize>(), 0..20)) {
        let whole = read(&[text.as_bytes()]);
        prop_assert_eq!(read(&cut(text.as_bytes(), &places)), whole);
    }
}
