//! The story's processes: this very program, under its other names.

use anyhow::{Context as _, Result, bail};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A forest is trained before its server is ready.
const READY: Duration = Duration::from_secs(60);

/// A process that ends with the story.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    line: String,
    name: String,
}

impl Process {
    /// Starts `program args` and waits for its first line, which names its ports.
    pub(super) async fn start(program: &Path, name: &str, args: &[String]) -> Result<Self> {
        let mut command = Command::new(program);
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        if std::env::var_os("SERINUS_LOG").is_none() {
            command.env("SERINUS_LOG", "error");
        }
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let out = child
            .stdout
            .take()
            .context("its standard output is a pipe")?;
        let mut lines = BufReader::new(out).lines();
        let line = timeout(READY, lines.next_line()).await;
        let line = line.with_context(|| format!("{name} was not ready within {READY:?}"))??;
        let Some(line) = line else {
            bail!("{name} ended before it was ready")
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            child,
            line,
            name: name.to_owned(),
        })
    }

    /// The address after `word=` (or after the word `listening`) in its first line.
    pub(super) fn address(&self, word: &str) -> Result<String> {
        let named = self
            .line
            .split_whitespace()
            .find_map(|part| part.strip_prefix(word)?.strip_prefix('='));
        let listening = || self.line.strip_prefix(word).map(str::trim);
        let address = named.or_else(listening);
        address
            .map(str::to_owned)
            .with_context(|| format!("{} said {:?}", self.name, self.line))
    }

    /// Whether it is gone.
    pub(super) fn is_gone(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}
