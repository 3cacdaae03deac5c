//! The bits of an entropy-coded segment (ITU-T T.81, F.2.2.5): stuffed zeros are left out, and at a marker or the end of
//! the file zeros follow, which are counted.
//!
//! Where it matters the compiler keeps a position in registers. What is rare is therefore done by functions that take and
//! return positions: one that changed it where it is would force it into memory.

use std::ops::Range;

use super::window::Window;
use crate::thumbnail::Error;

/// How many blocks may be read before the bits are given back, so that the window can move on. Of each, no more than 64
/// codes of 16 bits come, with as many numbers of 15 bits, and all of their bytes may be stuffed: 496 bytes.
pub(super) const BLOCKS: usize = 128;

/// Where in the file one reads on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// What the place counts from.
    from: usize,
    place: Place,
}

impl Reading {
    /// From this byte of the file on.
    pub(super) fn new(at: usize) -> Self {
        Self { from: at, place: Place::START }
    }

    /// The bits of the next [`BLOCKS`] blocks.
    #[inline(never)]
    pub(super) fn bits<'w>(&self, window: &'w mut Window) -> Result<Bits<'w>, Error> {
        let from = self.from + self.place.at;
        Ok(Bits { bytes: window.from(from)?, from, place: Place { at: 0, ..self.place } })
    }

    /// Where to look for the next marker: no byte before was left.
    pub(super) fn position(&self) -> usize {
        let left = self.place.count.saturating_sub(self.place.padding) as usize / 8;
        // Stuffed bytes may be counted as one less; then the search begins within the segment, which does no harm.
        (self.from + self.place.at).saturating_sub(left)
    }
}

/// Cuts a row of MCUs, which have so many blocks each, into parts that may be read without a break.
pub(super) fn within(columns: usize, blocks: usize) -> impl Iterator<Item = Range<usize>> {
    let step = (BLOCKS / blocks.max(1)).max(1);
    (0..columns).step_by(step).map(move |start| start..columns.min(start + step))
}

/// A segment from a position on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Where in the file the bytes are from.
    from: usize,
    pub(super) place: Place,
}

/// A position within a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The next byte to load.
    at: usize,
    /// The next bits from the highest on. Below the counted ones stand either zeros or those that really follow.
    window: u64,
    /// How many bits of the window are counted, at most 63.
    count: u64,
    /// How many of the bits loaded so far are not in the file.
    padding: u64,
}

impl Place {
    const START: Self = Self { at: 0, window: 0, count: 0, padding: 0 };
}

