//! Restart intervals (ITU-T T.81, E.2.4): numbered markers between MCUs that reset the decoder.

use super::bit_reader::BitReader;
use crate::thumbnail::error::Error;

/// Counts the MCUs of a scan between restart markers.
pub(super) struct RestartCounter {
    /// MCUs between two markers, or 0 without markers.
    interval: usize,
    remaining: usize,
    /// Number of the next marker.
    next_marker: u8,
}

impl RestartCounter {
    pub(super) fn new(interval: usize) -> Self {
        Self { interval, remaining: interval, next_marker: 0 }
    }

    /// Counts the next MCU and returns whether a marker must precede it.
    #[inline(always)]
    pub(super) fn due(&mut self) -> bool {
        if self.interval == 0 {
            return false;
        }
        let due = self.remaining == 0;
        self.remaining = if due { self.interval } else { self.remaining } - 1;
        due
    }

    /// Skips the marker, which must have the right number and follow immediately.
    #[cold]
    #[inline(never)]
    pub(super) fn skip_marker<'a>(&mut self, bits: BitReader<'a>) -> Result<BitReader<'a>, Error> {
        let after = bits.after_marker(0xd0 + self.next_marker);
        self.next_marker = (self.next_marker + 1) % 8;
        after.ok_or_else(|| match bits.overran() || bits.exhausted() {
            true => Error::Truncated,
            false => Error::corrupt("misplaced restart marker"),
        })
    }
}
