//! What a page token says: which list, as of when, and behind which item it goes on.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use xxhash_rust::xxh3::xxh3_64;

/// Of this form.
const FORM: u8 = 1;
/// A form byte, three numbers and a check.
const FIXED: usize = 1 + 3 * 8 + 8;
/// Names have 63 characters at most.
const LONGEST: usize = 1024;

/// A page token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// Of the last event that is in the list.
    pub(super) revision: u64,
    /// The moment that the list is of.
    pub(super) moment: u64,
    /// Of what is listed.
    pub(super) filters: u64,
    /// Name of the last item that was sent.
    pub(super) behind: String,
}

impl Token {
    pub(super) fn write(&self) -> String {
        let mut bytes = vec![FORM];
        for number in [self.revision, self.moment, self.filters] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(self.behind.as_bytes());
        // Against mistakes, not against malice: a token opens nothing that a list does not.
        bytes.extend(xxh3_64(&bytes).to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None` if it is not whole, or none of ours.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (content, check) = bytes.split_last_chunk::<8>()?;
        if bytes.len() < FIXED || xxh3_64(content).to_be_bytes() != *check || content[0] != FORM {
            return None;
        }
        let mut numbers = [0; 3];
        let mut rest = &content[1..];
        for number in &mut numbers {
            let (bytes, behind) = rest.split_first_chunk::<8>()?;
            *number = u64::from_be_bytes(*bytes);
            rest = behind;
        }
        let [revision, moment, filters] = numbers;
        Some(Self {
            revision,
            moment,
            filters,
            behind: String::from_utf8(rest.to_vec()).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_whole_or_not_at_all() {
        let token = Token {
            revision: 7,
            moment: u64::MAX,
            filters: 3,
            behind: "rollout".into(),
        };
        let text = token.write();
        assert_eq!(Token::read(&text), Some(token));
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(Token::read(&changed), None, "{at}");
            assert_eq!(Token::read(&text[..at]), None, "{at}");
        }
        assert_eq!(Token::read(""), None);
        assert_eq!(Token::read(&"A".repeat(LONGEST + 1)), None);
    }
}
