//! The pixels of a page, one band after another: the strips or tiles that lie side by side, of all planes.

use std::io::{Read, Seek};

use tiff::decoder::Decoder;

use super::super::buffer;
use super::mended::FURTHEST;
use super::refused;
use crate::thumbnail::{Error, Limits};

/// How a page is cut into chunks, that is strips or tiles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bands {
    /// The page's width and height in pixels.
    pub(super) page: (usize, usize),
    /// A chunk's width and height in pixels.
    pub(super) chunk: (usize, usize),
    /// 1, or as many as there are channels, each in chunks of its own.
    pub(super) planes: usize,
    /// Bits of a channel; below 8, there is only one channel.
    pub(super) bits: usize,
    /// Channels of a pixel, over all planes.
    pub(super) channels: usize,
}

impl Bands {
    /// How many chunks lie side by side.
    fn across(&self) -> usize {
        self.page.0.div_ceil(self.chunk.0)
    }

    /// How many bands there are.
    fn down(&self) -> usize {
        self.page.1.div_ceil(self.chunk.1)
    }

    /// How many rows a band has; the last one may have fewer.
    fn rows(&self) -> usize {
        self.chunk.1.min(self.page.1)
    }

    /// Bytes of a row, whose channels are interleaved, and whose bits are packed.
    pub(super) fn stride(&self) -> usize {
        (self.page.0 * self.channels * self.bits).div_ceil(8)
    }

    /// Whether a chunk of the file is a band as it is wanted.
    fn plain(&self) -> bool {
        self.planes == 1 && self.chunk.0 == self.page.0
    }

    /// Bytes that are held at a time.
    pub(super) fn bytes(&self) -> u64 {
        let band = (self.stride() * self.rows()) as u64;
        let width = self.chunk.0.min(self.page.0 + FURTHEST as usize);
        let chunk = (width * self.rows() * self.channels * self.bits) as u64 / 8;
        if self.plain() { band } else { band.saturating_add(chunk) }
    }

    /// Reads all of them, and gives row after row.
    pub(super) fn read<R: Read + Seek>(
        &self,
        decoder: &mut Decoder<R>,
        limits: &Limits,
        mut row: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        let mut band = buffer((self.stride() * self.rows()) as u64, limits)?;
        let mut chunk = Vec::new();
        for y in 0..self.down() {
            let rows = self.rows().min(self.page.1 - y * self.chunk.1);
            for (plane, x) in (0..self.planes).flat_map(|plane| (0..self.across()).map(move |x| (plane, x))) {
                let index = ((plane * self.down() + y) * self.across() + x) as u32;
                let layout = decoder.image_chunk_buffer_layout(index).map_err(refused)?;
                if self.plain() {
                    let whole = band.get_mut(..layout.len).ok_or_else(|| Error::corrupt("a strip of too many rows"))?;
                    decoder.read_chunk_bytes(index, whole).map_err(refused)?;
                    continue;
                }
                if chunk.len() < layout.len {
                    chunk = buffer(layout.len as u64, limits)?;
                }
                decoder.read_chunk_bytes(index, &mut chunk[..layout.len]).map_err(refused)?;
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

    /// Copies a chunk's row to its place in the band's, from the column `left` on.
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
