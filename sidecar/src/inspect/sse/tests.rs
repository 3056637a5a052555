use super::*;

/// Data lengths and names of events, since data are not kept.
fn events(bytes: &[u8], whole: bool) -> Vec<Event> {
    let mut splitter = Splitter::new(true);
    let mut out = Vec::new();
    splitter.feed(bytes, |event| out.push(event));
    if whole {
        out.extend(splitter.finish());
    }
    out
}

#[test]
fn every_line_end_ends_a_line() {
    for text in [
        "data: {\"error\":1}\n\ndata: [DONE]\n\n",
        "data: {\"error\":1}\r\n\r\ndata: [DONE]\r\n\r\n",
        "data: {\"error\":1}\r\rdata: [DONE]\r\r",
        "data:{\"error\":1}\n\r\ndata:[DONE]\n\r",
        "\u{feff}data: {\"error\":1}\n\n:comment\nid: 7\ndata: [DONE]\n\n",
        "data\ndata: {\"error\":\ndata: 1}\n\nretry: 3\n\n\n\ndata:[DONE]  \n\n",
    ] {
        let found = events(text.as_bytes(), false);
        assert_eq!(found.len(), 2, "{text:?}");
        assert!(found[0].facts.error && !found[0].done, "{text:?}");
        assert!(found[1].done, "{text:?}");
    }
}

#[test]
fn a_line_end_in_two_pieces_is_one() {
    let mut splitter = Splitter::new(true);
    let mut count = 0;
    for piece in ["data: x\r", "", "\ndata: y\r", "\n", "\r", "\n"] {
        splitter.feed(piece.as_bytes(), |_| count += 1);
    }
    assert_eq!(count, 1);
}

#[test]
fn only_one_blank_is_taken_away() {
    assert!(events(b"data: [DONE]\n\n", false)[0].done);
    assert!(!events(b"data:  [DONE]\n\n", false)[0].done);
}

#[test]
fn fields_without_data_make_no_event() {
    assert!(events(b"event: error\n\n: ping\n\nid\n\n", true).is_empty());
    assert_eq!(events(b"data\n\n", false).len(), 1);
    assert_eq!(events(b"data:\n\n", false).len(), 1);
    assert!(events(b"datas: x\n\n Data: x\n\n", true).is_empty());
}

#[test]
fn names_are_those_of_their_event() {
    let found = events(b"event: error\ndata: {}\n\nevent: x\nevent:error\ndata: {}\n\ndata: {}\n\nevent: errors\ndata: 1\n\n", false);
    let named: Vec<_> = found.iter().map(|event| event.named_error).collect();
    assert_eq!(named, [true, true, false, false]);
    let emptied = events(b"event: error\nevent\ndata: {}\n\n", false);
    assert!(!emptied[0].named_error);
}

#[test]
fn a_last_event_needs_no_blank_line() {
    assert!(events(b"data: [DONE]", false).is_empty());
    assert_eq!(events(b"data: [DONE]", true).len(), 1);
    assert_eq!(events(b"data: [DONE]\n", true).len(), 1);
    assert_eq!(events(b"data: [DONE]\n\n", true).len(), 1);
}

#[test]
fn a_mark_is_one_only_at_the_start() {
    assert!(events("\n\u{feff}data: x\n\n".as_bytes(), true).is_empty());
    assert_eq!(events("\u{feff}\ndata: x\n\n".as_bytes(), true).len(), 1);
}
