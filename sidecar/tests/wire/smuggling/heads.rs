//! What a head says.

use super::{Fate, Row};

fn row(name: impl Into<String>, bytes: impl Into<Vec<u8>>, fate: Fate) -> Row {
    Row {
        name: name.into(),
        bytes: bytes.into(),
        fate,
    }
}

pub fn rows() -> Vec<Row> {
    let mut rows = start_lines();
    rows.extend(targets());
    rows.extend(hosts());
    rows.extend(fields());
    rows.extend(line_ends());
    rows.extend(sizes());
    rows
}

fn start_lines() -> Vec<Row> {
    let bad = [
        "GET /x\r\n",
        "GET  /x HTTP/1.1\r\n",
        "GET /x  HTTP/1.1\r\n",
        "GET\t/x HTTP/1.1\r\n",
        "GET /x\tHTTP/1.1\r\n",
        "GET /x HTTP/1.1 \r\n",
        "GET /x HTTP/1.1\t\r\n",
        " GET /x HTTP/1.1\r\n",
        "\tGET /x HTTP/1.1\r\n",
        "GET /x y HTTP/1.1\r\n",
        "GET /x HTTP/1.1 HTTP/1.1\r\n",
        "GET HTTP/1.1\r\n",
        "/x HTTP/1.1\r\n",
        "GET /x http/1.1\r\n",
        "GET /x HTTP/1.10\r\n",
        "GET /x HTTP/01.1\r\n",
        "GET /x HTTP/1.01\r\n",
        "GET /x HTTP/1,1\r\n",
        "GET /x HTTP/1\r\n",
        "GET /x HTTP/\r\n",
        "GET /x HTTP/a.b\r\n",
        "GET /x HTTP /1.1\r\n",
        "GET /x HTTP/ 1.1\r\n",
        "GET /x HTTPS/1.1\r\n",
        "GET /x ICY/1.1\r\n",
        "GET /x HTTP/-1.1\r\n",
        "GET /x HTTP/1.1x\r\n",
        "GET /x HTTP/1.1\0\r\n",
        "GET\0 /x HTTP/1.1\r\n",
        "G\u{1}T /x HTTP/1.1\r\n",
        "G\u{e9}T /x HTTP/1.1\r\n",
        "G(T /x HTTP/1.1\r\n",
        "G:T /x HTTP/1.1\r\n",
        "\"GET\" /x HTTP/1.1\r\n",
        ": /x HTTP/1.1\r\n",
        "GET /x HTTP/1.1\r\r\n",
        "GET /x HTTP/1.1\u{b}\r\n",
    ];
    let mut rows: Vec<Row> = bad
        .iter()
        .map(|line| {
            row(
                format!("start {line:?}"),
                format!("{line}Host: a\r\n\r\n"),
                Fate::Refused,
            )
        })
        .collect();
    for version in ["0.9", "1.2", "1.9", "2.0", "3.0", "9.9", "0.0"] {
        let bytes = format!("GET /x HTTP/{version}\r\nHost: a\r\n\r\n");
        rows.push(row(
            format!("version {version}"),
            bytes,
            Fate::Among(&[400, 505]),
        ));
    }
    rows.push(row("HTTP/0.9", "GET /x\r\n\r\n", Fate::Refused));
    rows.push(row(
        "lines before a request",
        "\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        Fate::OneOrRefused(b""),
    ));
    rows.push(row(
        "an HTTP/2 preface cut short",
        "PRI * HTTP/2.0\r\n\r\n",
        Fate::Among(&[400, 505]),
    ));
    rows.push(row(
        "an answer",
        "HTTP/1.1 200 OK\r\nHost: a\r\n\r\n",
        Fate::Refused,
    ));
    rows.push(row(
        "TLS",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
        Fate::Refused,
    ));
    rows.push(row("NULs", vec![0; 64], Fate::Refused));
    rows
}

fn targets() -> Vec<Row> {
    let bad = [
        "x",
        "",
        "?",
        "?a",
        "#a",
        "/\0",
        "/a\0b",
        "/\u{1}",
        "/\u{7f}",
        "/a\u{b}b",
        "//\n",
        "http:",
        "http:/",
        "http://",
        "http:///x",
        "http://a b/x",
        "http://a\0/x",
        "http://@/x",
        "://a/x",
        "ftp//x",
        "a:80",
        "..",
        "\\x",
    ];
    let mut rows: Vec<Row> = bad
        .iter()
        .map(|target| {
            row(
                format!("target {target:?}"),
                format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
                Fate::Refused,
            )
        })
        .collect();
    for odd in ["/x#fragment", "http://a:port/x", "http://a:99999999/x"] {
        let bytes = format!("GET {odd} HTTP/1.1\r\nHost: a\r\n\r\n");
        rows.push(row(
            format!("target {odd:?}"),
            bytes,
            Fate::OneOrRefused(b""),
        ));
    }
    rows.push(row(
        "CONNECT",
        "CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n",
        Fate::Among(&[400, 405, 501]),
    ));
    rows
}

