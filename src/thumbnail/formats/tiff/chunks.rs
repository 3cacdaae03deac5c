//! The strips or tiles of a page: their bytes in the file.

use std::borrow::Cow;
use std::ops::Range;

use super::super::codec::BufReadSeek;
use super::directory::{Directory, Integers, tag};
use super::page::Page;
use super::variant::Compression;
use crate::error::Error;

/// How often strips or tiles can contain each byte of a file, on average: they can overlap, and a small file could
/// cause any amount of work.
const MAX_READS_PER_BYTE: usize = 16;

/// Byte ranges of the strips or tiles.
pub(super) struct Chunks<'a> {
    bytes: &'a [u8],
    starts: Integers<'a>,
    lengths: Lengths<'a>,
    /// The largest length; some programs state too much.
    longest: u64,
    reverse_bits: bool,
}

enum Lengths<'a> {
    Stated(Integers<'a>),
    /// The sorted offsets: each chunk extends to the next one, or to the end of the file.
    Estimated(Vec<u64>),
}

impl<'a> Chunks<'a> {
    /// Fails for a range beyond the end of the file.
    pub(super) fn read(bytes: &'a [u8], directory: &Directory, page: &Page) -> Result<Self, Error> {
        let tags = if page.tiled { TILES } else { STRIPS };
        let find = |tags: [u16; 2]| directory.integers_of(bytes, stored(directory, tags));
        let per_plane = page.chunks_across() * page.chunks_down();
        let needed = per_plane.saturating_mul(if page.planar { page.channels } else { 1 });
        let starts = find(tags.offsets)?.filter(|starts| starts.len() >= needed);
        let starts = starts.ok_or_else(|| Error::corrupt("too few strips or tiles"))?;
        let used = || page.used_planes().flat_map(|plane| plane * per_plane..(plane + 1) * per_plane);
        let stated = find(tags.lengths)?.filter(|lengths| lengths.len() >= needed);
        let stated = stated.filter(|lengths| used().any(|index| lengths.get(index).is_ok_and(|length| length > 0)));
        let lengths = match stated {
            Some(lengths) => Lengths::Stated(lengths),
            None => {
                let mut sorted = used().map(|index| starts.get(index)).collect::<Result<Vec<u64>, Error>>()?;
                sorted.sort_unstable();
                Lengths::Estimated(sorted)
            }
        };
        let longest = match page.compression {
            Compression::None => page.chunk_bytes(page.chunk.1.min(page.height)) as u64,
            _ => u64::MAX,
        };
        // The fill order does not apply to whole images.
        let reverse_bits = page.lowest_bit_first && !page.compression.is_image();
        let chunks = Self { bytes, starts, lengths, longest, reverse_bits };
        for index in 0..needed {
            chunks.range(index)?;
        }
        let total = used().try_fold(0_usize, |total, index| Ok(total.saturating_add(chunks.range(index)?.len())))?;
        if total > bytes.len().saturating_mul(MAX_READS_PER_BYTE) {
            return Err(Error::corrupt("overlapping strips"));
        }
        Ok(chunks)
    }

    fn range(&self, index: usize) -> Result<Range<usize>, Error> {
        let start = self.starts.get(index)?;
        let length = match &self.lengths {
            Lengths::Stated(lengths) => lengths.get(index)?,
            Lengths::Estimated(sorted) => {
                let next = sorted.get(sorted.partition_point(|&other| other <= start)).copied();
                next.unwrap_or(self.bytes.len() as u64).saturating_sub(start)
            }
        };
        let at = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let range = at(start)..at(start.saturating_add(length.min(self.longest)));
        if self.bytes.get(range.clone()).is_some() { Ok(range) } else { Err(Error::Truncated) }
    }

    /// The bytes of a strip or tile, the highest bit first.
    pub(super) fn get(&self, index: usize) -> Result<Cow<'a, [u8]>, Error> {
        let bytes = &self.bytes[self.range(index)?];
        Ok(match self.reverse_bits {
            true => bytes.iter().map(|byte| byte.reverse_bits()).collect::<Vec<u8>>().into(),
            false => bytes.into(),
        })
    }
}

/// Tags of the chunks, and those that some programs write instead.
struct Tags {
    offsets: [u16; 2],
    lengths: [u16; 2],
}

const STRIPS: Tags =
    Tags { offsets: [tag::STRIP_OFFSETS, tag::TILE_OFFSETS], lengths: [tag::STRIP_BYTE_COUNTS, tag::TILE_BYTE_COUNTS] };

const TILES: Tags =
    Tags { offsets: [tag::TILE_OFFSETS, tag::STRIP_OFFSETS], lengths: [tag::TILE_BYTE_COUNTS, tag::STRIP_BYTE_COUNTS] };

fn stored(directory: &Directory, [usual, other]: [u16; 2]) -> u16 {
    if directory.has(usual) { usual } else { other }
}

/// The offset of the first strip or tile.
pub(super) fn first_offset(
    directory: &Directory,
    reader: &mut dyn BufReadSeek,
    tiled: bool,
) -> Result<Option<u64>, Error> {
    let tags = if tiled { TILES } else { STRIPS };
    directory.first_integer(reader, stored(directory, tags.offsets))
}
