//! Huffman tables (ITU-T T.81, annexes C, F.2.2.3 and K.3), and lookups made of them: one finds a symbol, one the number
//! that follows it too, and one passes over as many symbols as a few bits may hold.

use std::borrow::Cow;

use super::bits::{Bits, Place, extended};
use crate::thumbnail::Error;

/// A table as the file defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    /// How many codes there are of each length from 1 to 16.
    pub(super) lengths: [u8; 16],
    /// The symbols by ascending code.
    pub(super) symbols: Cow<'static, [u8]>,
}

/// How many bits [`Codes`] looks at in one go.
const SHORT: u32 = 9;

/// Finds the symbol of a code.
pub(super) struct Codes {
    /// Of the next [`SHORT`] bits: the code's length, and its symbol above it; 0 if the code is longer.
    short: [u16; 1 << SHORT],
    /// Of each length from 1 to 16, in 16 bits: the first code that is longer.
    limits: [u32; 17],
    /// What is added to a code of each length to get its symbol's index.
    offsets: [i32; 17],
    symbols: [u8; 256],
}

impl Codes {
    /// Refuses a table in which codes would begin with one another.
    pub(super) fn new(definition: &Definition) -> Result<Self, Error> {
        let mut codes = Self { short: [0; 1 << SHORT], limits: [0; 17], offsets: [0; 17], symbols: [0; 256] };
        let (mut code, mut index) = (0_usize, 0_usize);
        for (length, &count) in (1..).zip(&definition.lengths) {
            codes.offsets[length] = index as i32 - code as i32;
            for _ in 0..count {
                let symbol = definition.symbols.get(index).copied();
                let symbol = symbol.filter(|_| index < 256 && code < 1 << length);
                let symbol = symbol.ok_or_else(|| Error::corrupt("a Huffman table with too many codes"))?;
                codes.symbols[index] = symbol;
                if let Some(spare) = (SHORT as usize).checked_sub(length) {
                    codes.short[code << spare..(code + 1) << spare].fill(u16::from(symbol) << 8 | length as u16);
                }
                (code, index) = (code + 1, index + 1);
            }
            codes.limits[length] = (code << (16 - length)) as u32;
            code <<= 1;
        }
        Ok(codes)
    }

    /// The symbol that these 16 bits begin with, and its code's length.
    fn find(&self, bits: usize) -> Option<(u8, u32)> {
        let short = self.short[bits >> (16 - SHORT)];
        if short != 0 {
            return Some(((short >> 8) as u8, u32::from(short & 0xff)));
        }
        let length = (SHORT as usize + 1..=16).find(|&length| (bits as u32) < self.limits[length])?;
        let index = (bits >> (16 - length)) as i32 + self.offsets[length];
        Some((*self.symbols.get(usize::try_from(index).ok()?)?, length as u32))
    }

    /// Takes a symbol; at least 16 bits must be ready.
    #[inline(always)]
    pub(super) fn take(&self, bits: &mut Bits) -> Option<u8> {
        let short = self.short[bits.peek::<SHORT>()];
        if short != 0 {
            bits.skip(u32::from(short & 0xff));
            return Some((short >> 8) as u8);
        }
        let (symbol, length) = self.find(bits.peek::<16>())?;
        bits.skip(length);
        Some(symbol)
    }
}

/// How many bits [`Numbers`] looks at.
const NUMBER: u32 = 10;

/// Finds a symbol and the number that follows it.
pub(super) struct Numbers {
    /// Of the next [`NUMBER`] bits, what [`entry`] packs; its advance is 64 where they do not tell.
    table: [u32; 1 << NUMBER],
    pub(super) codes: Codes,
}

/// A number that was found, or the end of its block; then the number is the run that the symbol holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found(u32);

const LAST: u32 = 1 << 6;

/// How many bits are taken; whether the block ends; how many coefficients further the next one is; the number.
fn entry(bits: u32, last: bool, advance: u32, number: i32) -> u32 {
    bits | u32::from(last) << 6 | advance << 7 | (number as u32) << 16
}

impl Found {
    #[inline(always)]
    pub(super) fn last(self) -> bool {
        self.0 & LAST != 0
    }

    /// How many coefficients further the next one is: the run of zeros, and this one.
    #[inline(always)]
    pub(super) fn advance(self) -> usize {
        (self.0 >> 7 & 0x7f) as usize
    }

    #[inline(always)]
    pub(super) fn number(self) -> i32 {
        self.0 as i32 >> 16
    }
}

impl Numbers {
    /// For AC coefficients.
    pub(super) fn ac(definition: &Definition) -> Result<Self, Error> {
        Ok(Self::new(Codes::new(definition)?))
    }

