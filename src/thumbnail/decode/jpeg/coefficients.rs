//! The coefficients of a progressive picture that are kept: those that the decoded size needs, of the blocks that are
//! needed.

use std::ops::{Range, RangeInclusive};

use super::bits::Bits;
use super::frame::{Component, Frame};
use super::transform::Kept;
use crate::thumbnail::decode::Area;
use crate::thumbnail::{Error, Limits};

/// One component's coefficients.
pub(super) struct Coefficients {
    /// Blocks across and down.
    pub(super) size: (usize, usize),
    pub(super) kept: Kept,
    /// How many are kept of each block.
    count: usize,
    columns: Range<usize>,
    rows: Range<usize>,
    values: Vec<i16>,
    /// Of each block, also where none are kept, a bit for each coefficient that is not zero; there while details are decoded.
    nonzero: Vec<u64>,
}

impl Coefficients {
    /// Room for those of each component, refused if it is too much.
    pub(super) fn of(frame: &Frame, needed: &[Area], limits: &Limits) -> Result<Vec<Self>, Error> {
        let places = |(component, area)| Places::new(component, area);
        let places: Vec<Places> = frame.components.iter().zip(needed).map(places).collect();
        let bytes: u64 = places.iter().map(|places| places.values as u64 * 2 + places.nonzero as u64 * 8).sum();
        if bytes > limits.max_bytes() {
            return Err(Error::TooMuchMemory);
        }
        places.into_iter().map(Places::room).collect()
    }

    /// Makes room, of another component's, for what is to be known while details are decoded; none where only means are
    /// needed.
    pub(super) fn begin_details(&mut self, mut room: Vec<u64>) -> Result<(), Error> {
        let blocks = if self.count == 1 { 0 } else { self.size.0 * self.size.1 };
        room.clear();
        room.try_reserve_exact(blocks).map_err(|_| Error::TooMuchMemory)?;
        room.resize(blocks, 0);
        self.nonzero = room;
        Ok(())
    }

    /// Gives the room back.
    pub(super) fn end_details(&mut self) -> Vec<u64> {
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

    /// The blocks of a row that are needed, each with its column.
    pub(super) fn blocks(&self, row: usize) -> impl Iterator<Item = (usize, &[i16])> {
        let start = self.start(self.columns.start, row);
        let values = start.and_then(|start| self.values.get(start..start + self.columns.len() * self.count));
        self.columns.clone().zip(values.unwrap_or_default().chunks_exact(self.count))
    }

    /// Quantisers in the order in which the coefficients are kept.
    pub(super) fn in_slots(&self, quantisers: &[i32; 64]) -> [i32; 64] {
        let mut ordered = [0; 64];
        for (at, quantiser) in quantisers.iter().enumerate() {
            if let Some(place) = ordered[..self.count].get_mut(self.kept.slot(at)) {
                *place = *quantiser;
            }
        }
        ordered
    }

    /// A block as a scan of details sees it; none where only means are needed.
    #[inline(always)]
    pub(super) fn details(&mut self, column: usize, row: usize) -> Option<Details<'_>> {
        let start = self.start(column, row);
        let nonzero = self.nonzero.get_mut(row * self.size.0 + column)?;
        let values = start.and_then(|start| self.values.get_mut(start..start + self.count)).unwrap_or_default();
        Some(Details { kept: &self.kept, nonzero, values })
    }
}

/// The coefficients of a block other than its mean.
pub(super) struct Details<'c> {
    kept: &'c Kept,
    nonzero: &'c mut u64,
    /// Those that are kept; none if the block is not needed.
    values: &'c mut [i16],
}

