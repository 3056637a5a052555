//! Where a body ends.

use super::{Fate, Row};

const START: &str = "POST /v2/models/m/infer HTTP/1.1\r\nHost: ml.local\r\n";

fn row(name: impl Into<String>, head: &str, body: impl AsRef<[u8]>, fate: Fate) -> Row {
    let mut bytes = format!("{START}{head}\r\n").into_bytes();
    bytes.extend_from_slice(body.as_ref());
    Row {
        name: name.into(),
        bytes,
        fate,
    }
}

pub fn rows() -> Vec<Row> {
    let mut rows = legal();
    rows.extend(both_lengths());
    rows.extend(lengths());
    rows.extend(codings());
    rows.extend(chunk_sizes());
    rows.extend(chunks());
    rows.extend(trailers());
    rows
}

fn legal() -> Vec<Row> {
    let two = |name: &str, head: &str, body: &str, got: &'static [u8]| {
        row(name, head, body, Fate::Two(got))
    };
    vec![
        two("length", "Content-Length: 3\r\n", "abc", b"abc"),
        two("length 0", "Content-Length: 0\r\n", "", b""),
        two("no body", "", "", b""),
        two(
            "length with blanks",
            "Content-Length:\t 3 \t\r\n",
            "abc",
            b"abc",
        ),
        two("length in capitals", "CONTENT-LENGTH: 3\r\n", "abc", b"abc"),
        row(
            "length with zeros",
            "Content-Length: 0003\r\n",
            "abc",
            Fate::OneOrRefused(b"abc"),
        ),
        two(
            "chunked",
            "Transfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            b"abc",
        ),
        two(
            "Chunked",
            "transfer-encoding: Chunked\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            b"abc",
        ),
        two(
            "size in capitals",
            "Transfer-Encoding: chunked\r\n",
            "A\r\n0123456789\r\n0\r\n\r\n",
            b"0123456789",
        ),
        two(
            "size with zeros",
            "Transfer-Encoding: chunked\r\n",
            "0003\r\nabc\r\n000\r\n\r\n",
            b"abc",
        ),
        two(
            "extension",
            "Transfer-Encoding: chunked\r\n",
            "3;a=b\r\nabc\r\n0;c\r\n\r\n",
            b"abc",
        ),
        two(
            "quoted extension",
            "Transfer-Encoding: chunked\r\n",
            "3;a=\"b;c\"\r\nabc\r\n0\r\n\r\n",
            b"abc",
        ),
        two(
            "a chunk that looks like an end",
            "Transfer-Encoding: chunked\r\n",
            "5\r\n0\r\n\r\n\r\n0\r\n\r\n",
            b"0\r\n\r\n",
        ),
        two(
            "a length named by connection",
            "Connection: content-length\r\nContent-Length: 3\r\n",
            "abc",
            b"abc",
        ),
        two(
            "a coding named by connection",
            "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            b"abc",
        ),
        two(
            "trailer that says a length",
            "Transfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
            b"abc",
        ),
    ]
}

fn both_lengths() -> Vec<Row> {
    let mut rows = Vec::new();
    let codings = [
        "chunked",
        "Chunked",
        "identity",
        "gzip, chunked",
        "xchunked",
        "",
    ];
    let lengths = ["0", "3", "4", "5", "13", "30", "60", ""];
    for coding in codings {
        for length in lengths {
            let (te, cl) = (
                format!("Transfer-Encoding: {coding}\r\n"),
                format!("Content-Length: {length}\r\n"),
            );
            let body = "0\r\n\r\n";
            rows.push(row(
                format!("TE {coding:?}, CL {length:?}"),
                &format!("{te}{cl}"),
                body,
                Fate::Refused,
            ));
            rows.push(row(
                format!("CL {length:?}, TE {coding:?}"),
                &format!("{cl}{te}"),
                body,
                Fate::Refused,
            ));
        }
    }
    for between in [
        "X: y\r\n",
        "Connection: content-length\r\n",
        "Connection: transfer-encoding\r\n",
        "Connection: close\r\n",
    ] {
        let head = format!("Content-Length: 5\r\n{between}Transfer-Encoding: chunked\r\n");
        rows.push(row(
            format!("both with {between:?} between"),
            &head,
            "0\r\n\r\n",
            Fate::Refused,
        ));
    }
    rows
}

