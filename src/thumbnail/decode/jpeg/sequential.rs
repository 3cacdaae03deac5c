//! A scan of a baseline or extended sequential picture (ITU-T T.81, F.2): each block comes once and whole, so that rows
//! are given as they come and nothing is kept.

use std::ops::Range;

use super::band::Band;
use super::bits::{Bits, Reading, within};
use super::frame::Frame;
use super::huffman::{Numbers, Skips};
use super::restart::Restarts;
use super::segments::Scan;
use super::transform::Kept;
use super::window::Window;
use super::{damaged, missing};
use crate::thumbnail::Error;
use crate::thumbnail::decode::{Area, Sink};

/// The tables of a scan, made ready.
struct Tables {
    dc: [Option<Box<Numbers>>; 4],
    ac: [Option<Box<(Numbers, Skips)>>; 4],
}

impl Tables {
    fn new(scan: &Scan) -> Result<Self, Error> {
        let mut tables = Self { dc: [const { None }; 4], ac: [const { None }; 4] };
        for &(_, dc, ac) in &scan.parts[..scan.count] {
            let (means, rest) = (scan.tables.dc(dc)?, scan.tables.ac(ac)?);
            if tables.dc[dc].is_none() {
                tables.dc[dc] = Some(Box::new(Numbers::dc(means)?));
            }
            if tables.ac[ac].is_none() {
                let numbers = Numbers::ac(rest)?;
                let skips = Skips::new(&numbers.codes);
                tables.ac[ac] = Some(Box::new((numbers, skips)));
            }
        }
        Ok(tables)
    }
}

/// One component of the scan.
struct Part<'t> {
    dc: &'t Numbers,
    ac: &'t Numbers,
    skips: &'t Skips,
    quantisers: [i32; 64],
    side: usize,
    /// Its blocks in each MCU of this scan.
    across: usize,
    down: usize,
    /// The mean of the block before.
    mean: i32,
    band: Band,
}

/// Decodes the scan and gives the planes of its components; tells where its data ends.
pub(super) fn decode(
    window: &mut Window,
    frame: &Frame,
    scan: &Scan,
    needed: &[Area],
    sink: &mut dyn Sink,
) -> Result<usize, Error> {
    let tables = Tables::new(scan)?;
    let (columns, rows) = match scan.count {
        1 => (frame.components[scan.parts[0].0].columns, frame.components[scan.parts[0].0].rows),
        _ => frame.mcus(),
    };
    let mut parts = Vec::new();
    for &(index, dc, ac) in &scan.parts[..scan.count] {
        let component = &frame.components[index];
        let (across, down) = if scan.count == 1 { (1, 1) } else { (component.across, component.down) };
        let quantisers = *scan.tables.quantisers(component.quantisers)?;
        let band = Band::new(index, component, &frame.plane(component), &needed[index], (columns * across, down));
        let (Some(dc), Some(ac)) = (&tables.dc[dc], &tables.ac[ac]) else { return Err(missing()) };
        let (side, mean) = (component.side, 0);
        parts.push(Part { dc, ac: &ac.0, skips: &ac.1, quantisers, side, across, down, mean, band });
    }
    let mut reading = Reading::new(scan.start);
    let mut restarts = Restarts::new(scan.tables.restart);
    for row in 0..rows {
        for some in within(columns, parts.iter().map(|part| part.across * part.down).sum()) {
            let bits = reading.bits(window)?;
            reading = mcus(bits, &mut parts, some, row, &mut restarts)?.reading()?;
        }
        parts.iter_mut().for_each(|part| part.band.give(sink));
    }
    Ok(reading.position())
}

/// Some MCUs of a row.
fn mcus<'a>(
    mut bits: Bits<'a>,
    parts: &mut [Part],
    columns: Range<usize>,
    row: usize,
    restarts: &mut Restarts,
) -> Result<Bits<'a>, Error> {
    for column in columns {
        if restarts.due() {
            bits = restarts.pass(bits)?;
            parts.iter_mut().for_each(|part| part.mean = 0);
        }
        for part in &mut *parts {
            for y in 0..part.down {
                for x in 0..part.across {
                    let place = (column * part.across + x, row * part.down + y, y);
                    match part.side {
                        1 => part.mean(&mut bits, place),
                        2 => part.block::<2, 8>(&mut bits, place),
                        4 => part.block::<4, 32>(&mut bits, place),
                        _ => part.block::<8, 64>(&mut bits, place),
                    }
                    .ok_or_else(|| damaged(&bits))?;
                }
            }
        }
    }
    Ok(bits)
}

impl Part<'_> {
    /// Takes the mean of the next block. Of a damaged file it may be anything, and then wraps around.
    #[inline(always)]
    fn next_mean(&mut self, bits: &mut Bits) -> Option<i32> {
        bits.refill();
        let difference = self.dc.take(bits)?.number();
        self.mean = i32::from((self.mean + difference) as i16);
        Some(self.mean * self.quantisers[0])
    }

    /// A block of which only the mean is kept.
    #[inline(always)]
    fn mean(&mut self, bits: &mut Bits, (column, _, y): (usize, usize, usize)) -> Option<()> {
        let mean = self.next_mean(bits)?;
        self.skips.rest(bits, self.ac, 1)?;
        self.band.put::<1>(column, y, &[mean]);
        Some(())
    }

    /// A block of `SIDE` samples across and down, of which `N` coefficients are kept, with those that share a place.
    #[inline(always)]
    fn block<const SIDE: usize, const N: usize>(
        &mut self,
        bits: &mut Bits,
        (column, row, y): (usize, usize, usize),
    ) -> Option<()> {
        let mean = self.next_mean(bits)?;
        if !self.band.needs(column, row) {
            return self.skips.rest(bits, self.ac, 1);
        }
        let mut coefficients = [0; N];
        coefficients[0] = mean;
        self.coefficients(bits, const { &Kept::new(SIDE) }, &mut coefficients)?;
        self.band.put::<SIDE>(column, y, &coefficients);
        Some(())
    }

    /// Takes the coefficients that are kept, and passes over the others. The bits that a mean leaves must be ready.
    #[inline(always)]
    fn coefficients<const N: usize>(&self, bits: &mut Bits, kept: &Kept, coefficients: &mut [i32; N]) -> Option<()> {
        let (mut next, mut few) = (1, false);
        while next <= kept.last {
            // The bits last for two numbers, of which the first is the mean.
            if few {
                bits.refill();
            }
            few = !few;
            let found = self.ac.take(bits)?;
            if found.last() {
                return Some(());
            }
            next += found.advance();
            let at = next - 1;
            let value = self.quantisers.get(at)? * found.number();
            coefficients[kept.slot(at) % N] = value;
        }
        self.skips.rest(bits, self.ac, next)
    }
}
