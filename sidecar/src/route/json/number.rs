//! How far a number has been read (RFC 8259, section 6).

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl Number {
    pub(super) fn begin(byte: u8) -> Option<Self> {
        match byte {
            b'-' => Some(Self::Minus),
            b'0' => Some(Self::Zero),
            b'1'..=b'9' => Some(Self::Digits),
            _ => None,
        }
    }

    /// `None` if the byte is no part of the number.
    pub(super) fn step(self, byte: u8) -> Option<Self> {
        use Number::{
            Digits, Exponent, ExponentDigits, ExponentSign, Fraction, Minus, Point, Zero,
        };
        match (self, byte) {
            (Minus, b'0') => Some(Zero),
            (Minus, b'1'..=b'9') | (Digits, b'0'..=b'9') => Some(Digits),
            (Zero | Digits, b'.') => Some(Point),
            (Point | Fraction, b'0'..=b'9') => Some(Fraction),
            (Zero | Digits | Fraction, b'e' | b'E') => Some(Exponent),
            (Exponent, b'+' | b'-') => Some(ExponentSign),
            (Exponent | ExponentSign | ExponentDigits, b'0'..=b'9') => Some(ExponentDigits),
            _ => None,
        }
    }

    /// It may end here.
    pub(super) fn is_whole(self) -> bool {
        matches!(
            self,
            Self::Zero | Self::Digits | Self::Fraction | Self::ExponentDigits
        )
    }

    /// It may end here, and has neither a point nor an exponent.
    pub(super) fn is_integer(self) -> bool {
        matches!(self, Self::Zero | Self::Digits)
    }
}
