//! Reads a page band by band. A band is a row of adjacent strips or tiles, of all planes.

use std::io::{Read, Seek};

use tiff::decoder::Decoder;

use super::super::buffer;
use super::error::decode_error;
use super::workarounds::MAX_TILE_OVERHANG;
use crate::thumbnail::error::Error;
use crate::thumbnail::limits::Limits;

/// Division of a page into chunks, that is, strips or tiles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bands {
    /// Width and height of the page in pixels.
    pub(super) page: (usize, usize),
    /// Width and height of a chunk in pixels.
    pub(super) chunk: (usize, usize),
    /// 1, or the number of channels if each has its own chunks.
    pub(super) planes: usize,
    /// Bits per channel; below 8, there is only one channel.
    pub(super) bits: usize,
    /// Channels per pixel, over all planes.
    pub(super) channels: usize,
}

impl Bands {
    fn chunks_per_band(&self) -> usize {
        self.page.0.div_ceil(self.chunk.0)
    }

    fn band_count(&self) -> usize {
        self.page.1.div_ceil(self.chunk.1)
    }

    /// Rows of a band; the last one can have fewer.
    fn rows(&self) -> usize {
        self.chunk.1.min(self.page.1)
    }

    /// Bytes of a row with interleaved channels and packed bits.
    pub(super) fn stride(&self) -> usize {
        (self.page.0 * self.channels * self.bits).div_ceil(8)
    }

    /// Whether a chunk is a band without any rearrangement.
    fn chunk_is_band(&self) -> bool {
        self.planes == 1 && self.chunk.0 == self.page.0
    }

    /// Bytes that are buffered at a time.
    pub(super) fn bytes(&self) -> u64 {
        let band = (self.stride() * self.rows()) as u64;
        let width = self.chunk.0.min(self.page.0 + MAX_TILE_OVERHANG as usize);
        let chunk = (width * self.rows() * self.channels * self.bits) as u64 / 8;
        if self.chunk_is_band() { band } else { band.saturating_add(chunk) }
    }

    /// Reads all bands and emits their rows.
    pub(super) fn read<R: Read + Seek>(
        &self,
        decoder: &mut Decoder<R>,
        limits: &Limits,
        mut row: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        let mut band = buffer::zeroed((self.stride() * self.rows()) as u64, limits)?;
        let mut chunk = Vec::new();
        for y in 0..self.band_count() {
            let rows = self.rows().min(self.page.1 - y * self.chunk.1);
            for (plane, x) in (0..self.planes).flat_map(|plane| (0..self.chunks_per_band()).map(move |x| (plane, x))) {
                let index = ((plane * self.band_count() + y) * self.chunks_per_band() + x) as u32;
                let layout = decoder.image_chunk_buffer_layout(index).map_err(decode_error)?;
                if self.chunk_is_band() {
                    let target =
                        band.get_mut(..layout.len).ok_or_else(|| Error::corrupt("a strip with too many rows"))?;
                    decoder.read_chunk_bytes(index, target).map_err(decode_error)?;
                    continue;
                }
                if chunk.len() < layout.len {
                    chunk = buffer::zeroed(layout.len as u64, limits)?;
                }
                decoder.read_chunk_bytes(index, &mut chunk[..layout.len]).map_err(decode_error)?;
                let stride = layout.row_stride.map_or(layout.len, |stride| stride.get());
                for (source, target) in
                    chunk[..layout.len].chunks_exact(stride).zip(band.chunks_exact_mut(self.stride()))
                {
                    self.place(source, target, plane, x * self.chunk.0);
                }
            }
            band.chunks_exact(self.stride()).take(rows).for_each(&mut row);
        }
        Ok(())
    }

    /// Copies a row of a chunk into a row of the band, from the column `left` on.
    fn place(&self, source: &[u8], target: &mut [u8], plane: usize, left: usize) {
        if self.planes == 1 {
            let start = left * self.channels * self.bits / 8;
            target.iter_mut().skip(start).zip(source).for_each(|(target, &source)| *target = source);
            return;
        }
        let sample = self.bits / 8;
        let pixels = target.chunks_exact_mut(sample * self.planes).skip(left);
        for (pixel, channel) in pixels.zip(source.chunks_exact(sample)) {
            pixel[plane * sample..][..sample].copy_from_slice(channel);
        }
    }
}
