//! JPEG (ITU-T T.81): Huffman coding, 8 bits, sequential and progressive; decodes no more than the thumbnail
//! needs.
//!
//! Each component becomes a plane of its own, in full size or scaled by 1/2, 1/4 or 1/8 as the goal allows. Scaled
//! blocks use only the lowest frequencies: the remaining AC coefficients are skipped without being decoded, and at 1/8
//! only the DC coefficients are used. Samples keep the colour model of the file: only the few resized pixels are
//! converted to RGB, and CMYK reaches its ICC profile.
//!
//! Skipped data must still be present and consist of valid codes. In a progressive image, scans that contribute nothing
//! to the decoded size are not read.

mod app_segments;
mod bit_reader;
#[cfg(test)]
mod damage_tests;
mod decoder;
mod default_tables;
mod ending;
mod frame;
mod huffman;
mod idct;
mod mcu_row;
pub(super) mod probe;
mod progressive;
mod restart;
mod segments;
mod sequential;
mod source;
#[cfg(test)]
mod tests;
mod variants;

use std::io::SeekFrom;

use decoder::JpegDecoder;

use super::codec::{BufReadSeek, Codec, FormatInfo, ReadSeek, RowDecoder};
use super::header::header_error;
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::Size;

/// Length of the SOI marker.
const SOI_BYTES: u64 = 2;

pub(super) struct Jpeg;

impl Codec for Jpeg {
    fn info(&self) -> FormatInfo {
        FormatInfo { name: "JPEG", extension: "jpg", media_type: "image/jpeg" }
    }

    /// SOI and the start of another marker, but not SOF55 of JPEG-LS.
    fn sniff(&self, head: &[u8]) -> bool {
        head.starts_with(&[0xff, 0xd8, 0xff]) && head.get(3) != Some(&0xf7)
    }

    fn probe(&self, _: &[u8], file: &mut dyn BufReadSeek) -> Result<Size, Error> {
        file.seek(SeekFrom::Start(SOI_BYTES)).map_err(header_error)?;
        probe::size(file)
    }

    fn open<'a>(&self, bytes: &'a [u8], _: Size, limits: &Limits) -> Result<Box<dyn RowDecoder + 'a>, Error> {
        Ok(Box::new(JpegDecoder::open(bytes, limits)?))
    }

    fn stream<'a>(
        &self,
        file: &'a mut dyn ReadSeek,
        limits: &Limits,
    ) -> Result<Option<Box<dyn RowDecoder + 'a>>, Error> {
        Ok(Some(Box::new(JpegDecoder::stream(file, limits)?)))
    }
}