fn hosts() -> Vec<Row> {
    let of = |name: &str, lines: &str| {
        row(
            name,
            format!("GET /x HTTP/1.1\r\n{lines}\r\n"),
            Fate::Refused,
        )
    };
    vec![
        of("no host", ""),
        of("two hosts", "Host: a\r\nHost: b\r\n"),
        of("twice the same host", "Host: a\r\nHost: a\r\n"),
        of("two hosts apart", "Host: a\r\nX: y\r\nhost: b\r\n"),
        of("a host with a blank", "Host: a b\r\n"),
        of("a list of hosts", "Host: a, b\r\n"),
        of("a host with a path", "Host: a/x\r\n"),
        of("a host with a user", "Host: user@a\r\n"),
        of("a host with a query", "Host: a?x\r\n"),
        of("a host with a fragment", "Host: a#x\r\n"),
        row(
            "a host with a bad port",
            "GET /x HTTP/1.1\r\nHost: a:b\r\n\r\n",
            Fate::OneOrRefused(b""),
        ),
        of("a host with NUL", "Host: a\0\r\n"),
        of("a host with a blank before the colon", "Host : a\r\n"),
        of("a folded host", "Host:\r\n a\r\n"),
        of("a host with a backslash", "Host: a\\b\r\n"),
    ]
}

fn fields() -> Vec<Row> {
    let of = |name: String, line: Vec<u8>| {
        let mut bytes = b"GET /x HTTP/1.1\r\nHost: a\r\n".to_vec();
        bytes.extend(line);
        bytes.extend_from_slice(b"\r\n");
        row(name, bytes, Fate::Refused)
    };
    let mut rows = Vec::new();
    for line in [
        "X : y",
        "X\t: y",
        " X: y",
        "\tX: y",
        "X",
        "X y",
        ": y",
        " : y",
        ":",
        "X Y: z",
        "(X): y",
        "X\"Y: z",
        "X,Y: z",
        "X/Y: z",
        "X=Y: z",
        "X@Y: z",
        "X[Y]: z",
        "X{Y}: z",
        "X;Y: z",
        "X?: z",
        "X\\: z",
        "<X>: y",
        "Content-Length\\: 3",
    ] {
        rows.push(of(
            format!("field {line:?}"),
            format!("{line}\r\n").into_bytes(),
        ));
    }
    for byte in (0_u8..32).chain([127]) {
        if byte != b'\t' {
            rows.push(of(
                format!("byte {byte} in a value"),
                [b"X: a", &[byte][..], b"b\r\n"].concat(),
            ));
        }
        if !matches!(byte, b'\n') {
            rows.push(of(
                format!("byte {byte} in a name"),
                [b"X", &[byte][..], b"Y: b\r\n"].concat(),
            ));
        }
    }
    for byte in [0x80_u8, 0xa0, 0xff] {
        rows.push(of(
            format!("byte {byte} in a name"),
            [b"X", &[byte][..], b"Y: b\r\n"].concat(),
        ));
    }
    rows
}

fn line_ends() -> Vec<Row> {
    let bad = [
        "GET /x HTTP/1.1\nHost: a\n\n",
        "GET /x HTTP/1.1\nHost: a\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\n\n",
        "GET /x HTTP/1.1\r\nHost: a\n\n",
        "GET /x HTTP/1.1\rHost: a\r\r",
        "GET /x HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\n\r\r\n",
        "GET /x HTTP/1.1\r\nHost: a\n\rX: y\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n",
        "GET /x HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET /x HTTP/1.1\r\n\tX: y\r\nHost: a\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: y\r\n \r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX:\nContent-Length: 38\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: \rContent-Length: 38\r\n\r\n",
        "GET /x HTTP/1.1\u{85}Host: a\r\n\r\n",
        "\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "\rGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "\n\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    let rows = bad
        .iter()
        .map(|bytes| row(format!("lines {bytes:?}"), *bytes, Fate::Refused));
    rows.collect()
}

fn sizes() -> Vec<Row> {
    let head = |lines: String| format!("GET /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    vec![
        row(
            "a huge value",
            head(format!("X: {}\r\n", "a".repeat(100_000))),
            Fate::Declined(&[400, 414, 431]),
        ),
        row(
            "a huge name",
            head(format!("{}: y\r\n", "a".repeat(100_000))),
            Fate::Declined(&[400, 414, 431]),
        ),
        row(
            "a huge target",
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(100_000)),
            Fate::Declined(&[400, 414, 431]),
        ),
        row(
            "a huge method",
            format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(100_000)),
            Fate::Declined(&[400, 414, 431]),
        ),
        row(
            "many fields",
            head("X: y\r\n".repeat(2000)),
            Fate::Among(&[400, 414, 431]),
        ),
        row(
            "many more fields",
            head("X: y\r\n".repeat(200_000)),
            Fate::Among(&[400, 414, 431]),
        ),
        row(
            "many empty fields",
            head("X:\r\n".repeat(10_000)),
            Fate::Among(&[400, 414, 431]),
        ),
        row(
            "an endless first line",
            "A".repeat(3_000_000),
            Fate::Among(&[400, 414, 431]),
        ),
        row(
            "an endless value",
            format!("GET /x HTTP/1.1\r\nX: {}", "a".repeat(3_000_000)),
            Fate::Among(&[400, 414, 431]),
        ),
    ]
}
