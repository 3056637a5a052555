//! The state of an engine as bytes, exactly: every number keeps its bits, so an engine that is given them back goes on as
//! the one that gave them.
//!
//! One walk over the fields both writes and reads, so the two cannot differ. What follows from the settings is walked too
//! where that is simpler; collections whose size follows from them keep theirs.

use std::collections::VecDeque;

/// Longest collection that is believed; anything longer is no state of ours.
const LONGEST: u64 = 1 << 20;

/// What is written or read, number by number.
#[derive(Debug)]
pub(crate) struct Tape {
    bytes: Vec<u8>,
    /// Where the next number is read; `None` while writing.
    at: Option<usize>,
    broken: bool,
}

impl Tape {
    pub(crate) fn writing() -> Self {
        Self {
            bytes: Vec::new(),
            at: None,
            broken: false,
        }
    }

    pub(crate) fn reading(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            at: Some(0),
            broken: false,
        }
    }

    /// What was written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether everything was read, and nothing was missing.
    pub(crate) fn is_at_its_end(&self) -> bool {
        !self.broken && self.at == Some(self.bytes.len())
    }

    /// Writes a number, or reads one in its place.
    fn number(&mut self, number: u64) -> u64 {
        let Some(at) = self.at else {
            self.bytes.extend_from_slice(&number.to_le_bytes());
            return number;
        };
        let found = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        match found {
            Some(bytes) => {
                self.at = Some(at + 8);
                u64::from_le_bytes(*bytes)
            }
            None => {
                self.broken = true;
                number
            }
        }
    }

    fn length(&mut self, length: usize) -> usize {
        let length = self.number(length as u64);
        if length > LONGEST {
            self.broken = true;
            return 0;
        }
        length as usize
    }
}

/// Something that is part of an engine's state.
pub(crate) trait State {
    /// Writes it, or replaces it by what is read.
    fn walk(&mut self, tape: &mut Tape);
}

impl State for f64 {
    fn walk(&mut self, tape: &mut Tape) {
        *self = Self::from_bits(tape.number(self.to_bits()));
    }
}

impl State for u64 {
    fn walk(&mut self, tape: &mut Tape) {
        *self = tape.number(*self);
    }
}

impl State for u32 {
    fn walk(&mut self, tape: &mut Tape) {
        *self = tape.number((*self).into()) as Self;
    }
}

impl State for usize {
    fn walk(&mut self, tape: &mut Tape) {
        *self = tape.number(*self as u64) as Self;
    }
}

impl State for isize {
    fn walk(&mut self, tape: &mut Tape) {
        *self = tape.number(*self as u64) as Self;
    }
}

impl State for bool {
    fn walk(&mut self, tape: &mut Tape) {
        *self = tape.number(u64::from(*self)) != 0;
    }
}

impl<T: State + ?Sized> State for Box<T> {
    fn walk(&mut self, tape: &mut Tape) {
        (**self).walk(tape);
    }
}

impl<T: State, const N: usize> State for [T; N] {
    fn walk(&mut self, tape: &mut Tape) {
        self.iter_mut().for_each(|item| item.walk(tape));
    }
}

impl<T: State + Default> State for Option<T> {
    fn walk(&mut self, tape: &mut Tape) {
        let mut some = self.is_some();
        some.walk(tape);
        *self = some.then(|| self.take().unwrap_or_default());
        if let Some(item) = self {
            item.walk(tape);
        }
    }
}

impl<T: State + Default> State for Vec<T> {
    fn walk(&mut self, tape: &mut Tape) {
        let length = tape.length(self.len());
        self.resize_with(length, T::default);
        self.iter_mut().for_each(|item| item.walk(tape));
    }
}

impl<T: State + Default> State for VecDeque<T> {
    fn walk(&mut self, tape: &mut Tape) {
        let length = tape.length(self.len());
        self.resize_with(length, T::default);
        self.iter_mut().for_each(|item| item.walk(tape));
    }
}

impl<A: State, B: State> State for (A, B) {
    fn walk(&mut self, tape: &mut Tape) {
        self.0.walk(tape);
        self.1.walk(tape);
    }
}

impl<A: State, B: State, C: State> State for (A, B, C) {
    fn walk(&mut self, tape: &mut Tape) {
        self.0.walk(tape);
        self.1.walk(tape);
        self.2.walk(tape);
    }
}

/// Walks over fields: the first list one by one, the second item by item, since the number of items follows from the
/// settings, and the third not at all, since all of it does. A field that is in none of them does not compile.
macro_rules! state {
    ($type:ty { $($field:ident),* $(,)? }
        $(each { $($each:ident),* $(,)? })?
        $(fixed { $($fixed:ident),* $(,)? })?) => {
        impl $crate::state::State for $type {
            fn walk(&mut self, tape: &mut $crate::state::Tape) {
                let Self { $($field,)* $($($each,)*)? $($($fixed: _,)*)? } = self;
                $($crate::state::State::walk($field, tape);)*
                $($($each.iter_mut().for_each(|item| $crate::state::State::walk(item, tape));)*)?
            }
        }
    };
}

pub(crate) use state;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_bits() {
        let mut value = (
            vec![f64::NAN, -0.0, f64::NEG_INFINITY],
            Some((u64::MAX, -7_isize, true)),
            VecDeque::from([[1_u32; 3]]),
        );
        let mut tape = Tape::writing();
        value.walk(&mut tape);
        let bytes = tape.into_bytes();
        let mut read = value.clone();
        read.0.clear();
        read.1 = None;
        read.2.clear();
        let mut tape = Tape::reading(&bytes);
        read.walk(&mut tape);
        assert!(tape.is_at_its_end());
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&read.0), bits(&value.0));
        assert_eq!((&read.1, &read.2), (&value.1, &value.2));
        for length in [0, 8, bytes.len() - 1] {
            let mut tape = Tape::reading(&bytes[..length]);
            value.walk(&mut tape);
            assert!(!tape.is_at_its_end(), "{length}");
        }
    }
}
