//! How much a peer may ask for that costs it next to nothing. Pure: time is passed in.

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cheap {
    /// A stream that was reset as soon as it was opened, or refused (CVE-2023-44487).
    Reset,
    Ping,
    Settings,
    /// A frame of data or of a head without content, or a frame that means nothing to us.
    Empty,
}

/// Most per second; what honest clients do stays far below. A gRPC client that measures the bandwidth sends a ping per
/// round trip, which on loopback is thousands a second.
const MOST: [u32; 4] = [400, 10_000, 100, 1000];

/// The counts of one connection.
#[derive(Debug, Default)]
pub(super) struct Flood {
    second: u64,
    counts: [u32; 4],
}

impl Flood {
    /// Counts one; false if that is more than anybody needs.
    pub(super) fn count(&mut self, what: Cheap, now_ms: u64) -> bool {
        let second = now_ms / 1000;
        if second != self.second {
            self.second = second;
            self.counts = [0; 4];
        }
        let count = &mut self.counts[what as usize];
        *count += 1;
        *count <= MOST[what as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_bound() {
        let mut flood = Flood::default();
        for second in 0..3 {
            assert!((0..400).all(|_| flood.count(Cheap::Reset, second * 1000 + 7)));
            assert!(flood.count(Cheap::Ping, second * 1000 + 7));
            assert!(!flood.count(Cheap::Reset, second * 1000 + 999));
        }
    }
}
