//! Where a test can make the process die: between the steps of a commit. Without the feature `failpoints` nothing of it
//! is compiled in.

/// The steps, in the order in which a commit passes them.
pub const ALL: [&str; 8] = [
    "decided",
    "begun",
    "applied",
    "flushed",
    "synced",
    "marked",
    "published",
    "answered",
];

/// `NAME:N`: the process aborts when it reaches that point for the Nth time.
pub const VARIABLE: &str = "SERINUS_FAILPOINT";

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Armed {
        name: String,
        left: AtomicU64,
    }

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

    fn read() -> Option<Armed> {
        let text = std::env::var(super::VARIABLE).ok()?;
        let (name, times) = text.split_once(':')?;
        Some(Armed {
            name: name.to_owned(),
            left: AtomicU64::new(times.parse().ok()?),
        })
    }

    pub(super) fn reach(name: &str) {
        let armed = ARMED.get_or_init(read).as_ref();
        let last = armed
            .filter(|armed| armed.name == name)
            .is_some_and(|armed| armed.left.fetch_sub(1, Ordering::SeqCst) == 1);
        if last {
            std::process::abort();
        }
    }
}

/// The process is at this point.
#[cfg(feature = "failpoints")]
pub(crate) fn reach(name: &str) {
    armed::reach(name);
}

/// The process is at this point.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) fn reach(_name: &str) {}
