//! Windows and OS/2 bitmaps.

mod decoder;
mod probe;
#[cfg(test)]
mod tests;

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;

use super::buffered;
use super::codec::{BufReadSeek, Codec, FormatInfo, RowDecoder};
use super::image_adapter::decode_error;
use crate::thumbnail::error::Error;
use crate::thumbnail::limits::Limits;
use crate::thumbnail::raster::Size;

pub(super) struct Bmp;

impl Codec for Bmp {
    fn info(&self) -> FormatInfo {
        FormatInfo { name: "BMP", extension: "bmp", media_type: "image/bmp" }
    }

    /// Many texts start with "BM", so the information header must have a known size.
    fn sniff(&self, head: &[u8]) -> bool {
        let information = head.get(14..18);
        head.starts_with(b"BM") && matches!(information, Some([12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
    }

    fn probe(&self, head: &[u8], _: &mut dyn BufReadSeek) -> Result<Size, Error> {
        probe::size(head)
    }

    fn open<'a>(&self, bytes: &'a [u8], size: Size, limits: &Limits) -> Result<Box<dyn RowDecoder + 'a>, Error> {
        if let Some(uncompressed) = decoder::open(bytes)? {
            return Ok(Box::new(uncompressed));
        }
        let compressed = BmpDecoder::new(Cursor::new(bytes)).map_err(decode_error)?;
        Ok(Box::new(buffered::decode_all(compressed, size, limits)?))
    }
}
