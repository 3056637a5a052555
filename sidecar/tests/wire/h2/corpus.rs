//! Odd but legal calls.

use super::head::{Cut, Field, Form};
use super::message::{Call, Case, Finish, Refusal, Side, When};
use super::peer::Manners;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What calls are about.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// No more frames per head: a library takes few.
    frames: usize,
    methods: &'static [&'static str],
    paths: &'static [&'static str],
    types: &'static [&'static str],
}

pub const GRPC: Subject = Subject {
    frames: 24,
    methods: &["POST"],
    paths: &[
        "/inference.GRPCInferenceService/ModelInfer",
        "/tensorflow.serving.PredictionService/Predict",
        "/pkg.Service/Call?q=%20",
        "/",
    ],
    types: &[
        "application/grpc",
        "application/grpc+proto",
        "application/grpc;x=y",
    ],
};

/// Whose answers are messages that are looked into.
pub const MESSAGES: Subject = Subject {
    frames: 4,
    paths: &["/inference.GRPCInferenceService/ModelStreamInfer"],
    ..GRPC
};

pub const OTHER: Subject = Subject {
    frames: 4,
    methods: &["POST", "GET", "PUT", "DELETE"],
    paths: &["/v2/models/m/infer", "/", "/a?b=%2f"],
    types: &["application/json", "text/plain"],
};

/// Names that mean something to somebody, but nothing to what stands between.
const KNOWN: [&str; 12] = [
    "user-agent",
    "grpc-encoding",
    "grpc-accept-encoding",
    "grpc-timeout",
    "grpc-previous-rpc-attempts",
    "cookie",
    "accept-encoding",
    "traceparent",
    "grpc-trace-bin",
    "x-request-id",
    "cache-control",
    "via",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let visible = prop::collection::vec(0x21_u8..=0x7e, 0..20);
    let inner = prop::collection::vec(
        prop_oneof![0x20_u8..=0x7e, Just(b'\t'), 0x80_u8..=0xff],
        1..40,
    );
    let long = (1_usize..4000, any::<u8>()).prop_map(|(n, b)| vec![b'a' + b % 26; n]);
    prop_oneof![
        5 => visible,
        3 => inner.prop_map(|bytes| crate::raw::trim(&bytes).to_vec()),
        1 => long,
        1 => Just(Vec::new()),
    ]
}

fn form() -> impl Strategy<Value = Form> {
    select(&[Form::Indexed, Form::Indexed, Form::Plain, Form::Never][..])
}

fn field() -> impl Strategy<Value = Field> {
    let plain = prop_oneof![
        2 => "x-[a-z0-9-]{1,12}",
        1 => "q[!#$%&'*+.^_`|~0-9a-z-]{1,20}",
        1 => select(&["x-twice", "x-again"][..]).prop_map(str::to_owned),
    ];
    let binary = prop_oneof!["[A-Za-z0-9+/]{0,40}", "[A-Za-z0-9+/]{4},[A-Za-z0-9+/]{4}"];
    let known = (select(&KNOWN[..]), "[a-z0-9/=-]{1,30}");
    let field = prop_oneof![
        4 => (plain, text()),
        2 => ("x-[a-z]{1,5}-bin", binary.prop_map(String::into_bytes)),
        3 => known.prop_map(|(name, value)| {
            // Bounds that are long enough not to matter.
            let value = match name {
                "grpc-timeout" => format!("{}S", 1000 + value.len()),
                _ => value,
            };
            (name.to_owned(), value.into_bytes())
        }),
    ];
    (field, form()).prop_map(|((name, value), form)| Field { name, value, form })
}

fn ours(name: &str) -> bool {
    name == "x-n" || name.starts_with("x-serinus")
}

/// Fields that end at the sidecar, or that only it may say.
fn hop() -> impl Strategy<Value = Vec<Field>> {
    let of = |fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(name, value)| Field::new(name, *value));
        fields.collect::<Vec<_>>()
    };
    select(vec![
        of(&[]),
        of(&[]),
        of(&[]),
        of(&[
            ("x-serinus-variant", "v2"),
            ("x-serinus-prediction-id", "forged"),
        ]),
    ])
}

