//! A scan of a baseline or extended sequential image (ITU-T T.81, F.2). Each block is complete in one scan, so rows are
//! emitted immediately and no coefficients are stored.

use std::ops::Range;

use super::bit_reader::{BitReader, BitReaderState, batches};
use super::frame::Frame;
use super::huffman::{AcDecoder, DcDecoder, SkipTable};
use super::idct::LowFrequencies;
use super::mcu_row::McuRow;
use super::restart::RestartCounter;
use super::segments::{Scan, undefined_table};
use super::source::Source;
use crate::error::Error;
use crate::raster::{Area, Sink};

/// The decoders of a scan, by table number.
struct Decoders {
    dc: [Option<Box<DcDecoder>>; 4],
    ac: [Option<Box<(AcDecoder, SkipTable)>>; 4],
}

impl Decoders {
    fn new(scan: &Scan) -> Result<Self, Error> {
        let mut decoders = Self { dc: [const { None }; 4], ac: [const { None }; 4] };
        for component in scan.components() {
            let (dc, ac) = (component.dc_table, component.ac_table);
            let (dc_spec, ac_spec) = (scan.tables.dc(dc)?, scan.tables.ac(ac)?);
            if decoders.dc[dc].is_none() {
                decoders.dc[dc] = Some(Box::new(DcDecoder::new(dc_spec)?));
            }
            if decoders.ac[ac].is_none() {
                let decoder = AcDecoder::new(ac_spec)?;
                let skip = SkipTable::new(&decoder.symbols);
                decoders.ac[ac] = Some(Box::new((decoder, skip)));
            }
        }
        Ok(decoders)
    }
}

/// Decodes one component of the scan.
struct ComponentDecoder<'t> {
    dc: &'t DcDecoder,
    ac: &'t AcDecoder,
    skip: &'t SkipTable,
    quantisers: [i32; 64],
    side: usize,
    /// Its blocks in each MCU of this scan.
    horizontal: usize,
    vertical: usize,
    /// The DC coefficient of the previous block.
    dc_pred: i32,
    mcu_row: McuRow,
}

/// Decodes the scan and emits the planes of its components; returns where its data ends.
pub(super) fn decode(
    source: &mut Source,
    frame: &Frame,
    scan: &Scan,
    needed: &[Area],
    sink: &mut dyn Sink,
) -> Result<BitReaderState, Error> {
    let decoders = Decoders::new(scan)?;
    let (columns, rows) = match scan.components() {
        [single] => (frame.components[single.index].columns, frame.components[single.index].rows),
        _ => frame.mcus(),
    };
    let mut components = Vec::new();
    for selector in scan.components() {
        let component = &frame.components[selector.index];
        let (horizontal, vertical) =
            if scan.components().len() == 1 { (1, 1) } else { (component.horizontal, component.vertical) };
        let quantisers = *scan.tables.quantisers(component.quantisers)?;
        let (plane, needed) = (frame.plane(component), &needed[selector.index]);
        let mcu_row = McuRow::new(selector.index, component, &plane, needed, (columns * horizontal, vertical));
        let (Some(dc), Some(ac)) = (&decoders.dc[selector.dc_table], &decoders.ac[selector.ac_table]) else {
            return Err(undefined_table());
        };
        let (ac, skip, side) = (&ac.0, &ac.1, component.side);
        components.push(ComponentDecoder { dc, ac, skip, quantisers, side, horizontal, vertical, dc_pred: 0, mcu_row });
    }
    let mut state = BitReaderState::new(scan.start);
    let mut restarts = RestartCounter::new(scan.tables.restart_interval);
    for row in 0..rows {
        for batch in batches(columns, components.iter().map(|one| one.horizontal * one.vertical).sum()) {
            let bits = state.resume(source)?;
            let end = batch.end;
            state = decode_mcus(bits, &mut components, batch, row, &mut restarts)?.suspend()?;
            if restarts.has_stopped() {
                state = decode_rest(source, state, &mut components, end, row, &mut restarts)?;
            }
        }
        components.iter_mut().for_each(|component| component.mcu_row.emit(sink));
    }
    Ok(state)
}

