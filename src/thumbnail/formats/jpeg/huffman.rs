//! Huffman tables (ITU-T T.81, annexes C, F.2.2.3 and K.3) and the lookup tables built from them: [`SymbolTable`] finds
//! one symbol, [`AcDecoder`] and [`DcDecoder`] also read the value that follows it, and [`SkipTable`] skips as many
//! coefficients as a few bits can hold.

use std::borrow::Cow;

use super::bit_reader::{BitPosition, BitReader, extend};
use crate::error::Error;

/// A table as the file defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HuffmanSpec {
    /// Number of codes of each length from 1 to 16 (BITS).
    pub(super) lengths: [u8; 16],
    /// The symbols by ascending code (HUFFVAL).
    pub(super) symbols: Cow<'static, [u8]>,
}

/// Index bits of the short table of [`SymbolTable`].
const SHORT_BITS: u32 = 9;

/// Finds the symbol of a code.
pub(super) struct SymbolTable {
    /// By the next [`SHORT_BITS`] bits: the code length, with the symbol in the high byte; 0 for longer codes.
    short: [u16; 1 << SHORT_BITS],
    /// By length from 1 to 16: the first longer code, left-aligned in 16 bits.
    limits: [u32; 17],
    /// By length: the difference between a code and the index of its symbol.
    offsets: [i32; 17],
    symbols: [u8; 256],
}

impl SymbolTable {
    /// Fails if a code is a prefix of another one.
    pub(super) fn new(spec: &HuffmanSpec) -> Result<Self, Error> {
        let mut table = Self { short: [0; 1 << SHORT_BITS], limits: [0; 17], offsets: [0; 17], symbols: [0; 256] };
        let (mut code, mut index) = (0_usize, 0_usize);
        for (length, &count) in (1..).zip(&spec.lengths) {
            table.offsets[length] = index as i32 - code as i32;
            for _ in 0..count {
                let symbol = spec.symbols.get(index).copied();
                let symbol = symbol.filter(|_| index < 256 && code < 1 << length);
                let symbol = symbol.ok_or_else(|| Error::corrupt("a Huffman table with too many codes"))?;
                table.symbols[index] = symbol;
                if let Some(spare) = (SHORT_BITS as usize).checked_sub(length) {
                    table.short[code << spare..(code + 1) << spare].fill(u16::from(symbol) << 8 | length as u16);
                }
                (code, index) = (code + 1, index + 1);
            }
            table.limits[length] = (code << (16 - length)) as u32;
            code <<= 1;
        }
        Ok(table)
    }

    /// The symbol at the start of these 16 bits, and the length of its code.
    fn find(&self, bits: usize) -> Option<(u8, u32)> {
        let short = self.short[bits >> (16 - SHORT_BITS)];
        if short != 0 {
            return Some(((short >> 8) as u8, u32::from(short & 0xff)));
        }
        let length = (SHORT_BITS as usize + 1..=16).find(|&length| (bits as u32) < self.limits[length])?;
        let index = (bits >> (16 - length)) as i32 + self.offsets[length];
        Some((*self.symbols.get(usize::try_from(index).ok()?)?, length as u32))
    }

    /// Reads a symbol; at least 16 bits must be available.
    #[inline(always)]
    pub(super) fn read(&self, bits: &mut BitReader) -> Option<u8> {
        let short = self.short[bits.peek::<SHORT_BITS>()];
        if short != 0 {
            bits.skip(u32::from(short & 0xff));
            return Some((short >> 8) as u8);
        }
        let (symbol, length) = self.find(bits.peek::<16>())?;
        bits.skip(length);
        Some(symbol)
    }
}

/// A run of zeros and the value that follows it, or the end of the block; then the value is the run of the symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunValue(u32);

const END_OF_BLOCK: u32 = 1 << 6;

/// Advance of an entry whose code or value is longer than the index of its table.
const ESCAPE: u32 = 64;

/// Packs the number of bits to skip, the end-of-block flag, the distance to the next coefficient, and the value.
fn pack(bits: u32, end_of_block: bool, advance: u32, value: i32) -> u32 {
    bits | u32::from(end_of_block) << 6 | advance << 7 | (value as u32) << 16
}

impl RunValue {
    #[inline(always)]
    pub(super) fn is_end_of_block(self) -> bool {
        self.0 & END_OF_BLOCK != 0
    }

    /// Distance to the next coefficient: the run of zeros plus this coefficient.
    #[inline(always)]
    pub(super) fn advance(self) -> usize {
        (self.0 >> 7 & 0x7f) as usize
    }

    #[inline(always)]
    pub(super) fn value(self) -> i32 {
        self.0 as i32 >> 16
    }
}

/// Index bits of the table of [`AcDecoder`].
const VALUE_BITS: u32 = 10;

/// Decodes AC coefficients: a symbol and the value that follows it, in one lookup where both are short.
pub(super) struct AcDecoder {
    /// By the next [`VALUE_BITS`] bits: see [`pack`]; the advance is [`ESCAPE`] where they are not enough.
    table: [u32; 1 << VALUE_BITS],
    pub(super) symbols: SymbolTable,
}