impl Details<'_> {
    /// Sets a coefficient that was zero.
    #[inline(always)]
    pub(super) fn set(&mut self, at: usize, value: i16) {
        *self.nonzero |= 1 << (at & 63);
        if at <= self.kept.last
            && let Some(kept) = self.values.get_mut(self.kept.slot(at))
        {
            *kept = value;
        }
    }

    /// What a scan that refines this range has to do.
    #[inline(always)]
    pub(super) fn rest(&self, range: RangeInclusive<usize>) -> Rest {
        let within = u64::MAX << range.start() & u64::MAX >> (63 - range.end());
        Rest { next: *range.start(), end: range.end() + 1, zeros: !*self.nonzero & within }
    }

    /// Takes a bit for each coefficient that is not zero, and passes over `zeros` that are; stops at the next zero and tells
    /// where it is. At least [`READY`] bits must be ready.
    #[inline(always)]
    pub(super) fn refine(&mut self, rest: &mut Rest, zeros: usize, bits: &mut Bits, bit: i16) -> usize {
        let after = without_lowest(rest.zeros, zeros);
        if after == 0 {
            self.refine_all(rest, bits, bit);
            return rest.end;
        }
        let stop = after.trailing_zeros() as usize;
        // To count the zeros would take longer.
        self.refine_up_to(stop, stop - rest.next - zeros, rest, bits, bit);
        rest.next = stop + 1;
        rest.zeros = after & (after - 1);
        stop
    }

    /// The same up to the end of the range.
    #[inline(always)]
    pub(super) fn refine_all(&mut self, rest: &mut Rest, bits: &mut Bits, bit: i16) {
        let zeros = rest.zeros.count_ones() as usize;
        self.refine_up_to(rest.end, rest.end - rest.next - zeros, rest, bits, bit);
        rest.next = rest.end;
    }

    /// Takes `count` bits, one for each coefficient before `stop` that is not zero.
    #[inline(always)]
    fn refine_up_to(&mut self, stop: usize, count: usize, rest: &Rest, bits: &mut Bits, bit: i16) {
        let count = count as u32;
        if rest.next <= self.kept.last && !self.values.is_empty() {
            let nonzero = *self.nonzero & u64::MAX << rest.next & u64::MAX >> (64 - stop);
            let kept = nonzero & u64::MAX >> (63 - self.kept.last);
            let taken = self.refine_kept(kept, bits, bit);
            bits.pass(count - taken);
        } else if count <= READY {
            bits.skip(count);
        } else {
            bits.pass(count);
        }
    }

    /// Takes a bit for each of these coefficients; tells how many.
    #[inline(always)]
    fn refine_kept(&mut self, mut nonzero: u64, bits: &mut Bits, bit: i16) -> u32 {
        let mut taken = 0;
        while nonzero != 0 {
            bits.refill();
            let one = bits.take(1) == 1;
            let slot = self.kept.slot(nonzero.trailing_zeros() as usize);
            if let Some(value) = self.values.get_mut(slot).filter(|value| one && **value & bit == 0) {
                *value = if *value < 0 { value.wrapping_sub(bit) } else { value.wrapping_add(bit) };
            }
            nonzero &= nonzero - 1;
            taken += 1;
        }
        taken
    }
}

/// How many bits must be ready where coefficients are refined.
const READY: u32 = 32;

/// The coefficients of a range that are still to be refined.
pub(super) struct Rest {
    /// The next one, and the first one behind them.
    pub(super) next: usize,
    pub(super) end: usize,
    /// A bit for each that is zero.
    zeros: u64,
}

/// Without the lowest `count` bits that are set. Almost all counts are below four; for these nothing is left to guess.
#[inline(always)]
fn without_lowest(mut bits: u64, count: usize) -> u64 {
    for _ in 0..count / 4 * 4 {
        bits &= bits.wrapping_sub(1);
    }
    let (one, two) = (count as u64 & 1, count as u64 >> 1 & 1);
    for unset in [one, two, two] {
        bits &= bits.wrapping_sub(unset);
    }
    bits
}

/// How much room a component takes.
struct Places {
    kept: Coefficients,
    values: usize,
    nonzero: usize,
}

impl Places {
    fn new(component: &Component, area: &Area) -> Self {
        let side = component.side;
        let within = |samples: &Range<usize>, blocks: usize| {
            let end = samples.end.div_ceil(side).min(blocks);
            (samples.start / side).min(end)..end
        };
        let (columns, rows) = (within(&area.across, component.columns), within(&area.down, component.rows));
        let count = side * side;
        let values = columns.len() * rows.len() * count;
        let nonzero = if side == 1 { 0 } else { component.columns * component.rows };
        let size = (component.columns, component.rows);
        let kept = Kept::new(side);
        let kept = Coefficients { size, kept, count, columns, rows, values: Vec::new(), nonzero: Vec::new() };
        Self { kept, values, nonzero }
    }

    fn room(self) -> Result<Coefficients, Error> {
        let Self { mut kept, values, .. } = self;
        kept.values.try_reserve_exact(values).map_err(|_| Error::TooMuchMemory)?;
        kept.values.resize(values, 0);
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_bits_are_left_out() {
        for bits in [0, 1, 0b1011_0110, u64::MAX, 1 << 63, 0x8000_0001_0000_0001] {
            for count in 0..70 {
                let left = (0..count).fold(bits, |bits: u64, _| bits & bits.wrapping_sub(1));
                assert_eq!(without_lowest(bits, count), left, "{bits:b} {count}");
            }
        }
    }
}
