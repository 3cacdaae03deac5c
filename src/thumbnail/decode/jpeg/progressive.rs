//! The scans of a progressive picture (ITU-T T.81, annex G): each brings some coefficients or some of their bits, so that
//! those that are needed are kept until all have come. A scan that brings nothing that is needed is not decoded.

use super::band::Band;
use super::bits::Bits;
use super::coefficients::Coefficients;
use super::frame::Frame;
use super::huffman::Codes;
use super::means;
use super::restart::Restarts;
use super::segments::Scan;
use super::transform;
use super::{damaged, missing};
use crate::thumbnail::decode::{Area, Sink};
use crate::thumbnail::{Error, Limits};

/// Decodes the scans and gives the planes.
pub(super) fn decode(
    bytes: &[u8],
    frame: &Frame,
    scans: &[Scan],
    needed: &[Area],
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), Error> {
    let mut components = Coefficients::of(frame, needed, limits)?;
    let mut begun = [false; 4];
    for (scan, wanted) in scans.iter().zip(wanted(&components, scans)) {
        let parts = &scan.parts[..scan.count];
        if scan.first > 0 {
            if wanted {
                details(bytes, &mut components[parts[0].0], scan)?;
            }
            continue;
        }
        parts.iter().for_each(|part| begun[part.0] = true);
        means::decode(bytes, frame, &mut components, scan)?;
    }
    if !begun[..components.len()].iter().all(|&begun| begun) {
        return Err(Error::corrupt("a component without a scan"));
    }
    for (index, kept) in components.iter().enumerate() {
        let scan = scans.iter().find(|scan| scan.parts[..scan.count].iter().any(|part| part.0 == index));
        let quantisers = scan.and_then(|scan| scan.tables.quantisers[frame.components[index].quantisers]);
        give(frame, index, kept, &quantisers.ok_or_else(missing)?.values(), &needed[index], sink);
    }
    Ok(())
}

/// Which scans of details are needed: those of coefficients that are kept. And where a later one refines them together
/// with others, it must be known which of those are not zero, so that their scans are needed too.
fn wanted(components: &[Coefficients], scans: &[Scan]) -> Vec<bool> {
    let mut lasts: Vec<usize> = components.iter().map(|component| component.kept.last).collect();
    let mut wanted: Vec<bool> = scans
        .iter()
        .rev()
        .map(|scan| {
            let last = &mut lasts[scan.parts[0].0];
            let needed = scan.first <= *last;
            if needed && scan.high > 0 {
                *last = scan.last.max(*last);
            }
            needed
        })
        .collect();
    wanted.reverse();
    wanted
}

/// A scan of details: of coefficients other than the mean.
fn details(bytes: &[u8], component: &mut Coefficients, scan: &Scan) -> Result<(), Error> {
    let definition = scan.tables.ac.get(scan.parts[0].2).copied().flatten().ok_or_else(missing)?;
    let codes = Codes::new(definition)?;
    let (columns, rows) = component.size;
    let mut details = Details { codes: &codes, scan, ended: 0 };
    let mut bits = Bits::new(bytes, scan.start);
    let mut restarts = Restarts::new(scan.tables.restart);
    for row in 0..rows {
        for column in 0..columns {
            if restarts.due() {
                bits = restarts.pass(bits)?;
                details.ended = 0;
            }
            let done = match scan.high {
                0 => details.begin(&mut bits, component, column, row),
                _ => details.refine(&mut bits, component, column, row),
            };
            done.ok_or_else(|| damaged(&bits))?;
        }
        if bits.overran() {
            return Err(Error::Truncated);
        }
    }
    Ok(())
}

/// What a scan of details goes by.
struct Details<'s> {
    codes: &'s Codes,
    scan: &'s Scan<'s>,
    /// How many blocks are still to come that have ended already.
    ended: u32,
}

impl Details<'_> {
    /// The end of this block and of as many as `run` and further bits say (table G.1).
    fn end(&mut self, bits: &mut Bits, run: usize) {
        self.ended = (1 << run) + bits.take(run as u32);
    }

    /// The first bits of a block's coefficients (G.1.2.2).
    fn begin(&mut self, bits: &mut Bits, component: &mut Coefficients, column: usize, row: usize) -> Option<()> {
        if self.ended > 0 {
            self.ended -= 1;
            return Some(());
        }
        let mut at = self.scan.first;
        while at <= self.scan.last {
            bits.refill();
            let symbol = self.codes.take(bits)?;
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 && run < 15 {
                self.end(bits, run);
                self.ended -= 1;
                return Some(());
            }
            at += run;
            if size > 0 {
                let value = bits.number(size) << self.scan.low;
                component.set((column, row), Some(at).filter(|&at| at <= self.scan.last)?, value as i16);
            }
            at += 1;
        }
        (at == self.scan.last + 1).then_some(())
    }

    /// One more bit of a block's coefficients (G.1.2.3).
    fn refine(&mut self, bits: &mut Bits, component: &mut Coefficients, column: usize, row: usize) -> Option<()> {
        let (last, bit) = (self.scan.last, 1_i16 << self.scan.low);
        let mut at = self.scan.first;
        while at <= last && self.ended == 0 {
            bits.refill();
            let symbol = self.codes.take(bits)?;
            let (run, size) = (usize::from(symbol >> 4), symbol & 15);
            let value = match size {
                0 if run < 15 => {
                    self.end(bits, run);
                    break;
                }
                0 => 0,
                1 => {
                    if bits.take(1) == 1 {
                        bit
                    } else {
                        -bit
                    }
                }
                _ => return None,
            };
            at = component.refine((column, row), at..=last, run, bits, bit);
            if value != 0 {
                component.set((column, row), Some(at).filter(|&at| at <= last)?, value);
            }
            at += 1;
        }
        if self.ended > 0 {
            component.refine((column, row), at..=last, usize::MAX, bits, bit);
            self.ended -= 1;
        }
        Some(())
    }
}

/// Transforms what was kept.
fn give(frame: &Frame, index: usize, kept: &Coefficients, quantisers: &[i32; 64], needed: &Area, sink: &mut dyn Sink) {
    let component = &frame.components[index];
    let (columns, rows) = kept.size;
    let mut band = Band::new(index, component, &frame.plane(component), needed, (columns, 1));
    let quantisers = kept.in_slots(quantisers);
    let mut coefficients = [0; 64];
    for row in 0..rows {
        for (column, values) in kept.blocks(row) {
            for ((coefficient, value), quantiser) in coefficients.iter_mut().zip(values).zip(&quantisers) {
                *coefficient = i32::from(*value) * quantiser;
            }
            let (samples, stride) = band.block(column, 0);
            transform::block(component.side, &coefficients, samples, stride);
        }
        band.give(sink);
    }
}
