//! TIFF and BigTIFF: the first page.
//!
//! [`page`] reads the properties of a page and rejects unsupported variants, [`rows`] unpacks strips and tiles,
//! [`samples`] undoes predictors and packing, and [`colours`] converts to the colour models of the pipeline. CMYK is
//! not converted, so that it reaches its ICC profile.

mod ccitt;
mod chunks;
mod colours;
mod decoder;
mod directory;
mod embedded;
mod lzw;
mod packbits;
mod page;
mod range;
mod rows;
mod samples;
mod subsampled;
#[cfg(test)]
mod tests;
mod variant;
mod zstandard;

use std::io::SeekFrom;

use super::codec::{BufReadSeek, Codec, FormatInfo, RowDecoder};
use super::header::header_error;
use super::jpeg;
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::Size;
use directory::Directory;
use page::Page;
use variant::{Compression, unsupported};

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
        let directory = Directory::read(file)?;
        let page = Page::read(&directory, file).map_err(header_truncated)?;
        if page.compression == Compression::Jpeg {
            check_jpeg(&directory, &page, file)?;
        }
        let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        Ok(Size { width: side(page.width), height: side(page.height) })
    }

    fn open<'a>(&self, bytes: &'a [u8], _: Size, limits: &Limits) -> Result<Box<dyn RowDecoder + 'a>, Error> {
        Ok(Box::new(decoder::open(bytes, limits).map_err(beyond_header)?))
    }
}

/// A header that the probe has accepted has bad values elsewhere.
fn beyond_header(error: Error) -> Error {
    match error {
        Error::BadHeader(reason) => Error::corrupt(reason),
        other => other,
    }
}

/// Values beyond the end of the file belong to the header.
fn header_truncated(error: Error) -> Error {
    match error {
        Error::Truncated => Error::BadHeader("truncated"),
        other => other,
    }
}

/// Rejects variants of JPEG that the first strip or tile shows; damage is found when it is decoded.
fn check_jpeg(directory: &Directory, page: &Page, file: &mut dyn BufReadSeek) -> Result<(), Error> {
    const SOI_BYTES: u64 = 2;
    let Ok(Some(start)) = chunks::first_offset(directory, file, page.tiled) else { return Ok(()) };
    let Some(after) = start.checked_add(SOI_BYTES) else { return Ok(()) };
    file.seek(SeekFrom::Start(after)).map_err(header_error)?;
    match jpeg::probe::size(file) {
        Err(Error::Unsupported(_) | Error::UnsupportedVariant { .. }) => {
            Err(unsupported("TIFF with lossless, arithmetic-coded or 12-bit JPEG data"))
        }
        Err(error @ Error::Read { .. }) => Err(error),
        _ => Ok(()),
    }
}
