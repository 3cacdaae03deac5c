//! PNG: every colour type and depth, interlaced or not.

mod adam7;
mod animation;
#[cfg(test)]
mod animation_tests;
mod checksum;
mod chunks;
mod colour;
#[cfg(test)]
mod colour_tests;
#[cfg(test)]
mod damage_tests;
mod decoder;
mod palette;
mod probe;
mod shared_file;
#[cfg(test)]
mod tests;
mod tone_curve;

use std::io::{BufReader, Cursor};

use shared_file::SharedFile;

use super::codec::{BufReadSeek, Codec, FormatInfo, ReadSeek, RowDecoder};
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::Size;

/// Read buffer of a streamed file.
const READ_BYTES: usize = 64 << 10;

/// The largest iCCP and eXIf chunk that is read.
const MAX_CHUNK_BYTES: u32 = 16 << 20;

pub(super) struct Png;

impl Codec for Png {
    fn info(&self) -> FormatInfo {
        FormatInfo { name: "PNG", extension: "png", media_type: "image/png" }
    }

    fn sniff(&self, head: &[u8]) -> bool {
        head.starts_with(b"\x89PNG\r\n\x1a\n")
    }

    fn probe(&self, head: &[u8], _: &mut dyn BufReadSeek) -> Result<Size, Error> {
        probe::size(head)
    }

    fn open<'a>(&self, bytes: &'a [u8], _: Size, limits: &Limits) -> Result<Box<dyn RowDecoder + 'a>, Error> {
        Ok(Box::new(decoder::open(Cursor::new(bytes), Cursor::new(bytes), limits)?))
    }

    fn stream<'a>(
        &self,
        file: &'a mut dyn ReadSeek,
        limits: &Limits,
    ) -> Result<Option<Box<dyn RowDecoder + 'a>>, Error> {
        let file = SharedFile::new(file);
        Ok(Some(Box::new(decoder::open(BufReader::with_capacity(READ_BYTES, file.clone()), file, limits)?)))
    }
}
