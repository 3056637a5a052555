//! Certificates and the token file come into force when they change on disk, without a restart.

use crate::access::Access;
use crate::listen::tls::Tls;
use crate::metrics::RELOADS;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often the files are read.
const EVERY: Duration = Duration::from_secs(2);

/// Something that is made of files.
struct Watched {
    /// For the metric.
    what: &'static str,
    files: Vec<PathBuf>,
    /// What was in them when they were read last; they are small.
    known: Vec<Option<Vec<u8>>>,
    read: Box<dyn Fn() -> Result<(), String> + Send>,
}

impl Watched {
    fn new(
        what: &'static str,
        files: Vec<PathBuf>,
        read: impl Fn() -> Result<(), String> + Send + 'static,
    ) -> Self {
        let known = contents(&files);
        Self {
            what,
            files,
            known,
            read: Box::new(read),
        }
    }

    /// Reads them again if they have changed.
    fn look(&mut self) {
        let now = contents(&self.files);
        if now == self.known {
            return;
        }
        self.known = now;
        let what = self.what;
        let result = match (self.read)() {
            Ok(()) => {
                tracing::info!(what, "read again");
                "done"
            }
            Err(error) => {
                tracing::error!(what, %error, "what is on disk cannot be used; what was read before stays in force");
                "failed"
            }
        };
        metrics::counter!(RELOADS, "what" => what, "result" => result).increment(1);
    }
}

/// Through links: that is how mounted secrets change.
fn contents(files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|file| std::fs::read(file).ok()).collect()
}

/// Watches for ever, or not at all without files.
pub(crate) async fn watch(tls: Vec<Arc<Tls>>, access: Arc<Access>) {
    let mut watched: Vec<Watched> = Vec::new();
    for port in tls {
        let files = port.files();
        let read = move || port.reload().map_err(|error| error.to_string());
        watched.push(Watched::new("certificates", files, read));
    }
    if let Some(file) = access.file().cloned() {
        let read = move || access.reload().map_err(|error| error.to_string());
        watched.push(Watched::new("tokens", vec![file], read));
    }
    while !watched.is_empty() {
        tokio::time::sleep(EVERY).await;
        let looked = tokio::task::spawn_blocking(move || {
            watched.iter_mut().for_each(Watched::look);
            watched
        });
        match looked.await {
            Ok(back) => watched = back,
            // The runtime ends.
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn changed_files_are_read_once_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "a").unwrap();
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reads);
        let read = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Err("broken".to_owned())
        };
        let mut watched = Watched::new("test", vec![path.clone()], read);
        watched.look();
        assert_eq!(reads.load(Ordering::Relaxed), 0);
        // Of the same length, perhaps in the same tick of the file system's clock.
        std::fs::write(&path, "b").unwrap();
        watched.look();
        watched.look();
        assert_eq!(
            reads.load(Ordering::Relaxed),
            1,
            "a failure is not repeated"
        );
        std::fs::remove_file(&path).unwrap();
        watched.look();
        assert_eq!(reads.load(Ordering::Relaxed), 2);
    }
}