fn lengths() -> Vec<Row> {
    let mut rows = Vec::new();
    let bad = [
        "+3",
        "-3",
        "-0",
        "+0",
        "3 3",
        "3,",
        ",3",
        "3,4",
        "3, 4",
        "0x3",
        "0X3",
        "3.0",
        "3e0",
        "3h",
        "a",
        "\"3\"",
        "'3'",
        "3;",
        "3;a",
        "",
        " ",
        "\t",
        "18446744073709551616",
        "18446744073709551619",
        "36893488147419103235",
        "99999999999999999999999999",
        "-1",
        "9223372036854775808999",
        "\u{663}",
        "３",
        "3\u{a0}",
        "\u{b}3",
        "3\u{c}",
        "\u{1}3",
        "3\u{0}",
        "3\u{7f}",
        "NaN",
        "inf",
        "3_0",
        "1,000",
        "0b11",
        "0o3",
        "4294967299,3",
        "3 ,4",
        "3\t4",
    ];
    for value in bad {
        rows.push(row(
            format!("CL {value:?}"),
            &format!("Content-Length: {value}\r\n"),
            "abc",
            Fate::Refused,
        ));
    }
    for (first, second) in [
        ("3", "4"),
        ("4", "3"),
        ("0", "38"),
        ("38", "0"),
        ("3", "+3"),
        ("3", ""),
        ("", "3"),
        ("3", "03"),
        ("3", "a"),
    ] {
        let head = format!("Content-Length: {first}\r\nContent-Length: {second}\r\n");
        rows.push(row(
            format!("CL {first:?} and CL {second:?}"),
            &head,
            "abc",
            Fate::Refused,
        ));
        let apart = format!("Content-Length: {first}\r\nX: y\r\ncontent-length: {second}\r\n");
        rows.push(row(
            format!("CL {first:?} and, apart, CL {second:?}"),
            &apart,
            "abc",
            Fate::Refused,
        ));
    }
    // RFC 9110, section 8.6 allows to make one of equal ones; we refuse every repetition.
    rows.push(row(
        "CL twice the same",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "abc",
        Fate::Refused,
    ));
    rows.push(row(
        "CL a list of the same",
        "Content-Length: 3, 3\r\n",
        "abc",
        Fate::Refused,
    ));
    for name in [
        "Content-Length ",
        "Content-Length\t",
        " Content-Length",
        "\tContent-Length",
        "Content Length",
        "Content-Length\u{b}",
        "Content-Length\0",
        "Content-Length:",
        "Content-Length\u{a0}",
    ] {
        rows.push(row(
            format!("CL as {name:?}"),
            &format!("X: y\r\n{name}: 38\r\n"),
            "",
            Fate::Refused,
        ));
    }
    // Above every bound: refused before a byte of it is passed on.
    rows.push(row(
        "CL above the bound",
        "Content-Length: 18446744073709551615\r\n",
        "",
        Fate::Among(&[400, 413]),
    ));
    rows.push(row(
        "CL above the bound in i64",
        "Content-Length: 9223372036854775808\r\n",
        "",
        Fate::Among(&[400, 413]),
    ));
    rows
}

