//! Restart intervals (ITU-T T.81, E.2.4): markers between MCUs, numbered, where decoding begins anew.

use super::bits::Bits;
use crate::thumbnail::Error;

/// Counts the MCUs of a scan.
pub(super) struct Restarts {
    /// MCUs between two markers, or 0 if there are none.
    interval: usize,
    left: usize,
    /// The number of the next marker.
    number: u8,
}

impl Restarts {
    pub(super) fn new(interval: usize) -> Self {
        Self { interval, left: interval, number: 0 }
    }

    /// Whether a marker must come before the next MCU, which is counted.
    #[inline(always)]
    pub(super) fn due(&mut self) -> bool {
        if self.interval == 0 {
            return false;
        }
        let due = self.left == 0;
        self.left = if due { self.interval } else { self.left } - 1;
        due
    }

    /// Passes over the marker, which must be the right one and come at once.
    #[cold]
    #[inline(never)]
    pub(super) fn pass<'a>(&mut self, bits: Bits<'a>) -> Result<Bits<'a>, Error> {
        let after = bits.after_marker(0xd0 + self.number);
        self.number = (self.number + 1) % 8;
        after.ok_or_else(|| match bits.overran() || bits.exhausted() {
            true => Error::Truncated,
            false => Error::corrupt("a restart marker is not where it should be"),
        })
    }
}
