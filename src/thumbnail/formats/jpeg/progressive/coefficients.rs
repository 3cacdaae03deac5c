//! Coefficient storage of a progressive image: the low frequencies that the decoded size needs, of the needed blocks.

use std::ops::{Range, RangeInclusive};

use super::super::bit_reader::BitReader;
use super::super::frame::{Component, Frame};
use super::super::idct::LowFrequencies;
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::Area;

/// The stored coefficients of one component.
pub(super) struct Coefficients {
    /// Columns and rows of blocks, needed or not.
    pub(super) size: (usize, usize),
    pub(super) frequencies: LowFrequencies,
    /// Coefficients per block.
    count: usize,
    columns: Range<usize>,
    rows: Range<usize>,
    values: Vec<i16>,
    /// Of every block, needed or not, a bit for each non-zero coefficient; only allocated during AC scans.
    nonzero: Vec<u64>,
}

impl Coefficients {
    /// Allocates the storage of all components; fails beyond the memory limit. Of the component `whole`, all AC scans
    /// are decoded.
    pub(super) fn allocate(
        frame: &Frame,
        needed: &[Area],
        whole: Option<usize>,
        limits: &Limits,
    ) -> Result<Vec<Self>, Error> {
        let plan = |(index, (component, area))| StoragePlan::new(component, area, whole == Some(index));
        let plans: Vec<StoragePlan> = frame.components.iter().zip(needed).enumerate().map(plan).collect();
        let bytes: u64 = plans.iter().map(|plan| plan.values as u64 * 2 + plan.nonzero as u64 * 8).sum();
        if bytes > limits.max_bytes() {
            return Err(Error::TooMuchMemory);
        }
        plans.into_iter().map(StoragePlan::allocate).collect()
    }

    /// Allocates the masks for AC scans in the buffer of another component; if only DC coefficients are stored, on
    /// request.
    pub(super) fn begin_ac(&mut self, mut masks: Vec<u64>, always: bool) -> Result<(), Error> {
        let blocks = if self.count == 1 && !always { 0 } else { self.size.0 * self.size.1 };
        masks.clear();
        masks.try_reserve_exact(blocks).map_err(|_| Error::TooMuchMemory)?;
        masks.resize(blocks, 0);
        self.nonzero = masks;
        Ok(())
    }

    /// Returns the buffer of the masks.
    pub(super) fn end_ac(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.nonzero)
    }

    /// The coefficients of a block, if it is needed.
    #[inline(always)]
    pub(super) fn block(&mut self, column: usize, row: usize) -> Option<&mut [i16]> {
        let start = self.start(column, row)?;
        self.values.get_mut(start..start + self.count)
    }

    fn start(&self, column: usize, row: usize) -> Option<usize> {
        let needed = self.columns.contains(&column) && self.rows.contains(&row);
        needed.then(|| ((row - self.rows.start) * self.columns.len() + column - self.columns.start) * self.count)
    }

    /// The needed blocks of a row, each with its column.
    pub(super) fn blocks(&self, row: usize) -> impl Iterator<Item = (usize, &[i16])> {
        let start = self.start(self.columns.start, row);
        let values = start.and_then(|start| self.values.get(start..start + self.columns.len() * self.count));
        self.columns.clone().zip(values.unwrap_or_default().chunks_exact(self.count))
    }

    /// Reorders quantisers from zigzag order to the order of the stored coefficients.
    pub(super) fn in_storage_order(&self, quantisers: &[i32; 64]) -> [i32; 64] {
        let mut ordered = [0; 64];
        for (zigzag, quantiser) in quantisers.iter().enumerate() {
            if let Some(stored) = ordered[..self.count].get_mut(self.frequencies.index(zigzag)) {
                *stored = *quantiser;
            }
        }
        ordered
    }

    /// A block for an AC scan; `None` without masks.
    #[inline(always)]
    pub(super) fn ac_block(&mut self, column: usize, row: usize) -> Option<AcBlock<'_>> {
        let start = self.start(column, row);
        let nonzero = self.nonzero.get_mut(row * self.size.0 + column)?;
        let values = start.and_then(|start| self.values.get_mut(start..start + self.count)).unwrap_or_default();
        Some(AcBlock { frequencies: &self.frequencies, nonzero, values })
    }
}

/// The AC coefficients of a block.
pub(super) struct AcBlock<'c> {
    frequencies: &'c LowFrequencies,
    nonzero: &'c mut u64,
    /// The stored coefficients; empty if the block is not needed.
    values: &'c mut [i16],
}

