//! Odd but legal messages.

use crate::message::{Body, Chunk, Line, Message};
use crate::script::{End, Play, When};
use crate::world::{Case, Exchange, Leave};
use proptest::prelude::*;
use proptest::sample::{Index, select};

const BLANKS: [&str; 5] = ["", " ", "\t", "  \t ", "   "];

/// Names that mean something to some proxy, but nothing between two ends.
const KNOWN: [&str; 14] = [
    "Accept",
    "user-agent",
    "COOKIE",
    "Authorization",
    "Content-Type",
    "Accept-Encoding",
    "Content-Encoding",
    "traceparent",
    "X-Request-Id",
    "Via",
    "Forwarded",
    "Cache-Control",
    "x-user-id",
    "Range",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let visible = prop::collection::vec(0x21_u8..=0x7e, 0..20);
    let inner = prop::collection::vec(
        prop_oneof![0x20_u8..=0x7e, Just(b'\t'), 0x80_u8..=0xff],
        1..40,
    );
    let long = (1_usize..6000, any::<u8>()).prop_map(|(n, b)| vec![b'a' + b % 26; n]);
    prop_oneof![
        5 => visible,
        3 => inner.prop_map(|bytes| crate::raw::trim(&bytes).to_vec()),
        1 => long,
        1 => Just(Vec::new()),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => select(&KNOWN[..]).prop_map(str::to_owned),
        2 => "[Xx]-[A-Za-z0-9-]{1,12}",
        1 => "q[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}",
        1 => select(&["X-Twice", "x-twice", "X-TWICE"][..]).prop_map(str::to_owned),
    ]
}

fn line() -> impl Strategy<Value = Line> {
    let ours = |name: &String| {
        name.to_ascii_lowercase().starts_with("x-serinus") || name.eq_ignore_ascii_case("x-n")
    };
    let name = name().prop_filter("ours", move |name| !ours(name));
    let parts = (name, select(&BLANKS[..]), text(), select(&BLANKS[..]));
    parts.prop_map(|(name, before, value, after)| {
        // gRPC has tests of its own; here it would be a wrong claim.
        let value = match value.starts_with(b"application/grpc") {
            true => Vec::new(),
            false => value,
        };
        Line {
            name,
            before,
            value,
            after,
        }
    })
}

/// Lines that end at the sidecar.
fn hop() -> impl Strategy<Value = Vec<Line>> {
    let of = |lines: &[(&str, &str)]| {
        let lines = lines.iter().map(|(name, value)| Line::new(name, *value));
        lines.collect::<Vec<_>>()
    };
    select(vec![
        of(&[
            ("Connection", "keep-alive"),
            ("Keep-Alive", "timeout=5, max=100"),
        ]),
        of(&[
            ("Connection", "X-Hop , keep-alive"),
            ("X-Hop", "1"),
            ("x-hop", "2"),
        ]),
        of(&[("Proxy-Connection", "keep-alive")]),
        of(&[
            ("X-Serinus-Variant", "v2"),
            ("x-serinus-prediction-id", "forged"),
        ]),
        of(&[("Connection", "content-length, host")]),
    ])
}

fn request_hop() -> impl Strategy<Value = Vec<Line>> {
    let te = vec![
        Line::new("TE", "gzip;q=0.5, trailers"),
        Line::new("Connection", "te"),
    ];
    let secret = vec![Line::new("Proxy-Authorization", "Basic eDp5")];
    prop_oneof![3 => hop(), 1 => Just(te), 1 => Just(secret)]
}

fn lines(hops: impl Strategy<Value = Vec<Line>>) -> impl Strategy<Value = Vec<Line>> {
    let count = prop_oneof![12 => 0..8_usize, 1 => 60..80_usize];
    let plain = count.prop_flat_map(|n| prop::collection::vec(line(), n));
    let hops = prop_oneof![3 => Just(Vec::new()), 1 => hops];
    (plain, hops).prop_map(|(mut lines, hops)| {
        // The head stays below the sidecar's bound.
        let mut bytes = 0;
        lines.retain(|line| {
            bytes += line.value.len() + line.name.len();
            bytes < 30_000
        });
        lines.extend(hops);
        lines
    })
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        6 => 0..64_usize,
        6 => 0..3000_usize,
        3 => 0..70_000_usize,
        1 => 60_000..300_000_usize,
    ]
}

