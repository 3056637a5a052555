//! What a sidecar keeps on disk.

use super::Shared;
use crate::config::Sidecar;
use crate::kill::Switch;
use crate::outcomes::Desk;
use crate::outcomes::spool::Spool;
use crate::outcomes::writer::Writer;
use crate::sync::Contact;
use crate::sync::apply::Applier;
use crate::sync::cache::Cache;
use crate::sync::clock::Clock;
use crate::sync::store::Store;
use crate::table::ModelSpec;
use anyhow::{Context as _, anyhow};
use rand::RngExt as _;
use std::fs::{self, File, TryLockError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

/// How long a start waits for the state directory.
const LOCK_WITHIN: Duration = Duration::from_secs(5);
/// Longest random wait before a canary out of contact goes back to stable, ms.
const REVERT_WITHIN_MS: u64 = 60_000;

/// Two sidecars with one state directory would overwrite each other's latches.
pub(super) async fn lock(config: &Sidecar) -> anyhow::Result<Option<File>> {
    let (Some(directory), false) = (&config.state_dir, config.control_plane.is_empty()) else {
        return Ok(None);
    };
    let path = directory.join("lock");
    let using = || format!("state_dir: use {}", directory.display());
    fs::create_dir_all(directory).with_context(using)?;
    let file = File::create(&path).with_context(using)?;
    let until = Instant::now() + LOCK_WITHIN;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            // The sidecar before this one may still be on its way out.
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(anyhow!(
                    "state_dir: {} is in use by another sidecar; give each its own",
                    directory.display()
                ));
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(using),
        }
    }
}

/// Takes over what is on disk.
pub(super) fn applier(
    config: &Sidecar,
    specs: Vec<ModelSpec>,
    shared: &Shared,
    kill: &Switch,
) -> anyhow::Result<Applier> {
    let store = match (&config.state_dir, config.control_plane.is_empty()) {
        (Some(directory), false) => {
            let cache = Cache::open(directory)
                .with_context(|| format!("state_dir: use {}", directory.display()))?;
            Store::new(cache)
        }
        _ => Store::nowhere(),
    };
    let delay_ms = rand::rng().random_range(0..=REVERT_WITHIN_MS);
    Applier::start(
        specs,
        Arc::clone(shared),
        store,
        Clock::boot_time(),
        delay_ms,
        kill.watch(),
    )
    .map_err(|mistakes| {
        anyhow!(
            "the configuration cannot be served:\n  {}",
            mistakes.join("\n  ")
        )
    })
}

/// Opens the outcome spool.
pub(super) fn open_desk(
    config: &Sidecar,
    contact: watch::Receiver<Contact>,
) -> anyhow::Result<Desk> {
    let directory = config
        .state_dir
        .as_deref()
        .context("state_dir: name a directory")?;
    let directory = directory.join("outcomes");
    let (spool, dropped) = Spool::open(&directory, config.outcomes.spool_bytes)
        .with_context(|| format!("state_dir: open the outcome spool {}", directory.display()))?;
    if dropped > 0 {
        warn!(
            dropped,
            "bytes at the end of the outcome spool were half written and are dropped"
        );
    }
    let waiting = spool.waiting_bytes();
    if waiting > 0 {
        info!(waiting, "outcomes of an earlier run are sent again");
    }
    let writer = Writer::start(spool).context("start the outcome spool")?;
    Ok(Desk::new(writer, contact))
}
