use super::*;
use crate::fast::lines::slots;
use proptest::prelude::*;

fn outcome(text: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut slots = slots();
    parse(text, &mut slots).map(|head| head.map(|head| head.length))
}

fn with(lines: &str) -> String {
    format!("POST /p?q=1 HTTP/1.1\r\nHost: ml.local\r\n{lines}\r\n")
}

#[test]
fn a_head_is_read() {
    let text = "\r\nPOST /p?q=1 HTTP/1.1\r\nHost: ml.local:80\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 5\r\n\r\nhello";
    let mut slots = slots();
    let head = parse(text.as_bytes(), &mut slots).unwrap().unwrap();
    assert_eq!(
        (head.method(), head.path(), head.query()),
        ("POST", "/p", Some("q=1"))
    );
    assert_eq!((head.host(), head.minor), (Some("ml.local:80"), 1));
    assert_eq!(head.values("x-a").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(head.body(), Body::Length(5));
    assert_eq!(&text[head.length..], "hello");
    assert!(head.keeps_alive() && !head.marks.unclean && !head.marks.ours);
}

#[test]
fn a_host_in_the_target_is_not_what_is_asked_for() {
    for (target, host, asked) in [
        ("/a?b", None, "/a?b"),
        ("*", None, "*"),
        (
            "http://ml.local:80/a?b=http://c/d",
            Some("ml.local:80"),
            "/a?b=http://c/d",
        ),
        ("HTTPS://[::1]/", Some("[::1]"), "/"),
        ("http://ml.local", Some("ml.local"), ""),
        ("http://ml.local?q", Some("ml.local"), "?q"),
    ] {
        let text = format!("OPTIONS {target} HTTP/1.1\r\nHost: other\r\n\r\n");
        let mut slots = slots();
        let head = parse(text.as_bytes(), &mut slots).unwrap().unwrap();
        assert_eq!((head.named, head.asked), (host, asked), "{target}");
        assert_eq!(head.host(), Some(host.unwrap_or("other")));
    }
}

#[test]
fn what_matters_is_noticed() {
    let text = with(
        "Connection: close, X-B\r\nTE: trailers\r\nX-Serinus-Variant: v2\r\nUpgrade: websocket\r\n\
         Expect: 100-continue\r\nTransfer-Encoding: Chunked\r\nContent-Type: application/grpc\r\n",
    );
    let mut slots = slots();
    let head = parse(text.as_bytes(), &mut slots).unwrap().unwrap();
    let marks = head.marks;
    assert!(marks.unclean && marks.ours && marks.upgrade && marks.expect && marks.grpc);
    assert!(marks.options.close && marks.options.others && !head.keeps_alive());
    assert_eq!(head.body(), Body::chunked());
    let old = "GET / HTTP/1.0\r\n\r\n";
    let mut slots = crate::fast::lines::slots();
    let head = parse(old.as_bytes(), &mut slots).unwrap().unwrap();
    assert!(head.minor == 0 && !head.keeps_alive() && head.host().is_none());
}

#[test]
fn ambiguous_heads_are_refused() {
    use Malformed as M;
    let heads = [
        (
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            M::ContentLength,
        ),
        ("Content-Length: 5, 5\r\n", M::ContentLength),
        ("Content-Length: +5\r\n", M::ContentLength),
        ("Content-Length: -1\r\n", M::ContentLength),
        ("Content-Length: 0x5\r\n", M::ContentLength),
        ("Content-Length: \r\n", M::ContentLength),
        (
            "Content-Length: 1844674407370955161600\r\n",
            M::ContentLength,
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            M::BothLengths,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            M::BothLengths,
        ),
        (
            "Transfer-Encoding: chunked, identity\r\n",
            M::TransferEncoding,
        ),
        ("Transfer-Encoding: gzip, chunked\r\n", M::TransferEncoding),
        ("Transfer-Encoding: xchunked\r\n", M::TransferEncoding),
        ("Transfer-Encoding: identity\r\n", M::TransferEncoding),
        ("Transfer-Encoding:\r\n", M::TransferEncoding),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            M::TransferEncoding,
        ),
        ("Content-Length : 5\r\n", M::HeaderName),
        (" X: folded\r\n", M::HeaderName),
        ("X: a\r\n folded\r\n", M::HeaderName),
        ("X: a\r\n\tfolded\r\n", M::HeaderName),
        ("X: a\0b\r\n", M::HeaderValue),
        ("X: a\rb\r\n", M::HeaderValue),
        ("X: a\x7fb\r\n", M::HeaderValue),
        ("X\0: a\r\n", M::HeaderName),
        (": a\r\n", M::HeaderName),
        ("X: a\nY: b\r\n", M::LineEnd),
        ("X: a\n", M::LineEnd),
        ("Host: other\r\n", M::Host),
    ];
    for (lines, why) in heads {
        assert_eq!(outcome(with(lines).as_bytes()), Err(why), "{lines:?}");
    }
}