fn chunked(trailers: bool) -> impl Strategy<Value = Body> {
    let extension = select(&["", "", "", ";a", ";a=b", ";q=\"x;y\""][..]);
    let chunk = (
        prop_oneof![8 => 1..40_usize, 3 => 1..5000_usize, 1 => 1..100_000_usize],
        0..3_u8,
        extension,
    );
    let chunk = chunk.prop_map(|(len, style, extension)| Chunk {
        len,
        style,
        extension,
    });
    let last = match trailers {
        true => {
            prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(trailer(), 1..4)].boxed()
        }
        false => Just(Vec::new()).boxed(),
    };
    (prop::collection::vec(chunk, 0..12), last)
        .prop_map(|(chunks, trailers)| Body::Chunked { chunks, trailers })
}

fn trailer() -> impl Strategy<Value = Line> {
    ("X-T-[A-Za-z]{1,8}", text()).prop_map(|(name, value)| Line::new(&name, value))
}

fn target() -> impl Strategy<Value = String> {
    let absolute = select(
        &[
            "http://other.example:81/v2/x?y=http://z",
            "HTTP://Other.example/",
            "https://[::1]/v2/models/m/infer",
        ][..],
    );
    prop_oneof![
        3 => Just("/v2/models/m/infer".to_owned()),
        3 => "/[a-zA-Z0-9._~!$&'()*+,;=:@/%-]{0,40}".prop_map(whole_escapes),
        2 => "/[a-z/]{0,9}\\?[a-zA-Z0-9._~!$&'()*+,;=:@/?%-]{0,40}".prop_map(whole_escapes),
        1 => (1000..6000_usize).prop_map(|n| format!("/{}", "long/".repeat(n / 5))),
        1 => absolute.prop_map(str::to_owned),
    ]
}

/// Every `%` is one of an escape.
fn whole_escapes(text: String) -> String {
    text.replace('%', "%2f")
}

/// What of it only some properties are about.
#[derive(Clone, Copy, Debug, Default)]
struct Features {
    old: bool,
    /// Of answers.
    trailers: bool,
    /// Of requests, which announce them.
    announced: bool,
    interim: bool,
    odd_reasons: bool,
}

const PLAIN: Features = Features {
    old: false,
    trailers: false,
    announced: false,
    interim: false,
    odd_reasons: false,
};

fn request(features: Features) -> impl Strategy<Value = Message> {
    let method = select(
        &[
            "GET", "POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "PROPFIND",
            "M-SEARCH", "x!#y",
        ][..],
    );
    let Features { old, announced, .. } = features;
    let body = match old {
        true => prop_oneof![1 => Just(Body::None), 2 => size().prop_map(Body::Length)].boxed(),
        false => prop_oneof![2 => Just(Body::None), 3 => size().prop_map(Body::Length), 2 => chunked(announced)].boxed(),
    };
    let host = prop_oneof![
        3 => Just(Line::new("Host", "ml.local")),
        1 => Just(Line::new("hOST", "ml.local:8080")),
        1 => Just(Line::new("Host", "[::1]:80")),
    ];
    let parts = (
        method,
        target(),
        lines(request_hop()),
        host,
        body,
        any::<(Index, Index, u64)>(),
    );
    parts.prop_map(
        move |(method, target, mut lines, host, body, (at, framed, seed))| {
            if !(old && seed % 2 == 0) {
                lines.insert(at.index(lines.len() + 1), host);
            }
            announce(&body, &mut lines);
            // A HEAD or GET with a body is legal, and nobody sends one.
            let body = match method {
                "HEAD" => Body::None,
                _ => body,
            };
            Message {
                start: format!("{method} {target} HTTP/1.{}", u8::from(!old)),
                framed_at: framed.index(lines.len() + 1),
                lines,
                body,
                seed,
            }
        },
    )
}

/// Says which trailers will come.
fn announce(body: &Body, lines: &mut Vec<Line>) {
    if let Body::Chunked { trailers, .. } = body
        && !trailers.is_empty()
    {
        let names: Vec<_> = trailers.iter().map(|line| line.name.as_str()).collect();
        lines.push(Line::new("Trailer", names.join(", ")));
    }
}

fn usual_status() -> prop::sample::Select<&'static str> {
    select(
        &[
            "200 OK",
            "200 ",
            "201 Created",
            "204 No Content",
            "304 Not Modified",
            "400 Bad Request",
            "404 Not Found",
            "422 x",
            "500 Internal Server Error",
            "503 Busy",
            "299 Odd",
            "418 I'm a teapot",
        ][..],
    )
}

