//! Unpacks strips and tiles row by row.

use std::borrow::Cow;
use std::io::{self, Cursor, Read};

use flate2::bufread::ZlibDecoder;

use super::ccitt::CcittReader;
use super::chunks::Chunks;
use super::embedded::EmbeddedImage;
use super::lzw::LzwReader;
use super::packbits::PackBitsReader;
use super::page::Page;
use super::subsampled::SubsampledReader;
use super::variant::Compression;
use super::zstandard::ZstandardReader;
use crate::error::Error;
use crate::limits::Limits;

/// The rows of strips or tiles, one after the other. Setting up a reader takes longer than decoding a small tile.
pub(super) trait RowReader<'a> {
    /// Continues with the bytes of another strip or tile.
    fn restart(&mut self, bytes: Cow<'a, [u8]>) -> Result<(), Error>;

    /// Reads the next row: as many bytes as [`Page::chunk_row_bytes`] says.
    fn read_row(&mut self, row: &mut [u8]) -> Result<(), Error>;
}

/// The unpacked bytes of strips or tiles, one after the other.
pub(super) trait Decompressor<'a>: Read {
    /// Continues with the bytes of another strip or tile.
    fn restart(&mut self, bytes: Cow<'a, [u8]>) -> Result<(), Error>;
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
    /// A reader without a strip or tile yet.
    pub(super) fn rows(&self) -> Box<dyn RowReader<'a> + 'a> {
        let page = &self.page;
        let stream: Box<dyn Decompressor<'a> + 'a> = match page.compression {
            Compression::None => Box::new(Cursor::default()),
            Compression::Lzw => Box::new(LzwReader::new()),
            Compression::PackBits => Box::new(PackBitsReader::new()),
            Compression::Deflate => Box::new(ZlibDecoder::new(Cursor::default())),
            Compression::Zstandard => Box::new(ZstandardReader::new(page, &self.limits)),
            Compression::Ccitt(coding) => return Box::new(CcittReader::new(coding, page.chunk.0)),
            Compression::Jpeg | Compression::WebP => {
                return Box::new(EmbeddedImage::new(page, &self.jpeg_tables, &self.limits));
            }
        };
        match page.subsampling {
            (1, 1) => Box::new(ByteRows(stream)),
            (x, y) => Box::new(SubsampledReader::new(stream, (x, y), page.chunk.0)),
        }
    }
}

impl<'a> Decompressor<'a> for Cursor<Cow<'a, [u8]>> {
    fn restart(&mut self, bytes: Cow<'a, [u8]>) -> Result<(), Error> {
        *self = Self::new(bytes);
        Ok(())
    }
}

impl<'a> Decompressor<'a> for ZlibDecoder<Cursor<Cow<'a, [u8]>>> {
    fn restart(&mut self, bytes: Cow<'a, [u8]>) -> Result<(), Error> {
        self.reset(Cursor::new(bytes));
        Ok(())
    }
}

/// Rows that follow each other in a stream of bytes.
struct ByteRows<'a>(Box<dyn Decompressor<'a> + 'a>);

impl<'a> RowReader<'a> for ByteRows<'a> {
    fn restart(&mut self, bytes: Cow<'a, [u8]>) -> Result<(), Error> {
        self.0.restart(bytes)
    }

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
