//! Zstandard (RFC 8878).

use std::borrow::Cow;
use std::io::{self, Cursor, Read};

use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::page::Page;
use super::rows::Decompressor;
use crate::error::Error;
use crate::limits::Limits;

/// The largest window; that of the highest level is as large.
const MAX_WINDOW: u64 = 128 << 20;

/// The decoder is asked for this number of bytes at once. It decodes up to a block of 128 KiB more.
const STEP: usize = 1 << 20;

/// Decompresses strips or tiles of a frame each. The decoder gives out no byte before it has decoded a whole window or
/// the whole frame, so that frames with more data than their strip or tile are rejected.
pub(super) struct ZstandardReader<'a> {
    decoder: FrameDecoder,
    source: Cursor<Cow<'a, [u8]>>,
    chunk_bytes: usize,
    /// Bytes of the strip or tile that are not decoded yet, at most.
    left: usize,
    /// Whether the block after the last byte, which can be empty, is decoded.
    has_tail: bool,
}

impl ZstandardReader<'_> {
    pub(super) fn new(page: &Page, limits: &Limits) -> Self {
        let chunk_bytes = page.chunk_bytes(if page.tiled { page.chunk.1 } else { page.chunk.1.min(page.height) });
        let planes = page.used_planes().count() as u64;
        // Of a window, no more is used than a strip or tile takes. The other half is left for the pixels of the page.
        let budget = limits.max_bytes() / 2 / planes;
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(if chunk_bytes as u64 <= budget { MAX_WINDOW } else { budget.min(MAX_WINDOW) });
        Self { decoder, source: Cursor::default(), chunk_bytes, left: 0, has_tail: false }
    }

    fn decode(&mut self) -> io::Result<()> {
        let strategy = match self.left.min(STEP) {
            0 if self.has_tail => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "more data than a strip or tile has"));
            }
            0 => {
                self.has_tail = true;
                BlockDecodingStrategy::UptoBlocks(1)
            }
            step => {
                self.left -= step;
                BlockDecodingStrategy::UptoBytes(step)
            }
        };
        self.decoder.decode_blocks(&mut self.source, strategy).map_err(io::Error::other)?;
        Ok(())
    }
}

impl Read for ZstandardReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
            self.decode()?;
        }
        self.decoder.read(buffer)
    }
}

impl<'a> Decompressor<'a> for ZstandardReader<'a> {
    fn restart(&mut self, bytes: Cow<'a, [u8]>) -> Result<(), Error> {
        self.source = Cursor::new(bytes);
        (self.left, self.has_tail) = (self.chunk_bytes, false);
        self.decoder.init(&mut self.source).map_err(|error| match error {
            FrameDecoderError::WindowSizeTooBig { .. } => Error::TooMuchMemory,
            other => Error::corrupt(other),
        })
    }
}
