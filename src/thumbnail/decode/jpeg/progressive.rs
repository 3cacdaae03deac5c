//! The scans of a progressive picture (ITU-T T.81, annex G): each brings some coefficients or some of their bits, so that
//! those that are needed are kept until all have come. A scan that brings nothing that is needed is not decoded.

use std::ops::RangeInclusive;

use super::band::Band;
use super::bits::{Bits, Reading, within};
use super::coefficients::{Coefficients, Details};
use super::frame::Frame;
use super::huffman::Numbers;
use super::means;
use super::restart::Restarts;
use super::segments::Scan;
use super::window::Window;
use super::{damaged, missing};
use crate::thumbnail::decode::{Area, Sink};
use crate::thumbnail::{Error, Limits};

/// Decodes the scans and gives the planes.
pub(super) fn decode(
    window: &mut Window,
    frame: &Frame,
    scans: &[Scan],
    needed: &[Area],
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), Error> {
    let mut components = Coefficients::of(frame, needed, limits)?;
    let wanted = wanted(&components, scans);
    let mut begun = [false; 4];
    for scan in scans.iter().filter(|scan| scan.first == 0) {
        scan.parts[..scan.count].iter().for_each(|part| begun[part.0] = true);
        means::decode(window, frame, &mut components, scan)?;
    }
    if !begun[..components.len()].iter().all(|&begun| begun) {
        return Err(Error::corrupt("a component without a scan"));
    }
    // A scan of details is of one component, so that only one of them has to be held with all that its details need.
    let mut room = Vec::new();
    for (index, mut kept) in components.into_iter().enumerate() {
        let of_it = |scan: &Scan| scan.parts[..scan.count].iter().any(|part| part.0 == index);
        kept.begin_details(room)?;
        for (scan, _) in scans.iter().zip(&wanted).filter(|&(scan, &wanted)| wanted && scan.first > 0 && of_it(scan)) {
            details(window, &mut kept, scan)?;
        }
        room = kept.end_details();
        let first = scans.iter().find(|scan| of_it(scan)).ok_or_else(missing)?;
        let quantisers = first.tables.quantisers(frame.components[index].quantisers)?;
        give(frame, index, &kept, quantisers, &needed[index], sink);
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
#[inline(never)]
fn details(window: &mut Window, component: &mut Coefficients, scan: &Scan) -> Result<(), Error> {
    let numbers = Numbers::ac(scan.tables.ac(scan.parts[0].2)?)?;
    let range = scan.first..=scan.last;
    let (columns, rows) = component.size;
    let mut reading = Reading::new(scan.start);
    let mut restarts = Restarts::new(scan.tables.restart);
    // How many blocks are still to come that have ended already.
    let mut ended = 0;
    for row in 0..rows {
        for some in within(columns, 1) {
            let mut bits = reading.bits(window)?;
            for column in some {
                if restarts.due() {
                    bits = restarts.pass(bits)?;
                    ended = 0;
                }
                let Some(mut block) = component.details(column, row) else { return Err(missing()) };
                let done = match scan.high {
                    0 => begin(&mut bits, &numbers, &mut block, range.clone(), scan.low, &mut ended),
                    _ => refine(&mut bits, &numbers, &mut block, range.clone(), scan.low, &mut ended),
                };
                done.ok_or_else(|| damaged(&bits))?;
            }
            reading = bits.reading()?;
        }
    }
    Ok(())
}

/// How many blocks end here: this one, and as many as `run` and further bits say (table G.1).
#[inline(always)]
fn end(bits: &mut Bits, run: i32) -> u32 {
    (1 << run) + bits.take(run as u32)
}

/// The first bits of a block's coefficients (G.1.2.2).
#[inline(always)]
fn begin(
    bits: &mut Bits,
    numbers: &Numbers,
    block: &mut Details,
    range: RangeInclusive<usize>,
    low: u32,
    ended: &mut u32,
) -> Option<()> {
    if *ended > 0 {
        *ended -= 1;
        return Some(());
    }
    let (mut next, last) = range.into_inner();
    while next <= last {
        bits.refill();
        let found = numbers.take(bits)?;
        if found.last() {
            *ended = end(bits, found.number()) - 1;
            return Some(());
        }
        next += found.advance();
        if next > last + 1 {
            return None;
        }
        if found.number() != 0 {
            block.set(next - 1, (found.number() << low) as i16);
        }
    }
    Some(())
}

/// One more bit of a block's coefficients (G.1.2.3).
#[inline(always)]
fn refine(
    bits: &mut Bits,
    numbers: &Numbers,
    block: &mut Details,
    range: RangeInclusive<usize>,
    low: u32,
    ended: &mut u32,
) -> Option<()> {
    let bit = 1_i16 << low;
    let mut rest = block.rest(range);
    while rest.next < rest.end && *ended == 0 {
        bits.refill();
        let found = numbers.take(bits)?;
        if found.last() {
            *ended = end(bits, found.number());
            break;
        }
        // A run of 16 zeros, or of fewer and a coefficient that was zero so far.
        let at = block.refine(&mut rest, found.advance() - 1, bits, bit);
        match found.number() {
            0 => {}
            1 | -1 if at < rest.end => block.set(at, found.number() as i16 * bit),
            _ => return None,
        }
    }
    if *ended > 0 {
        bits.refill();
        block.refine_all(&mut rest, bits, bit);
        *ended -= 1;
    }
    Some(())
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
            match component.side {
                1 => band.put::<1>(column, 0, &coefficients),
                2 => band.put::<2>(column, 0, &coefficients),
                4 => band.put::<4>(column, 0, &coefficients),
                _ => band.put::<8>(column, 0, &coefficients),
            }
        }
        band.give(sink);
    }
}
