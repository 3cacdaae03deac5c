//! JPEG: the dimensions, from the segments up to the frame header (ITU-T T.81, annex B).

use super::super::codec::BufReadSeek;
use super::super::header::{header_error, read};
use super::variants;
use crate::thumbnail::error::Error;
use crate::thumbnail::raster::Size;

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// Reads from after the SOI marker up to the frame header, and rejects unsupported variants.
pub(crate) fn size(reader: &mut dyn BufReadSeek) -> Result<Size, Error> {
    loop {
        let marker = next_marker(reader)?;
        match marker {
            ..0xc0 | 0xd0..=0xd7 | SOI => continue,
            EOI | SOS => return Err(Error::BadHeader("a JPEG without a frame header")),
            _ => {}
        }
        if let Some(error) = variants::unsupported(marker) {
            return Err(error);
        }
        // The length includes itself. libjpeg takes a smaller one for an empty segment, too.
        let length = u16::from_be_bytes(read(reader)?).max(2);
        match marker {
            0xc0..=0xc2 => return frame_size(reader),
            _ => reader.seek_relative(i64::from(length) - 2).map_err(header_error)?,
        }
    }
}

/// The second byte of the next marker; skips fill bytes and stray bytes before it.
fn next_marker(reader: &mut dyn BufReadSeek) -> Result<u8, Error> {
    loop {
        while read::<1>(reader)? != [0xff] {}
        let mut code = [0xff];
        while code == [0xff] {
            code = read(reader)?;
        }
        if code != [0] {
            return Ok(code[0]);
        }
    }
}

/// The frame header (B.2.2).
fn frame_size(reader: &mut dyn BufReadSeek) -> Result<Size, Error> {
    let [precision] = read(reader)?;
    if precision != 8 {
        return Err(variants::unsupported_precision(precision));
    }
    let height = u16::from_be_bytes(read(reader)?).into();
    let width = u16::from_be_bytes(read(reader)?).into();
    let [components] = read(reader)?;
    if !matches!(components, 1 | 3 | 4) {
        return Err(variants::unsupported_components());
    }
    for _ in 0..components {
        let [_id, factors, _quantisers] = read(reader)?;
        if !matches!((factors >> 4, factors & 15), (1..=4, 1..=4)) {
            return Err(Error::BadHeader("a sampling factor out of range"));
        }
    }
    Ok(Size { width, height })
}
