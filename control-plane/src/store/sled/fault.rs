//! What can go wrong inside, before it is known what that means for the store.

use crate::store::READER;
use crate::store::frame::{self, FrameError};
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;
use thiserror::Error;

/// A failure of sled, of the file system, or of a check.
#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error("sled: {0}")]
    Engine(#[from] sled::Error),
    #[error("sled panicked: {0}")]
    Panic(String),
    #[error("{action}: {source}")]
    Io {
        action: &'static str,
        source: io::Error,
    },
    #[error("{value} {problem}")]
    Value { value: String, problem: FrameError },
    /// A value that was not written because it is too long; nothing was tried.
    #[error("{0}")]
    TooLong(String),
    /// Intact, and of a later version than can be read here.
    #[error(
        "{value} was written by Serinus {} and needs reader {needed}; this version reads {READER}",
        frame::version(*writer)
    )]
    TooNew {
        value: String,
        writer: u32,
        needed: u32,
    },
    /// It did not come back.
    #[error("sled has not opened it within {0:?}")]
    Stuck(Duration),
    /// Intact, but not what has to be there.
    #[error("{0}")]
    Log(String),
}

impl Fault {
    pub(super) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }

    pub(super) fn value(key: &[u8]) -> impl FnOnce(FrameError) -> Self {
        let value = super::key::describe(key);
        move |problem| Self::Value { value, problem }
    }

    /// What the system said, if it was the system that refused.
    pub(super) fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Engine(sled::Error::Io(error)) | Self::Io { source: error, .. } => {
                Some(error.kind())
            }
            _ => None,
        }
    }

    /// Whether sled found the directory locked; it has no kind of its own for that.
    pub(super) fn is_lock(&self) -> bool {
        matches!(self, Self::Engine(sled::Error::Io(error))
            if error.to_string().contains("could not acquire lock"))
    }
}

/// Turns a panic into a fault: sled panics where it meets a corrupt page.
pub(super) fn guard<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

/// The same on a thread of its own, whose stack and thread-locals go with it, and which is not waited for longer than
/// `patience`: sled may loop where it meets a corrupt page.
pub(super) fn isolated<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let (done, result) = mpsc::channel();
    let thread = std::thread::Builder::new().name("store-open".into());
    let started = thread.spawn(move || {
        // An error means that nobody waits any more.
        let _ = done.send(guard(work));
    });
    started.map_err(Fault::io("start a thread"))?;
    let result = result.recv_timeout(patience);
    result.unwrap_or(Err(Fault::Stuck(patience)))
}

fn panicked(panic: &(dyn Any + Send)) -> Fault {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Fault::Panic(text.unwrap_or("no message").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_faults() {
        let long = Duration::from_secs(60);
        let result: Result<(), Fault> = isolated(long, || panic!("page {}", 7));
        assert_eq!(result.unwrap_err().to_string(), "sled panicked: page 7");
        assert_eq!(guard(|| Ok(1)).unwrap(), 1);
    }

    #[test]
    fn what_does_not_come_back_is_a_fault() {
        let (_held, never) = mpsc::channel::<()>();
        let stuck = isolated(Duration::ZERO, move || {
            let _ = never.recv();
            Ok(())
        });
        assert!(matches!(stuck, Err(Fault::Stuck(_))));
    }
}
