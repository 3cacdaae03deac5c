//! Unpacks strips and tiles row by row.

use std::borrow::Cow;
use std::io::{self, Cursor, Read};

use flate2::bufread::ZlibDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::ccitt::CcittReader;
use super::chunks::Chunks;
use super::embedded::EmbeddedImage;
use super::lzw::LzwReader;
use super::packbits::PackBitsReader;
use super::page::Page;
use super::subsampled::SubsampledReader;
use super::variant::Compression;
use crate::thumbnail::error::Error;
use crate::thumbnail::limits::Limits;

/// The largest window of Zstandard; that of its highest level is as large.
const MAX_ZSTANDARD_WINDOW: u64 = 128 << 20;

/// The rows of a strip or tile.
pub(super) trait RowReader {
    /// Reads the next row: as many bytes as [`Page::chunk_row_bytes`] says.
    fn read_row(&mut self, row: &mut [u8]) -> Result<(), Error>;
}

/// Opens the strips and tiles of a page.
pub(super) struct ChunkReader<'a> {
    pub(super) page: Page,
    pub(super) chunks: Chunks<'a>,
    /// Tables of JPEG data, from SOI to EOI, or empty.
    pub(super) jpeg_tables: Vec<u8>,
    pub(super) limits: Limits,
}

impl<'a> ChunkReader<'a> {
    pub(super) fn rows(&self, index: usize) -> Result<Box<dyn RowReader + 'a>, Error> {
        let (page, bytes) = (&self.page, self.chunks.get(index)?);
        let stream: Box<dyn Read + 'a> = match page.compression {
            Compression::None => Box::new(Cursor::new(bytes)),
            Compression::Lzw => Box::new(LzwReader::new(bytes)),
            Compression::PackBits => Box::new(PackBitsReader::new(bytes)),
            Compression::Deflate => Box::new(ZlibDecoder::new(Cursor::new(bytes))),
            Compression::Zstandard => Box::new(zstandard(bytes, &self.limits)?),
            Compression::Ccitt(coding) => return Ok(Box::new(CcittReader::new(bytes, coding, page.chunk.0))),
            Compression::Jpeg => {
                return Ok(Box::new(EmbeddedImage::jpeg(&self.jpeg_tables, &bytes, page, &self.limits)?));
            }
            Compression::WebP => return Ok(Box::new(EmbeddedImage::webp(&bytes, page, &self.limits)?)),
        };
        Ok(match page.subsampling {
            (1, 1) => Box::new(ByteRows(stream)),
            (x, y) => Box::new(SubsampledReader::new(stream, (x, y), page.chunk.0)),
        })
    }
}

/// The window, which is held in memory, is bounded.
fn zstandard<'a>(bytes: Cow<'a, [u8]>, limits: &Limits) -> Result<impl Read + 'a, Error> {
    let max_window = limits.max_bytes().min(MAX_ZSTANDARD_WINDOW);
    StreamingDecoder::new_with_max_window_size(Cursor::new(bytes), max_window).map_err(Error::corrupt)
}

/// Rows that follow each other in a stream of bytes.
struct ByteRows<R>(R);

impl<R: Read> RowReader for ByteRows<R> {
    fn read_row(&mut self, row: &mut [u8]) -> Result<(), Error> {
        read_exact(&mut self.0, row)
    }
}

/// Reads all bytes. The end of the stream is the end of the image, unless the compression found an error.
pub(super) fn read_exact(stream: &mut impl Read, bytes: &mut [u8]) -> Result<(), Error> {
    stream.read_exact(bytes).map_err(|source| match source.kind() {
        io::ErrorKind::UnexpectedEof => Error::Truncated,
        _ => Error::corrupt(source),
    })
}