impl AcBlock<'_> {
    /// Sets a coefficient that was zero.
    #[inline(always)]
    pub(super) fn set(&mut self, zigzag: usize, value: i16) {
        *self.nonzero |= 1 << (zigzag & 63);
        if zigzag <= self.frequencies.last
            && let Some(stored) = self.values.get_mut(self.frequencies.index(zigzag))
        {
            *stored = value;
        }
    }

    /// Starts a refinement of these coefficients.
    #[inline(always)]
    pub(super) fn refinement(&self, range: RangeInclusive<usize>) -> Refinement {
        let within = u64::MAX << range.start() & u64::MAX >> (63 - range.end());
        Refinement { next: *range.start(), end: range.end() + 1, zeros: !*self.nonzero & within }
    }

    /// Reads a bit for each non-zero coefficient and skips `zeros` zero coefficients; stops at the next zero and
    /// returns its zigzag position. At least [`AVAILABLE_BITS`] bits must be available.
    #[inline(always)]
    pub(super) fn refine(&mut self, rest: &mut Refinement, zeros: usize, bits: &mut BitReader, bit: i16) -> usize {
        let after = clear_lowest(rest.zeros, zeros);
        if after == 0 {
            self.refine_all(rest, bits, bit);
            return rest.end;
        }
        let stop = after.trailing_zeros() as usize;
        // Counting the zeros instead would take longer.
        self.refine_up_to(stop, stop - rest.next - zeros, rest, bits, bit);
        rest.next = stop + 1;
        rest.zeros = after & (after - 1);
        stop
    }

    /// Reads a bit for each remaining non-zero coefficient of the range.
    #[inline(always)]
    pub(super) fn refine_all(&mut self, rest: &mut Refinement, bits: &mut BitReader, bit: i16) {
        let zeros = rest.zeros.count_ones() as usize;
        self.refine_up_to(rest.end, rest.end - rest.next - zeros, rest, bits, bit);
        rest.next = rest.end;
    }

    /// Reads `count` bits, one for each non-zero coefficient before `stop`.
    #[inline(always)]
    fn refine_up_to(&mut self, stop: usize, count: usize, rest: &Refinement, bits: &mut BitReader, bit: i16) {
        let count = count as u32;
        if rest.next <= self.frequencies.last && !self.values.is_empty() {
            let nonzero = *self.nonzero & u64::MAX << rest.next & u64::MAX >> (64 - stop);
            let stored = nonzero & u64::MAX >> (63 - self.frequencies.last);
            let taken = self.refine_stored(stored, bits, bit);
            bits.skip_long(count - taken);
        } else if count <= AVAILABLE_BITS {
            bits.skip(count);
        } else {
            bits.skip_long(count);
        }
    }

    /// Reads a bit for each of these coefficients; returns their number.
    #[inline(always)]
    fn refine_stored(&mut self, mut nonzero: u64, bits: &mut BitReader, bit: i16) -> u32 {
        let mut taken = 0;
        while nonzero != 0 {
            bits.refill();
            let one = bits.take(1) == 1;
            let index = self.frequencies.index(nonzero.trailing_zeros() as usize);
            if let Some(value) = self.values.get_mut(index).filter(|value| one && **value & bit == 0) {
                *value = if *value < 0 { value.wrapping_sub(bit) } else { value.wrapping_add(bit) };
            }
            nonzero &= nonzero - 1;
            taken += 1;
        }
        taken
    }
}

/// Bits that must be available where coefficients are refined.
const AVAILABLE_BITS: u32 = 32;

/// Progress of a refinement through the coefficients of a block.
pub(super) struct Refinement {
    /// Zigzag position of the next coefficient.
    pub(super) next: usize,
    /// Zigzag position behind the last coefficient.
    pub(super) end: usize,
    /// A bit for each zero coefficient.
    zeros: u64,
}

/// Clears the lowest `count` bits that are set. Almost all counts are below four; these take no branch.
#[inline(always)]
fn clear_lowest(mut bits: u64, count: usize) -> u64 {
    for _ in 0..count / 4 * 4 {
        bits &= bits.wrapping_sub(1);
    }
    let (one, two) = (count as u64 & 1, count as u64 >> 1 & 1);
    for unset in [one, two, two] {
        bits &= bits.wrapping_sub(unset);
    }
    bits
}

/// Memory that a component takes.
struct StoragePlan {
    coefficients: Coefficients,
    values: usize,
    nonzero: usize,
}

impl StoragePlan {
    fn new(component: &Component, area: &Area, whole: bool) -> Self {
        let side = component.side;
        let blocks = |samples: &Range<usize>, blocks: usize| {
            let end = samples.end.div_ceil(side).min(blocks);
            (samples.start / side).min(end)..end
        };
        let (columns, rows) = (blocks(&area.columns, component.columns), blocks(&area.rows, component.rows));
        let count = side * side;
        let values = columns.len() * rows.len() * count;
        let nonzero = if side == 1 && !whole { 0 } else { component.columns * component.rows };
        let size = (component.columns, component.rows);
        let frequencies = LowFrequencies::new(side);
        let coefficients =
            Coefficients { size, frequencies, count, columns, rows, values: Vec::new(), nonzero: Vec::new() };
        Self { coefficients, values, nonzero }
    }

    fn allocate(self) -> Result<Coefficients, Error> {
        let Self { mut coefficients, values, .. } = self;
        coefficients.values.try_reserve_exact(values).map_err(|_| Error::TooMuchMemory)?;
        coefficients.values.resize(values, 0);
        Ok(coefficients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_set_bits_are_cleared() {
        for bits in [0, 1, 0b1011_0110, u64::MAX, 1 << 63, 0x8000_0001_0000_0001] {
            for count in 0..70 {
                let expected = (0..count).fold(bits, |bits: u64, _| bits & bits.wrapping_sub(1));
                assert_eq!(clear_lowest(bits, count), expected, "{bits:b} {count}");
            }
        }
    }
}
