//! DC scans of a progressive image (ITU-T T.81, G.1.2.1): the first scan codes the high bits as differences, and each
//! refinement scan adds one bit.

use std::ops::Range;

use super::super::bit_reader::{BitReader, BitReaderState, batches};
use super::super::frame::Frame;
use super::super::huffman::DcDecoder;
use super::super::restart::RestartCounter;
use super::super::segments::{Scan, undefined_table};
use super::super::source::Source;
use super::coefficients::Coefficients;
use crate::error::Error;

/// One component of the scan.
struct ComponentState<'c> {
    coefficients: &'c mut Coefficients,
    /// Number of its Huffman table.
    table: usize,
    /// Its blocks in each MCU of this scan.
    horizontal: usize,
    vertical: usize,
    /// The DC coefficient of the previous block.
    dc_pred: i32,
}

/// Decodes a DC scan; returns where its data ends.
pub(super) fn decode(
    source: &mut Source,
    frame: &Frame,
    coefficients: &mut [Coefficients],
    scan: &Scan,
) -> Result<BitReaderState, Error> {
    let mut coefficients: Vec<Option<&mut Coefficients>> = coefficients.iter_mut().map(Some).collect();
    let mut decoders: [Option<DcDecoder>; 4] = [const { None }; 4];
    let mut components = Vec::new();
    for selector in scan.components() {
        let coefficients = coefficients[selector.index].take().ok_or_else(undefined_table)?;
        let component = &frame.components[selector.index];
        let (horizontal, vertical) =
            if scan.components().len() == 1 { (1, 1) } else { (component.horizontal, component.vertical) };
        let table = selector.dc_table & 3;
        if scan.approx_high == 0 && decoders[table].is_none() {
            decoders[table] = Some(DcDecoder::new(scan.tables.dc(selector.dc_table)?)?);
        }
        components.push(ComponentState { coefficients, table, horizontal, vertical, dc_pred: 0 });
    }
    let (columns, rows) = match &components[..] {
        [component] => component.coefficients.size,
        _ => frame.mcus(),
    };
    let mut state = BitReaderState::new(scan.start);
    let mut restarts = RestartCounter::new(scan.tables.restart_interval);
    for row in 0..rows {
        for mut batch in batches(columns, components.iter().map(|one| one.horizontal * one.vertical).sum()) {
            loop {
                let (bits, place) = (state.resume(source)?, (batch.clone(), row));
                let bits = match scan.approx_high {
                    0 => first(bits, &mut components, &decoders, place, scan.approx_low, &mut restarts)?,
                    _ => refine(bits, &mut components, place, scan.approx_low, &mut restarts)?,
                };
                state = bits.suspend()?;
                let Some(column) = restarts.resync(&mut state, source)? else { break };
                batch.start = column;
            }
        }
    }
    Ok(state)
}

/// Some MCUs of a row in the first scan, as far as restart markers follow immediately.
fn first<'a>(
    mut bits: BitReader<'a>,
    components: &mut [ComponentState],
    decoders: &[Option<DcDecoder>; 4],
    (columns, row): (Range<usize>, usize),
    approx_low: u32,
    restarts: &mut RestartCounter,
) -> Result<BitReader<'a>, Error> {
    for column in columns {
        if restarts.due() {
            components.iter_mut().for_each(|component| component.dc_pred = 0);
            let Some(after) = restarts.skip_marker(bits, column) else { break };
            bits = after;
        }
        for component in &mut *components {
            let Some(decoder) = &decoders[component.table] else { return Err(undefined_table()) };
            for y in 0..component.vertical {
                for x in 0..component.horizontal {
                    bits.refill();
                    let difference = decoder.read(&mut bits).ok_or_else(|| bits.invalid_code())?;
                    component.dc_pred = i32::from((component.dc_pred + difference) as i16);
                    let (column, row) = (column * component.horizontal + x, row * component.vertical + y);
                    if let Some(values) = component.coefficients.block(column, row) {
                        values[0] = (component.dc_pred << approx_low) as i16;
                    }
                }
            }
        }
    }
    Ok(bits)
}

/// Some MCUs of a row in a refinement scan, like [`first`].
fn refine<'a>(
    mut bits: BitReader<'a>,
    components: &mut [ComponentState],
    (columns, row): (Range<usize>, usize),
    approx_low: u32,
    restarts: &mut RestartCounter,
) -> Result<BitReader<'a>, Error> {
    for column in columns {
        if restarts.due() {
            let Some(after) = restarts.skip_marker(bits, column) else { break };
            bits = after;
        }
        for component in &mut *components {
            for y in 0..component.vertical {
                for x in 0..component.horizontal {
                    bits.refill();
                    let bit = (bits.take(1) << approx_low) as i16;
                    let (column, row) = (column * component.horizontal + x, row * component.vertical + y);
                    if let Some(values) = component.coefficients.block(column, row) {
                        values[0] |= bit;
                    }
                }
            }
        }
    }
    Ok(bits)
}
