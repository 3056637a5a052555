//! A real program, started and ended by its id.

use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long a program may take until it is ready.
const READY: Duration = Duration::from_secs(30);
/// How long it may take to end when it is asked to.
const END: Duration = Duration::from_secs(20);

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// The words of its ready line: `grpc=127.0.0.1:1234` is `("grpc", "127.0.0.1:1234")`.
    pub words: BTreeMap<String, String>,
}

/// The folder with the real binaries, from `SERINUS_BIN_DIR`.
///
/// # Errors
/// If the variable is not set.
pub fn binaries() -> Result<PathBuf> {
    let folder = std::env::var_os("SERINUS_BIN_DIR");
    folder
        .map(PathBuf::from)
        .context("SERINUS_BIN_DIR names no folder: run ./tests/run")
}

impl Process {
    /// Starts a program of ours and waits for its ready line.
    ///
    /// # Errors
    /// If it ends or says nothing for 30 s.
    pub async fn start<S: AsRef<OsStr>>(
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let mut command = Command::new(binaries()?.join(program));
        command.args(args).stdin(Stdio::null());
        Self::run(program, command).await
    }

    /// Runs a command that becomes such a program.
    ///
    /// # Errors
    /// If it ends or says nothing for 30 s.
    pub async fn run(program: &str, mut command: Command) -> Result<Self> {
        command.stdout(Stdio::piped()).kill_on_drop(true);
        command.env(
            "SERINUS_LOG",
            std::env::var("SERINUS_LOG").unwrap_or_else(|_| "warn".into()),
        );
        let mut child = command
            .spawn()
            .with_context(|| format!("start {program}"))?;
        let out = child
            .stdout
            .take()
            .context("its standard output is a pipe")?;
        let mut lines = BufReader::new(out).lines();
        let line = timeout(READY, lines.next_line()).await;
        let line = line.with_context(|| format!("{program} was not ready in {READY:?}"))??;
        let Some(line) = line else {
            let status = child.wait().await?;
            bail!("{program} ended before it was ready: {status}");
        };
        // Whatever else it prints must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            child,
            words: words(&line),
        })
    }

    /// An address of the ready line.
    ///
    /// # Errors
    /// If the line has no such word.
    pub fn address(&self, word: &str) -> Result<String> {
        self.words
            .get(word)
            .cloned()
            .with_context(|| format!("no {word}= in {:?}", self.words))
    }

    /// Kills it without warning.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub async fn kill(mut self) -> Result<()> {
        self.child.start_kill()?;
        self.child.wait().await?;
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// If it does not end in 20 s, or not with 0.
    pub async fn terminate(self) -> Result<()> {
        self.signal("TERM").await?;
        let status = self.ended().await?;
        if !status.success() {
            bail!("ended with {status}");
        }
        Ok(())
    }

    /// Sends it a signal, by its name without `SIG`.
    ///
    /// # Errors
    /// If it has ended already.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let id = self.child.id().context("it has ended already")?;
        let signal = format!("-{name}");
        Command::new("kill")
            .args([&signal, &id.to_string()])
            .status()
            .await?;
        Ok(())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// If it does not in 20 s.
    pub async fn ended(mut self) -> Result<ExitStatus> {
        let ended = timeout(END, self.child.wait()).await;
        Ok(ended.context("it did not end")??)
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

fn words(line: &str) -> BTreeMap<String, String> {
    let mut words: BTreeMap<String, String> = line
        .split_whitespace()
        .filter_map(|word| {
            word.split_once('=')
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
        })
        .collect();
    if let Some(address) = line.strip_prefix("listening ") {
        words.insert("listening".to_owned(), address.trim().to_owned());
    }
    words
}

/// Runs a program of ours to its end; what it printed.
///
/// # Errors
/// If it does not end with 0, with what it printed.
pub async fn ran<S: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = S>,
) -> Result<String> {
    let mut command = Command::new(binaries()?.join(program));
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(READY, command.output()).await;
    let output = output.with_context(|| format!("{program} did not end"))??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        let (status, out, err) = (output.status, text(&output.stdout), text(&output.stderr));
        bail!("{program} ended with {status}: {out}{err}");
    }
    Ok(text(&output.stdout))
}
