//! Exit codes: scripts and pipelines branch on them, so they never change.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done; for `status --wait`: promoted, or at full share with `--until full`.
    Ok = 0,
    /// It failed: not reachable, refused, not found.
    Error = 1,
    /// Bad flags or a bad plan; nothing was changed.
    BadInput = 2,
    /// `status`: the rollout was rolled back.
    RolledBack = 3,
    /// `status`: the rollout is HELD and needs a human.
    Held = 4,
    /// `status --wait`: the time was up first.
    TimedOut = 5,
    /// `rollout replay`: a decision came out otherwise than it is recorded.
    Differs = 6,
    /// `rollout replay`: some decisions cannot be held against this engine, for another version made them.
    NotReplayed = 7,
    /// `restore`, `store`: a store or a backup is damaged.
    #[cfg(feature = "demo")]
    Damaged = 8,
    /// `doctor`: something must be seen to.
    Unwell = 9,
}

impl Exit {
    /// The number that the process ends with.
    #[must_use]
    pub(crate) fn code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_published_ones() {
        let all = [
            Exit::Ok,
            Exit::Error,
            Exit::BadInput,
            Exit::RolledBack,
            Exit::Held,
            Exit::TimedOut,
            Exit::Differs,
            Exit::NotReplayed,
            Exit::Unwell,
        ];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 5, 6, 7, 9]);
        #[cfg(feature = "demo")]
        assert_eq!(
            Exit::Damaged.code(),
            serinus_control_plane::maintenance::DAMAGED
        );
    }
}
