//! The strips or tiles of a page: their bytes in the file.

use std::borrow::Cow;
use std::io::Cursor;
use std::ops::Range;

use super::directory::{Directory, tag};
use super::page::Page;
use super::variant::Compression;
use crate::thumbnail::error::Error;

/// Byte ranges of the strips or tiles. They can overlap, but their total is bounded: otherwise a small file could cause
/// any amount of work.
pub(super) struct Chunks<'a> {
    bytes: &'a [u8],
    ranges: Vec<Range<usize>>,
    reverse_bits: bool,
}

impl<'a> Chunks<'a> {
    /// Reads the ranges. Fails for a range beyond the end of the file.
    pub(super) fn read(bytes: &'a [u8], directory: &Directory, page: &Page) -> Result<Self, Error> {
        const MAX_TOTAL: usize = 16;
        let mut reader = Cursor::new(bytes);
        let mut numbers = |one, other| {
            // Some programs write tiles with the tags of strips.
            let tag = if directory.has(one) { one } else { other };
            directory.integers(&mut reader, tag, bytes.len() as u64)
        };
        let (mut starts, mut lengths) = match page.tiled {
            true => (
                numbers(tag::TILE_OFFSETS, tag::STRIP_OFFSETS)?,
                numbers(tag::TILE_BYTE_COUNTS, tag::STRIP_BYTE_COUNTS)?,
            ),
            false => (
                numbers(tag::STRIP_OFFSETS, tag::TILE_OFFSETS)?,
                numbers(tag::STRIP_BYTE_COUNTS, tag::TILE_BYTE_COUNTS)?,
            ),
        };
        let planes = if page.planar { page.channels } else { 1 };
        let needed = page.chunks_across() * page.chunks_down() * planes;
        if starts.len() < needed {
            return Err(Error::corrupt("too few strips or tiles"));
        }
        starts.truncate(needed);
        if lengths.len() < needed || lengths.iter().all(|&length| length == 0) {
            lengths = estimated_lengths(&starts, bytes.len() as u64);
        }
        if page.compression == Compression::None && page.subsampling == (1, 1) {
            // Some programs state too much.
            let rows = page.chunk.1.min(page.height) as u64;
            let longest = (page.chunk_row_bytes() as u64).saturating_mul(rows);
            lengths.iter_mut().for_each(|length| *length = longest.min(*length));
        }
        let at = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let mut left = bytes.len().saturating_mul(MAX_TOTAL);
        let mut ranges = Vec::with_capacity(needed);
        for (start, length) in starts.into_iter().zip(lengths) {
            let range = at(start)..at(start.saturating_add(length));
            let length = bytes.get(range.clone()).ok_or(Error::Truncated)?.len();
            left = left.checked_sub(length).ok_or_else(|| Error::corrupt("overlapping strips"))?;
            ranges.push(range);
        }
        // The fill order does not apply to whole images.
        let reverse_bits = page.lowest_bit_first && !matches!(page.compression, Compression::Jpeg | Compression::WebP);
        Ok(Self { bytes, ranges, reverse_bits })
    }

    /// The bytes of a strip or tile, the highest bit first.
    pub(super) fn get(&self, index: usize) -> Result<Cow<'a, [u8]>, Error> {
        let range = self.ranges.get(index).ok_or_else(|| Error::corrupt("a missing strip or tile"))?;
        let bytes = &self.bytes[range.clone()];
        Ok(match self.reverse_bits {
            true => bytes.iter().map(|byte| byte.reverse_bits()).collect::<Vec<u8>>().into(),
            false => bytes.into(),
        })
    }
}

/// The lengths of chunks that a file does not state: each extends to the next one, or to the end of the file.
fn estimated_lengths(starts: &[u64], end: u64) -> Vec<u64> {
    let mut sorted = starts.to_vec();
    sorted.sort_unstable();
    let next = |start: u64| sorted.get(sorted.partition_point(|&other| other <= start)).copied().unwrap_or(end);
    starts.iter().map(|&start| next(start).saturating_sub(start)).collect()
}
