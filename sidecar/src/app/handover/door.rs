//! Where the next process of a sidecar knocks.

use anyhow::Context as _;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// A listening Unix domain socket for the same user.
#[derive(Debug)]
pub(in crate::app) struct Door {
    listener: UnixListener,
    path: PathBuf,
    /// Tells the own file from that of a later process.
    inode: u64,
}

impl Door {
    /// Takes the place of whatever was at the path, in one step.
    pub(in crate::app) fn open(path: &Path) -> anyhow::Result<Self> {
        let using = || format!("handover: listen on {}", path.display());
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(using)?;
        }
        let mut own = path.as_os_str().to_owned();
        own.push(format!(".{}", std::process::id()));
        let own = PathBuf::from(own);
        // Left behind by a process of the same id.
        let _ = fs::remove_file(&own);
        let opened = || -> io::Result<Self> {
            let listener = UnixListener::bind(&own)?;
            fs::set_permissions(&own, Permissions::from_mode(0o600))?;
            let inode = fs::metadata(&own)?.ino();
            fs::rename(&own, path)?;
            Ok(Self {
                listener,
                path: path.to_owned(),
                inode,
            })
        };
        opened().with_context(using)
    }

    /// The next one that knocks.
    pub(in crate::app) async fn knock(&self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) => {
                    tracing::warn!(%error, "handover: cannot accept a connection");
                    tokio::time::sleep(super::RETRY).await;
                }
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let own = fs::metadata(&self.path).is_ok_and(|about| about.ino() == self.inode);
        if own {
            // A file that stays is found dead by the next process.
            let _ = fs::remove_file(&self.path);
        }
    }
}
