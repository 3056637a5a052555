//! A connection that has changed its protocol: bytes both ways, untouched.

use crate::net::Stream;
use bytes::Bytes;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};

/// The model's side of it.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) io: Stream,
    /// Read beyond the answer's head.
    pub(crate) early: Bytes,
}

impl Tunnel {
    /// Moves bytes until both sides are done. `early` was read from the client beyond its request.
    pub(super) async fn run(mut self, mut client: Stream, early: Bytes) -> std::io::Result<()> {
        client.write_all(&self.early).await?;
        self.io.write_all(&early).await?;
        copy_bidirectional(&mut client, &mut self.io).await?;
        Ok(())
    }
}
