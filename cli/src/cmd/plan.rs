//! `serinus plan`: what can be known of a plan before anything runs.

mod simulate;

use crate::args::{Format, Global};
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::{Failure, violation_line};
use crate::output::json;
use crate::session::{emit, now_ms};
use serde_json::{Value, json};
use serinus_core::freeze;
use serinus_core::plan::{parse, ramp_outlook};
use serinus_proto::v1;
use std::io::Read as _;

const EXAMPLES: &str = "\
Examples:
  serinus plan check plan.yaml
  serinus plan check plans/*.yaml -o json
  kubectl get configmap plan -o jsonpath='{.data.plan}' | serinus plan check -

Prints `FILE: ok`, with what an automatic ramp would do, or all mistakes of the file, each with its path. Exit code 2 if there is any.";

/// The largest plan that is read; real ones have a few kilobytes.
const LARGEST: u64 = 1 << 20;

/// `plan`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check plan files without starting anything
    #[command(after_help = EXAMPLES)]
    Check {
        /// YAML or JSON files; `-` reads stdin
        #[arg(required = true, value_name = "FILE")]
        files: Vec<String>,
    },
    /// Predict what a plan does with good and with bad canaries
    #[command(after_help = simulate::EXAMPLES)]
    Simulate(simulate::Args),
}

/// What is known of one file.
struct Checked {
    file: String,
    result: Result<v1::Plan, Vec<v1::Violation>>,
}

pub(crate) fn run(
    command: &Command,
    global: &Global,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    match command {
        Command::Check { files } => check(files, global, console),
        Command::Simulate(args) => simulate::run(args, global.output, console),
    }
}

fn check(files: &[String], global: &Global, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut checked = Vec::new();
    for file in files {
        let result = parse(&read(file, console)?);
        let file = file.clone();
        checked.push(Checked { file, result });
    }
    let as_json = || Value::from_iter(checked.iter().map(Checked::json));
    let as_text = || checked.iter().map(Checked::text).collect();
    emit(console, global.output, as_json, as_text)?;
    let bad = checked
        .iter()
        .filter(|checked| checked.result.is_err())
        .count();
    if bad == 0 {
        return Ok(Exit::Ok);
    }
    if global.output == Format::Table {
        console.note(&format!(
            "hint: {bad} of {} plans must be mended before they can be applied",
            checked.len()
        ));
    }
    Ok(Exit::BadInput)
}

impl Checked {
    fn text(&self) -> String {
        match &self.result {
            Ok(plan) => {
                let mut outlook = ramp_outlook(plan).unwrap_or_default();
                outlook.extend(freeze::outlook(plan, now_ms()));
                let lines = outlook.iter().map(|line| format!("  {line}\n"));
                format!("{}: ok\n{}", self.file, lines.collect::<String>())
            }
            Err(violations) => violations
                .iter()
                .map(|violation| format!("{}: {}\n", self.file, violation_line(violation)))
                .collect(),
        }
    }

    fn json(&self) -> Value {
        let violations = self.result.as_ref().err();
        let violation = |v: &v1::Violation| json!({ "path": v.path, "message": v.message });
        json!({
            "file": self.file,
            "ok": self.result.is_ok(),
            "plan": self.result.as_ref().ok().map(json::plan),
            "violations": violations.into_iter().flatten().map(violation).collect::<Vec<_>>(),
        })
    }
}

/// The text of a file, or of stdin for `-`.
pub(crate) fn read(file: &str, console: &mut Console<'_>) -> Result<String, Failure> {
    let fail = |error: std::io::Error| {
        Failure::bad_input(format!("read {file}: {error}"))
            .hint("name a plan file, or `-` for stdin")
    };
    let mut bytes = Vec::new();
    let read = if file == "-" {
        (&mut *console.input)
            .take(LARGEST + 1)
            .read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file)
            .and_then(|opened| opened.take(LARGEST + 1).read_to_end(&mut bytes))
    };
    read.map_err(fail)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Failure::bad_input(format!(
            "{file} is larger than 1 MiB: that is no plan"
        )));
    }
    String::from_utf8(bytes).map_err(|_| Failure::bad_input(format!("{file} is no UTF-8 text")))
}

/// The plan in a file, for commands that need a good one.
pub(crate) fn load(file: &str, console: &mut Console<'_>) -> Result<v1::Plan, Failure> {
    parse(&read(file, console)?).map_err(|violations| {
        let what = match violations.len() {
            1 => format!("{file} has a mistake"),
            count => format!("{file} has {count} mistakes"),
        };
        Failure::violations(what, &violations)
    })
}
