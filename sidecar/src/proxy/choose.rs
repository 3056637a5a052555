//! Which variant a call goes to, and how it counts.

use crate::breaker::Admission;
use crate::head::Head;
use crate::route::kind::is_about_server;
use crate::route::split::User;
use crate::worker::{LocalRoute, Worker};
use std::borrow::Cow;

/// How a call counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For its variant.
    Judged,
    /// For its canary, whose breaker is open.
    Probe,
    /// Apart: the request named its variant, or a rule did.
    Override,
    /// For nobody: meant for a canary whose breaker is open, or that is not ready.
    Diverted,
    /// Not at all: a question about the server or the model.
    Unmeasured,
}

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// The variant it is meant for.
    pub(crate) variant: usize,
    pub(crate) user: Option<User>,
    pub(crate) mode: Mode,
}

/// What the choice depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choosing<'a, H> {
    pub(crate) head: &'a H,
    /// The key, where it was in the body.
    pub(crate) body_key: Option<&'a [u8]>,
    /// In the place of a key, one that the request's answer carries; who has it is not known again before it comes back.
    pub(crate) minted: Option<&'a [u8]>,
    /// There are headers named like ours.
    pub(crate) asks: bool,
    /// Stable can answer it if the canary fails.
    pub(crate) rescuable: bool,
    pub(crate) now_ms: u64,
}

impl<H: Head> Choosing<'_, H> {
    pub(crate) fn choose(&self, worker: &Worker, local: &LocalRoute) -> Chosen {
        if is_about_server(self.head.method(), self.head.path()) {
            return Chosen {
                variant: 0,
                user: None,
                mode: Mode::Unmeasured,
            };
        }
        let asked = self.asked_for(local);
        if let Some(variant) = asked.or_else(|| self.targeted(local)) {
            return Chosen {
                variant,
                user: None,
                mode: Mode::Override,
            };
        }
        let route = local.route();
        let key = self.body_key.map(Cow::Borrowed);
        let key = key.or_else(|| route.split.key.of(self.head));
        let mut choice = match (&key, self.minted) {
            (None, Some(minted)) => route.split.choose(Some(minted), || worker.random()),
            _ => route.split.choose(key.as_deref(), || worker.random()),
        };
        choice.user = choice.user.filter(|_| key.is_some());
        Chosen {
            variant: choice.variant,
            user: choice.user,
            mode: self.admit(local, choice.variant),
        }
    }

    /// The variant that the request names, if the plan allows that and it may be served. Any other name is ignored.
    fn asked_for(&self, local: &LocalRoute) -> Option<usize> {
        let route = local.route();
        if !(self.asks && route.allow_override) {
            return None;
        }
        let name = self.head.value("x-serinus-variant")?;
        let mut variants = route.variants.iter();
        let variant = variants.position(|variant| variant.name.as_bytes() == name)?;
        is_usable(local, variant).then_some(variant)
    }

    /// The variant of the first rule that fits.
    fn targeted(&self, local: &LocalRoute) -> Option<usize> {
        let rules = &local.route().targeting;
        rules.variant(self.head, |variant| is_usable(local, variant))
    }

    fn admit(&self, local: &LocalRoute, variant: usize) -> Mode {
        if variant != 0 && local.route().killed {
            return Mode::Diverted;
        }
        let breaker = local.route().variants[variant].breaker.as_ref();
        // An open breaker goes on with its probes: they say more than the checks.
        let is_open = || breaker.is_some_and(|breaker| breaker.is_open());
        if variant != 0 && !local.lane(variant).is_ready() && !is_open() {
            return Mode::Diverted;
        }
        let admission = breaker
            .map(|breaker| breaker.admit(self.now_ms, self.rescuable || !local.policy().rescue));
        match admission {
            None | Some(Admission::Pass) => Mode::Judged,
            Some(Admission::Probe) => Mode::Probe,
            Some(Admission::Divert) => Mode::Diverted,
        }
    }
}

/// Whether requests may go to a variant that they, or a rule, name.
fn is_usable(local: &LocalRoute, variant: usize) -> bool {
    let route = local.route();
    let may = || !route.killed && route.variants[variant].allowed && local.lane(variant).is_ready();
    variant == 0 || may()
}
