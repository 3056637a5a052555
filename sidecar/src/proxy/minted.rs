//! A key for a caller that has none: a cookie, which the answer brings and later requests carry.

use crate::route::key::KeySource;
use crate::worker::Worker;
use http::HeaderValue;

/// Long enough to outlive a rollout, s: a year.
const MAX_AGE: u32 = 31_536_000;

/// The value of the cookie: 128 random bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Minted(String);

impl Minted {
    pub(super) fn new(worker: &Worker) -> Self {
        Self::of(|| worker.random())
    }

    fn of(random: impl Fn() -> u32) -> Self {
        let [a, b, c, d] = std::array::from_fn(|_| random());
        Self(format!("{a:08x}{b:08x}{c:08x}{d:08x}"))
    }

    pub(super) fn key(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// `Set-Cookie` of the answer.
    pub(super) fn header(&self, key: &KeySource) -> Option<HeaderValue> {
        let KeySource::Cookie(name) = key else {
            return None;
        };
        let value = &self.0;
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={MAX_AGE}");
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_cookie_brings_the_key_back() {
        let next = Cell::new(0xabc);
        let minted = Minted::of(|| next.replace(next.get() + 1));
        assert_eq!(minted.key(), b"00000abc00000abd00000abe00000abf");
        let header = minted.header(&KeySource::Cookie("sid".into())).unwrap();
        assert_eq!(
            header,
            "sid=00000abc00000abd00000abe00000abf; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000"
        );
        assert_eq!(minted.header(&KeySource::None), None);
    }
}
