//! Checks traces of runs: `cargo run -p serinus-tests --example oracle -- TRACE...`, JSON lines as `SERINUS_TRACES=DIR`
//! makes the end-to-end tests leave them. Several are merged by time. Exit code 1 if something in them must not be.

use anyhow::{Context as _, Result};
use serinus_tests::oracle::{check, size, trace::read};
use std::fs::File;
use std::io::{BufReader, Cursor, Read as _};
use std::process::ExitCode;

fn main() -> Result<ExitCode> {
    let mut text = Vec::new();
    for path in std::env::args().skip(1) {
        let file = File::open(&path).with_context(|| format!("open {path}"))?;
        BufReader::new(file).read_to_end(&mut text)?;
        text.push(b'\n');
    }
    let records = read(Cursor::new(text))?;
    let violations = check(&records);
    for violation in &violations {
        println!("{violation}");
    }
    println!("{:?}: {} violations", size(&records), violations.len());
    let clean = violations.is_empty() && !records.is_empty();
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
