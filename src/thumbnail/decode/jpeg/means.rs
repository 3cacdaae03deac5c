//! The scans of a progressive picture that bring the means of its blocks (ITU-T T.81, G.1.2.1): first their high bits,
//! coded as differences, and then one more bit of each with every scan.

use std::ops::Range;

use super::bits::{Bits, Reading, within};
use super::coefficients::Coefficients;
use super::frame::Frame;
use super::huffman::Numbers;
use super::restart::Restarts;
use super::segments::Scan;
use super::window::Window;
use super::{damaged, missing};
use crate::thumbnail::Error;

/// One component of the scan.
struct Part<'c> {
    coefficients: &'c mut Coefficients,
    /// Which table.
    table: usize,
    /// Its blocks in each MCU of this scan.
    across: usize,
    down: usize,
    /// The mean of the block before.
    mean: i32,
}

/// Decodes such a scan.
pub(super) fn decode(
    window: &mut Window,
    frame: &Frame,
    components: &mut [Coefficients],
    scan: &Scan,
) -> Result<(), Error> {
    let mut components: Vec<Option<&mut Coefficients>> = components.iter_mut().map(Some).collect();
    let mut tables: [Option<Numbers>; 4] = [const { None }; 4];
    let mut parts = Vec::new();
    for &(index, table, _) in &scan.parts[..scan.count] {
        let coefficients = components[index].take().ok_or_else(missing)?;
        let component = &frame.components[index];
        let (across, down) = if scan.count == 1 { (1, 1) } else { (component.across, component.down) };
        if scan.high == 0 && tables[table & 3].is_none() {
            tables[table & 3] = Some(Numbers::dc(scan.tables.dc(table)?)?);
        }
        parts.push(Part { coefficients, table: table & 3, across, down, mean: 0 });
    }
    let (columns, rows) = match &parts[..] {
        [part] => part.coefficients.size,
        _ => frame.mcus(),
    };
    let mut reading = Reading::new(scan.start);
    let mut restarts = Restarts::new(scan.tables.restart);
    for row in 0..rows {
        for some in within(columns, parts.iter().map(|part| part.across * part.down).sum()) {
            let bits = reading.bits(window)?;
            let bits = match scan.high {
                0 => first(bits, &mut parts, &tables, (some, row), scan.low, &mut restarts)?,
                _ => further(bits, &mut parts, (some, row), scan.low, &mut restarts)?,
            };
            reading = bits.reading()?;
        }
    }
    Ok(())
}

/// Some MCUs of a row: the differences between means.
fn first<'a>(
    mut bits: Bits<'a>,
    parts: &mut [Part],
    tables: &[Option<Numbers>; 4],
    (columns, row): (Range<usize>, usize),
    low: u32,
    restarts: &mut Restarts,
) -> Result<Bits<'a>, Error> {
    for column in columns {
        if restarts.due() {
            bits = restarts.pass(bits)?;
            parts.iter_mut().for_each(|part| part.mean = 0);
        }
        for part in &mut *parts {
            let Some(numbers) = &tables[part.table] else { return Err(missing()) };
            for y in 0..part.down {
                for x in 0..part.across {
                    bits.refill();
                    let difference = numbers.take(&mut bits).ok_or_else(|| damaged(&bits))?.number();
                    part.mean = i32::from((part.mean + difference) as i16);
                    if let Some(values) = part.coefficients.block(column * part.across + x, row * part.down + y) {
                        values[0] = (part.mean << low) as i16;
                    }
                }
            }
        }
    }
    Ok(bits)
}

/// Some MCUs of a row: a bit of each mean.
fn further<'a>(
    mut bits: Bits<'a>,
    parts: &mut [Part],
    (columns, row): (Range<usize>, usize),
    low: u32,
    restarts: &mut Restarts,
) -> Result<Bits<'a>, Error> {
    for column in columns {
        if restarts.due() {
            bits = restarts.pass(bits)?;
        }
        for part in &mut *parts {
            for y in 0..part.down {
                for x in 0..part.across {
                    bits.refill();
                    let bit = (bits.take(1) << low) as i16;
                    if let Some(values) = part.coefficients.block(column * part.across + x, row * part.down + y) {
                        values[0] |= bit;
                    }
                }
            }
        }
    }
    Ok(bits)
}
