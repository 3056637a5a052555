//! The same messages direct and through the sidecar are the same bytes, but for what `docs/transparency.md` says.

use crate::corpus;
use crate::raw::Seen;
use crate::script::{End, When};
use crate::sidecar::Setup;
use crate::world::{Case, Exchange, Leave, Observed, World};
use crate::{compare, exact};
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};

/// Cases of one property.
pub fn cases(usual: u32) -> u32 {
    let asked = std::env::var("SERINUS_WIRE_CASES").ok();
    let asked = asked.map(|n| n.parse().expect("SERINUS_WIRE_CASES is a number"));
    asked.unwrap_or(usual)
}

/// What serves the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The sidecar's own HTTP/1.1.
    Own,
    /// A library, on connections of which one request has to be looked into.
    Library,
}

impl By {
    fn setup(self, mut setup: Setup) -> Setup {
        if let (Self::Library, Some(bucketing)) = (self, &mut setup.assignment.bucketing) {
            bucketing.key = "json:/user".into();
        }
        setup
    }

    fn of(self, exchange: &Exchange) -> Self {
        match exchange.request.names_host() {
            true => self,
            false => Self::Library,
        }
    }

    fn request(self, direct: &Seen, through: &Seen) -> Result<(), String> {
        match self {
            Self::Own => exact::request(direct, through),
            Self::Library => compare::request(direct, through),
        }
    }

    fn answer(self, direct: &Seen, through: &Seen, old: bool) -> Result<(), String> {
        match self {
            Self::Own => exact::answer(direct, through, old),
            Self::Library => compare::answer(direct, through, old),
        }
    }
}

fn check(name: &'static str, usual: u32, by: By, strategy: impl Strategy<Value = Case>) {
    let world = World::start(|setup| by.setup(setup));
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
        let verdict = observed.and_then(|(direct, through)| judge(&case, by, &direct, &through));
        verdict.map_err(TestCaseError::fail)
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let left = world.upstream.left();
    let whole: Vec<_> = left.iter().filter(|(_, seen)| seen.whole).collect();
    assert!(whole.is_empty(), "came late: {whole:?}");
}

fn judge(case: &Case, by: By, direct: &[Observed], through: &[Observed]) -> Result<(), String> {
    if direct.len() != through.len() {
        return Err(format!(
            "{} answers direct, {} through",
            direct.len(),
            through.len()
        ));
    }
    let pairs = direct.iter().zip(through).enumerate();
    for (index, (direct, through)) in pairs {
        let last = index + 1 == case.exchanges.len();
        judge_one(case, by, index, last, direct, through)
            .map_err(|why| format!("exchange {index}: {why}"))?;
    }
    Ok(())
}

fn judge_one(
    case: &Case,
    by: By,
    index: usize,
    last: bool,
    direct: &Observed,
    through: &Observed,
) -> Result<(), String> {
    let exchange = &case.exchanges[index];
    let by = by.of(exchange);
    let [sent] = direct.requests.as_slice() else {
        return judge_unsent(case.leave, last, direct, through);
    };
    let repeats = through.requests.len();
    let repeatable = repeats == 1 || matches!(exchange.play.end, End::Cut { .. });
    let early = exchange.play.when == When::AfterHead && repeats == 0;
    if !(sent.whole || repeats <= 1) || sent.whole && !(repeatable && repeats > 0) && !early {
        return Err(format!("the request came {repeats} times"));
    }
    for got in &through.requests {
        match sent.whole && (got.whole || exchange.play.when != When::AfterHead) {
            true => by.request(sent, got)?,
            false if got.whole => return Err("a cut request came whole".to_owned()),
            false if !(sent.body.starts_with(&got.body) || got.body.starts_with(&sent.body)) => {
                return Err("other bytes than those sent".to_owned());
            }
            false => {}
        }
    }
    judge_interim(by, &direct.interim, &through.interim)?;
    let old = exchange.request.start.ends_with("1.0");
    match (&direct.answer, &through.answer) {
        (None, None) => Ok(()),
        // The connection was lost before the head was passed on, or the reset overtook it.
        (Some(direct), None) if !direct.whole => Ok(()),
        (Some(_), Some(own)) if exchange.play.end.is_reset() && own.head.status() == 502 => {
            is_bad_gateway(own, exchange.play.to_head)
        }
        (None, Some(own)) if matches!(exchange.play.end, End::Cut { .. }) => {
            is_bad_gateway(own, exchange.play.to_head)
        }
        (Some(direct), Some(through)) => by.answer(direct, through, old),
        (direct, through) => Err(format!("answers: {direct:?} direct, {through:?} through")),
    }
}

fn judge_interim(by: By, direct: &[Seen], through: &[Seen]) -> Result<(), String> {
    let statuses = |seen: &[Seen]| seen.iter().map(|s| s.head.status()).collect::<Vec<_>>();
    let (wanted, got) = (statuses(direct), statuses(through));
    if wanted != got {
        return Err(format!(
            "interim answers: {wanted:?} direct, {got:?} through"
        ));
    }
    let mut pairs = direct.iter().zip(through);
    match by {
        By::Own => pairs.try_for_each(|(direct, through)| exact::interim(direct, through)),
        By::Library => Ok(()),
    }
}

/// The head broke off, or a reset has overtaken it: the model server never knew what was asked.
fn judge_unsent(
    leave: Leave,
    last: bool,
    direct: &Observed,
    through: &Observed,
) -> Result<(), String> {
    let Leave::Cut { reset, .. } = leave else {
        return Err(format!("{} requests came direct", direct.requests.len()));
    };
    if !last || !direct.requests.is_empty() {
        return Err(format!("{} requests came direct", direct.requests.len()));
    }
    let none_whole = through.requests.iter().all(|seen| !seen.whole);
    match through.requests.is_empty() || reset && none_whole {
        true => Ok(()),
        false => Err("a request without its head came".to_owned()),
    }
}

fn is_bad_gateway(own: &crate::raw::Seen, to_head: bool) -> Result<(), String> {
    let says_why = to_head || own.body.starts_with(b"serinus: ");
    match (own.head.status(), own.whole, says_why) {
        (502, true, true) => Ok(()),
        _ => Err(format!(
            "instead of an answer without a whole head: {own:?}"
        )),
    }
}

macro_rules! property {
    ($name:ident, $cases:expr, $strategy:expr) => {
        property!($name, $cases, $strategy, By::Own);
    };
    ($name:ident, $cases:expr, $strategy:expr, $by:expr) => {
        #[test]
        fn $name() {
            check(
                concat!("tests/wire/", stringify!($name), ".proptest-regressions"),
                $cases,
                $by,
                $strategy,
            );
        }
    };
}

property!(exchanges_in_turns, 600, corpus::turns());
property!(pipelined_requests, 400, corpus::pipelines());
property!(http_1_0, 300, corpus::old());
property!(answers_that_break_off, 500, corpus::cut_answers());
property!(requests_that_break_off, 400, corpus::cut_requests());
property!(half_closed_by_the_application, 200, corpus::half_closed());
property!(large_bodies, 20, corpus::large());
property!(trailers_of_answers, 200, corpus::trailers());
property!(trailers_of_requests, 100, corpus::announced_trailers());
property!(interim_answers, 100, corpus::interim());
property!(odd_reasons, 100, corpus::odd_reasons());
property!(
    http_1_0_answers_that_break_off,
    200,
    corpus::old_cut_answers()
);
property!(looked_into, 300, corpus::looked_into(), By::Library);
property!(
    looked_into_and_broken_off,
    200,
    corpus::looked_into_cut_answers(),
    By::Library
);
