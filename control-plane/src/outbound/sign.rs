//! Signatures in the form of Standard Webhooks (www.standardwebhooks.com), for which there are libraries in most languages:
//! `v1,` and the base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`, one per secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// A shorter secret can be guessed.
const SHORTEST: usize = 16;

/// What signs. Its content is never shown.
#[derive(Clone)]
pub(super) struct Secrets(Vec<hmac::Key>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// None: nothing is signed.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// One per line. After `whsec_` comes base64; everything else is taken as it is.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut keys = Vec::new();
        for line in lines {
            let secret = match line.strip_prefix("whsec_") {
                Some(coded) => STANDARD
                    .decode(coded)
                    .map_err(|_| "what follows `whsec_` is not base64".to_owned())?,
                None => line.as_bytes().to_vec(),
            };
            if secret.len() < SHORTEST {
                return Err(format!(
                    "a secret is shorter than {SHORTEST} bytes; make one with `openssl rand -base64 32`"
                ));
            }
            keys.push(hmac::Key::new(hmac::HMAC_SHA256, &secret));
        }
        if keys.is_empty() {
            return Err("it holds no secret; make one with `openssl rand -base64 32`".to_owned());
        }
        Ok(Self(keys))
    }

    /// The value of the header, if anything is signed. `timestamp` is in unix seconds.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> Option<String> {
        let signed = [
            id.as_bytes(),
            b".",
            timestamp.to_string().as_bytes(),
            b".",
            body,
        ]
        .concat();
        let one = |key| format!("v1,{}", STANDARD.encode(hmac::sign(key, &signed)));
        let all: Vec<String> = self.0.iter().map(one).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let secrets = Secrets::read("whsec_plJ3nmyCDGBKInavdOK15jsl\n").unwrap();
        let body = br#"{"event_type":"ping","data":{"success":true}}"#;
        let signature = secrets.sign("msg_loFOjxBNrRLzqYUf", 1_731_705_121, body);
        assert_eq!(
            signature.as_deref(),
            Some("v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=")
        );
    }

    #[test]
    fn each_line_signs_so_that_a_secret_can_be_changed() {
        let secrets = Secrets::read("an old secret of ours\n\n  a new secret of ours \n").unwrap();
        let both = secrets.sign("1", 2, b"x").unwrap();
        let new = Secrets::read("a new secret of ours").unwrap();
        let new = new.sign("1", 2, b"x").unwrap();
        assert_eq!(both.split(' ').nth(1), Some(new.as_str()));
        assert_eq!(Secrets::none().sign("1", 2, b"x"), None);
        assert!(!format!("{secrets:?}").contains("secret of"));
    }

    #[test]
    fn what_protects_nothing_is_refused() {
        for text in ["", "\n \n", "short", "whsec_c2hvcnQ=", "whsec_###"] {
            assert!(Secrets::read(text).is_err(), "{text:?}");
        }
    }
}
