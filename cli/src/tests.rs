//! The whole program against a control plane of the tests' own.

mod backups;
mod commands;
mod fake;
mod following;
mod plans;
mod reading;
mod replaying;

use super::*;
use clap::CommandFactory as _;
use exit::Exit;
use fake::Fake;
use serde_json::Value;

/// What a run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    exit: Exit,
    out: String,
    notes: String,
    /// What would have gone to stderr.
    error: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs `serinus ARGS` in this process, with `input` as stdin.
async fn serinus_with(args: &[&str], input: &str) -> Ran {
    let cli = Cli::try_parse_from([&["serinus"], args].concat()).unwrap();
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        notes: &mut notes,
        input: &mut input.as_bytes(),
        screen: None,
    };
    let outcome = cmd::dispatch(cli, &mut console).await;
    let error = outcome.as_ref().err().map(Failure::to_string);
    Ran {
        exit: outcome.unwrap_or_else(|failure| failure.exit()),
        out: String::from_utf8(out).unwrap(),
        notes: String::from_utf8(notes).unwrap(),
        error: error.unwrap_or_default(),
    }
}

async fn serinus(fake: &Fake, args: &[&str]) -> Ran {
    serinus_with(&[&["--server", fake.address()], args].concat(), "").await
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

/// Every command that does something shows how it is called.
#[test]
fn every_command_has_examples() {
    fn check(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        let mut subcommands = command.get_subcommands().peekable();
        if subcommands.peek().is_none() {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.contains("Example"), "{path}");
        }
        subcommands.for_each(|subcommand| check(subcommand, &path));
    }
    check(&Cli::command(), "");
}

#[test]
fn bad_flags_end_with_2() {
    for args in [
        &["rollout", "pause"][..],
        &["bucket", "--key", "k", "--hash", "modulo"],
        &["status", "m", "--until", "full"],
        &["split", "set", "m", "v2"],
        &["split", "set", "m", "v2=1", "--force"],
        &["rollout", "get", "m", "--timeout", "soon"],
        &[
            "deploy",
            "m",
            "--canary",
            "v2=u",
            "--wait",
            "--validate-only",
        ],
    ] {
        let error = Cli::try_parse_from([&["serinus"], args].concat()).unwrap_err();
        assert_eq!(
            error.exit_code(),
            i32::from(Exit::BadInput.code()),
            "{args:?}"
        );
    }
}

#[tokio::test]
async fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = serinus_with(&["completions", shell], "").await;
        assert_eq!(ran.exit, Exit::Ok);
        assert!(ran.out.contains("rollout"), "{shell}");
    }
}

#[tokio::test]
async fn nobody_there_says_what_to_do() {
    // Bound and dropped: nothing listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let server = format!("http://{free}");
    let ran = serinus_with(&["rollout", "get", "m", "--server", &server], "").await;
    assert_eq!(ran.exit, Exit::Error);
    assert!(
        ran.error.starts_with(&format!(
            "error: cannot reach the control plane at {server}: "
        )),
        "{ran:?}"
    );
    assert!(
        ran.error
            .contains("hint: is the control plane running? start it with"),
        "{ran:?}"
    );
    assert!(ran.error.contains("--server"), "{ran:?}");
}