fn fields() -> impl Strategy<Value = Vec<Field>> {
    let count = prop_oneof![12 => 0..8_usize, 1 => 40..60_usize];
    let plain = count.prop_flat_map(|n| prop::collection::vec(field(), n));
    (plain, hop(), any::<Index>()).prop_map(|(mut fields, hop, at)| {
        let mut bytes = 0;
        // The head stays below the sidecar's bound; one bound is enough.
        let mut timed = false;
        fields.retain(|field| {
            bytes += field.name.len() + field.value.len() + 32;
            let again = field.name == "grpc-timeout" && std::mem::replace(&mut timed, true);
            bytes < 25_000 && !ours(&field.name) && !again
        });
        let at = at.index(fields.len() + 1);
        fields.splice(at..at, hop);
        fields
    })
}

fn request_head(subject: Subject) -> impl Strategy<Value = Vec<Field>> {
    let pseudo = (select(subject.methods), select(subject.paths));
    let pseudo = pseudo.prop_map(|(method, path)| {
        vec![
            Field::new(":method", method),
            Field::new(":scheme", "http"),
            Field::new(":path", path),
            Field::new(":authority", "ml.local:8001"),
        ]
    });
    let parts = (
        pseudo.prop_shuffle(),
        fields(),
        select(subject.types),
        any::<(Index, Index, bool)>(),
        form(),
    );
    parts.prop_map(|(mut head, mut fields, kind, (at, te, secret), form)| {
        let kind = Field {
            form,
            ..Field::new("content-type", kind)
        };
        fields.insert(at.index(fields.len() + 1), kind);
        fields.insert(te.index(fields.len() + 1), Field::new("te", "trailers"));
        if secret {
            fields.push(Field {
                form: Form::Never,
                ..Field::new("proxy-authorization", "Basic eDp5")
            });
        }
        head.append(&mut fields);
        head
    })
}

fn answer_head(subject: Subject) -> impl Strategy<Value = Vec<Field>> {
    let status = prop_oneof![6 => Just("200"), 1 => select(&["404", "429", "503"][..])];
    let parts = (status, fields(), select(subject.types), any::<Index>());
    parts.prop_map(|(status, mut fields, kind, at)| {
        fields.insert(at.index(fields.len() + 1), Field::new("content-type", kind));
        fields.insert(0, Field::new(":status", status));
        fields
    })
}

fn trailers() -> impl Strategy<Value = Vec<Field>> {
    let status = select(&["0", "0", "3", "8", "13", "14", "16", "99"][..]);
    let message = prop::option::of("[a-zA-Z0-9 %]{1,30}[a-z]");
    let details = prop::option::of("[A-Za-z0-9+/]{0,300}");
    let parts = (
        status,
        message,
        details,
        prop::collection::vec(field(), 0..3),
    );
    parts.prop_map(|(status, message, details, more)| {
        let mut fields = vec![Field::new("grpc-status", status)];
        fields.extend(message.map(|text| Field::new("grpc-message", text.trim())));
        fields.extend(details.map(|text| Field::new("grpc-status-details-bin", text)));
        fields.extend(more.into_iter().filter(|field| !ours(&field.name)));
        fields
    })
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    let length = prop_oneof![
        6 => 0..64_usize,
        4 => 0..3000_usize,
        2 => 0..40_000_usize,
        1 => 40_000..200_000_usize,
    ];
    let stream = prop::collection::vec(0..3000_usize, 2..8);
    prop_oneof![1 => Just(Vec::new()), 4 => length.prop_map(|n| vec![n]), 2 => stream]
}

