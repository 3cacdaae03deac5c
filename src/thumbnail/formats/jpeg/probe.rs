//! JPEG: the dimensions, from the segments up to the frame header (ITU-T T.81, annex B).

use super::super::codec::BufReadSeek;
use super::super::header::{header_error, read};
use super::frame::Frame;
use super::variants;
use crate::error::Error;
use crate::raster::Size;

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
            0xc0..=0xc2 => return frame_size(reader, usize::from(length) - 2),
            _ => reader.seek_relative(i64::from(length) - 2).map_err(header_error)?,
        }
    }
}

/// The second byte of the next marker; skips fill bytes and stray bytes before it.
fn next_marker(reader: &mut dyn BufReadSeek) -> Result<u8, Error> {
    loop {
        let bytes = reader.fill_buf().map_err(header_error)?;
        if bytes.is_empty() {
            return Err(Error::BadHeader("truncated"));
        }
        let Some(found) = memchr::memchr(0xff, bytes) else {
            let skipped = bytes.len();
            reader.consume(skipped);
            continue;
        };
        reader.consume(found);
        let mut code = [0xff];
        while code == [0xff] {
            code = read(reader)?;
        }
        if code != [0] {
            return Ok(code[0]);
        }
    }
}

/// The frame header (B.2.2), with the checks of the decoder.
fn frame_size(reader: &mut dyn BufReadSeek, length: usize) -> Result<Size, Error> {
    let mut payload = [0; Frame::MAX_PAYLOAD];
    let payload = &mut payload[..length.min(Frame::MAX_PAYLOAD)];
    reader.read_exact(payload).map_err(header_error)?;
    let Frame { width, height, .. } = Frame::new(payload, false)?;
    Ok(Size { width: width as u32, height: height as u32 })
}