#[test]
fn first_lines_and_hosts_are_strict() {
    for (text, why) in [
        ("GET / HTTP/1.1\r\n\r\n", Malformed::Host),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Malformed::Host),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", Malformed::Host),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Malformed::Host),
        ("GET / HTTP/1.1\r\nHost: u@b\r\n\r\n", Malformed::Host),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Malformed::FirstLine),
        ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", Malformed::Target),
        ("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", Malformed::Target),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Malformed::Target),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", Malformed::Target),
        (
            "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
            Malformed::Target,
        ),
        (
            "GET http://u@h/x HTTP/1.1\r\nHost: a\r\n\r\n",
            Malformed::Target,
        ),
        (
            "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
            Malformed::Target,
        ),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", Malformed::FirstLine),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Malformed::LineEnd),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", Malformed::FirstLine),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", Malformed::LineEnd),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", Malformed::LineEnd),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Malformed::LineEnd),
        ("GET\0/ HTTP/1.1\r\nHost: a\r\n\r\n", Malformed::FirstLine),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            Malformed::TransferEncoding,
        ),
    ] {
        assert_eq!(outcome(text.as_bytes()), Err(why), "{text:?}");
    }
    for target in [
        "/",
        "//",
        "/a?b",
        "http://a",
        "HTTP://[::1]:80/x",
        "https://a?b",
    ] {
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(outcome(text.as_bytes()).unwrap().is_some(), "{target}");
    }
    let many = with(&"a: b\r\n".repeat(100));
    assert_eq!(outcome(many.as_bytes()), Err(Malformed::TooManyHeaders));
    assert!(
        outcome(with(&"a: b\r\n".repeat(99)).as_bytes())
            .unwrap()
            .is_some()
    );
    assert!(
        outcome(b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n")
            .unwrap()
            .is_some()
    );
    assert!(
        outcome(b"GET / HTTP/1.1\r\nHost:\r\n\r\n")
            .unwrap()
            .is_some()
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = outcome(&text);
    }

    #[test]
    fn odd_heads_are_read_or_refused_without_panic(text in "(GET|POST) /[ -~]{0,9} HTTP/1.[01](\r\n|\n)([a-z-]{0,12}[: ]{0,2}[ -~\r\n\t]{0,12}(\r\n|\n|\r)){0,6}(\r\n|\n)") {
        if let Ok(Some(length)) = outcome(text.as_bytes()) {
            let head = &text.as_bytes()[..length];
            prop_assert!(head.ends_with(b"\r\n\r\n"));
            let bare = (0..length).any(|at| head[at] == b'\n' && (at == 0 || head[at - 1] != b'\r'));
            prop_assert!(!bare, "{text:?}");
        }
    }

    #[test]
    fn a_part_of_a_sound_head_is_never_refused(value in "[ -~]{0,30}", at in 0usize..200) {
        let text = with(&format!("X-A: {value}\r\nContent-Length: 12\r\n"));
        let at = at.min(text.len() - 1);
        prop_assert_eq!(outcome(&text.as_bytes()[..at]), Ok(None));
        prop_assert_eq!(outcome(text.as_bytes()), Ok(Some(text.len())));
    }
}
