//! Reads the format and the dimensions from the header in bounded memory, so that decompression bombs are rejected
//! before decoding starts.

pub(super) mod jpeg;
mod tiff;
mod webp;

use std::io::{self, BufRead, Read, Seek, SeekFrom};

use super::error::Error;
use super::format::{Format, SNIFF_BYTES, sniff};
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
    let size = match format {
        Format::Jpeg => {
            reader.seek(SeekFrom::Start(2)).map_err(header_error)?;
            let frame = jpeg::frame(&mut reader)?;
            Size { width: frame.width.into(), height: frame.height.into() }
        }
        Format::Png => png(&head)?,
        Format::Gif => gif(&head)?,
        Format::Bmp => bmp(&head)?,
        Format::WebP => webp::size(&mut reader)?,
        Format::Tiff => tiff::size(&mut reader)?,
    };
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

/// The `IHDR` chunk, which must be the first one (PNG specification, 11.2.1).
fn png(head: &[u8]) -> Result<Size, Error> {
    let mut header = head.get(8..).unwrap_or_default();
    if read::<8>(&mut header)? != *b"\0\0\0\x0dIHDR" {
        return Err(Error::BadHeader("no IHDR"));
    }
    let width = u32::from_be_bytes(read(&mut header)?);
    let height = u32::from_be_bytes(read(&mut header)?);
    Ok(Size { width, height })
}

/// The logical screen descriptor (GIF89a, 18).
fn gif(head: &[u8]) -> Result<Size, Error> {
    let mut header = head.get(6..).unwrap_or_default();
    let width = u16::from_le_bytes(read(&mut header)?).into();
    let height = u16::from_le_bytes(read(&mut header)?).into();
    Ok(Size { width, height })
}

/// `BITMAPCOREHEADER` has 16-bit dimensions, all later headers 32-bit; a negative height means top-down rows.
fn bmp(head: &[u8]) -> Result<Size, Error> {
    let mut header = head.get(14..).unwrap_or_default();
    if u32::from_le_bytes(read(&mut header)?) == 12 {
        let width = u16::from_le_bytes(read(&mut header)?).into();
        let height = u16::from_le_bytes(read(&mut header)?).into();
        return Ok(Size { width, height });
    }
    let width = i32::from_le_bytes(read(&mut header)?);
    let height = i32::from_le_bytes(read(&mut header)?);
    let width = u32::try_from(width).map_err(|_| Error::BadHeader("a negative width"))?;
    Ok(Size { width, height: height.unsigned_abs() })
}

/// The next `N` bytes of a header.
fn read<const N: usize>(reader: &mut impl Read) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).map_err(header_error)?;
    Ok(bytes)
}

/// Maps an I/O error: the end of the file within the header is a bad header, anything else is a failed read.
fn header_error(source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => Error::BadHeader("truncated"),
        // The error of the operating system for an offset beyond any file size.
        io::ErrorKind::InvalidInput => Error::BadHeader("an offset out of range"),
        _ => Error::Read { source },
    }
}