fn answer(closing: bool, features: Features) -> impl Strategy<Value = Message> {
    let trailers = features.trailers;
    let status = match features.odd_reasons {
        true => select(&["200 Fine \u{e4}", "200 a\tb", "404  two"][..]),
        false => usual_status(),
    };
    let body = match closing {
        true => prop_oneof![3 => size().prop_map(Body::Length), 2 => chunked(trailers), 2 => size().prop_map(Body::UntilClose)].boxed(),
        false => prop_oneof![3 => size().prop_map(Body::Length), 2 => chunked(trailers)].boxed(),
    };
    let dated = prop_oneof![
        Just(None),
        Just(Some(Line::new("Date", "Thu, 01 Jan 1970 00:00:00 GMT")))
    ];
    let parts = (status, lines(hop()), dated, body, any::<(Index, u64)>());
    parts.prop_map(|(status, mut lines, dated, body, (framed, seed))| {
        lines.extend(dated);
        let body = match &status[..3] {
            "204" => Body::None,
            _ => body,
        };
        Message {
            start: format!("HTTP/1.1 {status}"),
            framed_at: framed.index(lines.len() + 1),
            lines,
            body,
            seed,
        }
    })
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(1..20_usize, 1..4),
        1 => prop::collection::vec(1..2000_usize, 1..5),
    ]
}

fn play(features: Features) -> impl Strategy<Value = Play> {
    let end = prop_oneof![8 => Just(End::Kept), 1 => Just(End::Close)];
    let answer = end.prop_flat_map(move |end| (answer(end == End::Close, features), Just(end)));
    let when = prop_oneof![9 => Just(When::AfterRequest), 1 => Just(When::AfterHead)];
    let interim = match features.interim {
        false => Just(Vec::new()).boxed(),
        true => prop::collection::vec(Just(early_hints()), 0..3).boxed(),
    };
    (answer, when, pieces(), interim).prop_map(|((answer, end), when, pieces, interim)| Play {
        interim,
        answer,
        when,
        end,
        pieces,
        to_head: false,
    })
}

fn early_hints() -> Message {
    Message {
        start: "HTTP/1.1 103 Early Hints".to_owned(),
        lines: vec![Line::new("Link", "</style.css>; rel=preload")],
        framed_at: 0,
        body: Body::None,
        seed: 0,
    }
}

fn exchange(features: Features) -> impl Strategy<Value = Exchange> {
    let expects = prop_oneof![9 => Just(false), 1 => Just(true)];
    (request(features), play(features), expects).prop_map(
        move |(mut request, mut play, expects)| {
            play.to_head = request.method() == "HEAD";
            let expects = expects && !features.old && request.body.len() > 0;
            if expects {
                request.lines.push(Line::new("Expect", "100-continue"));
                // Whoever answers at once does not hint before, nor wait for a body that will not come to end its own.
                match features.interim {
                    true => play.when = When::AfterRequest,
                    false if play.when == When::AfterHead => shorten(&mut play.answer.body),
                    false => {}
                }
            }
            Exchange {
                request,
                play,
                expects,
            }
        },
    )
}

/// One connection with some exchanges in turns; the last may say that it is the last.
pub fn turns() -> impl Strategy<Value = Case> {
    turns_with(PLAIN)
}

pub fn trailers() -> impl Strategy<Value = Case> {
    turns_with(Features {
        trailers: true,
        ..PLAIN
    })
}

pub fn announced_trailers() -> impl Strategy<Value = Case> {
    turns_with(Features {
        announced: true,
        ..PLAIN
    })
}

pub fn interim() -> impl Strategy<Value = Case> {
    turns_with(Features {
        interim: true,
        ..PLAIN
    })
}

pub fn odd_reasons() -> impl Strategy<Value = Case> {
    turns_with(Features {
        odd_reasons: true,
        ..PLAIN
    })
}

fn turns_with(features: Features) -> impl Strategy<Value = Case> {
    let last =
        prop_oneof![3 => Just(None), 1 => Just(Some("close")), 1 => Just(Some("CLOSE, x-hop"))];
    let exchanges = prop::collection::vec(exchange(features), 1..4);
    (exchanges, last, pieces()).prop_map(|(mut exchanges, last, pieces)| {
        if let (Some(value), Some(exchange)) = (last, exchanges.last_mut()) {
            exchange.request.lines.push(Line::new("Connection", value));
        }
        Case {
            exchanges,
            pipelined: false,
            leave: Leave::AfterAnswer,
            pieces,
        }
    })
}

/// Requests that do not wait for the answers of those before.
pub fn pipelines() -> impl Strategy<Value = Case> {
    let exchanges = prop::collection::vec(exchange(PLAIN), 2..6);
    (exchanges, pieces()).prop_map(|(mut exchanges, pieces)| {
        for exchange in &mut exchanges {
            exchange.request.lines.retain(|line| line.name != "Expect");
            exchange.expects = false;
            exchange.play.end = End::Kept;
            exchange.play.when = When::AfterRequest;
            // Several hundred KB in both directions at once would wait for each other without any proxy.
            shorten(&mut exchange.play.answer.body);
        }
        Case {
            exchanges,
            pipelined: true,
            leave: Leave::AfterAnswer,
            pieces,
        }
    })
}

