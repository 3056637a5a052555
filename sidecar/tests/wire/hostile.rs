//! Answers of a model server that has gone wrong: they never reach another caller, and are the model's failure.

use crate::raw::{Reader, Seen};
use crate::sidecar::{Setup, Sidecar};
use serinus_common::class::Class;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(8);
const ROW: &str = "X-Row";
const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Poison: 1\r\n\r\nPOISON";
const MINE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Mine: 1\r\n\r\nmine";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The caller gets our 502.
    BadHead,
    /// The caller gets the head, and then a cut; or our 502.
    BadBody,
    /// It is fine so far; what comes after it is nobody's.
    Fine(&'static [u8]),
    /// Legal, if odd: as it is, or 502.
    FineOrBad(&'static [u8]),
}

struct Row {
    name: String,
    bytes: Vec<u8>,
    fate: Fate,
}

fn row(name: impl Into<String>, bytes: impl Into<Vec<u8>>, fate: Fate) -> Row {
    Row {
        name: name.into(),
        bytes: bytes.into(),
        fate,
    }
}

/// Plays the row that a request names, and answers other requests as it should.
async fn model(rows: Arc<Vec<Row>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(play(stream, Arc::clone(&rows)));
        }
    });
    url
}

async fn play(stream: TcpStream, rows: Arc<Vec<Row>>) {
    let (read, mut write) = stream.into_split();
    let mut reader = Reader::new(read);
    while let Some(head) = reader.head().await {
        let framing = head.request_framing();
        let number = head.first(ROW).map(|n| n.parse::<usize>().unwrap());
        reader.message(head, framing).await;
        let bytes = number.map_or(MINE, |n| &rows[n].bytes);
        if write.write_all(bytes).await.is_err() {
            return;
        }
        if number.is_some() && write.write_all(POISON.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn ask(
    sidecar: &Sidecar,
    line: &str,
    method: &str,
) -> Result<(Option<Seen>, Vec<u8>), String> {
    let stream = TcpStream::connect(sidecar.addr).await.unwrap();
    let (read, mut write) = stream.into_split();
    let request = format!(
        "{method} /v2/models/m/infer HTTP/1.1\r\nHost: ml.local\r\nConnection: close\r\n{line}\r\n"
    );
    write.write_all(request.as_bytes()).await.unwrap();
    let mut reader = Reader::new(read);
    let asked = async {
        let mut interim = Vec::new();
        let answer = reader.final_answer(method == "HEAD", &mut interim).await;
        while reader.more().await {}
        answer
    };
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    let answer = answer.map_err(|_| {
        format!(
            "no end: {:?}",
            reader
                .bytes
                .iter()
                .take(300)
                .map(|&b| b as char)
                .collect::<String>()
        )
    })?;
    Ok((answer, reader.rest().to_vec()))
}

fn judge(row: &Row, answer: Option<&Seen>, rest: &[u8]) -> Result<(), String> {
    let Some(seen) = answer else {
        return match row.fate {
            Fate::BadBody => Ok(()),
            _ => Err("no answer at all".to_owned()),
        };
    };
    let poisoned =
        seen.head.first("x-poison").is_some() || seen.body.windows(6).any(|w| w == b"POISON");
    if !rest.is_empty() {
        return Err(format!(
            "more than an answer: {:?}",
            rest.escape_ascii().to_string()
        ));
    }
    if poisoned && row.fate != Fate::BadBody {
        return Err(format!("what came after: {seen:?}"));
    }
    let own = seen.head.status() == 502 && seen.whole;
    let fine = |body: &[u8]| seen.whole && seen.body == body && seen.head.status() != 502;
    let good = match row.fate {
        Fate::BadHead => own,
        Fate::BadBody => own || !seen.whole,
        Fate::Fine(body) => fine(body),
        Fate::FineOrBad(body) => own || fine(body),
    };
    match good {
        true => Ok(()),
        false => Err(format!(
            "{:?}, but {seen:?} with {:?}",
            row.fate,
            seen.body.escape_ascii().to_string()
        )),
    }
}

/// A row, then two calls that nobody may spoil; every call is counted once, under its class.
async fn check(url: &str, index: usize, row: &Row, method: &str) -> Result<(), String> {
    let limit = prost_types::Duration::try_from(Duration::from_secs(3)).unwrap();
    let setup = Setup::new(url, url, 0.0).failure(|failure| failure.timeout = Some(limit));
    let sidecar = setup.start();
    let (answer, rest) = ask(&sidecar, &format!("{ROW}: {index}\r\n"), method).await?;
    judge(row, answer.as_ref(), &rest)?;
    for _ in 0..2 {
        let next = ask(&sidecar, "", "GET").await;
        let mine = next.as_ref().is_ok_and(|(answer, rest)| {
            let body = answer
                .as_ref()
                .map(|seen| (seen.body.as_slice(), seen.whole));
            rest.is_empty() && body == Some((b"mine", true))
        });
        if !mine {
            return Err(format!("the next caller: {next:?}"));
        }
    }
    let counted = sidecar.finish().await;
    let tally = counted.of("v1");
    let (failed, all) = (tally.class(Class::Model), tally.classes.iter().sum::<u64>());
    let right = match row.fate {
        Fate::BadHead | Fate::BadBody => failed == 1,
        Fate::Fine(_) => failed == 0,
        Fate::FineOrBad(_) => failed <= 1,
    };
    match right && all == 3 {
        true => Ok(()),
        false => Err(format!("counted: {:?}", tally.classes)),
    }
}

async fn check_all(rows: Vec<Row>, method: &str) {
    let rows = Arc::new(rows);
    let url = model(Arc::clone(&rows)).await;
    let mut failed = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        if let Err(why) = check(&url, index, row, method).await {
            failed.push(format!("{}\n    {why}", row.name));
        }
    }
    let list = failed.join("\n");
    assert!(
        failed.is_empty(),
        "{} of {} rows:\n{list}",
        failed.len(),
        rows.len()
    );
}

#[tokio::test]
async fn answers_that_cannot_be_understood() {
    check_all(heads(), "GET").await;
}

#[tokio::test]
async fn bodies_that_cannot_be_understood() {
    check_all(bodies(), "GET").await;
}

#[tokio::test]
async fn answers_to_head_have_no_body() {
    let rows = vec![
        row(
            "a length",
            "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
            Fate::Fine(b""),
        ),
        row(
            "chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            Fate::Fine(b""),
        ),
        row(
            "a body all the same",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            Fate::Fine(b""),
        ),
    ];
    check_all(rows, "HEAD").await;
}

fn bodies() -> Vec<Row> {
    let chunked = |name: &str, body: &str| {
        row(
            name,
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
            Fate::BadBody,
        )
    };
    let mut rows = vec![
        row(
            "bytes after the end",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokEXTRA",
            Fate::Fine(b"ok"),
        ),
        row(
            "bytes after an empty one",
            "HTTP/1.1 204 No Content\r\n\r\nEXTRA",
            Fate::Fine(b""),
        ),
        row(
            "bytes after a 304",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nEXTRA",
            Fate::Fine(b""),
        ),
        row(
            "bytes after the last chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nEXTRA",
            Fate::Fine(b"ok"),
        ),
        row(
            "a second answer",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            Fate::Fine(b"ok"),
        ),
        row(
            "a second interim answer",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 100 Continue\r\n\r\n",
            Fate::Fine(b"ok"),
        ),
        row(
            "an endless line after the body",
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{}",
                "A".repeat(500_000)
            ),
            Fate::Fine(b"ok"),
        ),
        row(
            "a 204 with a length",
            "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
            Fate::FineOrBad(b""),
        ),
        row(
            "a 204 with chunks",
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Fate::FineOrBad(b""),
        ),
    ];
    for size in [
        "0x2",
        "-2",
        "+2",
        " 2",
        "g",
        "",
        "2 2",
        "10000000000000002",
        "ffffffffffffffffff",
        "2\n",
        "2\r",
        "\u{663}",
        "2;a\nb",
        "\"2\"",
        "2\0",
    ] {
        rows.push(chunked(
            &format!("chunk size {size:?}"),
            &format!("{size}\r\nok\r\n0\r\n\r\n"),
        ));
        rows.push(chunked(
            &format!("second chunk size {size:?}"),
            &format!("1\r\nx\r\n{size}\r\nok\r\n0\r\n\r\n"),
        ));
    }
    rows.extend([
        chunked("no line end after a chunk", "2\r\nok0\r\n\r\n"),
        chunked("bytes after a chunk", "2\r\nokX\r\n0\r\n\r\n"),
        chunked("bare LF after a chunk", "2\r\nok\n0\r\n\r\n"),
        chunked("bare LF after a size", "2\nok\r\n0\r\n\r\n"),
        chunked(
            "an endless extension",
            &format!("2;{}\r\nok\r\n0\r\n\r\n", "a".repeat(300_000)),
        ),
        chunked(
            "an endless trailer",
            &format!("2\r\nok\r\n0\r\nX: {}\r\n\r\n", "a".repeat(300_000)),
        ),
        chunked("a trailer that is none", "2\r\nok\r\n0\r\nfoo\r\n\r\n"),
        chunked("a trailer with NUL", "2\r\nok\r\n0\r\nX: \0\r\n\r\n"),
        chunked(
            "many trailers",
            &format!("2\r\nok\r\n0\r\n{}\r\n", "X: y\r\n".repeat(20_000)),
        ),
    ]);
    rows
}

fn heads() -> Vec<Row> {
    let bad = |name: &str, bytes: &str| row(name, bytes, Fate::BadHead);
    let of = |line: &str| {
        row(
            format!("with {line:?}"),
            format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\n0\r\n\r\n"),
            Fate::BadHead,
        )
    };
    let mut rows = vec![
        bad(
            "both lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        bad(
            "both lengths, turned",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        ),
        bad("no HTTP", "hello\r\n\r\n"),
        bad("HTTP/0.9", "<html></html>\r\n\r\n"),
        bad("HTTP/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        bad("HTTP/1.2", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        bad("no status", "HTTP/1.1\r\nContent-Length: 2\r\n\r\nok"),
        bad(
            "status of two digits",
            "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
        ),
        bad(
            "status of four digits",
            "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
        ),
        bad(
            "status of letters",
            "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok",
        ),
        bad(
            "status 000",
            "HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok",
        ),
        bad(
            "status 099",
            "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
        ),
        bad(
            "NUL in the reason",
            "HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok",
        ),
        bad(
            "CR in the reason",
            "HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok",
        ),
        bad(
            "a switch that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ),
        row(
            "an endless value",
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(2_000_000)),
            Fate::BadHead,
        ),
        row(
            "an endless name",
            format!("HTTP/1.1 200 OK\r\n{}", "a".repeat(2_000_000)),
            Fate::BadHead,
        ),
        row(
            "an endless first line",
            "A".repeat(2_000_000),
            Fate::BadHead,
        ),
        row(
            "many fields",
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{}\r\nok",
                "X: y\r\n".repeat(100_000)
            ),
            Fate::BadHead,
        ),
        row(
            "a flood of interim answers",
            format!(
                "{}hello\r\n\r\n",
                "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n".repeat(50_000)
            ),
            Fate::BadHead,
        ),
        row(
            "interim answers and a fine one",
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            Fate::Fine(b"ok"),
        ),
        row(
            "an interim answer with a length",
            "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            Fate::FineOrBad(b"ok"),
        ),
    ];
    for line in [
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 5 5",
        "Content-Length: 5,6",
        "Content-Length: 0x5",
        "Content-Length: a",
        "Content-Length: ",
        "Content-Length: 99999999999999999999",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length : 5",
        "Content-Length\t: 5",
        "Content-Length: 5\r\n 5",
        "X: a\r\n b\r\nContent-Length: 5",
        "X: a\r\n\tb\r\nContent-Length: 5",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "X\r\nContent-Length: 5",
        ": y\r\nContent-Length: 5",
        "X Y: z\r\nContent-Length: 5",
        "X: a\0b\r\nContent-Length: 5",
        "X: a\rb\r\nContent-Length: 5",
        "X\0: a\r\nContent-Length: 5",
        " X: a\r\nContent-Length: 5",
        "X: a\nContent-Length: 5",
        "X: a\u{7f}\r\nContent-Length: 5",
        "X: a\u{1}\r\nContent-Length: 5",
    ] {
        rows.push(of(line));
    }
    rows
}

/// What came before any request is no answer to one.
#[tokio::test]
async fn an_answer_before_any_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(POISON.as_bytes()).await;
                let (read, mut write) = stream.into_split();
                let mut reader = Reader::new(read);
                while reader.head().await.is_some() {
                    let _ = write.write_all(MINE).await;
                }
            });
        }
    });
    let sidecar = Setup::new(&url, &url, 0.0).start();
    for _ in 0..20 {
        let (answer, rest) = ask(&sidecar, "", "GET").await.unwrap();
        let seen = answer.unwrap();
        assert!(rest.is_empty());
        // Whether it comes before or after the request is a race on the wire; it never becomes the next one's.
        let poisoned = seen.body == b"POISON" || seen.head.status() == 502;
        assert!(poisoned || seen.body == b"mine", "{seen:?}");
    }
    let counted = sidecar.finish().await;
    assert_eq!(counted.of("v1").classes.iter().sum::<u64>(), 20);
}
