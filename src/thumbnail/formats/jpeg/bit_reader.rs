//! Bit reader over an entropy-coded segment (ITU-T T.81, F.2.2.5). It drops stuffed zero bytes. At a marker or the end
//! of the file it supplies zero bits and counts them.
//!
//! The compiler keeps a [`BitPosition`] in registers in the hot loops. Rare cases are therefore handled by functions
//! that take and return positions by value: a function that modified one in place would force it into memory.

use std::ops::Range;

use super::source::Source;
use crate::error::Error;

/// Blocks that are decoded between two calls of [`BitReader::suspend`], after which the source can slide on. A block
/// has at most 64 codes of 16 bits, each with 15 more bits, and every byte can be stuffed: 496 bytes.
pub(super) const BLOCKS_PER_BATCH: usize = 128;

/// A reader that does not borrow the source: the position to continue from.
#[derive(Debug, Clone, Copy)]
pub(super) struct BitReaderState {
    /// File offset that the position is relative to.
    base: usize,
    position: BitPosition,
}

impl BitReaderState {
    /// Starts at a file offset.
    pub(super) fn new(offset: usize) -> Self {
        Self { base: offset, position: BitPosition::START }
    }

    /// Reader for the next [`BLOCKS_PER_BATCH`] blocks.
    #[inline(never)]
    pub(super) fn resume<'s>(&self, source: &'s mut Source) -> Result<BitReader<'s>, Error> {
        let base = self.base + self.position.offset;
        Ok(BitReader { bytes: source.bytes_from(base)?, base, position: BitPosition { offset: 0, ..self.position } })
    }

    /// File offset of the first byte that is not loaded. No marker precedes it.
    pub(super) fn loaded_end(&self) -> usize {
        self.base + self.position.offset
    }

    /// File offset behind the last byte of which bits are consumed.
    pub(super) fn consumed_end(&self, source: &mut Source) -> Result<usize, Error> {
        let (end, unread) = (self.loaded_end(), self.position.count.saturating_sub(self.position.padding) as usize / 8);
        // Each of the unread bytes can be followed by a stuffed zero.
        let start = end.saturating_sub(2 * unread);
        let loaded = source.bytes_from(start)?.get(..end - start).unwrap_or_default();
        let before_last = |bytes: &[u8]| bytes.len() - if bytes.ends_with(&[0xff, 0]) { 2 } else { bytes.len().min(1) };
        Ok(start + (0..unread).fold(loaded.len(), |at, _| before_last(&loaded[..at])))
    }
}

/// Splits an MCU row of `columns` MCUs with `blocks` blocks each into batches of at most [`BLOCKS_PER_BATCH`] blocks.
pub(super) fn batches(columns: usize, blocks: usize) -> impl Iterator<Item = Range<usize>> {
    let step = (BLOCKS_PER_BATCH / blocks.max(1)).max(1);
    (0..columns).step_by(step).map(move |start| start..columns.min(start + step))
}

/// Reads bits of a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// File offset of the first byte.
    base: usize,
    pub(super) position: BitPosition,
}

/// Position within a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct BitPosition {
    /// The next byte to load.
    offset: usize,
    /// The next bits, most significant first. The bits below the counted ones are zero or already correct.
    buffer: u64,
    /// Number of valid bits in the buffer, at most 63.
    count: u64,
    /// Number of loaded bits that are not in the file.
    padding: u64,
}

impl BitPosition {
    const START: Self = Self { offset: 0, buffer: 0, count: 0, padding: 0 };
}

