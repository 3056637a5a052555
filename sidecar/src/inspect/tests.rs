//! What servers were seen to send, and what it means.

use super::*;
use serinus_common::class::Class;

const SSE: &[u8] = b"text/event-stream; charset=utf-8";
const JSON: &[u8] = b"application/json";

pub(super) fn head(status: u16, content_type: &'static [u8]) -> Head<'static> {
    Head {
        status,
        content_type: Some(content_type),
        ..Head::default()
    }
}

/// Feeds one part a millisecond.
fn inspect(call: Kind, head: &Head<'_>, parts: &[&str], how: End) -> Findings {
    let mut inspector = Inspector::for_answer(call, StreamForm::Plain, head).unwrap();
    for (at, part) in parts.iter().enumerate() {
        inspector.feed(part.as_bytes(), || (at as u64 + 1) * 1000);
    }
    inspector.finish(how)
}

fn stream(call: Kind, parts: &[&str]) -> Findings {
    inspect(call, &head(200, SSE), parts, End::Whole)
}

const ROLE: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
const HI: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":null}]}\n\n";
const STOP: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[test]
fn a_whole_completion_is_whole() {
    let found = stream(Kind::Completions, &[ROLE, HI, HI, STOP, USAGE, DONE]);
    let expected = Findings {
        class: None,
        stream: true,
        unread: false,
        chunks: 2,
        tokens: Some(Tokens {
            input: 5,
            output: 3,
        }),
        first_micros: Some(2000),
        last_micros: 3000,
    };
    assert_eq!(found, expected);
    assert_eq!(found.micros_per_token(), Some(500));
}

#[test]
fn chunks_are_not_tokens() {
    let found = stream(Kind::Completions, &[ROLE, HI, HI, STOP, DONE]);
    assert_eq!((found.chunks, found.tokens), (2, None));
    assert_eq!(found.micros_per_token(), None);
}

#[test]
fn usage_is_the_last_one_wherever_it_is() {
    let lite = "data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"completion_tokens\":9}}\n\n";
    let null = "data: {\"choices\":null,\"usage\":{\"completion_tokens\":4}}\n\n";
    let none = "data: {\"choices\":[],\"usage\":null}\n\n";
    let output = |parts: &[&str]| stream(Kind::Completions, parts).tokens.map(|t| t.output);
    assert_eq!(output(&[HI, STOP, lite, DONE]), Some(9));
    assert_eq!(output(&[HI, STOP, null, none, DONE]), Some(4));
    assert_eq!(output(&[null, lite, USAGE, STOP, DONE]), Some(3));
}

#[test]
fn a_completion_without_an_end_has_failed() {
    let class = |parts: &[&str]| stream(Kind::Completions, parts).class;
    assert_eq!(
        class(&[]),
        Some(Class::Model),
        "llama-cpp-python, prompt too long"
    );
    assert_eq!(class(&[ROLE, HI]), Some(Class::Model));
    assert_eq!(class(&[ROLE, HI, DONE]), Some(Class::Model));
    assert_eq!(class(&[DONE]), Some(Class::Model));
    assert_eq!(
        class(&[HI, STOP]),
        None,
        "[DONE] is not what makes it whole"
    );
    let text = "data: {\"choices\":[{\"text\":\" a\",\"finish_reason\":\"length\"}]}\n\n";
    assert_eq!(class(&[text]), None);
}

#[test]
fn an_error_event_is_an_error_even_before_done() {
    let error = "data: {\"error\":{\"message\":\"boom\",\"code\":500}}\n\n";
    let named = "event: error\ndata: {\"message\":\"boom\"}\n\n";
    for error in [error, named] {
        for parts in [&[HI, error, DONE][..], &[HI, STOP, error, DONE], &[error]] {
            let found = stream(Kind::Completions, parts);
            assert_eq!(found.class, Some(Class::Model));
        }
    }
}

#[test]
fn callers_may_leave_after_the_end() {
    let left = |parts: &[&str]| inspect(Kind::Completions, &head(200, SSE), parts, End::Left).class;
    assert_eq!(left(&[ROLE, HI, STOP, DONE]), Some(Class::Ok));
    assert_eq!(left(&[ROLE, HI, STOP]), Some(Class::Ok));
    assert_eq!(left(&[ROLE, HI]), None);
    assert_eq!(left(&[]), None);
    assert_eq!(left(&["data: {\"error\":\"x\"}\n\n"]), Some(Class::Model));
}

#[test]
fn a_cut_is_left_to_whoever_saw_it() {
    let cut = inspect(Kind::Completions, &head(200, SSE), &[HI, STOP], End::Cut);
    assert_eq!((cut.class, cut.chunks), (None, 1));
}

#[test]
fn responses_end_with_their_own_events() {
    let event =
        |kind: &str, rest: &str| format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{rest}}}\n\n");
    let created = event("response.created", ",\"response\":{\"error\":null}");
    let delta = event("response.output_text.delta", ",\"delta\":\"Hi\"");
    let usage = ",\"response\":{\"status\":\"completed\",\"usage\":{\"input_tokens\":2,\"output_tokens\":6}}";
    let completed = event("response.completed", usage);
    let found = stream(Kind::Responses, &[&created, &delta, &delta, &completed]);
    assert_eq!((found.class, found.chunks), (None, 2));
    assert_eq!(found.first_micros, Some(2000));
    let tokens = Tokens {
        input: 2,
        output: 6,
    };
    assert_eq!(found.tokens, Some(tokens));
    let failed = event(
        "response.failed",
        ",\"response\":{\"error\":{\"code\":\"x\"}}",
    );
    for parts in [
        &[created.as_str(), &failed][..],
        &[&created, &delta],
        &[&event("error", "")],
        &[],
    ] {
        assert_eq!(stream(Kind::Responses, parts).class, Some(Class::Model));
    }
}

