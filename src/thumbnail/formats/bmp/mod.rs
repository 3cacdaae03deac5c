//! Windows and OS/2 bitmaps.

mod decoder;
#[cfg(test)]
mod drawing;
mod headers;
mod masks;
mod palette;
mod runs;
#[cfg(test)]
mod tests;
mod uncompressed;

use super::codec::{BufReadSeek, Codec, FormatInfo, RowDecoder};
use super::jpeg::Jpeg;
use super::png::Png;
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::Size;
use headers::{Coding, Headers};

pub(super) struct Bmp;

impl Codec for Bmp {
    fn info(&self) -> FormatInfo {
        FormatInfo { name: "BMP", extension: "bmp", media_type: "image/bmp" }
    }

    fn sniff(&self, head: &[u8]) -> bool {
        headers::sniff(head)
    }

    fn probe(&self, head: &[u8], _: &mut dyn BufReadSeek) -> Result<Size, Error> {
        headers::read(head).map(|headers| headers.size)
    }

    fn check(&self, bytes: &[u8]) -> Result<(), Error> {
        match embedded(bytes, &headers::read(bytes)?) {
            Some((codec, file)) => codec.check(file),
            None => Ok(()),
        }
    }

    fn open<'a>(&self, bytes: &'a [u8], size: Size, limits: &Limits) -> Result<Box<dyn RowDecoder + 'a>, Error> {
        let headers = headers::read(bytes)?;
        match embedded(bytes, &headers) {
            Some((codec, file)) => codec.open(file, size, limits),
            None => Ok(Box::new(decoder::open(bytes, &headers)?)),
        }
    }
}

/// The file that a bitmap for printers contains instead of pixels.
fn embedded<'a>(bytes: &'a [u8], headers: &Headers) -> Option<(&'static dyn Codec, &'a [u8])> {
    let codec: &'static dyn Codec = match headers.coding {
        Coding::Jpeg => &Jpeg,
        Coding::Png => &Png,
        Coding::Uncompressed | Coding::Runs => return None,
    };
    Some((codec, bytes.get(headers.pixels..).unwrap_or_default()))
}
