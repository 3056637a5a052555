//! Where gRPC messages begin in a body: one byte, four bytes of length, the message. Pure.

/// Follows the messages of one direction.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// Of the present message, still to come.
    left: u64,
    head: [u8; 5],
    have: usize,
}

/// A message is longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Messages {
    /// Follows the next bytes.
    pub(super) fn follow(&mut self, mut data: &[u8], most: u64) -> Result<(), TooLarge> {
        loop {
            let skipped = self.left.min(data.len() as u64);
            self.left -= skipped;
            data = &data[skipped as usize..];
            if data.is_empty() {
                return Ok(());
            }
            let n = data.len().min(5 - self.have);
            self.head[self.have..self.have + n].copy_from_slice(&data[..n]);
            self.have += n;
            data = &data[n..];
            if self.have == 5 {
                let [_, a, b, c, d] = self.head;
                self.left = u64::from(u32::from_be_bytes([a, b, c, d]));
                self.have = 0;
                if self.left > most {
                    return Err(TooLarge);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_bound_is_that_of_one_message(lengths in prop::collection::vec(0usize..200, 1..10), part in 1usize..50, most in 0u64..200) {
            let mut body = Vec::new();
            for &length in &lengths {
                body.push(0);
                body.extend((length as u32).to_be_bytes());
                body.extend(vec![7; length]);
            }
            let mut messages = Messages::default();
            let fits = body.chunks(part).all(|part| messages.follow(part, most).is_ok());
            prop_assert_eq!(fits, lengths.iter().all(|&length| length as u64 <= most));
        }
    }
}
