//! Certificates that are renewed on disk come into force without a restart.

use super::Tls;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tracing::{error, info};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(10);

/// What tells one version of a file from the next.
pub(super) type Stamp = Option<(SystemTime, u64)>;

/// Reads certificates again whenever one of their files has changed; for ever, or not at all without such files. What
/// cannot be used is logged, and the old one serves on.
pub async fn watch(tls: Arc<Tls>) {
    let files = tls.files();
    if files.is_empty() {
        return;
    }
    let mut known = stamps(&files);
    loop {
        tokio::time::sleep(EVERY).await;
        look(&tls, &files, &mut known);
    }
}

pub(super) fn look(tls: &Tls, files: &[PathBuf], known: &mut Vec<Stamp>) {
    let now = stamps(files);
    if now == *known {
        return;
    }
    let failed = tls.reload();
    if failed.is_empty() {
        info!("certificates were read again");
    }
    for error in failed {
        error!(%error, "the certificates on disk cannot be used; those in memory serve on");
    }
    *known = now;
}

/// Through links: that is how mounted secrets change.
pub(super) fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let about = std::fs::metadata(file).ok()?;
        Some((about.modified().ok()?, about.len()))
    };
    files.iter().map(stamp).collect()
}
