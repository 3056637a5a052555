use super::*;
use crate::fast::lines::slots;
use proptest::prelude::*;

fn read<T>(text: &str, of: impl FnOnce(&AnswerHead<'_, '_>) -> T) -> Result<Option<T>, Malformed> {
    let mut slots = slots();
    parse(text.as_bytes(), &mut slots).map(|head| head.as_ref().map(of))
}

fn body(lines: &str, asked_head: bool) -> Body {
    let body = read(&format!("HTTP/1.1 {lines}\r\n"), |head| {
        head.body(asked_head)
    });
    body.unwrap().unwrap()
}

#[test]
fn where_the_body_ends_is_known() {
    assert_eq!(
        body("200 OK\r\nContent-Length: 7\r\n", false),
        Body::Length(7)
    );
    assert_eq!(body("200 OK\r\nContent-Length: 7\r\n", true), Body::none());
    assert_eq!(
        body("200\r\nTransfer-Encoding: chunked\r\n", false),
        Body::chunked()
    );
    assert_eq!(body("200 OK\r\n", false), Body::UntilClose);
    assert_eq!(body("204 No Content\r\n", false), Body::none());
    assert_eq!(
        body("304 Not Modified\r\nContent-Length: 9\r\n", false),
        Body::none()
    );
    assert_eq!(body("103 Early Hints\r\nlink: a\r\n", false), Body::none());
}

#[test]
fn connections_are_kept_only_when_that_is_safe() {
    let keeps = |text: &str| read(text, |head| head.keeps_alive()).unwrap().unwrap();
    assert!(keeps("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"));
    assert!(!keeps("HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n"));
    assert!(!keeps(
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 7\r\n\r\n"
    ));
    assert!(!keeps(
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    assert!(keeps(
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
    ));
}

#[test]
fn unsound_answers_are_refused() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 7\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : 7\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: 7\r\n folded\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
    ] {
        assert!(read(text, |_| ()).is_err(), "{text:?}");
    }
}

#[test]
fn event_streams_are_known() {
    let is = |kind: &str| {
        let text = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n");
        read(&text, |head| head.is_event_stream()).unwrap().unwrap()
    };
    assert!(is("text/event-stream; charset=utf-8") && is("Text/Event-Stream"));
    assert!(!is("text/event") && !is("application/json"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut slots = slots();
        let _ = parse(&text, &mut slots);
    }

    #[test]
    fn a_part_of_a_sound_head_is_never_refused(value in "[ -~]{0,30}", at in 0usize..200) {
        let text = format!("HTTP/1.1 200 OK\r\nX-A: {value}\r\nContent-Length: 12\r\n\r\n");
        let at = at.min(text.len() - 1);
        prop_assert!(read(&text[..at], |_| ()).unwrap().is_none());
        prop_assert!(read(&text, |_| ()).unwrap().is_some());
    }
}
