//! Reads the format and the dimensions from the header in bounded memory, so that decompression bombs are rejected
//! before decoding starts.

use std::io::{BufRead, Read, Seek};

use super::error::Error;
use super::formats::{Format, SNIFF_BYTES, header_error, sniff};
use super::limits::{Limits, MAX_SIDE};
use super::raster::Size;

/// Properties that the header states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Detected from the first bytes.
    pub format: Format,
    /// In pixels, at least 1, before any EXIF rotation.
    pub width: u32,
    /// In pixels, at least 1, before any EXIF rotation.
    pub height: u32,
}

impl Probe {
    pub(crate) fn size(&self) -> Size {
        Size { width: self.width, height: self.height }
    }
}

/// Reads the header and checks it against the limits.
pub(super) fn probe<R: BufRead + Seek>(mut reader: R, limits: &Limits) -> Result<Probe, Error> {
    let mut head = Vec::with_capacity(SNIFF_BYTES);
    reader.by_ref().take(SNIFF_BYTES as u64).read_to_end(&mut head).map_err(header_error)?;
    let format = sniff(&head)?;
    let size = format.codec().probe(&head, &mut reader)?;
    check(size, limits)?;
    Ok(Probe { format, width: size.width, height: size.height })
}

fn check(size: Size, limits: &Limits) -> Result<(), Error> {
    let Size { width, height } = size;
    if width == 0 || height == 0 {
        return Err(Error::BadHeader("a width or height of 0"));
    }
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(Error::TooWide { width, height });
    }
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(Error::TooManyPixels { width, height, max_pixels: limits.max_pixels });
    }
    Ok(())
}