fn codings() -> Vec<Row> {
    let mut rows = Vec::new();
    let body = "0\r\n\r\n";
    let bad = [
        "xchunked",
        "chunkedx",
        "chunked chunked",
        "identity",
        "gzip",
        "chunked, identity",
        "chunked, gzip",
        "identity, chunked",
        "gzip, chunked",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "chunked;q=1",
        "chunked; a",
        "\"chunked\"",
        "'chunked'",
        "",
        " ",
        "chunk",
        "chunked\0",
        "\0chunked",
        "chunked\u{b}",
        "\u{b}chunked",
        "chunked\u{c}",
        "chunked\u{7f}",
        "chunked\u{a0}",
        "\u{1}chunked",
        "c\thunked",
        "chunked\t,",
        "cow",
        "chunKed\u{130}",
        "ｃhunked",
        "chunked/",
        "deflate, chunked",
        "trailers, chunked",
        "null",
        "chunked\\",
        "chunked: chunked",
        "x=chunked",
    ];
    for value in bad {
        rows.push(row(
            format!("TE {value:?}"),
            &format!("Transfer-Encoding: {value}\r\n"),
            body,
            Fate::Among(&[400, 501]),
        ));
    }
    for (first, second) in [
        ("chunked", "chunked"),
        ("identity", "chunked"),
        ("chunked", "identity"),
        ("gzip", "chunked"),
        ("chunked", "x"),
        ("", "chunked"),
        ("chunked", ""),
        ("chunked", "cow"),
    ] {
        let head = format!("Transfer-Encoding: {first}\r\nTransfer-Encoding: {second}\r\n");
        rows.push(row(
            format!("TE {first:?} and TE {second:?}"),
            &head,
            body,
            Fate::Refused,
        ));
        let apart =
            format!("Transfer-encoding: {first}\r\nX: y\r\ntransfer-Encoding: {second}\r\n");
        rows.push(row(
            format!("TE {first:?} and, apart, TE {second:?}"),
            &apart,
            body,
            Fate::Refused,
        ));
    }
    for name in [
        "Transfer-Encoding ",
        "Transfer-Encoding\t",
        " Transfer-Encoding",
        "\tTransfer-Encoding",
        "Transfer Encoding",
        "Transfer-Encoding\u{b}",
        "Transfer-Encoding\0",
        "Transfer-Encoding:",
        "Transfer-Encoding\u{a0}",
        "X\nTransfer-Encoding",
        "X: y\nTransfer-Encoding",
        "X: y\rTransfer-Encoding",
        "X:\u{0}\r\nTransfer-Encoding",
    ] {
        rows.push(row(
            format!("TE as {name:?}"),
            &format!("X: y\r\n{name}: chunked\r\n"),
            body,
            Fate::Refused,
        ));
    }
    // Nothing that another server would take for our coding or length.
    for head in [
        "Transfer_Encoding: chunked\r\n",
        "Transfer-Encodin: chunked\r\n",
        "Transfer-Encoding-X: chunked\r\n",
        "Content_Length: 5\r\n",
    ] {
        rows.push(row(
            format!("no framing: {head:?}"),
            head,
            "",
            Fate::Two(b""),
        ));
    }
    rows.push(row(
        "TE folded",
        "Transfer-Encoding:\r\n chunked\r\n",
        body,
        Fate::Refused,
    ));
    rows.push(row(
        "TE folded with a tab",
        "Transfer-Encoding:\r\n\tchunked\r\n",
        body,
        Fate::Refused,
    ));
    rows.push(row(
        "CL folded",
        "Content-Length:\r\n 5\r\n",
        body,
        Fate::Refused,
    ));
    rows.push(row(
        "X folded",
        "X: a\r\n b: c\r\nContent-Length: 5\r\n",
        body,
        Fate::Refused,
    ));
    rows.push(row(
        "X folded to nothing",
        "X: a\r\n \r\nContent-Length: 5\r\n",
        body,
        Fate::Refused,
    ));
    rows
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

fn chunk_sizes() -> Vec<Row> {
    let bad = [
        "0x3",
        "0X3",
        "+3",
        "-3",
        "-0",
        "-1",
        " 3",
        "\t3",
        "3 ",
        "3\t",
        "3 3",
        "",
        " ",
        "g",
        "3g",
        "z",
        "\"3\"",
        "3.",
        "3,",
        "3,3",
        "\u{b}3",
        "3\0",
        "\u{663}",
        "３",
        "10000000000000000",
        "10000000000000003",
        "ffffffffffffffff",
        "fffffffffffffffff",
        "ffffffffffffffffffff",
        "00000000000000000000000000000003g",
        "7fffffffffffffff",
        "8000000000000003",
        "100000003\0",
        "3;\0",
        "3;a\nb",
        "3;a\rb",
        "3\n",
        "3\r",
        "3;\u{7f}",
    ];
    let mut rows = Vec::new();
    for size in bad {
        let body = format!("{size}\r\nabc\r\n0\r\n\r\n");
        let fate = match size {
            // RFC 9112, section 7.1.1 allows blanks in bad extensions; many accept them here too.
            "3 " | "3\t" => Fate::OneOrRefused(b"abc"),
            _ => Fate::BadBody,
        };
        // The poison is what makes a size that is too large wait for more.
        let fate = match size {
            "7fffffffffffffff" | "8000000000000003" | "ffffffffffffffff" => Fate::BadBody,
            _ => fate,
        };
        rows.push(row(format!("chunk size {size:?}"), CHUNKED, body, fate));
        let later = format!("1\r\nx\r\n{size}\r\nabc\r\n0\r\n\r\n");
        let fate = match fate {
            Fate::OneOrRefused(_) => Fate::OneOrRefused(b"xabc"),
            fate => fate,
        };
        rows.push(row(
            format!("second chunk size {size:?}"),
            CHUNKED,
            later,
            fate,
        ));
    }
    rows
}

fn chunks() -> Vec<Row> {
    let bad = |name: &str, body: &str| row(name, CHUNKED, body, Fate::BadBody);
    vec![
        bad("no line end after a chunk", "3\r\nabc0\r\n\r\n"),
        bad("bytes after a chunk", "3\r\nabcX\r\n0\r\n\r\n"),
        bad("two bytes after a chunk", "3\r\nabcXY0\r\n\r\n"),
        bad("bare LF after a chunk", "3\r\nabc\n0\r\n\r\n"),
        bad("bare CR after a chunk", "3\r\nabc\r0\r\n\r\n"),
        bad("CR CR after a chunk", "3\r\nabc\r\r0\r\n\r\n"),
        bad("LF CR after a chunk", "3\r\nabc\n\r0\r\n\r\n"),
        bad("bare LF after a size", "3\nabc\r\n0\r\n\r\n"),
        bad("bare LF after a last size", "3\r\nabc\r\n0\n\r\n"),
        bad("bare LFs at the end", "3\r\nabc\r\n0\n\n"),
        bad("bare CR after a size", "3\rabc\r\n0\r\n\r\n"),
        bad("CR CR LF after a size", "3\r\r\nabc\r\n0\r\n\r\n"),
        bad("bare LF in an extension", "3;a\nabc\r\n0\r\n\r\n"),
        bad("LF in a quoted extension", "3;a=\"\n\"\r\nabc\r\n0\r\n\r\n"),
        bad(
            "a line end in a quoted extension",
            "3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n",
        ),
        bad("CR in an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n"),
        bad("bare LF in the last extension", "3\r\nabc\r\n0;a\n\r\n"),
        bad("a size that is a line end more", "4\r\nabc\r\n0\r\n\r\n"),
        bad("a size below", "2\r\nabc\r\n0\r\n\r\n"),
        bad("no chunks but a line", "\r\n0\r\n\r\n"),
        row(
            "an endless extension",
            CHUNKED,
            format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(200_000)),
            Fate::BadBody,
        ),
        row(
            "endless zeros",
            CHUNKED,
            format!("{}3\r\nabc\r\n0\r\n\r\n", "0".repeat(200_000)),
            Fate::BadBody,
        ),
        row(
            "extensions without end",
            CHUNKED,
            "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n"
                .repeat(4000)
                + "0\r\n\r\n",
            Fate::BadBody,
        ),
    ]
}

