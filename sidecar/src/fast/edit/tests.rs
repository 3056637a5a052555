use super::*;
use crate::fast::lines::slots;
use crate::fast::{answer, request};
use proptest::prelude::*;

fn request_as_sent(text: &str, target: Option<&str>) -> String {
    let mut slots = slots();
    let head = request::parse(text.as_bytes(), &mut slots)
        .unwrap()
        .unwrap();
    let mut out = Vec::new();
    let place = super::request(&mut out, &head, target);
    let out = String::from_utf8(out).unwrap();
    assert_eq!(&out[place], target.unwrap_or(head.asked));
    out
}

const NEW: Reader = Reader {
    old: false,
    close: false,
};

fn answer_as_sent(text: &str, reader: Reader) -> String {
    let mut slots = slots();
    let head = answer::parse(text.as_bytes(), &mut slots).unwrap().unwrap();
    let mut out = Vec::new();
    let labels = Labels {
        variant: b"v2",
        prediction_id: b"id",
    };
    super::answer(&mut out, &head, Some(labels), reader);
    String::from_utf8(out).unwrap()
}

#[test]
fn what_need_not_change_does_not() {
    let text = "POST /a?b HTTP/1.1\r\nhOsT:  ml.local \r\nX-A:1\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(request_as_sent(text, None), text);
    let moved = request_as_sent(text, Some("/base/a?b"));
    assert_eq!(moved, text.replace("/a?b", "/base/a?b"));
}

#[test]
fn what_belongs_to_the_connection_is_left_out() {
    let text = "GET / HTTP/1.1\r\nConnection: close, X-Hop, Host\r\nHost: a\r\nx-hop: 1\r\nKeep-Alive: 5\r\n\
        X-Serinus-Variant: v2\r\nTE: gzip\r\nExpect: 100-continue\r\nte:Trailers\r\nX-Serinusx: 1\r\nProxy-Authorization: b\r\nConnection: content-length\r\nContent-Length: 0\r\n\r\n";
    let sent = request_as_sent(text, None);
    assert_eq!(
        sent,
        "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nExpect: 100-continue\r\nX-Serinusx: 1\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn a_host_in_the_target_wins_and_the_version_is_ours() {
    let text = "GET http://ml.local:80/a?b HTTP/1.0\r\nX-A: 1\r\nhOST:other \r\nX-B: 2\r\n\r\n";
    assert_eq!(
        request_as_sent(text, None),
        "GET /a?b HTTP/1.1\r\nX-A: 1\r\nhOST: ml.local:80\r\nX-B: 2\r\n\r\n"
    );
    let moved = request_as_sent(text, Some("/base/a?b"));
    assert!(
        moved.starts_with("GET /base/a?b HTTP/1.1\r\nX-A"),
        "{moved}"
    );
}

#[test]
fn who_speaks_http_1_0_gets_no_chunks_and_is_told_whether_the_connection_stays() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nX-A: 1\r\n\r\n";
    let old = Reader {
        old: true,
        close: true,
    };
    let labels = "x-serinus-variant: v2\r\nx-serinus-prediction-id: id\r\n";
    assert_eq!(
        answer_as_sent(chunked, old),
        format!("HTTP/1.1 200 OK\r\nX-A: 1\r\n{labels}connection: close\r\n\r\n")
    );
    let counted = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        answer_as_sent(
            counted,
            Reader {
                close: false,
                ..old
            }
        ),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{labels}connection: keep-alive\r\n\r\n")
    );
}

#[test]
fn answers_get_their_labels_at_the_end() {
    let labels = "x-serinus-variant: v2\r\nx-serinus-prediction-id: id\r\n";
    let text = "HTTP/1.1 200 Fine\r\nDate: x\r\nContent-length: 5\r\n\r\n";
    let labelled = text.replace("\r\n\r\n", &format!("\r\n{labels}\r\n"));
    assert_eq!(answer_as_sent(text, NEW), labelled);
    let closed = text.replace(
        "\r\n\r\n",
        &format!("\r\n{labels}connection: close\r\n\r\n"),
    );
    assert_eq!(answer_as_sent(text, Reader { close: true, ..NEW }), closed);
    let old =
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nX-SERINUS-VARIANT: v9\r\nX-A: b\r\n\r\n";
    assert_eq!(
        answer_as_sent(old, NEW),
        format!("HTTP/1.1 200 OK\r\nX-A: b\r\n{labels}\r\n")
    );
    let empty = "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(
        answer_as_sent(empty, NEW),
        format!("HTTP/1.1 204 No Content\r\n{labels}\r\n")
    );
}

proptest! {
    #[test]
    fn everything_else_stays_in_its_place(headers in prop::collection::vec(("(Connection|Upgrade|keep-alive|X-[a-c]|x-serinus-[a-z]|Accept)", "[a-z, -]{0,12}"), 0..12)) {
        let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", lines.concat());
        let sent = request_as_sent(&text, None);
        let mut slots = slots();
        let head = request::parse(sent.as_bytes(), &mut slots).unwrap().unwrap();
        prop_assert_eq!(head.length, sent.len());
        let mut named: Vec<_> = headers.iter().filter(|(name, _)| name == "Connection").flat_map(|(_, value)| value.split(',')).map(str::trim).collect();
        named.extend(["connection", "upgrade", "keep-alive"]);
        let stays = |name: &str| !named.iter().any(|other| other.eq_ignore_ascii_case(name)) && !name.starts_with("x-serinus-");
        let kept: Vec<_> = headers.iter().zip(&lines).filter(|((name, _), _)| stays(name)).map(|(_, line)| line.as_str()).collect();
        prop_assert_eq!(&sent, &format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", kept.concat()));
    }
}
