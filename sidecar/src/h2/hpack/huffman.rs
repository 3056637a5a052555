//! Huffman coded strings (RFC 7541, section 5.2 and appendix B). The code is canonical, so its lengths say all of it.

/// Bits of each symbol's code; the end of a string, symbol 256, has 30.
#[rustfmt::skip]
pub(super) const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const LONGEST: usize = 30;

/// The code by lengths: the first code of each, where its symbols begin in `symbols`, and how many there are.
struct Codes {
    first: [u32; LONGEST + 1],
    from: [usize; LONGEST + 1],
    count: [u32; LONGEST + 1],
    symbols: [u8; 256],
    /// By the next eight bits: the symbol and its length, 0 if it is longer.
    short: [(u8, u8); 256],
}

static CODES: Codes = codes();

const fn codes() -> Codes {
    let mut codes = Codes {
        first: [0; LONGEST + 1],
        from: [0; LONGEST + 1],
        count: [0; LONGEST + 1],
        symbols: [0; 256],
        short: [(0, 0); 256],
    };
    let (mut code, mut at, mut length) = (0u32, 0, 1);
    while length <= LONGEST {
        code <<= 1;
        codes.first[length] = code;
        codes.from[length] = at;
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] as usize == length {
                codes.symbols[at] = symbol as u8;
                if length <= 8 {
                    let mut entry = (code as usize) << (8 - length);
                    let end = entry + (1 << (8 - length));
                    while entry < end {
                        codes.short[entry] = (symbol as u8, length as u8);
                        entry += 1;
                    }
                }
                at += 1;
                code += 1;
                codes.count[length] += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    codes
}

/// The string is no Huffman code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoCode;

/// Appends the string that `coded` stands for.
pub(super) fn decode(coded: &[u8], into: &mut Vec<u8>) -> Result<(), NoCode> {
    into.reserve(coded.len() * 8 / 5 + 1);
    let mut bytes = coded.iter();
    let (mut held, mut bits) = (0u64, 0usize);
    loop {
        while bits <= 56 {
            let Some(&byte) = bytes.next() else { break };
            held = held << 8 | u64::from(byte);
            bits += 8;
        }
        // Beyond the end it goes on with ones, like the padding.
        let next = match bits {
            8.. => held >> (bits - 8),
            _ => held << (8 - bits) | ((1 << (8 - bits)) - 1),
        };
        let (symbol, length) = CODES.short[(next & 0xff) as usize];
        if length > 0 && usize::from(length) <= bits {
            into.push(symbol);
            bits -= usize::from(length);
            continue;
        }
        let Some((symbol, length)) = long(held, bits) else {
            break;
        };
        into.push(symbol);
        bits -= length;
    }
    let padding = (1u64 << bits.min(63)) - 1;
    match bits < 8 && held & padding == padding {
        true => Ok(()),
        false => Err(NoCode),
    }
}

fn long(held: u64, bits: usize) -> Option<(u8, usize)> {
    (9..=LONGEST.min(bits)).find_map(|length| {
        let code = (held >> (bits - length)) as u32 & ((1 << length) - 1);
        let at = code.checked_sub(CODES.first[length])?;
        let is_one = at < CODES.count[length];
        is_one.then(|| (CODES.symbols[CODES.from[length] + at as usize], length))
    })
}

#[cfg(test)]
mod tests {
    use super::super::fuzzing::encode;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for (coded, text) in [
            (
                &b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..],
                "www.example.com",
            ),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f", "custom-key"),
            (b"\x64\x02", "302"),
        ] {
            let mut out = Vec::new();
            decode(coded, &mut out).unwrap();
            assert_eq!(out, text.as_bytes());
            assert_eq!(encode(text.as_bytes()), coded);
        }
    }

    #[test]
    fn bad_padding_and_an_end_inside_are_refused() {
        let mut out = Vec::new();
        // A whole byte of padding, padding of zeros, the end of the string itself.
        for bad in [
            &b"\x64\x02\xff"[..],
            b"\x64\x00\x00",
            b"\xff\xff\xff\xff",
            b"\x18",
        ] {
            assert_eq!(decode(bad, &mut out), Err(NoCode), "{bad:x?}");
        }
    }

    proptest! {
        #[test]
        fn every_string_comes_back(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            prop_assert_eq!(decode(&encode(&text), &mut out), Ok(()));
            prop_assert_eq!(out, text);
        }

        #[test]
        fn any_bytes_are_read_without_panic(coded in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            if decode(&coded, &mut out).is_ok() {
                prop_assert_eq!(encode(&out), coded);
            }
        }
    }
}