#[test]
fn generated_streams_have_no_end_but_errors() {
    let part = "data: {\"model_name\":\"m\",\"model_version\":\"1\",\"text_output\":\"a\"}\n\n";
    let whole = stream(Kind::Generate, &[part, part]);
    assert_eq!((whole.class, whole.chunks), (None, 2));
    assert_eq!(whole.first_micros, Some(1000));
    let failed = stream(
        Kind::Generate,
        &[part, "data: {\"error\": \"in ensemble\"}\n\n"],
    );
    assert_eq!((failed.class, failed.chunks), (Some(Class::Model), 1));
    assert_eq!(stream(Kind::Generate, &[]).class, None);
}

#[test]
fn unknown_services_are_not_judged_by_anybodys_rules() {
    let parts = [
        "data: {\"error\":\"the word of the day\"}\n\n",
        ": ping\n\n",
        HI,
    ];
    let found = stream(Kind::Other, &parts);
    assert_eq!((found.class, found.chunks, found.tokens), (None, 2, None));
    assert_eq!(stream(Kind::Other, &[]).class, None);
}

#[test]
fn compressed_streams_are_counted_as_unread() {
    let head = Head {
        content_encoding: Some(b"gzip"),
        ..head(200, SSE)
    };
    let found = inspect(Kind::Completions, &head, &["\u{1f}", "x"], End::Whole);
    assert_eq!(
        (found.stream, found.unread, found.class),
        (true, true, None)
    );
    assert_eq!(found.first_micros, Some(1000));
}

#[test]
fn mlflow_says_400_when_the_model_throws() {
    let thrown = "{\"error_code\": \"BAD_REQUEST\", \"message\": \"Encountered an unexpected error\", \"stack_trace\": \"Traceback\"}";
    let refused =
        "{\"error_code\": \"BAD_REQUEST\", \"message\": \"no \\\"stack_trace\\\": here\"}";
    let class =
        |text: &str| inspect(Kind::Invocations, &head(400, JSON), &[text], End::Whole).class;
    assert_eq!(class(thrown), Some(Class::Model));
    assert_eq!(class(refused), None);
}

#[test]
fn whole_completions_say_their_tokens() {
    let text = "{\"id\":\"c\",\"choices\":[{\"message\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":20}}";
    let found = inspect(Kind::Completions, &head(200, JSON), &[text], End::Whole);
    assert_eq!(found.tokens.map(|tokens| tokens.output), Some(20));
    assert_eq!((found.stream, found.first_micros), (false, None));
}

#[test]
fn most_answers_are_not_looked_at() {
    let of = |call, head| Inspector::for_answer(call, StreamForm::Plain, &head).is_some();
    let long = Head {
        content_length: Some(1 << 20),
        ..head(200, JSON)
    };
    for (call, head) in [
        (Kind::Other, head(200, JSON)),
        (Kind::Other, Head::default()),
        (Kind::Other, head(200, b"text/event-streams")),
        (Kind::Other, head(500, SSE)),
        (Kind::Unread, head(200, SSE)),
        (Kind::Completions, head(400, JSON)),
        (Kind::Completions, long),
        (Kind::Invocations, head(200, JSON)),
        (Kind::Generate, head(200, JSON)),
        (Kind::Messages, head(200, JSON)),
    ] {
        assert!(!of(call, head), "{call:?} {head:?}");
    }
    assert!(of(Kind::Other, head(200, b"Text/Event-Stream")));
    assert!(of(Kind::Messages, head(200, b"application/grpc+proto")));
}
