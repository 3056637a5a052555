//! Waiting for a condition, not for a time.

use anyhow::{Result, bail};
use std::future::Future;
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `look` answers, at most `limit`; `what` says what was waited for.
///
/// # Errors
/// If it never did, or a look failed.
pub async fn eventually<T, F>(what: &str, limit: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() >= until {
            bail!("waited {limit:?} in vain: {what}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