impl BitReader<'_> {
    /// Releases the source. Fails if padding bits were consumed.
    pub(super) fn suspend(self) -> Result<BitReaderState, Error> {
        if self.overran() {
            return Err(Error::Truncated);
        }
        Ok(BitReaderState { base: self.base, position: self.position })
    }

    /// The error for an invalid code: behind the end of the data, the code consists of padding.
    pub(super) fn invalid_code(&self) -> Error {
        if self.overran() { Error::Truncated } else { Error::corrupt("invalid entropy-coded data") }
    }

    /// Makes at least 56 bits available.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if let Some(next) = self.next_eight()
            && !contains_ff(next)
        {
            self.load(next);
            return;
        }
        self.position = self.refill_near_ff();
    }

    #[inline(always)]
    fn next_eight(&self) -> Option<u64> {
        let rest = self.bytes.get(self.position.offset..)?;
        rest.first_chunk().map(|next| u64::from_be_bytes(*next))
    }

    /// Loads as many of the eight bytes as fit into the buffer, at most seven; returns their number.
    #[inline(always)]
    fn load(&mut self, next: u64) -> usize {
        let bytes = ((63 - self.position.count) >> 3) as usize;
        self.position.buffer |= next >> self.position.count;
        self.position.offset += bytes;
        self.position.count |= 56;
        bytes
    }

    /// [`refill`](Self::refill) near a 0xff, which is usually a single one followed by its stuffed zero.
    #[cold]
    #[inline(never)]
    fn refill_near_ff(mut self) -> BitPosition {
        let Some(next) = self.next_eight() else { return self.refill_bytewise() };
        let found = ff_mask(next);
        let index = found.leading_zeros() / 8;
        // Everything up to the 0xff, then everything after the byte that follows it.
        let up_to = u64::MAX << (56 - 8 * index);
        if index == 7 {
            self.load(next & !0xff);
            return self.position;
        }
        if found.count_ones() > 1 || next << (8 * index + 8) >> 56 != 0 {
            return self.refill_bytewise();
        }
        let loaded = self.load(next & up_to | next << 8 & !up_to);
        self.position.offset += usize::from(loaded > index as usize);
        self.position
    }

    fn refill_bytewise(mut self) -> BitPosition {
        while self.position.count < 56 {
            let byte = match self.bytes.get(self.position.offset..).unwrap_or_default() {
                [0xff, 0x00, ..] => {
                    self.position.offset += 2;
                    0xff
                }
                // A marker, possibly behind fill bytes; data does not contain these (B.1.1.2).
                [0xff, ..] | [] => {
                    self.position.padding += 8;
                    0
                }
                &[byte, ..] => {
                    self.position.offset += 1;
                    byte
                }
            };
            self.position.buffer |= u64::from(byte) << (56 - self.position.count);
            self.position.count += 8;
        }
        self.position
    }

    /// The next `N` bits, 1 to 16, which must be available.
    #[inline(always)]
    pub(super) fn peek<const N: u32>(&self) -> usize {
        (self.position.buffer >> (64 - N)) as usize
    }

    /// Skips available bits.
    #[inline(always)]
    pub(super) fn skip(&mut self, bits: u32) {
        self.position.buffer <<= bits;
        self.position.count -= u64::from(bits);
    }

    /// Skips as many available bits as the lowest six bits of a table entry state. The higher bits of the entry drop
    /// out of the arithmetic: masking them first would put one more instruction on the critical path of every lookup.
    #[inline(always)]
    pub(super) fn skip_entry(&mut self, entry: u32) {
        self.position.buffer = self.position.buffer.wrapping_shl(entry);
        self.position.count = self.position.count.wrapping_sub(entry.into()) & 63;
    }

    /// Skips up to 64 bits, available or not.
    #[inline(always)]
    pub(super) fn skip_long(&mut self, bits: u32) {
        self.refill();
        self.skip(bits.min(32));
        if bits > 32 {
            self.refill();
            self.skip(bits - 32);
        }
    }

    /// Reads up to 16 available bits.
    #[inline(always)]
    pub(super) fn take(&mut self, bits: u32) -> u32 {
        let taken = (self.position.buffer >> 1 >> (63 - bits)) as u32;
        self.skip(bits);
        taken
    }

    /// Reads a signed value of `size` available bits, 0 to 15 (RECEIVE and EXTEND, F.2.2.1).
    #[inline(always)]
    pub(super) fn receive_extend(&mut self, size: u32) -> i32 {
        extend(self.take(size), size)
    }

    /// Whether padding bits were consumed.
    #[inline(always)]
    pub(super) fn overran(&self) -> bool {
        self.position.padding > self.position.count
    }

    /// Continues after this marker, if only the rest of a byte precedes it.
    pub(super) fn after_marker(mut self, marker: u8) -> Option<Self> {
        self.refill();
        let unread = self.position.count.checked_sub(self.position.padding)?;
        let next = self.bytes.get(self.position.offset..)?;
        let fill = next.iter().take_while(|&&byte| byte == 0xff).count();
        let found = unread < 8 && fill > 0 && next.get(fill) == Some(&marker);
        found.then(|| Self {
            position: BitPosition { offset: self.position.offset + fill + 1, ..BitPosition::START },
            ..self
        })
    }
}

/// The signed value that `size` bits encode (EXTEND, F.2.2.1): a leading 0 means negative.
#[inline(always)]
pub(super) fn extend(bits: u32, size: u32) -> i32 {
    let half = 1 << size >> 1;
    let bits = bits as i32;
    if bits < half { bits + 1 - (1 << size) } else { bits }
}

/// The highest bit of each byte that is 0xff.
fn ff_mask(bytes: u64) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    ((bytes & LOW) + 0x0101_0101_0101_0101) & bytes & !LOW
}

/// Whether any of the eight bytes is 0xff.
#[inline(always)]
fn contains_ff(bytes: u64) -> bool {
    let inverted = !bytes;
    inverted.wrapping_sub(0x0101_0101_0101_0101) & bytes & 0x8080_8080_8080_8080 != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn extend_follows_the_standard() {
        assert_eq!([0, 1].map(|bits| extend(bits, 1)), [-1, 1]);
        assert_eq!([0, 1, 2, 3].map(|bits| extend(bits, 2)), [-3, -2, 2, 3]);
        assert_eq!(extend(0, 0), 0);
        assert_eq!((extend(0, 15), extend(32_767, 15)), (-32_767, 32_767));
    }

    proptest! {
        #[test]
        fn stuffed_bytes_are_read_back_unchanged(bytes in prop::collection::vec(prop_oneof![Just(0xff_u8), any::<u8>()], 0..60)) {
            let mut stuffed: Vec<u8> = bytes.iter().flat_map(|&byte| if byte == 0xff { vec![0xff, 0] } else { vec![byte] }).collect();
            let end = stuffed.len();
            stuffed.extend([0xff, 0xff, 0xd9, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
            let mut source = Source::Memory(&stuffed);
            let mut bits = BitReaderState::new(0).resume(&mut source).unwrap();
            for (index, &byte) in bytes.iter().enumerate() {
                bits.refill();
                let high = 1 + index as u32 % 7;
                let taken = bits.take(high) << (8 - high) | bits.take(8 - high);
                prop_assert_eq!(taken, u32::from(byte));
                prop_assert!(!bits.overran());
            }
            bits.refill();
            prop_assert!(bits.after_marker(0xd9).is_some_and(|after| after.position.offset == end + 3));
            prop_assert!(bits.after_marker(0xd8).is_none());
            bits.take(1);
            prop_assert!(bits.overran());
        }
    }
}
