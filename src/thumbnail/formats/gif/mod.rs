//! GIF: the first frame.

mod decoder;
mod frame;
mod lzw;
#[cfg(test)]
mod tests;

use super::codec::{BufReadSeek, Codec, FormatInfo, RowDecoder};
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::Size;

pub(super) struct Gif;

impl Codec for Gif {
    fn info(&self) -> FormatInfo {
        FormatInfo { name: "GIF", extension: "gif", media_type: "image/gif" }
    }

    fn sniff(&self, head: &[u8]) -> bool {
        matches!(head, [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..])
    }

    fn probe(&self, _: &[u8], file: &mut dyn BufReadSeek) -> Result<Size, Error> {
        frame::first(file).map(|frame| frame.screen)
    }

    fn open<'a>(&self, bytes: &'a [u8], _: Size, limits: &Limits) -> Result<Box<dyn RowDecoder + 'a>, Error> {
        Ok(Box::new(decoder::open(bytes, limits)?))
    }
}
