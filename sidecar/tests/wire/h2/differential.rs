//! The same calls direct and through the sidecar are the same fields, bytes and ends, but for what
//! `docs/transparency.md` says.

use super::compare::{self, By};
use super::corpus;
use super::message::{Call, Case, Finish, When};
use super::peer::{End, Seen};
use super::world::{Observed, World};
use crate::differential::cases;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};

fn check(name: &'static str, usual: u32, kind: Kind, strategy: impl Strategy<Value = Case>) {
    let world = World::start(kind.scheme());
    let mut runner = TestRunner::new(Config {
        cases: cases(usual),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(name))),
        source_file: Some(file!()),
        max_shrink_iters: 4000,
        max_shrink_time: 120_000,
        ..Config::default()
    });
    let result = runner.run(&strategy, |case| {
        let observed = world.both(&case);
        let verdict = observed.and_then(|(direct, through)| judge(&case, kind, &direct, &through));
        verdict.map_err(TestCaseError::fail)
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// What calls are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Grpc,
    /// Its answers are looked into.
    GrpcLookedInto,
    /// To endpoints that speak HTTP/2 only.
    Other,
}

impl Kind {
    fn by(self) -> By {
        match self {
            Self::Grpc => By::Relay,
            Self::GrpcLookedInto | Self::Other => By::Library,
        }
    }

    fn scheme(self) -> &'static str {
        match self {
            Self::Grpc | Self::GrpcLookedInto => "http",
            Self::Other => "h2c",
        }
    }
}

fn judge(case: &Case, kind: Kind, direct: &[Observed], through: &[Observed]) -> Result<(), String> {
    let pairs = direct.iter().zip(through).zip(&case.calls).enumerate();
    for (index, ((direct, through), call)) in pairs {
        // A library may have begun a call on a connection that is about to end, and makes it again on another one.
        let leaves = kind.by() == By::Library && case.calls.iter().any(|call| call.last);
        let requests = judge_requests(call, kind.by(), leaves, direct, through);
        let judged = requests.and_then(|()| judge_answer(call, kind, direct, through));
        judged.map_err(|why| format!("call {index}: {why}"))?;
    }
    Ok(())
}

fn judge_requests(
    call: &Call,
    by: By,
    leaves: bool,
    direct: &Observed,
    through: &Observed,
) -> Result<(), String> {
    let gives_up = !call.request.is_whole();
    let [sent] = direct.requests.as_slice() else {
        // A connection that ends at once may have brought nothing.
        return match gives_up && direct.requests.is_empty() {
            true => Ok(()),
            false => Err(format!("{} requests came direct", direct.requests.len())),
        };
    };
    let unanswered = !call.answer.is_whole();
    match through.requests.len() {
        1 => {}
        0 if gives_up => {}
        2 if unanswered || leaves => {}
        times => return Err(format!("the request came {times} times")),
    }
    for got in &through.requests {
        by.request_head(sent, got)?;
        compare::same_so_far("request body", &sent.body, &got.body)?;
        // A library says so with another code.
        let left = match by {
            By::Relay => got.end == End::Reset(0),
            By::Library => matches!(got.end, End::Reset(_)),
        };
        let may_stop = gives_up
            || unanswered
            || through.requests.len() > 1
            || (call.when != When::AfterRequest && !call.ends_last && left);
        if got.end == End::Whole && sent.end == End::Whole {
            by.request(sent, got)?;
        } else if !may_stop {
            return Err(format!("a request ended as {:?}", got.end));
        }
        if gives_up {
            judge_given_up(call, by, through, got)?;
        }
    }
    Ok(())
}

/// The model server hears why the application has given up.
fn judge_given_up(call: &Call, by: By, through: &Observed, got: &Seen) -> Result<(), String> {
    let told = match call.request.finish {
        Finish::Reset(code) => code,
        _ => 8,
    };
    let answered = through.answer.end == End::Whole || !call.answer.is_whole();
    match got.end {
        End::Reset(code) if code == told || by == By::Library => Ok(()),
        // The last call of a connection that both sides end.
        End::Lost => Ok(()),
        // The answer was over before, or nobody has asked for it any more.
        End::Reset(0) | End::Open if answered || call.when != When::AfterRequest => Ok(()),
        end => Err(format!("a request that was given up ended as {end:?}")),
    }
}

fn judge_answer(
    call: &Call,
    kind: Kind,
    direct: &Observed,
    through: &Observed,
) -> Result<(), String> {
    let (by, direct, through) = (kind.by(), &direct.answer, &through.answer);
    if !call.request.is_whole() {
        if direct.head.is_some() && through.head.is_some() && call.answer.is_whole() {
            by.answer_head(direct, through)?;
            compare::same_so_far("answer body", &direct.body, &through.body)?;
        }
        return Ok(());
    }
    if call.answer.is_whole() {
        return by.answer(direct, through);
    }
    match call.headless {
        true => compare::is_own(through, kind != Kind::Other),
        false => by.cut_answer(direct, through, call.when == When::AfterRequest),
    }
}

macro_rules! property {
    ($name:ident, $cases:expr, $kind:expr, $strategy:expr) => {
        #[test]
        fn $name() {
            check(
                concat!("tests/wire/h2/", stringify!($name), ".proptest-regressions"),
                $cases,
                $kind,
                $strategy,
            );
        }
    };
}

property!(calls, 300, Kind::Grpc, corpus::calls(corpus::GRPC));
property!(large_messages, 12, Kind::Grpc, corpus::large());
property!(
    calls_that_break_off,
    150,
    Kind::Grpc,
    corpus::cut_answers(corpus::GRPC)
);
property!(
    calls_that_are_given_up,
    150,
    Kind::Grpc,
    corpus::given_up(corpus::GRPC)
);
property!(refused_once, 80, Kind::Grpc, corpus::refused_once());
property!(
    looked_into,
    100,
    Kind::GrpcLookedInto,
    corpus::calls(corpus::MESSAGES)
);
property!(
    looked_into_and_given_up,
    50,
    Kind::GrpcLookedInto,
    corpus::given_up(corpus::MESSAGES)
);
property!(
    other_than_grpc_that_is_given_up,
    50,
    Kind::Other,
    corpus::given_up(corpus::OTHER)
);
property!(
    other_than_grpc,
    100,
    Kind::Other,
    corpus::calls(corpus::OTHER)
);
property!(
    other_than_grpc_that_breaks_off,
    50,
    Kind::Other,
    corpus::cut_answers(corpus::OTHER)
);
