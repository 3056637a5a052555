//! What is done while there is too little room on the disk: nothing that can wait. Nothing is taken that could not be
//! written, so that memory never runs ahead of the disk.

use super::Engine;
use serinus_core::rollout::Rollout;
use serinus_proto::v1;
use v1::event::Kind;

impl Engine {
    /// Asks how much room there is, once a turn.
    pub(super) fn heed_room(&mut self) {
        let now = self.store.shortage();
        match (&self.shortage, &now) {
            (None, Some(shortage)) => tracing::error!("{shortage}"),
            (Some(_), None) => tracing::info!("there is room on the disk again"),
            _ => {}
        }
        self.published.short_of_room(now.as_ref());
        self.shortage = now;
    }

    /// Whether a sidecar that nobody knows yet cannot even be written down.
    pub(super) fn has_no_room_for_newcomers(&self) -> bool {
        let shortage = self.shortage.as_ref();
        shortage.is_some_and(|shortage| shortage.severe)
    }
}

/// Whether events only take a canary back or stop it: those are done whatever room there is.
pub(super) fn only_lowers(rollout: &Rollout, kinds: &[Kind]) -> bool {
    kinds.iter().all(|kind| match kind {
        Kind::RolledBack(_) | Kind::Paused(_) => true,
        Kind::SplitChanged(changed) => {
            let ppm: u32 = changed.shares.iter().map(|share| share.ppm).sum();
            ppm <= rollout.canary_ppm()
        }
        _ => false,
    })
}
