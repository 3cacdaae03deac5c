//! WebP: through libwebp if it is built in, otherwise and for animations through the `image` crate.

#[cfg(feature = "libwebp")]
mod libwebp;
mod metadata;
#[cfg(test)]
mod metadata_tests;
mod probe;
#[cfg(all(test, feature = "libwebp"))]
mod tests;
mod truncation;

use std::io::Cursor;

use image::codecs::webp::WebPDecoder;

use super::buffered;
use super::codec::{BufReadSeek, Codec, FormatInfo, RowDecoder};
use super::image_adapter::decode_error;
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::Size;

pub(super) struct WebP;

impl Codec for WebP {
    fn info(&self) -> FormatInfo {
        FormatInfo { name: "WebP", extension: "webp", media_type: "image/webp" }
    }

    fn sniff(&self, head: &[u8]) -> bool {
        head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP")
    }

    fn probe(&self, _: &[u8], file: &mut dyn BufReadSeek) -> Result<Size, Error> {
        probe::size(file)
    }

    fn check(&self, bytes: &[u8]) -> Result<(), Error> {
        truncation::complete(bytes).ok_or(Error::Truncated)
    }

    fn open<'a>(&self, bytes: &'a [u8], size: Size, limits: &Limits) -> Result<Box<dyn RowDecoder + 'a>, Error> {
        #[cfg(feature = "libwebp")]
        if let Some(still) = libwebp::open(bytes, limits)? {
            return Ok(Box::new(still));
        }
        let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(decode_error)?;
        let image = buffered::decode_all(decoder, size, limits)?;
        Ok(Box::new(image.with_metadata(metadata::profile(bytes).map(<[u8]>::to_vec), metadata::orientation(bytes))))
    }
}
