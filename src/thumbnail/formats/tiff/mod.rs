//! TIFF and BigTIFF: the first page.

mod bands;
mod decoder;
mod error;
mod probe;
#[cfg(test)]
mod tests;
mod workarounds;

use super::codec::{BufReadSeek, Codec, FormatInfo, RowDecoder};
use crate::thumbnail::error::Error;
use crate::thumbnail::limits::Limits;
use crate::thumbnail::raster::Size;

pub(super) struct Tiff;

impl Codec for Tiff {
    fn info(&self) -> FormatInfo {
        FormatInfo { name: "TIFF", extension: "tiff", media_type: "image/tiff" }
    }

    /// The byte order, and the version: 42 for TIFF, 43 for BigTIFF.
    fn sniff(&self, head: &[u8]) -> bool {
        matches!(head, [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..])
    }

    fn probe(&self, _: &[u8], file: &mut dyn BufReadSeek) -> Result<Size, Error> {
        probe::size(file)
    }

    fn open<'a>(&self, bytes: &'a [u8], _: Size, limits: &Limits) -> Result<Box<dyn RowDecoder + 'a>, Error> {
        Ok(Box::new(decoder::open(bytes, limits)?))
    }
}
