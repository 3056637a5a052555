//! Calls one after the other, of which none may fail.

use crate::cluster::MODEL;
use anyhow::{Context as _, Result, bail, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(60);

/// Callers of one sidecar: half of them keep their connection as long as they may, half take a new one for each call.
#[derive(Debug)]
pub struct Callers {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    tasks: JoinSet<Result<()>>,
}

impl Callers {
    /// Starts so many.
    #[must_use]
    pub fn start(address: &str, count: u64) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let address = address.to_owned();
            tasks.spawn(async move {
                let most = if number % 2 == 0 { u64::MAX } else { 1 };
                while !stop.load(Ordering::SeqCst) {
                    let stream = TcpStream::connect(&address).await.context("connect")?;
                    calls(stream, number, most, &stop, &answered).await?;
                }
                Ok(())
            });
        }
        Self {
            stop,
            answered,
            tasks,
        }
    }

    /// Waits until so many more calls were answered.
    ///
    /// # Errors
    /// As soon as a call fails, or if nothing is answered for a minute.
    pub async fn go_on(&mut self, more: u64) -> Result<()> {
        let until = self.answered.load(Ordering::SeqCst) + more;
        let deadline = Instant::now() + LIMIT;
        while self.answered.load(Ordering::SeqCst) < until {
            if let Some(ended) = self.tasks.try_join_next() {
                ended??;
            }
            ensure!(Instant::now() < deadline, "the callers get nowhere");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Ends them; how many calls were answered.
    ///
    /// # Errors
    /// If a call failed.
    pub async fn end(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(self.answered.load(Ordering::SeqCst))
    }
}

/// Calls over one connection, until an answer says that it ends.
async fn calls(
    stream: TcpStream,
    caller: u64,
    most: u64,
    stop: &AtomicBool,
    answered: &AtomicU64,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let pixels = vec!["7"; 64].join(",");
    let input =
        format!(r#"{{"name":"pixels","shape":[1,64],"datatype":"FP32","data":[{pixels}]}}"#);
    let body = format!(r#"{{"inputs":[{input}]}}"#);
    for number in 0..most {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let request = format!(
            "POST /v2/models/{MODEL}/infer HTTP/1.1\r\nhost: ml\r\nx-user-id: {caller}-{number}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.get_mut().write_all(request.as_bytes()).await?;
        let (status, last) = answer(&mut stream)
            .await
            .with_context(|| format!("call {number} of a connection"))?;
        ensure!(status == 200, "status {status}");
        answered.fetch_add(1, Ordering::SeqCst);
        if last {
            break;
        }
    }
    Ok(())
}

/// Reads one answer: its status, and whether the connection ends with it.
///
/// # Errors
/// If it is none, or cut.
pub async fn answer(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<(u16, bool)> {
    let (mut status, mut length, mut last) = (0, 0, false);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            bail!("the connection was closed before the end of the head");
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(rest) = line.strip_prefix("http/1.1 ") {
            status = rest.get(..3).context("no status")?.parse()?;
        } else if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse()?;
        } else {
            last |= line == "connection: close";
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((status, last))
}