impl Bits<'_> {
    /// Gives them back, if all that were taken are in the file.
    pub(super) fn reading(self) -> Result<Reading, Error> {
        if self.overran() { Err(Error::Truncated) } else { Ok(Reading { from: self.from, place: self.place }) }
    }

    /// Makes at least 56 bits ready.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if let Some(next) = self.next_eight()
            && !holds_ff(next)
        {
            self.load(next);
            return;
        }
        self.place = self.refilled_carefully();
    }

    #[inline(always)]
    fn next_eight(&self) -> Option<u64> {
        let rest = self.bytes.get(self.place.at..)?;
        rest.first_chunk().map(|next| u64::from_be_bytes(*next))
    }

    /// Puts as many of the eight bytes into the window as have room, seven at most; tells how many.
    #[inline(always)]
    fn load(&mut self, next: u64) -> usize {
        let bytes = ((63 - self.place.count) >> 3) as usize;
        self.place.window |= next >> self.place.count;
        self.place.at += bytes;
        self.place.count |= 56;
        bytes
    }

    /// The same where a 0xff is near: often a single one, with its stuffed zero.
    #[cold]
    #[inline(never)]
    fn refilled_carefully(mut self) -> Place {
        let Some(next) = self.next_eight() else { return self.refilled_bytewise() };
        let found = places_of_ff(next);
        let at = found.leading_zeros() / 8;
        // All up to the 0xff, and what follows the byte behind it.
        let up_to = u64::MAX << (56 - 8 * at);
        if at == 7 {
            self.load(next & !0xff);
            return self.place;
        }
        if found.count_ones() > 1 || next << (8 * at + 8) >> 56 != 0 {
            return self.refilled_bytewise();
        }
        let loaded = self.load(next & up_to | next << 8 & !up_to);
        self.place.at += usize::from(loaded > at as usize);
        self.place
    }

    /// The same byte by byte.
    fn refilled_bytewise(mut self) -> Place {
        while self.place.count < 56 {
            let byte = match self.bytes.get(self.place.at..).unwrap_or_default() {
                [0xff, 0x00, ..] => {
                    self.place.at += 2;
                    0xff
                }
                [0xff, 0xff, ..] => {
                    self.place.at += 1;
                    continue;
                }
                [0xff, ..] | [] => {
                    self.place.padding += 8;
                    0
                }
                &[byte, ..] => {
                    self.place.at += 1;
                    byte
                }
            };
            self.place.window |= u64::from(byte) << (56 - self.place.count);
            self.place.count += 8;
        }
        self.place
    }

    /// The next `N` bits, 1 to 16, which must be ready.
    #[inline(always)]
    pub(super) fn peek<const N: u32>(&self) -> usize {
        (self.place.window >> (64 - N)) as usize
    }

    /// Passes over bits that are ready.
    #[inline(always)]
    pub(super) fn skip(&mut self, bits: u32) {
        self.place.window <<= bits;
        self.place.count -= u64::from(bits);
    }

    /// Passes over as many bits, that are ready, as the lowest six bits of an entry say. What stands above them goes away
    /// by itself: to cut it off first would make every lookup wait for it.
    #[inline(always)]
    pub(super) fn skip_entry(&mut self, entry: u32) {
        self.place.window = self.place.window.wrapping_shl(entry);
        self.place.count = self.place.count.wrapping_sub(entry.into()) & 63;
    }

    /// Passes over up to 64 bits, whether they are ready or not.
    #[inline(always)]
    pub(super) fn pass(&mut self, bits: u32) {
        self.refill();
        self.skip(bits.min(32));
        if bits > 32 {
            self.refill();
            self.skip(bits - 32);
        }
    }

    /// Takes up to 16 bits that are ready.
    #[inline(always)]
    pub(super) fn take(&mut self, bits: u32) -> u32 {
        let taken = (self.place.window >> 1 >> (63 - bits)) as u32;
        self.skip(bits);
        taken
    }

    /// Takes a number of `size` bits, 0 to 15, that are ready: what begins with 0 is negative (F.2.2.1).
    #[inline(always)]
    pub(super) fn number(&mut self, size: u32) -> i32 {
        extended(self.take(size), size)
    }

    /// Whether bits were taken that are not in the file.
    #[inline(always)]
    pub(super) fn overran(&self) -> bool {
        self.place.padding > self.place.count
    }

    /// Begins anew behind this marker, if nothing but the rest of a byte is left before it.
    pub(super) fn after_marker(mut self, marker: u8) -> Option<Self> {
        self.refill();
        let left = self.place.count.checked_sub(self.place.padding)?;
        let next = self.bytes.get(self.place.at..)?;
        let fill = next.iter().take_while(|&&byte| byte == 0xff).count();
        let there = left < 8 && fill > 0 && next.get(fill) == Some(&marker);
        there.then(|| Self { place: Place { at: self.place.at + fill + 1, ..Place::START }, ..self })
    }

    /// Whether the file ends here.
    pub(super) fn exhausted(&self) -> bool {
        self.bytes.len() - self.place.at.min(self.bytes.len()) < 2
    }
}

/// The number that `size` bits stand for.
#[inline(always)]
pub(super) fn extended(bits: u32, size: u32) -> i32 {
    let half = 1 << size >> 1;
    let bits = bits as i32;
    if bits < half { bits + 1 - (1 << size) } else { bits }
}

/// The highest bit of each byte that is 0xff.
fn places_of_ff(bytes: u64) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    ((bytes & LOW) + 0x0101_0101_0101_0101) & bytes & !LOW
}

/// Whether any of the eight bytes is 0xff.
#[inline(always)]
fn holds_ff(bytes: u64) -> bool {
    let inverted = !bytes;
    inverted.wrapping_sub(0x0101_0101_0101_0101) & bytes & 0x8080_8080_8080_8080 != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_those_of_the_standard() {
        assert_eq!([0, 1].map(|bits| extended(bits, 1)), [-1, 1]);
        assert_eq!([0, 1, 2, 3].map(|bits| extended(bits, 2)), [-3, -2, 2, 3]);
        assert_eq!(extended(0, 0), 0);
        assert_eq!((extended(0, 15), extended(32_767, 15)), (-32_767, 32_767));
    }

    proptest! {
        #[test]
        fn stuffed_bytes_come_back_as_they_were(bytes in prop::collection::vec(prop_oneof![Just(0xff_u8), any::<u8>()], 0..60)) {
            let mut stuffed: Vec<u8> = bytes.iter().flat_map(|&byte| if byte == 0xff { vec![0xff, 0] } else { vec![byte] }).collect();
            let end = stuffed.len();
            stuffed.extend([0xff, 0xff, 0xd9, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
            let mut window = Window::Whole(&stuffed);
            let mut bits = Reading::new(0).bits(&mut window).unwrap();
            for (at, &byte) in bytes.iter().enumerate() {
                bits.refill();
                let high = 1 + at as u32 % 7;
                let taken = bits.take(high) << (8 - high) | bits.take(8 - high);
                prop_assert_eq!(taken, u32::from(byte));
                prop_assert!(!bits.overran());
            }
            bits.refill();
            prop_assert!(bits.after_marker(0xd9).is_some_and(|after| after.place.at == end + 3));
            prop_assert!(bits.after_marker(0xd8).is_none());
            bits.take(1);
            prop_assert!(bits.overran());
        }
    }
}
