//! TIFF: the first directory (TIFF 6.0, section 2, or BigTIFF), with the dimensions and the unsupported variants.

use std::io::SeekFrom;

use super::super::codec::BufReadSeek;
use super::super::header::{header_error, read};
use crate::thumbnail::error::Error;
use crate::thumbnail::raster::Size;

/// More than any real directory has.
const MAX_ENTRIES: u64 = 4096;

pub(super) fn size(reader: &mut dyn BufReadSeek) -> Result<Size, Error> {
    reader.seek(SeekFrom::Start(0)).map_err(header_error)?;
    let little = read::<2>(reader)? == *b"II";
    let mut tiff = DirectoryReader { reader, little, big: false };
    tiff.big = tiff.integer(2)? == 43;
    if tiff.big {
        let _offset_size_and_padding = tiff.integer(4)?;
    }
    let directory = tiff.offset()?;
    tiff.reader.seek(SeekFrom::Start(directory)).map_err(header_error)?;
    let entries = tiff.integer(if tiff.big { 8 } else { 2 })?;
    if entries > MAX_ENTRIES {
        return Err(Error::BadHeader("a directory with too many entries"));
    }
    let (mut width, mut height) = (None, None);
    for _ in 0..entries {
        let (tag, value) = tiff.entry()?;
        match (tag, value) {
            (256, Some(value)) => width = u32::try_from(value).ok(),
            (257, Some(value)) => height = u32::try_from(value).ok(),
            (259, Some(compression)) => check_compression(compression)?,
            (262, Some(photometric)) => check_photometric(photometric)?,
            _ => {}
        }
    }
    match (width, height) {
        (Some(width), Some(height)) => Ok(Size { width, height }),
        _ => Err(Error::BadHeader("a TIFF without dimensions")),
    }
}

fn check_compression(compression: u64) -> Result<(), Error> {
    match compression {
        6 => Err(Error::Unsupported("TIFF with old-style JPEG compression")),
        33003..=33005 | 34712 => Err(Error::Unsupported("TIFF with JPEG 2000 compression")),
        34925 => Err(Error::Unsupported("TIFF with LZMA compression")),
        50000 => Err(Error::Unsupported("TIFF with Zstandard compression")),
        50001 => Err(Error::Unsupported("TIFF with WebP compression")),
        _ => Ok(()),
    }
}

fn check_photometric(photometric: u64) -> Result<(), Error> {
    match photometric {
        3 => Err(Error::Unsupported("TIFF with a palette")),
        8..=10 => Err(Error::Unsupported("TIFF with Lab colours")),
        32803 => Err(Error::Unsupported("Camera raw")),
        _ => Ok(()),
    }
}

struct DirectoryReader<'a> {
    reader: &'a mut dyn BufReadSeek,
    little: bool,
    big: bool,
}

impl DirectoryReader<'_> {
    /// An unsigned integer of up to 8 bytes in the byte order of the file.
    fn integer(&mut self, bytes: usize) -> Result<u64, Error> {
        let mut value = [0; 8];
        if bytes == 0 {
            return Ok(0);
        }
        self.reader.read_exact(&mut value[..bytes]).map_err(header_error)?;
        if self.little {
            return Ok(u64::from_le_bytes(value));
        }
        Ok(u64::from_be_bytes(value) >> (8 * (8 - bytes)))
    }

    fn offset(&mut self) -> Result<u64, Error> {
        self.integer(if self.big { 8 } else { 4 })
    }

    /// A tag, and its value if that is a single SHORT, LONG or LONG8.
    fn entry(&mut self) -> Result<(u64, Option<u64>), Error> {
        let tag = self.integer(2)?;
        let kind = self.integer(2)?;
        let count = self.offset()?;
        let field = if self.big { 8 } else { 4 };
        let size = match kind {
            3 => 2,
            4 => 4,
            16 if self.big => 8,
            _ => 0,
        };
        let value = self.integer(size)?;
        self.integer(field - size)?;
        Ok((tag, (size > 0 && count == 1).then_some(value)))
    }
}