/// Decodes the MCUs of a row from a restart marker on that does not follow immediately. Rare, and therefore separate
/// from the hot loop.
#[cold]
#[inline(never)]
fn decode_rest(
    source: &mut Source,
    mut state: BitReaderState,
    components: &mut [ComponentDecoder],
    end: usize,
    row: usize,
    restarts: &mut RestartCounter,
) -> Result<BitReaderState, Error> {
    while let Some(column) = restarts.resync(&mut state, source)? {
        state = decode_mcus(state.resume(source)?, components, column..end, row, restarts)?.suspend()?;
    }
    Ok(state)
}

/// Decodes some MCUs of a row, as far as restart markers follow immediately.
#[inline(always)]
fn decode_mcus<'a>(
    mut bits: BitReader<'a>,
    components: &mut [ComponentDecoder],
    columns: Range<usize>,
    row: usize,
    restarts: &mut RestartCounter,
) -> Result<BitReader<'a>, Error> {
    let mut next = columns.start;
    while next < columns.end {
        if restarts.due() {
            components.iter_mut().for_each(|component| component.dc_pred = 0);
            let Some(after) = restarts.skip_marker(bits, next) else { break };
            bits = after;
        }
        let run = next..next + 1 + restarts.following(columns.end - next - 1);
        next = run.end;
        for column in run {
            for component in &mut *components {
                for y in 0..component.vertical {
                    for x in 0..component.horizontal {
                        let place = (column * component.horizontal + x, row * component.vertical + y, y);
                        match component.side {
                            1 => component.dc_only_block(&mut bits, place),
                            2 => component.block::<2, 8>(&mut bits, place),
                            4 => component.block::<4, 32>(&mut bits, place),
                            _ => component.block::<8, 64>(&mut bits, place),
                        }
                        .ok_or_else(|| bits.invalid_code())?;
                    }
                }
            }
        }
    }
    Ok(bits)
}

impl ComponentDecoder<'_> {
    /// Reads the DC coefficient of the next block. In a damaged file it can overflow and wraps around.
    #[inline(always)]
    fn next_dc(&mut self, bits: &mut BitReader) -> Option<i32> {
        bits.refill();
        let difference = self.dc.read(bits)?;
        self.dc_pred = i32::from((self.dc_pred + difference) as i16);
        Some(self.dc_pred * self.quantisers[0])
    }

    /// A block of which only the DC coefficient is used.
    #[inline(always)]
    fn dc_only_block(&mut self, bits: &mut BitReader, (column, _, y): (usize, usize, usize)) -> Option<()> {
        let dc = self.next_dc(bits)?;
        self.skip.skip_block(bits, self.ac, 1)?;
        self.mcu_row.put::<1>(column, y, &[dc]);
        Some(())
    }

    /// A block of `SIDE` x `SIDE` samples. `N` is the number of stored coefficients, rounded up to a power of two with
    /// room for the index that all others share.
    #[inline(always)]
    fn block<const SIDE: usize, const N: usize>(
        &mut self,
        bits: &mut BitReader,
        (column, row, y): (usize, usize, usize),
    ) -> Option<()> {
        let dc = self.next_dc(bits)?;
        if !self.mcu_row.needs(column, row) {
            return self.skip.skip_block(bits, self.ac, 1);
        }
        let mut coefficients = [0; N];
        coefficients[0] = dc;
        self.ac_coefficients(bits, const { &LowFrequencies::new(SIDE) }, &mut coefficients)?;
        self.mcu_row.put::<SIDE>(column, y, &coefficients);
        Some(())
    }

    /// Reads the AC coefficients of the low frequencies and skips all others. The bits that remain after a DC
    /// coefficient must be available.
    #[inline(always)]
    fn ac_coefficients<const N: usize>(
        &self,
        bits: &mut BitReader,
        frequencies: &LowFrequencies,
        coefficients: &mut [i32; N],
    ) -> Option<()> {
        let (mut next, mut low) = (1, false);
        while next <= frequencies.last {
            // A refill is enough for two coefficients, the first of which is the DC coefficient.
            if low {
                bits.refill();
            }
            low = !low;
            let found = self.ac.read(bits)?;
            if found.is_end_of_block() {
                return Some(());
            }
            next += found.advance();
            let zigzag = next - 1;
            let value = self.quantisers.get(zigzag)? * found.value();
            coefficients[frequencies.index(zigzag) % N] = value;
        }
        self.skip.skip_block(bits, self.ac, next)
    }
}
