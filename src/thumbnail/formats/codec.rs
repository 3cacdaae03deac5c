//! The interface between a format and the pipeline.

use std::io::{BufRead, Read, Seek};

use crate::error::Error;
use crate::limits::Limits;
use crate::raster::{Area, Goal, Header, Plane, Sink, Size};

/// [`Read`] and [`Seek`] as one object-safe trait.
pub(crate) trait ReadSeek: Read + Seek {}
impl<F: Read + Seek> ReadSeek for F {}

/// [`BufRead`] and [`Seek`] as one object-safe trait.
pub(crate) trait BufReadSeek: BufRead + Seek {}
impl<F: BufRead + Seek> BufReadSeek for F {}

/// Identification of a format.
pub(crate) struct FormatInfo {
    /// Name in messages.
    pub(crate) name: &'static str,
    /// The usual file name extension, without the dot.
    pub(crate) extension: &'static str,
    /// The registered media type (IANA).
    pub(crate) media_type: &'static str,
}

/// A supported format. Each call is made once per image, in the order of the methods.
pub(crate) trait Codec: Sync {
    fn info(&self) -> FormatInfo;

    /// Whether a file is of this format. `head` has its first [`SNIFF_BYTES`](super::SNIFF_BYTES) bytes, or all bytes
    /// of a shorter file.
    fn sniff(&self, head: &[u8]) -> bool;

    /// Reads the dimensions of the first frame or page, and rejects unsupported variants, in bounded memory. `head` is
    /// the start of the file as in [`sniff`](Self::sniff); the position of `file` is unspecified.
    fn probe(&self, head: &[u8], file: &mut dyn BufReadSeek) -> Result<Size, Error>;

    /// Detects truncation, if the decoder does not: some fill missing pixels with grey or do not read to the end.
    fn check(&self, _bytes: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    /// Opens a checked file in memory. `size` is the result of [`probe`](Self::probe).
    fn open<'a>(&self, bytes: &'a [u8], size: Size, limits: &Limits) -> Result<Box<dyn RowDecoder + 'a>, Error>;

    /// Checks and opens a file at its start, if the decoder reads it in parts; otherwise `None`.
    fn stream<'a>(
        &self,
        _file: &'a mut dyn ReadSeek,
        _limits: &Limits,
    ) -> Result<Option<Box<dyn RowDecoder + 'a>>, Error> {
        Ok(None)
    }
}

/// An image whose header is read and whose pixels are not decoded yet.
pub(crate) trait RowDecoder {
    fn header(&self) -> &Header;

    /// Chooses how much to shrink while decoding, at most as far as the goal allows. Returns either one plane with all
    /// channels interleaved, or one plane per channel.
    fn shrink(&mut self, goal: Goal) -> Vec<Plane>;

    /// Decodes and emits all rows of each plane from the top; planes may alternate. `needed` has the area of each plane
    /// that is used: samples outside of it are arbitrary, but their data must be present and valid.
    fn decode(&mut self, needed: &[Area], sink: &mut dyn Sink) -> Result<(), Error>;
}
