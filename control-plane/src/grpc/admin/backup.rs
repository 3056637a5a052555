//! A copy of the store as a stream.

use crate::engine::Handle;
use crate::grpc::error;
use crate::grpc::watches::Watcher;
use serinus_proto::v1::BackupChunk;
use std::io::{self, Write};
use tokio::sync::mpsc;
use tonic::Status;

/// Bytes of a chunk.
const CHUNK: usize = 256 * 1024;
/// Chunks that wait for the reader.
const WAITING: usize = 4;

/// Sends a copy as of the last commit.
pub(super) async fn run(handle: Handle, watcher: Watcher<BackupChunk>) -> Result<(), Status> {
    let (chunks, mut ready) = mpsc::channel(WAITING);
    let copied = handle.read(move |store| {
        let mut out = Chunks {
            chunks,
            data: Vec::with_capacity(CHUNK),
        };
        let header = store.copy_to(&mut out)?;
        out.flush().map_err(crate::store::StoreError::Copy)?;
        Ok(header)
    });
    let send = async {
        while let Some(data) = ready.recv().await {
            watcher.send(BackupChunk { data }).await?;
        }
        Ok::<_, Status>(())
    };
    let (copied, sent) = tokio::join!(copied, send);
    sent?;
    let header = copied.map_err(|fault| error::store(&fault))?;
    tracing::info!(revision = header.revision, "backup taken");
    Ok(())
}

/// Cuts what is written into chunks; blocks while the reader is slow.
struct Chunks {
    chunks: mpsc::Sender<Vec<u8>>,
    data: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(CHUNK - self.data.len());
        self.data.extend_from_slice(&bytes[..n]);
        if self.data.len() == CHUNK {
            self.flush()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.data.is_empty() {
            return Ok(());
        }
        let data = std::mem::replace(&mut self.data, Vec::with_capacity(CHUNK));
        let sent = self.chunks.blocking_send(data);
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader left"))
    }
}