    /// For DC differences, whose sizes are at most 15.
    pub(super) fn dc(definition: &Definition) -> Result<Self, Error> {
        if definition.symbols.iter().any(|&size| size > 15) {
            return Err(Error::corrupt("a DC difference of more than 15 bits"));
        }
        Ok(Self::new(Codes::new(definition)?))
    }

    fn new(codes: Codes) -> Self {
        let table = std::array::from_fn(|index| {
            let (symbol, length) = match codes.find(index << (16 - NUMBER)) {
                Some((symbol, length)) if length <= NUMBER => (symbol, length),
                _ => return entry(0, false, 64, 0),
            };
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            let total = length + size;
            if size == 0 {
                return if run == 15 { entry(length, false, 16, 0) } else { entry(length, true, 0, run as i32) };
            }
            if total > NUMBER {
                return entry(0, false, 64, 0);
            }
            let bits = index >> (NUMBER - total) & ((1 << size) - 1);
            entry(total, false, run + 1, extended(bits as u32, size))
        });
        Self { table, codes }
    }

    /// Takes what comes next; at least 31 bits must be ready, and of 56 bits no fewer than 46 are then left. `None` if there
    /// is no such code.
    #[inline(always)]
    pub(super) fn take(&self, bits: &mut Bits) -> Option<Found> {
        let found = self.table[bits.peek::<NUMBER>()];
        if found & 64 << 7 == 0 {
            bits.skip_entry(found);
            return Some(Found(found));
        }
        let (after, found) = self.take_long(*bits)?;
        bits.place = after;
        Some(found)
    }

    /// The same for what the lookup does not tell.
    #[cold]
    #[inline(never)]
    fn take_long(&self, mut bits: Bits) -> Option<(Place, Found)> {
        let symbol = self.codes.take(&mut bits)?;
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let found = match (run, size) {
            (15, 0) => entry(0, false, 16, 0),
            (_, 0) => entry(0, true, 0, run as i32),
            _ => entry(0, false, run + 1, bits.number(size)),
        };
        bits.refill();
        Some((bits.place, Found(found)))
    }
}

/// How many bits [`Skips`] looks at.
const SKIP: u32 = 12;

/// The most bits that one lookup may pass over, so that two are ready at once.
const SKIPPED: u32 = 28;

/// Passes over coefficients.
pub(super) struct Skips {
    /// Of the next [`SKIP`] bits, what [`entry`] packs, without a number: of all symbols whose codes they hold. The number
    /// of the last one may lie beyond them.
    table: [u16; 1 << SKIP],
}

impl Skips {
    pub(super) fn new(codes: &Codes) -> Self {
        Self { table: std::array::from_fn(|index| Self::entry(codes, index)) }
    }

    fn entry(codes: &Codes, index: usize) -> u16 {
        let (mut used, mut advance, mut last) = (0, 0, false);
        while used < SKIP {
            let rest = index << used & ((1 << SKIP) - 1);
            let Some((symbol, length)) = codes.find(rest << (16 - SKIP)).filter(|(_, length)| used + length <= SKIP)
            else {
                break;
            };
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            let further = if size == 0 { 16 } else { run + 1 };
            last = size == 0 && run < 15;
            if last {
                used += length;
                break;
            }
            if advance + further > 63 || used + length + size > SKIPPED {
                break;
            }
            used += length + size;
            advance += further;
        }
        (if used == 0 { entry(0, false, 64, 0) } else { entry(used, last, advance, 0) }) as u16
    }

    /// Passes over the coefficients of a block from the `next`th on; [`SKIPPED`] bits must be ready. `None` if there is no
    /// such code, or more than 64.
    #[inline(always)]
    pub(super) fn rest(&self, bits: &mut Bits, numbers: &Numbers, mut next: usize) -> Option<()> {
        while next < 64 {
            next = self.step(bits, numbers, next)?;
            if next >= 64 {
                break;
            }
            bits.refill();
            next = self.step(bits, numbers, next)?;
        }
        (next == 64).then_some(())
    }

    /// One lookup: tells where the next coefficient is, 64 if the block ends.
    #[inline(always)]
    fn step(&self, bits: &mut Bits, numbers: &Numbers, next: usize) -> Option<usize> {
        let found = u32::from(self.table[bits.peek::<SKIP>()]);
        let after = next + (found >> 7) as usize;
        if after >= 64 {
            // Not all of the symbols may belong to this block.
            let (after, symbol) = one(*bits, numbers)?;
            bits.place = after;
            return Some(if symbol.last() { 64 } else { next + symbol.advance() });
        }
        bits.skip_entry(found);
        Some(if found & LAST == 0 { after } else { 64 })
    }
}

/// One symbol, and the bits refilled.
#[cold]
#[inline(never)]
fn one(mut bits: Bits, numbers: &Numbers) -> Option<(Place, Found)> {
    bits.refill();
    let found = numbers.take(&mut bits)?;
    bits.refill();
    Some((bits.place, found))
}