impl AcDecoder {
    pub(super) fn new(spec: &HuffmanSpec) -> Result<Self, Error> {
        let symbols = SymbolTable::new(spec)?;
        let table = std::array::from_fn(|index| {
            let (symbol, length) = match symbols.find(index << (16 - VALUE_BITS)) {
                Some((symbol, length)) if length <= VALUE_BITS => (symbol, length),
                _ => return pack(0, false, ESCAPE, 0),
            };
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            let total = length + size;
            if size == 0 {
                return if run == 15 { pack(length, false, 16, 0) } else { pack(length, true, 0, run as i32) };
            }
            if total > VALUE_BITS {
                return pack(0, false, ESCAPE, 0);
            }
            let bits = index >> (VALUE_BITS - total) & ((1 << size) - 1);
            pack(total, false, run + 1, extend(bits as u32, size))
        });
        Ok(Self { table, symbols })
    }

    /// Reads a symbol and its value. At least 31 bits must be available; of 56 bits, at least 46 remain. `None` for an
    /// invalid code.
    #[inline(always)]
    pub(super) fn read(&self, bits: &mut BitReader) -> Option<RunValue> {
        let entry = self.table[bits.peek::<VALUE_BITS>()];
        if entry & ESCAPE << 7 == 0 {
            bits.skip_entry(entry);
            return Some(RunValue(entry));
        }
        let (after, found) = self.read_long(*bits)?;
        bits.position = after;
        Some(found)
    }

    #[cold]
    #[inline(never)]
    fn read_long(&self, mut bits: BitReader) -> Option<(BitPosition, RunValue)> {
        let symbol = self.symbols.read(&mut bits)?;
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let entry = match (run, size) {
            (15, 0) => pack(0, false, 16, 0),
            (_, 0) => pack(0, true, 0, run as i32),
            _ => pack(0, false, run + 1, bits.receive_extend(size)),
        };
        bits.refill();
        Some((bits.position, RunValue(entry)))
    }

    /// Reads one symbol, with a refill before and after it.
    #[cold]
    #[inline(never)]
    fn read_refilled(&self, mut bits: BitReader) -> Option<(BitPosition, RunValue)> {
        bits.refill();
        let found = self.read(&mut bits)?;
        bits.refill();
        Some((bits.position, found))
    }
}

/// Decodes DC differences: they are coded like AC coefficients without a run.
pub(super) struct DcDecoder(AcDecoder);

impl DcDecoder {
    /// Fails if a difference has more than 15 bits.
    pub(super) fn new(spec: &HuffmanSpec) -> Result<Self, Error> {
        if spec.symbols.iter().any(|&size| size > 15) {
            return Err(Error::corrupt("a DC difference of more than 15 bits"));
        }
        Ok(Self(AcDecoder::new(spec)?))
    }

    /// Reads a difference, with the same requirements as [`AcDecoder::read`].
    #[inline(always)]
    pub(super) fn read(&self, bits: &mut BitReader) -> Option<i32> {
        self.0.read(bits).map(RunValue::value)
    }
}

/// Index bits of [`SkipTable`].
const SKIP_BITS: u32 = 12;

/// The most bits that one lookup skips, so that two lookups fit between refills.
const MAX_SKIPPED_BITS: u32 = 28;

/// Skips coefficients without decoding their values.
pub(super) struct SkipTable {
    /// By the next [`SKIP_BITS`] bits: see [`pack`], without a value, for all symbols whose codes fit. The value bits
    /// of the last symbol may extend beyond the index.
    table: [u16; 1 << SKIP_BITS],
}

impl SkipTable {
    pub(super) fn new(symbols: &SymbolTable) -> Self {
        Self { table: std::array::from_fn(|index| Self::entry(symbols, index)) }
    }

    fn entry(symbols: &SymbolTable, index: usize) -> u16 {
        let (mut used, mut advance, mut end_of_block) = (0, 0, false);
        while used < SKIP_BITS {
            let rest = index << used & ((1 << SKIP_BITS) - 1);
            let found = symbols.find(rest << (16 - SKIP_BITS)).filter(|(_, length)| used + length <= SKIP_BITS);
            let Some((symbol, length)) = found else { break };
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            let distance = if size == 0 { 16 } else { run + 1 };
            end_of_block = size == 0 && run < 15;
            if end_of_block {
                used += length;
                break;
            }
            if advance + distance > 63 || used + length + size > MAX_SKIPPED_BITS {
                break;
            }
            used += length + size;
            advance += distance;
        }
        (if used == 0 { pack(0, false, ESCAPE, 0) } else { pack(used, end_of_block, advance, 0) }) as u16
    }

    /// Skips the rest of a block from the coefficient `next` on; [`MAX_SKIPPED_BITS`] bits must be available. `None`
    /// for an invalid code, or for more than 64 coefficients.
    #[inline(always)]
    pub(super) fn skip_block(&self, bits: &mut BitReader, decoder: &AcDecoder, mut next: usize) -> Option<()> {
        while next < 64 {
            next = self.step(bits, decoder, next)?;
            if next >= 64 {
                break;
            }
            bits.refill();
            next = self.step(bits, decoder, next)?;
        }
        (next == 64).then_some(())
    }

    /// One lookup; returns the index of the next coefficient, 64 at the end of the block.
    #[inline(always)]
    fn step(&self, bits: &mut BitReader, decoder: &AcDecoder, next: usize) -> Option<usize> {
        let entry = u32::from(self.table[bits.peek::<SKIP_BITS>()]);
        let after = next + (entry >> 7) as usize;
        if after >= 64 {
            // The last symbols may belong to the next block.
            let (after, symbol) = decoder.read_refilled(*bits)?;
            bits.position = after;
            return Some(if symbol.is_end_of_block() { 64 } else { next + symbol.advance() });
        }
        bits.skip_entry(entry);
        Some(if entry & END_OF_BLOCK == 0 { after } else { 64 })
    }
}
