//! Progressive images (ITU-T T.81, annex G). Each scan contributes some coefficients or some of their bits, so the
//! needed coefficients are stored until all scans are read. Scans that contribute nothing needed are skipped.

mod ac;
mod coefficients;
mod dc;

use coefficients::Coefficients;

use super::ending;
use super::frame::Frame;
use super::mcu_row::McuRow;
use super::segments::{Scan, undefined_table};
use super::source::Source;
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::{Area, Sink};

/// Whether the scans have all bits of all coefficients. Files of encoders do; others may lack scans.
pub(super) fn is_complete(frame: &Frame, scans: &[Scan]) -> bool {
    (0..frame.components.len()).all(|index| {
        let mut exact = 0_u64;
        for scan in scans.iter().filter(|scan| scan.has_component(index)) {
            let coefficients = u64::MAX << scan.spectral_start & u64::MAX >> (63 - scan.spectral_end);
            exact = if scan.approx_low == 0 { exact | coefficients } else { exact & !coefficients };
        }
        exact == u64::MAX
    })
}

/// Decodes the scans and emits the planes. The last scan is decoded only if it is needed or `to_the_end` is set.
pub(super) fn decode(
    source: &mut Source,
    frame: &Frame,
    scans: &[Scan],
    to_the_end: bool,
    needed: &[Area],
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), Error> {
    // Refining a coefficient requires to know the previous scans of its component.
    let whole =
        scans.last().filter(|last| to_the_end && last.spectral_start > 0).map(|last| last.components()[0].index);
    let mut components = Coefficients::allocate(frame, needed, whole, limits)?;
    let needed_scans = needed_ac_scans(&components, scans, whole);
    let mut has_dc = [false; 4];
    for scan in scans.iter().filter(|scan| scan.spectral_start == 0) {
        scan.components().iter().for_each(|component| has_dc[component.index] = true);
        let end = dc::decode(source, frame, &mut components, scan)?;
        ending::check(source, &end)?;
    }
    if !has_dc[..components.len()].iter().all(|&has_dc| has_dc) {
        return Err(Error::corrupt("a component without a scan"));
    }
    // An AC scan has a single component, so the bit masks that AC scans need exist for one component at a time.
    let mut masks = Vec::new();
    for (index, mut coefficients) in components.into_iter().enumerate() {
        coefficients.begin_ac(masks, whole == Some(index))?;
        for (scan, &needed) in scans.iter().zip(&needed_scans) {
            if needed && scan.spectral_start > 0 && scan.has_component(index) {
                let end = ac::decode(source, &mut coefficients, scan)?;
                ending::check(source, &end)?;
            }
        }
        masks = coefficients.end_ac();
        let first = scans.iter().find(|scan| scan.has_component(index)).ok_or_else(undefined_table)?;
        let quantisers = first.tables.quantisers(frame.components[index].quantisers)?;
        emit(frame, index, &coefficients, quantisers, &needed[index], sink);
    }
    Ok(())
}

/// Selects the AC scans that are needed: those with stored coefficients. A later scan may refine them together with
/// other coefficients; decoding it requires to know which of those are non-zero, so the scans of those are needed too.
/// Of the component `whole`, all scans are needed.
fn needed_ac_scans(components: &[Coefficients], scans: &[Scan], whole: Option<usize>) -> Vec<bool> {
    let last =
        |(index, component): (_, &Coefficients)| if whole == Some(index) { 63 } else { component.frequencies.last };
    let mut last_needed: Vec<usize> = components.iter().enumerate().map(last).collect();
    let mut needed: Vec<bool> = scans
        .iter()
        .rev()
        .map(|scan| {
            let last = &mut last_needed[scan.components()[0].index];
            let needed = scan.spectral_start <= *last;
            if needed && scan.approx_high > 0 {
                *last = scan.spectral_end.max(*last);
            }
            needed
        })
        .collect();
    needed.reverse();
    needed
}

/// Transforms the stored coefficients of a component and emits its plane.
fn emit(
    frame: &Frame,
    index: usize,
    stored: &Coefficients,
    quantisers: &[i32; 64],
    needed: &Area,
    sink: &mut dyn Sink,
) {
    let component = &frame.components[index];
    let (columns, rows) = stored.size;
    let mut mcu_row = McuRow::new(index, component, &frame.plane(component), needed, (columns, 1));
    let quantisers = stored.in_storage_order(quantisers);
    let mut coefficients = [0; 64];
    for row in 0..rows {
        for (column, values) in stored.blocks(row) {
            for ((coefficient, value), quantiser) in coefficients.iter_mut().zip(values).zip(&quantisers) {
                *coefficient = i32::from(*value) * quantiser;
            }
            match component.side {
                1 => mcu_row.put::<1>(column, 0, &coefficients),
                2 => mcu_row.put::<2>(column, 0, &coefficients),
                4 => mcu_row.put::<4>(column, 0, &coefficients),
                _ => mcu_row.put::<8>(column, 0, &coefficients),
            }
        }
        mcu_row.emit(sink);
    }
}