fn trailers() -> Vec<Row> {
    let of = |name: &str, trailers: &str, fate: Fate| {
        row(
            name,
            CHUNKED,
            format!("3\r\nabc\r\n0\r\n{trailers}\r\n"),
            fate,
        )
    };
    let mut rows = Vec::new();
    for name in [
        "Content-Length: 38",
        "Transfer-Encoding: chunked",
        "Host: evil",
        "Connection: close",
        "Authorization: x",
        "Trailer: x",
        "Expect: 100-continue",
        "Upgrade: h2c",
        "X-Serinus-Variant: v2",
    ] {
        rows.push(of(
            &format!("trailer {name}"),
            &format!("{name}\r\n"),
            Fate::OneOrRefused(b"abc"),
        ));
    }
    for (name, line) in [
        ("folded", "X: a\r\n b\r\n"),
        ("with a bare LF", "X: a\nY: b\r\n"),
        ("with a bare CR", "X: a\rY: b\r\n"),
        ("with NUL", "X: \0\r\n"),
        ("with a blank before the colon", "X : a\r\n"),
        ("without a colon", "X\r\n"),
        ("without a name", ": a\r\n"),
        ("that begins with a blank", " X: a\r\n"),
        ("with a control character in its name", "X\u{1}: a\r\n"),
    ] {
        rows.push(of(&format!("trailer {name}"), line, Fate::BadBody));
    }
    rows.push(of(
        "endless trailer",
        &format!("X: {}\r\n", "a".repeat(300_000)),
        Fate::BadBody,
    ));
    rows.push(of(
        "many trailers",
        &"X: a\r\n".repeat(20_000),
        Fate::BadBody,
    ));
    rows
}
