//! SIGHUP: the program as it is on disk now takes over from this process.

use crate::config::Sidecar;
use anyhow::{Context as _, bail};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tracing::{error, info};

/// Starts the next process with this one's arguments; it knocks by itself. Whatever goes wrong is logged: this process
/// serves on.
pub(super) fn start(config: &Sidecar) {
    match spawn(config) {
        Ok(process) => info!(process, "started the next process of this sidecar"),
        Err(error) => {
            let why = format!("{error:#}");
            error!(why, "the next process of this sidecar cannot be started");
        }
    }
}

fn spawn(config: &Sidecar) -> anyhow::Result<u32> {
    if config.handover_path().is_none() {
        bail!("handover is off; set state_dir or handover");
    }
    if std::process::id() == 1 {
        bail!("this is process 1 of its container, which ends with it; restart the container");
    }
    let mut args = std::env::args_os();
    let program = program(args.next())?;
    let mut child = Command::new(&program)
        .args(args)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("run {}", program.display()))?;
    let process = child.id();
    // Somebody has to hear of its end while this process lives.
    let wait = move || match child.wait() {
        Ok(status) if status.success() => {}
        Ok(status) => error!(process, %status, "the next process of this sidecar has ended"),
        Err(error) => error!(process, %error, "the next process of this sidecar is lost"),
    };
    let thread = std::thread::Builder::new().name("successor".to_owned());
    thread.spawn(wait).context("wait for it")?;
    Ok(process)
}

/// By the path that this process was started with: the file of the running program may have been replaced since.
fn program(first: Option<OsString>) -> anyhow::Result<PathBuf> {
    match first.map(PathBuf::from) {
        Some(path) if path.components().count() > 1 => Ok(path),
        _ => std::env::current_exe().context("find the own program"),
    }
}
