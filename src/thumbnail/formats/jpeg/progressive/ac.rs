//! AC scans of a progressive image (ITU-T T.81, G.1.2.2 and G.1.2.3).

use std::ops::RangeInclusive;

use super::super::bit_reader::{BitReader, BitReaderState, batches};
use super::super::huffman::AcDecoder;
use super::super::restart::RestartCounter;
use super::super::segments::{Scan, undefined_table};
use super::super::source::Source;
use super::coefficients::{AcBlock, Coefficients};
use crate::error::Error;

/// Decodes an AC scan; returns where its data ends.
#[inline(never)]
pub(super) fn decode(source: &mut Source, component: &mut Coefficients, scan: &Scan) -> Result<BitReaderState, Error> {
    let decoder = AcDecoder::new(scan.tables.ac(scan.components()[0].ac_table)?)?;
    let range = scan.spectral_start..=scan.spectral_end;
    let (columns, rows) = component.size;
    let mut state = BitReaderState::new(scan.start);
    let mut restarts = RestartCounter::new(scan.tables.restart_interval);
    // EOBRUN: the number of following blocks that have ended already.
    let mut eob_run = 0;
    for row in 0..rows {
        for mut batch in batches(columns, 1) {
            loop {
                let mut bits = state.resume(source)?;
                for column in batch.clone() {
                    if restarts.due() {
                        eob_run = 0;
                        let Some(after) = restarts.skip_marker(bits, column) else { break };
                        bits = after;
                    }
                    let Some(mut block) = component.ac_block(column, row) else { return Err(undefined_table()) };
                    let done = match scan.approx_high {
                        0 => first(&mut bits, &decoder, &mut block, range.clone(), scan.approx_low, &mut eob_run),
                        _ => refine(&mut bits, &decoder, &mut block, range.clone(), scan.approx_low, &mut eob_run),
                    };
                    done.ok_or_else(|| bits.invalid_code())?;
                }
                state = bits.suspend()?;
                let Some(column) = restarts.resync(&mut state, source)? else { break };
                batch.start = column;
            }
        }
    }
    Ok(state)
}

/// Number of blocks that end here: this one and those of the end-of-band run (table G.1).
#[inline(always)]
fn blocks_in_run(bits: &mut BitReader, run: i32) -> u32 {
    (1 << run) + bits.take(run as u32)
}

/// The first scan of a block's coefficients (G.1.2.2).
#[inline(always)]
fn first(
    bits: &mut BitReader,
    decoder: &AcDecoder,
    block: &mut AcBlock,
    range: RangeInclusive<usize>,
    approx_low: u32,
    eob_run: &mut u32,
) -> Option<()> {
    if *eob_run > 0 {
        *eob_run -= 1;
        return Some(());
    }
    let (mut next, last) = range.into_inner();
    while next <= last {
        bits.refill();
        let found = decoder.read(bits)?;
        if found.is_end_of_block() {
            *eob_run = blocks_in_run(bits, found.value()) - 1;
            return Some(());
        }
        next += found.advance();
        if next > last + 1 {
            return None;
        }
        if found.value() != 0 {
            block.set(next - 1, (found.value() << approx_low) as i16);
        }
    }
    Some(())
}

/// A refinement scan: one more bit of a block's coefficients (G.1.2.3).
#[inline(always)]
fn refine(
    bits: &mut BitReader,
    decoder: &AcDecoder,
    block: &mut AcBlock,
    range: RangeInclusive<usize>,
    approx_low: u32,
    eob_run: &mut u32,
) -> Option<()> {
    let bit = 1_i16 << approx_low;
    let mut rest = block.refinement(range);
    while rest.next < rest.end && *eob_run == 0 {
        bits.refill();
        let found = decoder.read(bits)?;
        if found.is_end_of_block() {
            *eob_run = blocks_in_run(bits, found.value());
            break;
        }
        // A run of 16 zeros, or a shorter run and a coefficient that was zero so far.
        let zigzag = block.refine(&mut rest, found.advance() - 1, bits, bit);
        match found.value() {
            0 => {}
            1 | -1 if zigzag < rest.end => block.set(zigzag, found.value() as i16 * bit),
            _ => return None,
        }
    }
    if *eob_run > 0 {
        bits.refill();
        block.refine_all(&mut rest, bits, bit);
        *eob_run -= 1;
    }
    Some(())
}
