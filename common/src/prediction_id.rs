//! The id in `x-serinus-prediction-id`: it says by itself which rollout, epoch and variant answered, and a MAC shows that
//! one of our sidecars issued it. So a label can arrive anywhere, days later, with no lookup of the request.
//!
//! 46 bytes, URL-safe base64 without padding (62 characters):
//! version 1 | key id 1 | rollout 16 | epoch 4 | variant 1 | cluster 1 | issuer 4 | sequence 6 (low 48 bits) |
//! second 4 | MAC 8. Big-endian throughout; the MAC is SipHash-2-4 of everything before it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use siphasher::sip::SipHasher24;
use std::hash::Hasher as _;
use thiserror::Error;

const VERSION: u8 = 1;
const BODY: usize = 38;
const LEN: usize = BODY + 8;

/// Length of the text form.
pub const TEXT_LEN: usize = LEN.div_ceil(3) * 4 - 2;

/// Key of the MAC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IdKey {
    /// Which key; wraps at 256.
    pub id: u8,
    /// The secret.
    pub secret: [u8; 16],
}

impl std::fmt::Debug for IdKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What a prediction id says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PredictionId {
    /// Id of the key of the MAC.
    pub key_id: u8,
    /// The rollout's UUID; zero outside of rollouts.
    pub rollout: [u8; 16],
    /// Epoch at assignment.
    pub epoch: u32,
    /// Position in the assignment's variants; 0 is stable.
    pub variant: u8,
    /// Cluster of the key, 0..64; 255 without a key.
    pub cluster: u8,
    /// Number of the sidecar incarnation; 0 until it has one, and then the MAC is not valid.
    pub issuer: u32,
    /// Per issuer, below 2^48.
    pub sequence: u64,
    /// Unix second of assignment, valid until 2106.
    pub second: u32,
}

/// Why a text is no prediction id of ours.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum IdError {
    /// Not base64, or of another length or version.
    #[error("this is not a prediction id: send the value of x-serinus-prediction-id as it came")]
    Malformed,
    /// The MAC does not fit: changed on the way, or issued before the sidecar had a number.
    #[error("this prediction id was not issued by this fleet, or was changed on the way")]
    BadMac,
}

impl PredictionId {
    /// The text form, with a MAC under `key`.
    #[must_use]
    pub fn encode(&self, key: &IdKey) -> String {
        self.text(key).map(char::from).iter().collect()
    }

    /// The same as [`encode`](Self::encode), as ASCII.
    #[must_use]
    pub fn text(&self, key: &IdKey) -> [u8; TEXT_LEN] {
        let mut bytes = [0u8; LEN];
        bytes[0] = VERSION;
        bytes[1] = key.id;
        bytes[2..18].copy_from_slice(&self.rollout);
        bytes[18..22].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[22] = self.variant;
        bytes[23] = self.cluster;
        bytes[24..28].copy_from_slice(&self.issuer.to_be_bytes());
        bytes[28..34].copy_from_slice(&self.sequence.to_be_bytes()[2..]);
        bytes[34..38].copy_from_slice(&self.second.to_be_bytes());
        let mac = mac(&bytes[..BODY], key);
        bytes[BODY..].copy_from_slice(&mac.to_be_bytes());
        let mut text = [0; TEXT_LEN];
        let encoded = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text);
        debug_assert_eq!(encoded.ok(), Some(TEXT_LEN));
        text
    }

    /// Reads an id without believing it: verify it with the issuer's key.
    ///
    /// # Errors
    /// [`IdError::Malformed`].
    pub fn parse(text: &str) -> Result<Unverified, IdError> {
        let mut bytes = [0u8; LEN];
        if text.len() != TEXT_LEN {
            return Err(IdError::Malformed);
        }
        let n = URL_SAFE_NO_PAD
            .decode_slice(text, &mut bytes)
            .map_err(|_| IdError::Malformed)?;
        if n != LEN || bytes[0] != VERSION {
            return Err(IdError::Malformed);
        }
        Ok(Unverified { bytes })
    }
}

/// A well-formed id whose MAC has not been checked.
#[derive(Clone, Copy, Debug)]
pub struct Unverified {
    bytes: [u8; LEN],
}

impl Unverified {
    /// Who claims to have issued it; 0 is nobody.
    #[must_use]
    pub fn issuer(&self) -> u32 {
        u32::from_be_bytes(take(&self.bytes, 24))
    }

    /// Checks the MAC.
    ///
    /// # Errors
    /// [`IdError::BadMac`], also for issuer 0.
    pub fn verify(&self, key: &IdKey) -> Result<PredictionId, IdError> {
        let sent = u64::from_be_bytes(take(&self.bytes, BODY));
        let same = (sent ^ mac(&self.bytes[..BODY], key)) == 0;
        if !same || self.issuer() == 0 || self.bytes[1] != key.id {
            return Err(IdError::BadMac);
        }
        let b = &self.bytes;
        let mut sequence = [0u8; 8];
        sequence[2..].copy_from_slice(&b[28..34]);
        Ok(PredictionId {
            key_id: b[1],
            rollout: take(b, 2),
            epoch: u32::from_be_bytes(take(b, 18)),
            variant: b[22],
            cluster: b[23],
            issuer: self.issuer(),
            sequence: u64::from_be_bytes(sequence),
            second: u32::from_be_bytes(take(b, 34)),
        })
    }
}

fn mac(body: &[u8], key: &IdKey) -> u64 {
    let mut hasher = SipHasher24::new_with_key(&key.secret);
    hasher.write(body);
    hasher.finish()
}

fn take<const N: usize>(bytes: &[u8; LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: IdKey = IdKey {
        id: 3,
        secret: *b"0123456789abcdef",
    };

    fn id() -> PredictionId {
        PredictionId {
            key_id: 3,
            rollout: [7; 16],
            epoch: 17,
            variant: 1,
            cluster: 63,
            issuer: 42,
            sequence: 0x0000_1234_5678_9abc,
            second: 1_763_750_000,
        }
    }

    #[test]
    fn what_was_encoded_comes_back() {
        let text = id().encode(&KEY);
        assert_eq!(text.len(), TEXT_LEN);
        assert_eq!(PredictionId::parse(&text).unwrap().verify(&KEY), Ok(id()));
    }

    #[test]
    fn another_key_does_not_verify() {
        let text = id().encode(&KEY);
        let other = IdKey {
            id: 3,
            secret: [1; 16],
        };
        assert_eq!(
            PredictionId::parse(&text).unwrap().verify(&other),
            Err(IdError::BadMac)
        );
    }

    #[test]
    fn issuer_zero_is_never_valid() {
        let text = PredictionId { issuer: 0, ..id() }.encode(&KEY);
        assert_eq!(
            PredictionId::parse(&text).unwrap().verify(&KEY),
            Err(IdError::BadMac)
        );
    }

    proptest! {
        #[test]
        fn a_changed_character_is_noticed(at in 0..TEXT_LEN, to in "[A-Za-z0-9_-]") {
            let text = id().encode(&KEY);
            let mut changed = text.clone();
            changed.replace_range(at..=at, &to);
            if changed != text {
                let verified = PredictionId::parse(&changed).and_then(|u| u.verify(&KEY));
                prop_assert!(verified.is_err());
            }
        }

        #[test]
        fn any_text_is_refused_without_panic(text in "\\PC{0,80}") {
            prop_assert!(PredictionId::parse(&text).and_then(|u| u.verify(&KEY)).is_err());
        }
    }
}