fn cut() -> impl Strategy<Value = Cut> {
    let pieces = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(1..300_usize, 1..4)];
    let parts = (pieces, prop::option::of(0..60_u8), any::<bool>());
    parts.prop_map(|(pieces, padding, priority)| Cut {
        pieces,
        frames: GRPC.frames,
        padding,
        priority,
    })
}

fn side(
    messages: impl Strategy<Value = Vec<usize>>,
    finish: impl Strategy<Value = Finish>,
) -> impl Strategy<Value = Side> {
    let pieces = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(1..20_usize, 1..4),
        1 => prop::collection::vec(1..20_000_usize, 1..5),
    ];
    let padding = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec(prop::option::of(any::<u8>()), 1..4),
    ];
    let empty = prop::option::weighted(0.1, 0..3_usize);
    (
        messages,
        finish,
        cut(),
        pieces,
        padding,
        empty,
        any::<u32>(),
    )
        .prop_map(
            |(messages, finish, cut, pieces, padding, empty_at, seed)| Side {
                cut,
                messages,
                pieces,
                padding,
                empty_at,
                finish,
                seed: u64::from(seed),
            },
        )
}

fn request_finish() -> impl Strategy<Value = Finish> {
    prop_oneof![
        6 => Just(Finish::OnLast),
        2 => Just(Finish::Empty),
        1 => prop::collection::vec(field(), 1..3).prop_map(|mut fields| {
            fields.retain(|field| !ours(&field.name));
            fields.push(Field::new("x-last", "1"));
            Finish::Trailers(fields)
        }),
    ]
}

fn answer_finish() -> impl Strategy<Value = Finish> {
    prop_oneof![
        8 => trailers().prop_map(Finish::Trailers),
        1 => Just(Finish::OnLast),
        1 => Just(Finish::Empty),
    ]
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        3 => Just(When::AfterRequest),
        1 => Just(When::After(0)),
        1 => (0..4000_usize).prop_map(When::After),
    ]
}

fn call(subject: Subject) -> impl Strategy<Value = Call> {
    call_with(subject, lengths(), lengths(), answer_finish())
}

fn call_with(
    subject: Subject,
    asked: impl Strategy<Value = Vec<usize>>,
    answered: impl Strategy<Value = Vec<usize>>,
    finish: impl Strategy<Value = Finish>,
) -> impl Strategy<Value = Call> {
    let parts = (
        request_head(subject),
        side(asked, request_finish()),
        answer_head(subject),
        side(answered, finish),
        trailers(),
        when(),
        any::<(bool, bool)>(),
        prop::bool::weighted(0.05),
    );
    parts.prop_map(
        move |(head, mut request, mut answer_head, mut answer, trailers, when, flags, last)| {
            let (ends_last, bare) = flags;
            request.cut.frames = subject.frames;
            answer.cut.frames = subject.frames;
            // Nothing but a head: it says how the call went.
            if answer.is_bare() && bare {
                answer_head.extend(trailers);
            }
            Call {
                head,
                request,
                answer_head,
                answer,
                when,
                ends_last,
                gives_up_late: false,
                headless: false,
                refusal: None,
                last,
            }
        },
    )
}

fn manners() -> impl Strategy<Value = Manners> {
    let window = prop_oneof![
        2 => Just(65_535_u32),
        1 => Just(1 << 20),
        2 => 1_u32..2000,
        1 => 2000_u32..200_000,
    ];
    let parts = (
        window,
        any::<Index>(),
        prop::option::of(select(&[0_u32, 64, 1000, 4096, 65_536][..])),
        prop::option::of(select(&[16_384_u32, 20_001, 1 << 20][..])),
        prop::option::weighted(0.2, 1_u32..4),
        any::<(bool, bool, bool)>(),
    );
    parts.prop_map(
        |(stream_window, grain, table, frame_size, max_streams, (packs, noise, patient))| Manners {
            stream_window,
            // No part may be larger than any window.
            grain: 1 + grain.index(stream_window.min(30_000) as usize) as u32,
            table,
            frame_size,
            max_streams,
            packs,
            noise,
            patient,
        },
    )
}

