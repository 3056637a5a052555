//! The control plane itself: contact, health, the store, what was refused.

use super::facts::{Facts, Web};
use super::finding::Severity::{Note, Problem, Warning};
use super::finding::{Finding, number};
use tonic::Code;

const ABOUT: &str = "control plane";
/// A commit that takes longer makes a rollback reach sidecars as a latch first.
const SLOW_COMMIT: &str = "0.25";
/// Too few commits say nothing.
const COMMITS: f64 = 100.0;
/// Exports are due every hour.
const OLD_EXPORT_S: f64 = 3.0 * 3600.0;
/// The engine's mailbox holds 4096.
const LONG_QUEUE: f64 = 1000.0;

pub(super) fn examine(facts: &Facts, findings: &mut Vec<Finding>) {
    if let Err(refused) = &facts.control_plane {
        findings.push(unanswered(&facts.server, refused.code, &refused.message));
    }
    match &facts.web {
        Ok(web) => examine_web(web, findings),
        Err(why) => findings.push(Finding::new(
            if facts.control_plane.is_ok() {
                Warning
            } else {
                Problem
            },
            "HTTP_UNREACHABLE",
            ABOUT,
            format!("its HTTP port {} does not answer: {why}", facts.http),
            "name it with --http HOST:PORT; metrics and health could not be looked at",
        )),
    }
    if let Ok(known) = &facts.control_plane
        && let Some(shown) = &known.info.fence_regressed
    {
        let held = shown.held.unwrap_or_default();
        findings.push(Finding::new(
            Problem,
            "FENCE_REGRESSION",
            ABOUT,
            format!(
                "nothing is raised: sidecar {} holds instruction {}.{}.{}, later than any from here",
                shown.sidecar, held.generation, held.term, held.revision
            ),
            format!(
                "if another control plane gives it orders, stop one of the two; if this one came back from a backup, start \
                 it with --generation {}",
                held.generation + 1
            ),
        ));
    }
}

fn unanswered(server: &str, code: Code, message: &str) -> Finding {
    let says = message.lines().next().unwrap_or_default();
    match code {
        Code::Unauthenticated => Finding::new(
            Problem,
            "TOKEN_REFUSED",
            ABOUT,
            format!("it does not know the caller: {says}"),
            "name a file with a valid token: --token-file FILE or SERINUS_TOKEN_FILE",
        ),
        Code::PermissionDenied => Finding::new(
            Problem,
            "ROLE_REFUSED",
            ABOUT,
            format!("the token may not ask for this: {says}"),
            "use a token whose role may read the control plane's state",
        ),
        _ => Finding::new(
            Problem,
            "UNREACHABLE",
            ABOUT,
            format!("{server} gives no answer: {says}"),
            "start it, or name the right one with --server; sidecars serve on meanwhile, and nothing is raised",
        ),
    }
}

fn examine_web(web: &Web, findings: &mut Vec<Finding>) {
    if web.alive.status != 200 {
        findings.push(Finding::new(
            Problem,
            "NOT_ALIVE",
            ABOUT,
            format!("/healthz answers {}: {}", web.alive.status, web.alive.text.trim()),
            "the engine ends with a failed commit: read the log's last error, look at the disk, and start it again",
        ));
    }
    if web.ready.status != 200 {
        findings.push(Finding::new(
            Warning,
            "NOT_READY",
            ABOUT,
            format!(
                "/readyz answers {}: {}",
                web.ready.status,
                web.ready.text.trim()
            ),
            "it is stopping; if it should not be, see what sent it SIGTERM",
        ));
    }
    let metrics = &web.metrics;
    let above_zero = |name: &str| metrics.sum(name).filter(|&value| value > 0.0);
    if above_zero("serinus_store_short_of_room").is_some() {
        let note = web
            .ready
            .text
            .lines()
            .nth(1)
            .unwrap_or("the disk is nearly full");
        findings.push(Finding::new(
            Problem,
            "NO_ROOM",
            "store",
            note,
            "free space on the file system of data_dir: nothing but taking canaries back is done until then",
        ));
    }
    if let Some((commits, share)) = metrics.above("serinus_commit_seconds", SLOW_COMMIT)
        && commits >= COMMITS
        && share > 0.01
    {
        findings.push(Finding::new(
            Warning,
            "SLOW_DISK",
            "store",
            format!("{:.1} % of {commits:.0} commits took over {SLOW_COMMIT} s", share * 100.0),
            "put data_dir on a faster disk, or see what else writes to it: every command and report waits for a commit",
        ));
    }
    if let Some(age) = metrics
        .sum("serinus_store_export_age_seconds")
        .filter(|&age| age > OLD_EXPORT_S)
    {
        findings.push(Finding::new(
            Warning,
            "OLD_EXPORT",
            "store",
            format!("the last export is {:.0} h old", age / 3600.0),
            "read the log for why exports fail: after damage to the store, what is in none of them is lost",
        ));
    }
    if let Some(waiting) = metrics
        .sum("serinus_engine_waiting")
        .filter(|&waiting| waiting > LONG_QUEUE)
    {
        findings.push(Finding::new(
            Warning,
            "OVERLOADED",
            ABOUT,
            format!("{waiting:.0} messages wait for the engine"),
            "give it a faster disk or more of a core; reports of sidecars are what comes most",
        ));
    }
    counted(web, findings);
}

/// Counters since the start: what should not have happened at all.
fn counted(web: &Web, findings: &mut Vec<Finding>) {
    let metrics = &web.metrics;
    let above_zero = |name: &str| metrics.sum(name).filter(|&value| value > 0.0);
    if let Some(count) = above_zero("serinus_diverged_total") {
        findings.push(Finding::new(
            Problem,
            "DIVERGED",
            ABOUT,
            format!("{count:.0} times a sidecar held another content under the same fence"),
            "one of the two is forged or corrupt: find the sidecar in the log (DIVERGED), remove its state_dir and restart it",
        ));
    }
    if let Some(count) = above_zero("serinus_store_export_failures_total") {
        findings.push(Finding::new(
            Warning,
            "EXPORTS_FAIL",
            "store",
            format!(
                "{} since the start",
                number(count as usize, "failed export")
            ),
            "read the log for the reason; exports are what repair and retention rest on",
        ));
    }
    for (why, count) in metrics.by("serinus_reports_refused_total", "why") {
        if count > 0.0 {
            findings.push(Finding::new(
                Warning,
                "REPORTS_REFUSED",
                ABOUT,
                format!("{} refused since the start: {why}", number(count as usize, "report")),
                "see `serinus sidecars` for who is in quarantine, and the log for the first report that could not be true",
            ));
        }
    }
    let late = metrics.sum_of("serinus_pushes_total", &[("outcome", "timeout")]);
    if let Some(count) = late.filter(|&count| count > 0.0) {
        findings.push(Finding::new(
            Warning,
            "PUSHES_LATE",
            ABOUT,
            format!(
                "{} not acknowledged within 10 s since the start",
                number(count as usize, "push")
            ),
            "a sidecar or the way to it is too slow: its stream was closed, and it connects again",
        ));
    }
    for (why, count) in metrics.by("serinus_calls_denied_total", "why") {
        if count > 0.0 {
            findings.push(Finding::new(
                Note,
                "CALLS_DENIED",
                ABOUT,
                format!(
                    "{} denied since the start: {why}",
                    number(count as usize, "call")
                ),
                "somebody has no token or a wrong one; the log has each (\"call denied\")",
            ));
        }
    }
}