fn shorten(body: &mut Body) {
    match body {
        Body::UntilClose(len) => *body = Body::Length(*len),
        Body::None | Body::Length(_) | Body::Chunked { .. } => {}
    }
}

/// Applications of the last century: some of them keep connections.
pub fn old() -> impl Strategy<Value = Case> {
    turns_with(Features { old: true, ..PLAIN })
}

/// Answers to applications of the last century break off.
pub fn old_cut_answers() -> impl Strategy<Value = Case> {
    cut_answers_with(Features { old: true, ..PLAIN })
}

/// Requests with a body that is looked into, so that a library serves the whole connection.
pub fn looked_into() -> impl Strategy<Value = Case> {
    turns().prop_map(|case| looked_into_from_the_start(case, true))
}

pub fn looked_into_cut_answers() -> impl Strategy<Value = Case> {
    cut_answers().prop_map(|case| looked_into_from_the_start(case, false))
}

/// `expecting`: some wait for `100 Continue`.
fn looked_into_from_the_start(mut case: Case, expecting: bool) -> Case {
    let mut first = true;
    for exchange in &mut case.exchanges {
        let request = &mut exchange.request;
        request
            .lines
            .retain(|line| !line.name.eq_ignore_ascii_case("content-encoding"));
        if std::mem::take(&mut first) || exchange.play.end != End::Kept {
            let (_, rest) = request.start.split_once(' ').unwrap();
            request.start = format!("POST {rest}");
            exchange.play.to_head = false;
        }
        // It answers for itself that it wants the body, whatever the model server would say.
        if !expecting || exchange.play.when == When::AfterHead {
            request.lines.retain(|line| line.name != "Expect");
            exchange.expects = false;
        }
    }
    case
}

/// The last answer breaks off.
pub fn cut_answers() -> impl Strategy<Value = Case> {
    cut_answers_with(PLAIN)
}

fn cut_answers_with(features: Features) -> impl Strategy<Value = Case> {
    let parts = (
        exchange(features),
        exchange(features),
        any::<(bool, bool, Index)>(),
        pieces(),
    );
    parts.prop_map(|(first, mut last, (two, reset, at), pieces)| {
        last.play.end = End::Close;
        last.play.when = When::AfterRequest;
        let at = at.index(last.play.bytes().len());
        last.play.end = End::Cut { at, reset };
        let mut exchanges = vec![first, last];
        if !two {
            exchanges.remove(0);
        }
        Case {
            exchanges,
            pipelined: false,
            leave: Leave::AfterAnswer,
            pieces,
        }
    })
}

/// The last request breaks off.
pub fn cut_requests() -> impl Strategy<Value = Case> {
    let parts = (
        exchange(PLAIN),
        exchange(PLAIN),
        any::<(bool, bool, Index)>(),
        pieces(),
    );
    parts.prop_map(|(first, mut last, (two, reset, at), pieces)| {
        last.play.when = When::AfterRequest;
        last.expects = false;
        last.request.lines.retain(|line| line.name != "Expect");
        // With the number's line, which comes on top.
        let at = at.index(last.request.bytes().len() + 15);
        let mut exchanges = vec![first, last];
        if !two {
            exchanges.remove(0);
        }
        Case {
            exchanges,
            pipelined: false,
            leave: Leave::Cut { at, reset },
            pieces,
        }
    })
}

/// The application says that no more will come, and waits for the answer.
pub fn half_closed() -> impl Strategy<Value = Case> {
    turns().prop_map(|mut case| {
        case.leave = Leave::HalfClose;
        case
    })
}

/// Bodies of several MB.
pub fn large() -> impl Strategy<Value = Case> {
    let size = 500_000..5_000_000_usize;
    let chunks = (50_000..500_000_usize, 1..12_usize).prop_map(|(len, n)| Body::Chunked {
        chunks: vec![
            Chunk {
                len,
                style: 0,
                extension: "",
            };
            n
        ],
        trailers: Vec::new(),
    });
    let body = prop_oneof![size.prop_map(Body::Length), chunks];
    (exchange(PLAIN), prop::collection::vec(body, 2), pieces()).prop_map(
        |(mut exchange, mut bodies, pieces)| {
            exchange.request.start = "POST /v2/models/m/infer HTTP/1.1".to_owned();
            exchange.play.answer.start = "HTTP/1.1 200 OK".to_owned();
            exchange.play.to_head = false;
            exchange.request.body = bodies.pop().unwrap_or(Body::None);
            exchange.play.answer.body = bodies.pop().unwrap_or(Body::None);
            Case {
                exchanges: vec![exchange],
                pipelined: false,
                leave: Leave::AfterAnswer,
                pieces,
            }
        },
    )
}