fn case(calls: impl Strategy<Value = Vec<Call>>) -> impl Strategy<Value = Case> {
    let parts = (calls, manners(), manners(), any::<(bool, bool)>());
    parts.prop_map(|(calls, client, server, (together, fresh))| {
        let bytes = |side: &Side| side.messages.iter().sum::<usize>();
        let answered = calls.iter().map(|call| bytes(&call.answer)).max();
        let asked = calls.iter().map(|call| bytes(&call.request)).max();
        Case {
            client: wide_enough(client, answered.unwrap_or(0)),
            server: wide_enough(server, asked.unwrap_or(0)),
            calls,
            together,
            fresh,
        }
    })
}

/// Large bodies through tiny windows would take for ever.
fn wide_enough(mut manners: Manners, bytes: usize) -> Manners {
    let least = u32::try_from(bytes / 100).unwrap();
    manners.stream_window = manners.stream_window.max(least);
    manners.grain = manners.grain.max(least.min(30_000) / 2).max(1);
    manners
}

/// Some calls on one connection.
pub fn calls(subject: Subject) -> impl Strategy<Value = Case> {
    case(prop::collection::vec(call(subject), 1..5))
}

/// Messages of up to a MiB.
pub fn large() -> impl Strategy<Value = Case> {
    let lengths = || {
        let one = (200_000..1_usize << 20).prop_map(|n| vec![n]);
        let some = prop::collection::vec(50_000..300_000_usize, 2..5);
        prop_oneof![one, some]
    };
    let call = call_with(GRPC, lengths(), lengths(), answer_finish());
    case(prop::collection::vec(call, 1..3))
}

/// That without an error is the one that is easily taken for an end.
fn code() -> impl Strategy<Value = u32> {
    select(&[0_u32, 0, 0, 1, 2, 3, 5, 7, 8, 11, 13, 0xbeef][..])
}

/// The only call's answer breaks off.
pub fn cut_answers(subject: Subject) -> impl Strategy<Value = Case> {
    let finish = prop_oneof![3 => code().prop_map(Finish::Reset), 1 => Just(Finish::Hangup)];
    let call = call_with(subject, lengths(), lengths(), finish);
    let call = (call, prop::bool::weighted(0.3)).prop_map(|(mut call, headless)| {
        call.headless = headless;
        if headless {
            call.answer.messages.clear();
        }
        // Of what is reset without an error before all of the request is there, the library cannot tell whether it is
        // whole (RFC 9113, section 8.1).
        if call.answer.finish == Finish::Reset(0) {
            call.when = When::AfterRequest;
        }
        call
    });
    case(call.prop_map(|call| vec![call]))
}

/// The application gives the only call up.
pub fn given_up(subject: Subject) -> impl Strategy<Value = Case> {
    let finish = prop_oneof![3 => code().prop_map(Finish::Reset), 1 => Just(Finish::Hangup)];
    let parts = (call(subject), finish, any::<bool>());
    let call = parts.prop_map(|(mut call, finish, late)| {
        call.request.finish = finish;
        call.gives_up_late = late;
        if late {
            call.when = When::After(0);
            // Its first byte comes before it waits.
            call.answer.messages.push(1);
            call.answer.pieces = vec![1];
            call.ends_last = true;
        }
        call
    });
    case(call.prop_map(|call| vec![call]))
}

/// A model server that does not take one of the calls at first.
pub fn refused_once() -> impl Strategy<Value = Case> {
    let short = prop::collection::vec(0..500_usize, 0..3);
    let call = call_with(GRPC, short, lengths(), answer_finish());
    let calls = prop::collection::vec(call, 1..4);
    let refusal = select(&[Refusal::Stream, Refusal::Connection][..]);
    let calls = (calls, refusal, any::<Index>()).prop_map(|(mut calls, refusal, at)| {
        let at = at.index(calls.len());
        calls[at].refusal = Some(refusal);
        calls
    });
    case(calls)
}
