//! GIF: the first frame.

mod decoder;
mod probe;
#[cfg(test)]
mod tests;
mod truncation;

use super::codec::{BufReadSeek, Codec, FormatInfo, RowDecoder};
use crate::thumbnail::error::Error;
use crate::thumbnail::limits::Limits;
use crate::thumbnail::raster::Size;

pub(super) struct Gif;

impl Codec for Gif {
    fn info(&self) -> FormatInfo {
        FormatInfo { name: "GIF", extension: "gif", media_type: "image/gif" }
    }

    fn sniff(&self, head: &[u8]) -> bool {
        matches!(head, [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..])
    }

    fn probe(&self, head: &[u8], _: &mut dyn BufReadSeek) -> Result<Size, Error> {
        probe::size(head)
    }

    fn check(&self, bytes: &[u8]) -> Result<(), Error> {
        truncation::complete(bytes).ok_or(Error::Truncated)
    }

    fn open<'a>(&self, bytes: &'a [u8], _: Size, limits: &Limits) -> Result<Box<dyn RowDecoder + 'a>, Error> {
        Ok(Box::new(decoder::open(bytes, limits)?))
    }
}
