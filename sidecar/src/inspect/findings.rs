//! What was found in a body.

use serinus_common::class::Class;

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As the protocol says.
    Whole,
    /// The model's side broke off, or stalled.
    Cut,
    /// The caller hung up.
    Left,
}

/// Tokens as the server counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of the prompt.
    pub input: u64,
    /// Of the answer.
    pub output: u64,
}

/// What was found in a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The class that the body says, where it says one.
    pub class: Option<Class>,
    /// It was a stream.
    pub stream: bool,
    /// It was a stream that could not be read: compressed.
    pub unread: bool,
    /// Parts of a stream with content.
    pub chunks: u64,
    /// Present only if the server counted them.
    pub tokens: Option<Tokens>,
    /// When the first part with content came, microseconds since the call began; of streams.
    pub first_micros: Option<u64>,
    /// When the last one came.
    pub last_micros: u64,
}

impl Findings {
    /// The class of the call, given the one that its head, its trailers or its end speak for. A failure that is known
    /// already stays what it is.
    #[must_use]
    pub fn over(&self, known: Class) -> Class {
        match known {
            Class::Ok | Class::Client | Class::Cancelled => self.class.unwrap_or(known),
            _ => known,
        }
    }

    /// Microseconds for each token after the first; `None` without a count of at least two.
    #[must_use]
    pub fn micros_per_token(&self) -> Option<u64> {
        let intervals = self.tokens?.output.checked_sub(1).filter(|&n| n > 0)?;
        Some(self.last_micros.saturating_sub(self.first_micros?) / intervals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_failure_stays_what_it_is() {
        let found = Findings {
            class: Some(Class::Model),
            ..Findings::default()
        };
        for (known, booked) in [
            (Class::Ok, Class::Model),
            (Class::Client, Class::Model),
            (Class::Cancelled, Class::Model),
            (Class::Overload, Class::Overload),
            (Class::Timeout, Class::Timeout),
        ] {
            assert_eq!(found.over(known), booked, "{known:?}");
            assert_eq!(Findings::default().over(known), known);
        }
    }

    #[test]
    fn the_first_token_is_no_interval() {
        let of = |output, first_micros| Findings {
            stream: true,
            tokens: Some(Tokens { input: 0, output }),
            first_micros,
            last_micros: 1000,
            ..Findings::default()
        };
        assert_eq!(of(11, Some(100)).micros_per_token(), Some(90));
        assert_eq!(of(1, Some(100)).micros_per_token(), None);
        assert_eq!(of(0, Some(100)).micros_per_token(), None);
        assert_eq!(of(11, None).micros_per_token(), None);
    }
}
